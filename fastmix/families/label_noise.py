"""How labels depend on classes: the confusion matrix, as parameters that EM estimates beside those of the components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastmix.families.coordinates import log_ratios, unscaled
from fastmix.files.encoding import STORED
from fastmix.kernels.mixture.normalise import LOG_ZERO


@STORED.add
@dataclass(frozen=True, eq=False)
class LabelNoise:
    """p(label | class), and which class each component is of.

    Attributes
    ----------
    classes : (K,) int64, the class of each component; -1: of none, then it has no labelled rows.
    confusion : (C, C), row the true class, column the label given; rows sum to 1.
    """

    classes: np.ndarray
    confusion: np.ndarray

    def log_table(self) -> np.ndarray:
        """(C + 1, K) log p(label | component), log 0 a huge negative number; row 0, of rows without a label, is 0.

        There are as many more columns as make their number a multiple of 4.
        """
        table = np.zeros((len(self.confusion) + 1, -(-len(self.classes) // 4) * 4))
        table[1:] = LOG_ZERO
        of_class = np.flatnonzero(self.classes >= 0)
        given = self.confusion[self.classes[of_class]].T
        table[1:, of_class] = np.log(given, out=np.full(given.shape, LOG_ZERO), where=given > 0)
        return table

    def maximized(self, counts: np.ndarray) -> LabelNoise:
        """The M-step, given responsibilities by label and component, laid out as ``log_table``.

        A class without labelled rows keeps its row.
        """
        by_class = np.zeros_like(self.confusion)
        of_class = np.flatnonzero(self.classes >= 0)
        np.add.at(by_class, self.classes[of_class], counts[1:, of_class].T)
        totals = by_class.sum(axis=1, keepdims=True)
        return replace(self, confusion=np.divide(by_class, totals, out=self.confusion.copy(), where=totals > 0))

    def coordinates(self, reference: LabelNoise, weights: np.ndarray) -> np.ndarray:
        """(C * C,) unconstrained numbers, relative to a reference; see ``fastmix.families.coordinates``.

        ``weights`` (K,) of the components, from which that of a class follows.
        """
        return log_ratios(self.confusion, reference.confusion, reference._roots(weights)).ravel()

    def from_coordinates(self, vector: np.ndarray, weights: np.ndarray) -> LabelNoise:
        """The inverse of ``coordinates``, where this is the reference."""
        logs = unscaled(vector.reshape(self.confusion.shape), self._roots(weights))
        moved = self.confusion * np.exp(logs - logs.max(axis=1, keepdims=True))
        return replace(self, confusion=moved / moved.sum(axis=1, keepdims=True))

    def _roots(self, weights: np.ndarray) -> np.ndarray:
        """(C, C) roots of what a row with a label says about its logarithm."""
        of_class = np.zeros(len(self.confusion))
        np.add.at(of_class, self.classes[self.classes >= 0], weights[self.classes >= 0])
        return np.sqrt(of_class[:, None] * self.confusion)

    def expected(self, counts: np.ndarray) -> float:
        """The sum of log p(label | component) over responsibilities by label and component."""
        return float((counts * self.log_table())[counts > 0].sum())
