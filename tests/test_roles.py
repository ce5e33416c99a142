"""Column roles: one table for the kernels, from what people pass."""

import numpy as np
import pytest

from fastmix.data.roles import Roles, assembled, check_roles, sequence_starts

X = np.arange(6.0).reshape(3, 2)


def test_a_table_of_covariates_alone_is_not_copied():
    table, roles = assembled(X)
    assert table is X
    assert roles == Roles(2)
    assert roles.n_columns == 2


@pytest.mark.parametrize("y", [[7, 8, 9], np.array([[7.0, 1.0], [8.0, 2.0], [9.0, 3.0]])])
def test_columns_lie_where_the_roles_say(y):
    exposure = np.array([0.5, 1.0, 2.0])
    table, roles = assembled(X, y, exposure)
    assert table.shape == (3, roles.n_columns)
    np.testing.assert_array_equal(table[:, roles.covariates], X)
    np.testing.assert_array_equal(table[:, roles.targets], np.reshape(y, (3, -1)))
    np.testing.assert_array_equal(table[:, roles.exposure][:, 0], exposure)
    assert table.flags.c_contiguous


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": [1.0, 2.0]}, r"y must have one entry.*3 rows of X; got shape \(2,\)"),
        ({"y": [1.0, np.nan, 2.0]}, r"y must be finite; the first bad entry is at \(1,\)"),
        ({"exposure": [1.0, 2.0]}, r"exposure must have shape \(3,\); got \(2,\)"),
        ({"exposure": [1.0, 0.0, 2.0]}, "exposure must be positive; got 0 at row 1"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        assembled(X, **given)


def test_roles_that_are_not_taken_or_not_given():
    check_roles(("target", "lengths"), "this family", {"target": [1], "exposure": None, "lengths": None})
    with pytest.raises(ValueError, match="exposure was given, but this family takes no exposure"):
        check_roles((), "this family", {"exposure": [1.0]})
    with pytest.raises(ValueError, match="this family wants a target: pass y="):
        check_roles(("target",), "this family", {"target": None})


def test_sequences():
    np.testing.assert_array_equal(sequence_starts([2, 1, 3], 6), [0, 2, 3, 6])
    np.testing.assert_array_equal(sequence_starts(None, 6), [0, 6])
    with pytest.raises(ValueError, match="lengths sum to 5, but X has 6 rows"):
        sequence_starts([2, 3], 6)
    for bad in ([2, 0, 4], [1.5, 4.5], [[6]], ["6"]):
        with pytest.raises(ValueError, match="lengths"):
            sequence_starts(bad, 6)
