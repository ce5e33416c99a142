"""What a family adds so that a pass takes rows with missing entries.

A tile then holds rows in which the same features are observed: a pattern. Of a Gaussian mixture the observed features are a
Gaussian mixture, too, so the family's own tile functions look at the tile, with the kernel parameters of that marginal
mixture. They leave the pattern's statistics of the observed features; linear maps make expected statistics of all features of
them, once for each component when a lane is done with the pattern (Ghahramani and Jordan 1994; Little and Rubin 2019, ch. 11).

Which family's code the generic functions below compile to is chosen by the type of the joint parameters, a NamedTuple class
of the family's own that ``register_incomplete_functions`` was called with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastmix.kernels.jit import part
from fastmix.kernels.memory import matrix_at, next_line
from fastmix.kernels.mixture.tiles import check_arguments, plug_in, registered_sources
from fastmix.kernels.simd.matrix_rows import padded_shape

_N_WORKSPACES = 3
_padded_shape = part(padded_shape)


class Hidden(NamedTuple):
    """A lane's memory for one pattern."""

    numbers: np.ndarray  # (n,) of the type that is computed in: the marginal's kernel parameters
    log_constants: np.ndarray  # (K,)
    matrices: np.ndarray  # (n * R, W) that predict the missing features from the observed ones, see ``matrix_of``
    workspace: np.ndarray  # (3 * R, W)
    flags: np.ndarray  # (2,) of the family's own, about the pattern
    statistics: np.ndarray  # (slots, S) of the observed features
    shared: np.ndarray  # (1, S')
    slot_starts: np.ndarray  # (2,) int64, of the pattern's lane: 0 and the number of slots
    span: np.ndarray  # (2,) int64, the tiles that the pattern's lane looks at: the first, and that after the last
    features: np.ndarray  # (D,) int64, the observed features, ascending, then the others
    run_ends: (
        np.ndarray
    )  # (D,) int64 of the family's own, see ``fastmix.kernels.mixture.conditional_factors.find_runs``
    ready: np.ndarray  # (K,) int64, whether the component's constants are those of the pattern
    component_of: np.ndarray  # (slots,) int64
    nothing: np.ndarray  # (1,) int64, -1: what a tile holds where nothing is observed, see ``gather_some``


def sizes(joint):
    """(how many numbers kernel parameters of any marginal take, how many D x D matrices predict the missing features)."""
    return _registered[type(joint)].sizes(joint)  # in Python; compiled code has the family's own in its place


def begin(joint, features, n_observed, is_new, hidden):
    """The marginal's kernel parameters, with all that components share; filled in where the pattern ``is_new``.

    features : (D,) the observed ones, ascending, then the others. Where none is observed, the marginal has one feature, which is
        always 0 and does not matter.
    """


def restrict(joint, features, n_observed, k, kernel, hidden):
    """Fill in what the kernel parameters hold of component k, and what predicts its missing features."""


def complete(joint, features, n_observed, k, statistics, hidden, out):
    """Add to out (S,) what the statistics (S,) of the observed features say of all; the entropy of a row's missing entries."""


def complete_shared(joint, features, n_observed, kernel, hidden, out):
    """Add to out (S',) what ``hidden.shared`` and ``hidden.statistics`` of the observed features say of all."""


def _nothing_shared(joint, features, n_observed, kernel, hidden, out):
    pass


class IncompleteFunctions(NamedTuple):
    """A family's code, in Python, and the class of its kernel parameters."""

    kernel_parameters: type
    sizes: Callable
    begin: Callable
    restrict: Callable
    complete: Callable
    complete_shared: Callable


_GENERIC = {function.__name__: function for function in (sizes, begin, restrict, complete, complete_shared)}
_registered: dict[type, IncompleteFunctions] = {}
_made_of: dict[type, tuple[type, ...]] = {}


def register_incomplete_functions(
    joint_parameters: type,
    kernel_parameters: type,
    *,
    sizes: Callable,
    begin: Callable,
    restrict: Callable,
    complete: Callable,
    complete_shared: Callable = _nothing_shared,
    made_of: Sequence[type] = (),
) -> None:
    """Give the pass a family's code for rows with missing entries.

    Parameters
    ----------
    joint_parameters : the NamedTuple class of arrays, ``means`` (K, D) among them, that marginals are made from; its type selects
        the code.
    kernel_parameters : what ``begin`` makes, a class that ``register_tile_functions`` (see ``tiles``) was called with.
    sizes, begin, restrict, complete, complete_shared : plain Python functions with the signatures of this module's generic ones.
    made_of : classes of joint parameters that these ones hold, and whose functions are called.
    """
    _made_of[joint_parameters] = tuple(made_of)
    functions = IncompleteFunctions(kernel_parameters, sizes, begin, restrict, complete, complete_shared)
    check_arguments(joint_parameters, functions, _GENERIC)
    _registered[joint_parameters] = functions


