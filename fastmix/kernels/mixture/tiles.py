"""What a tile is, and how a family plugs its code into the pass.

A kernel calls the four generic functions below; which family's code that compiles to is chosen by the type of the kernel
parameters, a NamedTuple class of the family's own that ``register_tile_functions`` was called with.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from fastmix.files.encoding import STORED
from fastmix.kernels.jit import options
from fastmix.kernels.mixture.normalise import by_bayes


class Tile(NamedTuple):
    """B rows in cache, feature-major, and memory for the family's own use, of the type that is computed in."""

    x: np.ndarray  # (D, B) float64, or float32 where that is computed in
    work: np.ndarray  # (W, B) scratch of the function at hand: what is in it when a function begins means nothing
    # (V, B) what ``prepare`` writes and the others read: ``accumulate`` where the family says so (else it has no rows there);
    # ``accumulate_shared``, the last, may write over it
    kept: np.ndarray
    # (C, B) what ``log_joint`` has worked out about the component at hand, for ``accumulate`` to read
    carried: np.ndarray


class Labels(NamedTuple):
    """What is known about the components of rows, by the names that it has among ``Rows``; empty arrays: nothing."""

    labels: np.ndarray  # (N,) int64, the class that a row is said to be of, 0..C - 1, or -1: not said
    label_classes: np.ndarray  # (K,) int64, the class that a component is of, or -1: of none
    # (K, 2) float64, log p(label | component) where the label is the component's class, and where it is another one
    label_terms: np.ndarray
    # (C + 1, K or up to 3 more) float64, the same by label, where other labels are not all alike; row 0: no label. The number
    # of columns is a multiple of 4.
    label_table: np.ndarray
    soft_labels: np.ndarray  # (N, K) float64 or float32, what the density of each component at a row is multiplied by


class Rows(NamedTuple):
    """The data that compiled code reads. An empty array stands for "not given"."""

    X: np.ndarray  # (N, D), any real type; converted as it is loaded
    weights: np.ndarray  # (N,) float64, or empty: all 1
    labels: np.ndarray  # see ``Labels``: nested, a parallel loop could not take it
    label_classes: np.ndarray
    label_terms: np.ndarray
    label_table: np.ndarray
    soft_labels: np.ndarray
    responsibilities: np.ndarray  # (N, K) float64, used instead of the E-step; or (0, 0)
    # (D,) float64 that float32 computation subtracts from each row, in float64, as it is loaded; or empty
    origin: np.ndarray
    like: np.ndarray  # (0,) of the type that is computed in

    @property
    def n_rows(self) -> int:
        return self.X.shape[0]

    @property
    def n_features(self) -> int:
        return self.X.shape[1]


_NO_INDICES = np.empty(0, np.int64)


@STORED.add
class Schedule(NamedTuple):
    """Which row sits at which position, and which components each tile looks at. Empty arrays: all, in order."""

    # (N,) permutation of the rows, or some of them; int32 (int64, of more than 2^31 rows, is compiled when it is met)
    order: np.ndarray
    offsets: np.ndarray  # (n_tiles + 1,) int64: tile t looks at active[offsets[t]:offsets[t + 1]]
    active: np.ndarray  # int64 component indices
    # (n_tiles + 1,) int64: tile t has the positions tile_starts[t]..tile_starts[t + 1] - 1, rows in which the same features are
    # observed; empty: nothing is missing, and all tiles but the last are whole
    tile_starts: np.ndarray = _NO_INDICES


class TileFunctions(NamedTuple):
    """A family's code, in Python."""

    log_joint: Callable
    accumulate: Callable
    prepare: Callable
    accumulate_shared: Callable
    posterior: Callable
    row_constant: Callable
    expectation: Callable


def prepare(parameters, tile):
    """Work done once a tile before any component, e.g. whitening by a shared covariance; fills ``tile.kept``."""


def log_joint(parameters, tile, k, out):
    """out[b] = log w_k + log p(x_b | component k), but for what ``row_constant`` adds, for the B rows of the tile."""


def posterior(parameters, tile, q, vectors, shared):
    """Log-joints to responsibilities, log-densities and entropies: Bayes' rule, row by row, for a mixture.

    Another one sees the rows in their order, as a hidden Markov model wants them.

    Parameters
    ----------
    q : (A, B) log-joints of the A components in question, IN; responsibilities times weights, OUT.
    vectors : (6, B) float64: weights IN; three rows of scratch; log-densities OUT; entropies of the responsibilities OUT.
    shared : (S',) IN/OUT statistics that components share; empty where none are kept.
    """


def row_constant(parameters, tile, out):
    """Add to out (B,) what the log-density of each row has for all components alike, such as -log x! of counts."""


