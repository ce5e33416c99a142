"""Units do not matter: fits of c X are c times those of X, and the floor under variances follows the data."""

import re
import warnings

import numpy as np
import pytest
from batches import every, feed
from fits import bits, fit_quietly
from naive import COVARIANCE_TYPES

import fastmix
from fastmix import Checkpoint, CollapsedError, ConvergenceWarning, GaussianMixture
from fastmix.data.rows import make_rows
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.starts.scale import Scale, floor_under

every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
FEATURE_TYPES = ["full", "tied", "diag", "tied_diag"]  # in which each feature may have units of its own
UNITS = [1e-150, 1e-6, 1e6, 1e150]


@pytest.fixture
def rows(rng):
    """Three clusters of 150, 120 and 130 rows in three dimensions."""
    clusters = ((150, [0, 0, 0]), (120, [8, -4, 3]), (130, [-6, 9, -5]))
    return np.concatenate([rng.normal(size=(n, 3)) * [1, 2, 0.5] + centre for n, centre in clusters])


def mixture(covariance_type="full", n_components=3, **parameters):
    return GaussianMixture(n_components, covariance_type=covariance_type, random_state=0, **parameters)


def in_order(model):
    """Weights, means and covariances, the component with the least mean first: a tie may be decided by a last bit."""
    order = np.argsort(model.means_[:, 0])
    covariances = model.covariances_
    return (
        model.weights_[order],
        model.means_[order],
        covariances if "tied" in model.covariance_type else covariances[order],
    )


def check_same(model, other, units):
    """``other`` was fitted to the rows in ``units``, a number or one for each feature."""
    weights, means, covariances = in_order(model)
    has_matrices = model.covariance_type in ("full", "tied")
    squares = np.multiply.outer(units, units) if np.ndim(units) and has_matrices else units**2
    found = in_order(other)
    np.testing.assert_allclose(found[0], weights, rtol=1e-9)
    np.testing.assert_allclose(found[1] / units, means, rtol=1e-9)
    np.testing.assert_allclose(found[2] / squares, covariances, rtol=1e-9, atol=1e-9 * np.abs(covariances).max())
    assert other.n_iter_ == model.n_iter_


@every_covariance_type
def test_a_fit_in_other_units_is_the_same_fit(covariance_type, rows):
    model = mixture(covariance_type).fit(rows)
    for unit in UNITS:
        other = mixture(covariance_type).fit(rows * unit)
        check_same(model, other, np.float64(unit))
        per_nat = 3 * np.log(unit)
        assert other.score(rows * unit) + per_nat == pytest.approx(model.score(rows), abs=1e-9 * max(1, abs(per_nat)))


@pytest.mark.parametrize("covariance_type", FEATURE_TYPES)
def test_each_feature_may_have_units_of_its_own(covariance_type, rows):
    model = mixture(covariance_type).fit(rows)
    for units in (np.array([1e-6, 1.0, 1e6]), np.array([1e100, 1e-100, 1.0])):
        check_same(model, mixture(covariance_type).fit(rows * units), units)


@every_covariance_type
def test_an_offset_does_no_harm(covariance_type, rows):
    """Of 1e9, as timestamps have; rows then are multiples of 1.2e-7."""
    model, other = mixture(covariance_type).fit(rows), mixture(covariance_type).fit(rows + 1e9)
    assert np.abs(in_order(other)[1] - 1e9 - in_order(model)[1]).max() < 1e-6
    np.testing.assert_allclose(in_order(other)[2], in_order(model)[2], rtol=1e-5, atol=1e-6)
    rank, other_rank = (np.argsort(np.argsort(each.means_[:, 0])) for each in (model, other))
    np.testing.assert_array_equal(other_rank[other.predict(rows + 1e9)], rank[model.predict(rows)])


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_units_of_rows_with_missing_entries(covariance_type, rows, rng):
    rows[rng.random(rows.shape) < 0.1] = np.nan
    model = mixture(covariance_type, missing="em").fit(rows)
    for unit in UNITS:
        check_same(model, mixture(covariance_type, missing="em").fit(rows * unit), np.float64(unit))


