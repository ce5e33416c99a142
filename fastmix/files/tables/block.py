"""What readers of files yield."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from fastmix.files.tables.selection import Selection

__all__ = ["Block", "Blocks"]


class Block(NamedTuple):
    """Some rows of a file.

    Attributes
    ----------
    X : (n, D) float64 or float32, the features.
    weights : (n,), where asked for.
    labels : (n,), where asked for; None for those that are missing.
    whole : the array, in memory or mapped, that consists of the X of all blocks, where there is one already.
    share : of the file that has been read with these rows, where that is known.
    """

    X: np.ndarray
    weights: np.ndarray | None = None
    labels: Sequence[object] | np.ndarray | None = None
    whole: np.ndarray | None = None
    share: float | None = None


# Blocks of a file, each with the columns that were chosen.
Blocks: TypeAlias = Generator[tuple[Selection, Block], None, None]
