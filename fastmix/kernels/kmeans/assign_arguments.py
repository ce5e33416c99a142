"""What an assignment is told, and what it remembers; see ``fastmix.kernels.kmeans.assign_pass``."""

from typing import NamedTuple

import numpy as np


class Centres(NamedTuple):
    """The centres c (K, D), in the forms that the sieves read; C = ``nearest.CENTRES``, K' = K rounded up to it."""

    reference: np.ndarray  # (K, P) what sums by centre are about; P is D rounded up to ``row_vectors.WIDTH``
    differences: np.ndarray  # (K' / C, D, C) c, padded by infinity
    no_constants: np.ndarray  # (K',) zeros
    products: np.ndarray  # (K' / C, D, C) float32, -scale (c - origin)
    half_squares: np.ndarray  # (K',) float32, |scale (c - origin)|^2 / 2, padded by FAR
    origin: np.ndarray  # (D,) scale times the origin
    zeros: np.ndarray  # (D,)
    scale: float
    path_below: np.ndarray  # (K,) float32: how far a row's bound has fallen since the start, in units of 1 / scale
    path_above: np.ndarray  # (K,) float32, the same rounded up
    rounding: np.ndarray  # (5,) float32, see ``assign_pass._judge``


class Neighbourhoods(NamedTuple):
    """S groups of rows, and the centres that each of them looks at."""

    order: np.ndarray  # (N,) int32: which row sits at which position; empty: row n at position n
    starts: np.ndarray  # (S + 1,) int64: the positions starts[s]..starts[s + 1] - 1 are those of neighbourhood s
    members: np.ndarray  # (S, G) uint32, ascending, G a multiple of C: the centres that it looks at; (S, 0): all
    path_below: np.ndarray  # (S,) float32: to be added to that of the centre
    path_above: np.ndarray  # (S,) float32


class Memory(NamedTuple):
    """What is remembered about each row from pass to pass, by its position."""

    label: np.ndarray  # (N,) uint32
    bound: (
        np.ndarray
    )  # (N,) float32: the label holds while this exceeds the sum of the centre's and the group's path_above