def incomplete_functions(joint_parameters: type) -> IncompleteFunctions:
    """What was registered for the class."""
    return _registered[joint_parameters]


def incomplete_sources(joint_parameters: type) -> tuple[Callable, ...]:
    """The Python functions behind a family's code, tile functions included."""
    functions = _registered[joint_parameters]
    others = [source for each in _made_of[joint_parameters] for source in incomplete_sources(each)]
    return (*registered_sources(functions.kernel_parameters), *functions[1:], *others)


for _generic in _GENERIC.values():
    plug_in(_generic, _registered, "elementwise")


def hidden_bytes(joint, n_slots: int, n_statistics: int, n_shared: int, itemsize: int) -> int:
    """How much memory ``carve_hidden`` cuts up, at most."""
    n_components, n_features = joint.means.shape
    n_numbers, n_matrices = sizes(joint)
    n_rows, row_length = padded_shape(n_features)
    doubles = (
        2 * n_components
        + 2 * n_features
        + (n_matrices + _N_WORKSPACES) * n_rows * row_length
        + 6
        + n_slots * (n_statistics + 1)
        + n_shared
        + 1
    )
    return int(8 * doubles + itemsize * n_numbers) + 10 * 64


@part
def matrix_of(matrices, n, n_features):
    """The n-th of the matrices (R, W) of ``Hidden``."""
    n_rows = _padded_shape(n_features)[0]
    return matrices[n * n_rows : (n + 1) * n_rows]


@part
def carve_hidden(buffer, joint, rows, n_slots, n_statistics, n_shared):
    """(Memory of a lane for one pattern, how many bytes of the buffer it takes). The caller keeps ``buffer``."""
    doubles, integers = rows.weights, rows.labels
    n_components, n_features = joint.means.shape
    n_numbers, n_matrices = sizes(joint)
    n_rows, row_length = _padded_shape(n_features)
    n_spaces = _N_WORKSPACES * n_rows
    first = next_line(buffer, 0)
    numbers: np.ndarray = matrix_at(buffer, first, 1, n_numbers, rows.like)
    first = next_line(buffer, first + n_numbers * rows.like.itemsize)
    log_constants = matrix_at(buffer, first, 1, n_components, doubles)
    first = next_line(buffer, first + 8 * n_components)
    matrices = matrix_at(buffer, first, n_matrices * n_rows, row_length, doubles)
    first = next_line(buffer, first + 8 * n_matrices * n_rows * row_length)
    workspace = matrix_at(buffer, first, n_spaces, row_length, doubles)
    first = next_line(buffer, first + 8 * n_spaces * row_length)
    flags = matrix_at(buffer, first, 1, 2, doubles)
    first += 16
    slot_starts = matrix_at(buffer, first, 1, 2, integers)
    first += 16
    span = matrix_at(buffer, first, 1, 2, integers)
    first = next_line(buffer, first + 16)
    statistics = matrix_at(buffer, first, n_slots, n_statistics, doubles)
    first = next_line(buffer, first + 8 * n_slots * n_statistics)
    shared = matrix_at(buffer, first, 1, n_shared, doubles)
    first = next_line(buffer, first + 8 * n_shared)
    features = matrix_at(buffer, first, 1, n_features, integers)
    first += 8 * n_features
    run_ends = matrix_at(buffer, first, 1, n_features, integers)
    first += 8 * n_features
    ready = matrix_at(buffer, first, 1, n_components, integers)
    first = next_line(buffer, first + 8 * n_components)
    component_of = matrix_at(buffer, first, 1, n_slots, integers)
    first += 8 * n_slots
    nothing = matrix_at(buffer, first, 1, 1, integers)
    nothing[:] = -1
    slot_starts[0, 0], slot_starts[0, 1] = 0, n_slots
    ready[:] = 0
    for d in range(n_features):
        features[0, d] = d
    matrices[:] = 0.0  # what is beyond the ends of rows is read, if for nothing
    workspace[:] = 0.0
    statistics[:] = 0.0
    shared[:] = 0.0
    hidden = Hidden(
        numbers[0],
        log_constants[0],
        matrices,
        workspace,
        flags[0],
        statistics,
        shared,
        slot_starts[0],
        span[0],
        features[0],
        run_ends[0],
        ready[0],
        component_of[0],
        nothing[0],
    )
    return hidden, first + 8
