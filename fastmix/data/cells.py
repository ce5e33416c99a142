"""Sums over many rows in an order that depends on nothing but the rows.

Rows are summed by *cells*, stretches of 32 MB of them by global row number, and cells are added along one binary tree by their
numbers. Whoever sums which cells, and in which order: each sum is made of the same two halves, and has the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# What is summed: arrays, each of one shape in all cells.
Sums = tuple[np.ndarray, ...]


class CellTree:
    """The sums of cells, each added to that of its sibling as soon as both are there.

    A node (h, i) holds the sum of cells i 2^h..(i + 1) 2^h - 1. Memory is that of about log2(number of cells) sums.
    """

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], Sums] = {}

    def add(self, cell: int, sums: Sums) -> None:
        """Add the sums of a cell, which the tree may change."""
        self._put(0, cell, sums)

    def merge(self, other: CellTree) -> None:
        """Take over the sums of other cells, another worker's; ``other`` is then of no use."""
        for (height, index), sums in other._nodes.items():
            self._put(height, index, sums)

    def _put(self, height: int, index: int, sums: Sums) -> None:
        while (sibling := self._nodes.pop((height, index ^ 1), None)) is not None:
            left, right = (sums, sibling) if index % 2 == 0 else (sibling, sums)
            sums = _added(left, right)
            height, index = height + 1, index >> 1
        self._nodes[height, index] = sums

    def total(self) -> Sums:
        """The sum of all cells: of the subtrees that are complete, the smaller, later ones first."""
        *earlier, total = self._from_left()
        for sums in reversed(earlier):
            total = _added(sums, total)
        return total

    def _from_left(self) -> Iterator[Sums]:
        return (self._nodes[node] for node in sorted(self._nodes, key=lambda node: node[1] << node[0]))


def _added(left: Sums, right: Sums) -> Sums:
    """left + right, in the memory of the left."""
    for into, other in zip(left, right, strict=True):
        into += other
    return left
