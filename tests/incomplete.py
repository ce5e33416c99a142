"""Rows with missing entries, for tests: entries taken away at random, seeded."""

import numpy as np


def without(rng, rows, share):
    """A copy of the rows in which each entry is NaN with the probability ``share``; no feature loses all of its entries."""
    gone = rng.random(rows.shape) < share
    gone[np.arange(rows.shape[1]) % len(rows), np.arange(rows.shape[1])] = False
    answer = np.array(rows)
    answer[gone] = np.nan
    return answer