@pytest.mark.parametrize("how", [{"prior": "mclust"}, {"init_params": "random_from_data"}, {"accelerate": "squarem"}])
def test_units_of_other_fits(how, rows):
    model = mixture(**how).fit(rows)
    for units in (np.float64(1e-150), np.float64(1e150), np.array([1e-100, 1.0, 1e100])):
        check_same(model, mixture(**how).fit(rows * units), units)


def floor(X, weights=None, covariance_type="full"):
    rows = make_rows(np.ascontiguousarray(X, dtype=np.float64), weights)
    family = gaussian_family(covariance_type)
    return Scale.of(rows, family).floor(family)


def test_the_floor_is_a_millionth_of_each_variance(rows):
    model = mixture().fit(rows)
    np.testing.assert_allclose(model.reg_covar_, 1e-6 * rows.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(floor(rows, covariance_type="spherical"), 1e-6 * rows.var(axis=0).mean(), rtol=1e-12)
    same = mixture(reg_covar=1e-3).fit(rows)
    np.testing.assert_array_equal(same.reg_covar_, np.full(3, 1e-3))
    weights = 1.0 + np.arange(len(rows)) % 3
    np.testing.assert_allclose(floor(rows, weights), floor(np.repeat(rows, weights.astype(int), axis=0)), rtol=1e-12)


@pytest.mark.parametrize("n_rows", [15, 400, 10_000])
def test_glitches_do_not_raise_the_floor(rng, n_rows):
    X = rng.normal(size=(n_rows, 2))
    X[:, 1] = np.where(rng.random(n_rows) < 0.05, X[:, 1], 0.0)  # most values are 0
    X[:3, 1] = 1.0, -1.0, 0.5
    before = floor(X)
    for glitch in (1e6, 1e30):
        X[5] = glitch, -glitch
        assert (floor(X) < 20 * before).all()
        assert (floor(X) > before / 20).all()


def test_the_floor_of_constant_and_almost_constant_features(rng):
    X = np.zeros((50_000, 5))
    X[:, 0] = 3.0 * rng.normal(size=len(X))
    X[:, 1] = 0.1  # a mean of many is no 0.1
    X[[77, 40_000], 3] = 1.0  # in no sample
    X[:, 4] = 1e9 + 1e-4 * rng.normal(size=len(X))
    found = floor(X)
    assert found[1] == pytest.approx(1e-8, rel=1e-9)  # of its own square
    assert found[3] == pytest.approx(1e-6 * X[:, 3].var(), rel=1e-9)
    assert found[4] == pytest.approx((8 * np.finfo(float).eps * 1e9) ** 2, rel=1e-3)  # of what rounding leaves
    assert found[2] == pytest.approx((found[[0, 3, 4]].sum() - found[4] + 1e-14) / 3, rel=1e-6)  # of the others
    np.testing.assert_array_equal(floor(np.zeros((20, 2))), np.full(2, 1e-6))


def test_a_constant_feature_warns_and_leaves_the_others_alone(rows):
    alone = mixture().fit(rows)
    for value in (0.0, 5.0, -1e-80):
        with pytest.warns(
            ConvergenceWarning, match=r"^feature 3 of X is constant .* leave such features out$"
        ) as caught:
            model = mixture().fit(np.column_stack([rows, np.full(len(rows), value)]))
        assert len(caught) == 1
        assert model.n_collapsed_components_ == 0
        # The constant feature takes part in drawing seeds: components may change places.
        own, others = (means[np.argsort(means[:, 0])] for means in (model.means_[:, :3], alone.means_))
        np.testing.assert_allclose(own, others, rtol=1e-6, atol=1e-6)
        assert np.isfinite(model.score_samples(np.column_stack([rows, np.full(len(rows), value)]))).all()


def test_a_feature_of_two_values_is_no_collapse(rows):
    X = np.column_stack([rows, rows[:, 0] > 4])
    with pytest.warns(
        ConvergenceWarning, match=r"^feature 3 has hardly any variance within any component: .*leave it out"
    ):
        model = mixture("diag").fit(X)
    assert model.n_collapsed_components_ == 0


def test_a_collapse_says_where_and_what_to_do(rows):
    pandas = pytest.importorskip("pandas")
    X = np.concatenate([rows, np.full((3, 3), 30.0)])
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    model = GaussianMixture(4, covariance_type="diag", random_state=0)
    match = (
        r"^1 of 4 components have collapsed: .* component \d \(3 rows\) in feature 0 \('a'\), feature 1 .*\. Use fewer"
    )
    with pytest.warns(ConvergenceWarning, match=match):
        model.fit(frame)
    assert model.n_collapsed_components_ == 1


def said_of(model, X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    return [str(each.message) for each in caught]


def test_a_floor_above_all_that_varies_is_said_to_be_too_large(rows):
    for unit, n_components in ((1e-6, 3), (1e-3, 1)):
        (said,) = said_of(mixture(n_components=n_components, reg_covar=1e-4), rows * unit)
        assert re.match(
            r"reg_covar, 0.0001, is most .* every component in every feature: .* Set reg_covar='auto'", said
        )
    (said,) = said_of(mixture(reg_covar=1e-4), np.column_stack([rows, 1e-6 * rows[:, 0]]))
    assert "of every component in feature 3: it is too large" in said


@pytest.mark.parametrize("covariance_type", ["full", "tied", "spherical"])
@pytest.mark.parametrize("reg_covar", ["auto", 1e-6])
def test_one_column_of_one_or_two_values_is_said_to_be_that(covariance_type, reg_covar):
    model = mixture(covariance_type, n_components=2, reg_covar=reg_covar)
    (said,) = said_of(model, np.repeat([[0.0], [5.0]], [30, 10], axis=0))
    assert said.startswith("feature 0 has hardly any variance within any component")
    assert re.search(
        r"component \d \(30 rows\) at 0\b.*leave it out|component \d \(10 rows\) at 5\b.*leave it out", said
    )
    said = said_of(model, np.full((40, 1), 7.0))
    assert [each for each in said if "collapsed" in each] == []
    assert said[0].startswith("feature 0 of X is constant (7 in all 40 rows)")


def test_a_constant_column_that_nothing_holds_up_is_no_components_fault(rows):
    with pytest.raises(
        CollapsedError, match=r"^feature 3 of X is constant \(2 in all \d+ rows\): leave it out"
    ) as caught:
        mixture(reg_covar=0).fit(np.column_stack([rows, np.full(len(rows), 2.0)]))
    assert caught.value.component is None
    (said,) = said_of(mixture(), np.column_stack([rows, np.zeros((len(rows), 2))]))
    assert "rows) (constant, too: 4): its variance" in said


@pytest.mark.parametrize("unit", [1e-160, 1e160])
def test_squares_that_float64_does_not_hold_are_refused(unit, rows):
    with pytest.raises(
        ValueError, match=r"^feature 0 of X varies by about .*float64: reg_covar='auto'.* in other units"
    ):
        mixture().fit(rows * unit)
    rows[:, 1] *= unit
    if unit > 1:
        with pytest.raises(ValueError, match=r"^feature 1 of X varies"):
            mixture().fit(rows)
    else:
        with pytest.warns(ConvergenceWarning, match=r"^feature 1 of X varies by .* held up by reg_covar alone"):
            mixture().fit(rows)


class Blocks:
    """Rows, 700 at a time."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(np.split(self.rows, range(700, len(self.rows), 700)))


def test_units_that_float32_holds(rows):
    model = mixture(dtype="float32").fit(rows)
    for unit in (1e-17, 1e16):
        other = mixture(dtype="float32").fit(rows * unit)
        assert other.score(rows * unit) + 3 * np.log(unit) == pytest.approx(model.score(rows), abs=1e-4)
    for unit in (1e-30, 1e30):
        with pytest.raises(ValueError, match=r"^dtype='float32' takes .* of feature 0 of X is .*dtype='float64'"):
            mixture(dtype="float32").fit(rows * unit)
    with pytest.raises(ValueError, match="of feature 1 of X"):
        mixture(dtype="float32").partial_fit(np.tile(rows, (200, 1)) * [1.0, 1e30, 1.0])


def test_rows_in_memory_in_files_and_in_streams_have_one_floor(rng, tmp_path):
    rows = rng.normal(size=(7000, 3)) * [1.0, 1e3, 1e-3]
    np.save(tmp_path / "rows.npy", rows)
    kinds = rows, np.load(tmp_path / "rows.npy", mmap_mode="r"), Blocks(rows)
    models = [
        fit_quietly(GaussianMixture(2, max_iter=1, random_state=seed, n_threads=1 + seed % 2), X)
        for seed, X in enumerate(kinds)
    ]
    np.testing.assert_allclose(models[0].reg_covar_, 1e-6 * rows.var(axis=0), rtol=0.2)
    for model in models:
        np.testing.assert_array_equal(model.reg_covar_, models[0].reg_covar_)


def test_fits_that_go_on_keep_the_floor(rows, tmp_path):
    whole = fit_quietly(mixture(tol=0.0, max_iter=8), rows)
    model = fit_quietly(mixture(tol=0.0, max_iter=4), rows)
    fit_quietly(model.set_params(warm_start=True), rows)
    assert bits(model) == bits(whole)
    path = tmp_path / "checkpoint"
    fit_quietly(mixture(tol=0.0, max_iter=4, checkpoint=path), rows)
    resumed = fit_quietly(mixture(tol=0.0, max_iter=8, checkpoint=Checkpoint(path, resume=True)), rows)
    assert bits(resumed) == bits(whole)


def test_batches_keep_the_floor_of_the_start(rng, tmp_path):
    rows = np.concatenate([rng.normal(size=(40_000, 2)) - 3.0, rng.normal(size=(40_000, 2)) + 3.0])
    rows = rows[rng.permutation(len(rows))] * [1.0, 1e4]
    model = feed(GaussianMixture(2, random_state=0), rows, every(16_000, rows)[:5])
    started = model.reg_covar_
    np.testing.assert_allclose(started, 1e-6 * rows.var(axis=0), rtol=0.2)
    model.save(tmp_path / "model.npz")
    loaded = fastmix.load(tmp_path / "model.npz")
    for each in (model, loaded):
        each.partial_fit(rows[-16_000:] * 100.0)
        np.testing.assert_array_equal(each.reg_covar_, started)
    assert bits(model) == bits(loaded)


def test_going_on_from_a_fit_or_from_parameters(rows, tmp_path):
    fitted = mixture().fit(rows)
    expected = fitted.reg_covar_
    fitted.save(tmp_path / "model.npz")
    loaded = fastmix.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.reg_covar_, expected)
    given = GaussianMixture.from_parameters(fitted.weights_, fitted.means_, fitted.covariances_)
    np.testing.assert_allclose(floor_under(given._parameters()), expected, rtol=1e-4)
    for model in (fitted, loaded, given):
        model.partial_fit(rows[:5] * 1000.0)
        np.testing.assert_allclose(model.reg_covar_, expected, rtol=1e-4)


def test_a_bad_floor_in_a_model_file_is_refused(rows):
    model = mixture().fit(rows)
    header, arrays = model._to_model_file()
    for bad in (np.ones(2), -np.ones(3), np.full(3, np.nan)):
        with pytest.raises(ValueError, match="reg_covar must"):
            GaussianMixture._from_model_file(header, arrays | {"reg_covar": bad})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bits(GaussianMixture._from_model_file(header, dict(arrays))) == bits(model)
