"""How labels depend on classes: the confusion matrix, as parameters that EM estimates beside those of the components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastmix.kernels.normalise import LOG_ZERO


@dataclass(frozen=True)
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
        """(K, C + 1) log p(label | component), log 0 a huge negative number; column 0, of rows without a label, is 0."""
        table = np.zeros((len(self.classes), len(self.confusion) + 1))
        table[:, 1:] = LOG_ZERO
        of_class = self.classes >= 0
        given = self.confusion[self.classes[of_class]]
        table[of_class, 1:] = np.log(given, out=np.full(given.shape, LOG_ZERO), where=given > 0)
        return table

    def maximized(self, counts: np.ndarray) -> LabelNoise:
        """The M-step, given responsibilities by component and label, laid out as ``log_table``.

        A class without labelled rows keeps its row.
        """
        by_class = np.zeros_like(self.confusion)
        of_class = self.classes >= 0
        np.add.at(by_class, self.classes[of_class], counts[of_class, 1:])
        totals = by_class.sum(axis=1, keepdims=True)
        return replace(self, confusion=np.divide(by_class, totals, out=self.confusion.copy(), where=totals > 0))

    def expected(self, counts: np.ndarray) -> float:
        """The sum of log p(label | component) over responsibilities by component and label."""
        return float((counts * self.log_table())[counts > 0].sum())
