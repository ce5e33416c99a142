"""What a tile is, and how a family plugs its code into the pass.

A kernel calls the four generic functions below; which family's code that compiles to is chosen by the type of the kernel
parameters, a NamedTuple class of the family's own that ``register_tile_functions`` was called with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from fastmix._jit import helper, options


class Tile(NamedTuple):
    """B rows in cache, feature-major, and scratch for the family's own use."""

    x: np.ndarray  # (D, B) float64
    # (W, B) float64; W is the family's ``n_work_rows``. Kept from ``prepare`` to ``accumulate_shared``, but not given to
    # ``accumulate``.
    work: np.ndarray


class Rows(NamedTuple):
    """The data a pass reads. An empty array stands for "not given"."""

    X: np.ndarray  # (N, D), any real type; converted to float64 as it is loaded
    weights: np.ndarray  # (N,) float64, or empty: all 1
    labels: np.ndarray  # (N,) int64 known component, -1 unknown; or empty: all unknown
    responsibilities: np.ndarray  # (N, K) float64, used instead of the E-step; or (0, 0)


class Schedule(NamedTuple):
    """Which row sits at which position, and which components each tile looks at. Empty arrays: all, in order."""

    order: np.ndarray  # (N,) int64 permutation of the rows
    offsets: np.ndarray  # (n_tiles + 1,) int64: tile t looks at active[offsets[t]:offsets[t + 1]]
    active: np.ndarray  # int64 component indices


class TileFunctions(NamedTuple):
    """A family's compiled code."""

    log_joint: Any
    accumulate: Any
    prepare: Any
    accumulate_shared: Any


def prepare(parameters, tile):
    """Work done once a tile before any component, e.g. whitening by a shared covariance; may fill ``tile.work``."""


def log_joint(parameters, tile, k, out):
    """out[b] = log w_k + log p(x_b | component k), for the B rows of the tile."""


def accumulate(parameters, tile, k, r, out):
    """Add the tile's statistics of component k to out (S,), given responsibilities times weights r (B,).

    out[0], the count, is kept by the pass. ``tile`` may hold only the rows that matter to the component (then B is a
    multiple of ``vectors.VECTOR``), and ``tile.work`` holds nothing: it is scratch here.
    """


def accumulate_shared(parameters, tile, components, r, out):
    """Add the tile's statistics that components share to out (S',), given r (A, B) of the A components in question."""


def _nothing_to_prepare(parameters, tile):
    pass


def _nothing_shared(parameters, tile, components, r, out):
    pass


_registered: dict[type, TileFunctions] = {}


def register_tile_functions(
    kernel_parameters: type,
    *,
    log_joint: Callable,
    accumulate: Callable,
    prepare: Callable = _nothing_to_prepare,
    accumulate_shared: Callable = _nothing_shared,
) -> None:
    """Give the pass the code of a family.

    Parameters
    ----------
    kernel_parameters : the NamedTuple class of arrays that the family's kernels read; its type selects the code.
    log_joint, accumulate, prepare, accumulate_shared : plain Python functions with the signatures of this module's
        generic ones, in the subset of Python that Numba compiles. The first two are needed, the others optional.
        ``accumulate`` is compiled with the fastmath set "reduction", so that a sum over rows becomes vector code; the
        others with "elementwise".
    """
    _registered[kernel_parameters] = TileFunctions(
        helper("elementwise")(log_joint),
        helper("reduction")(accumulate),
        helper("elementwise")(prepare),
        helper("elementwise")(accumulate_shared),
    )


def registered_sources(kernel_parameters: type) -> tuple[Callable, ...]:
    """The Python functions behind a family's tile functions.

    Raises
    ------
    TypeError : if no tile functions were registered for the class.
    """
    if kernel_parameters not in _registered:
        raise TypeError(
            f"no tile functions are registered for {kernel_parameters.__name__}; "
            "call fastmix.kernels.tiles.register_tile_functions once where the class is defined"
        )
    return tuple(function.py_func for function in _registered[kernel_parameters])


def _functions_of(parameters) -> TileFunctions | None:
    if isinstance(parameters, (types.NamedTuple, types.NamedUniTuple)):
        return _registered.get(parameters.instance_class)
    return None


@overload(log_joint, jit_options=options("elementwise"))
def _choose_log_joint(parameters, tile, k, out):
    if functions := _functions_of(parameters):
        chosen = functions.log_joint
        return lambda parameters, tile, k, out: chosen(parameters, tile, k, out)


@overload(accumulate, jit_options=options("reduction"))
def _choose_accumulate(parameters, tile, k, r, out):
    if functions := _functions_of(parameters):
        chosen = functions.accumulate
        return lambda parameters, tile, k, r, out: chosen(parameters, tile, k, r, out)


@overload(prepare, jit_options=options("elementwise"))
def _choose_prepare(parameters, tile):
    if functions := _functions_of(parameters):
        chosen = functions.prepare
        return lambda parameters, tile: chosen(parameters, tile)


@overload(accumulate_shared, jit_options=options("elementwise"))
def _choose_accumulate_shared(parameters, tile, components, r, out):
    if functions := _functions_of(parameters):
        chosen = functions.accumulate_shared
        return lambda parameters, tile, components, r, out: chosen(parameters, tile, components, r, out)
