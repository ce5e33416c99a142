"""Sums by cells: the same bits whoever sums what, and in which order."""

from itertools import pairwise

import numpy as np
import pytest

from fastmix.data.cells import CellTree


def cells(n, seed=0):
    return list(np.random.default_rng(seed).lognormal(sigma=8.0, size=(n, 3)))


def total(numbers, sums):
    tree = CellTree()
    for number in numbers:
        tree.add(number, (sums[number].copy(),))
    return tree


def by_halves(sums):
    """The tree as its definition has it: the left half of a sum is the largest power of two of cells below it."""
    if len(sums) == 1:
        return sums[0]
    half = 1 << (len(sums) - 1).bit_length() - 1
    return by_halves(sums[:half]) + by_halves(sums[half:])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 21, 64, 100])
def test_the_tree_is_the_same_in_any_order(n):
    sums = cells(n)
    expected = by_halves(sums)
    rng = np.random.default_rng(1)
    for order in (range(n), range(n)[::-1], rng.permutation(n)):
        np.testing.assert_array_equal(total(map(int, order), sums).total()[0], expected)


@pytest.mark.parametrize("n_workers", [1, 2, 3, 5])
def test_workers_with_ranges_of_cells_give_the_same_bits(n_workers):
    sums = cells(37)
    ends = np.linspace(0, 37, n_workers + 1).astype(int)
    trees = [total(range(first, last), sums) for first, last in pairwise(ends)]
    merged = CellTree()
    for tree in trees[::-1]:
        merged.merge(tree)
    np.testing.assert_array_equal(merged.total()[0], by_halves(sums))