def accumulate(parameters, tile, k, r, out):
    """Add the tile's statistics of component k to out (S,), given responsibilities times weights r (B,).

    out[0], the count, is kept by the pass. ``tile`` may hold only the rows that matter to the component (then B is a
    multiple of ``vectors.VECTOR``).
    """


def accumulate_shared(parameters, tile, components, r, out):
    """Add the tile's statistics that components share to out (S',), given r (A, B) of the A components in question."""


def expectation(parameters, tile, r, out):
    """out (M, B): what is expected of each row, given responsibilities r (K, B): scores, predictions."""


def _nothing_to_prepare(parameters, tile):
    pass


def _nothing_shared(parameters, tile, components, r, out):
    pass


def _no_constant(parameters, tile, out):
    pass


def _nothing_expected(parameters, tile, r, out):
    pass


_registered: dict[type, TileFunctions] = {}
_made_of: dict[type, tuple[type, ...]] = {}


def register_tile_functions(
    kernel_parameters: type,
    *,
    log_joint: Callable,
    accumulate: Callable,
    prepare: Callable = _nothing_to_prepare,
    accumulate_shared: Callable = _nothing_shared,
    posterior: Callable = by_bayes,
    row_constant: Callable = _no_constant,
    expectation: Callable = _nothing_expected,
    made_of: Sequence[type] = (),
) -> None:
    """Give the pass the code of a family.

    Parameters
    ----------
    kernel_parameters : the NamedTuple class of arrays that the family's kernels read; its type selects the code.
    log_joint, accumulate, prepare, accumulate_shared, posterior, row_constant, expectation : plain Python functions with the
        signatures of this module's generic ones, in the subset of Python that Numba compiles. The first two are needed, the
        others optional. They may not allocate: no new arrays, lists or ``x[mask]``; ``tile.work`` is there for that, of as many
        rows as the family's ``n_work_rows`` says. ``accumulate`` is compiled with the fastmath set "reduction", so that a sum
        over rows becomes vector code; the others with "elementwise".
    made_of : classes of kernel parameters that these ones hold, and whose functions are called.
    """
    functions = TileFunctions(log_joint, accumulate, prepare, accumulate_shared, posterior, row_constant, expectation)
    check_arguments(kernel_parameters, functions, _GENERIC)
    _registered[kernel_parameters] = functions
    _made_of[kernel_parameters] = tuple(made_of)


def has_row_constant(kernel_parameters: type) -> bool:
    """Whether log-densities hold more than what log-joints say."""
    return _registered[kernel_parameters].row_constant is not _no_constant


def registered_sources(kernel_parameters: type) -> tuple[Callable, ...]:
    """The Python functions behind a family's tile functions.

    Raises
    ------
    TypeError : if no tile functions were registered for the class.
    """
    if kernel_parameters not in _registered:
        raise TypeError(
            f"no tile functions are registered for {kernel_parameters.__name__}; "
            "call fastmix.kernels.mixture.tiles.register_tile_functions once where the class is defined"
        )
    others = [source for each in _made_of[kernel_parameters] for source in registered_sources(each)]
    return (*_registered[kernel_parameters], *others)


_FUNCTIONS = (log_joint, accumulate, prepare, accumulate_shared, posterior, row_constant, expectation)
_GENERIC = {function.__name__: function for function in _FUNCTIONS}


def check_arguments(family_class: type, functions: Any, generic: dict[str, Callable]) -> None:
    """ValueError where a family's function takes other arguments than the generic one that it stands in for.

    functions : a NamedTuple with a field of each generic function's name.
    """
    for name, function in generic.items():
        wanted, found = (tuple(inspect.signature(each).parameters) for each in (function, getattr(functions, name)))
        if found != wanted:
            raise ValueError(
                f"{name} of {family_class.__name__} takes the arguments {found}; name them {wanted}, as in {function.__module__}"
            )


def plug_in(generic: Callable, registered: dict[type, Any], fastmath: str) -> None:
    """Let a generic function compile to that of the family whose class of NamedTuples its first argument is of.

    registered : by such a class, a NamedTuple with a field of the generic function's name.
    """

    def choose(parameters, *others):
        if isinstance(parameters, (types.NamedTuple, types.NamedUniTuple)):
            functions = registered.get(parameters.instance_class)
            return functions and getattr(functions, generic.__name__)

    choose.__signature__ = inspect.signature(generic)  # type: ignore[attr-defined]  # what Numba compares with
    overload(generic, jit_options=options(fastmath))(choose)


for _generic in _FUNCTIONS:
    plug_in(_generic, _registered, "reduction" if _generic is accumulate else "elementwise")
