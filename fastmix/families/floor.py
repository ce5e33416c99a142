"""The M-step of components that have variances, with a floor under these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmix.families.conjugate import ConjugateRule
from fastmix.families.statistics import Statistics


@dataclass(frozen=True, eq=False)
class FloorRule(ConjugateRule):
    """``maximize(statistics, reg_covar)`` of the family, and what is known.

    Attributes
    ----------
    reg_covar : (D,) added to variances, squared units of the data.
    """

    reg_covar: np.ndarray | float = 0.0

    @property
    def is_exact(self) -> bool:
        return not np.any(self.reg_covar)

    def maximize(self, statistics: Statistics) -> Any:
        return self.with_fixed(statistics.family.maximize(self.joined(statistics), self.reg_covar))

    def expected_statistics(self, parameters: Any) -> Statistics:
        found: Statistics = parameters.family.expected_statistics(parameters, reg_covar=self.reg_covar)
        return found
