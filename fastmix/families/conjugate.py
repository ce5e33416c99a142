"""Conjugate priors and known arrays, for any family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastmix.families.base import Family, finite_log
from fastmix.families.rule import UpdateRule
from fastmix.families.statistics import Statistics


@dataclass(frozen=True, eq=False)
class ConjugateRule(UpdateRule):
    """EM with known arrays (they stay to the bit) and a conjugate prior (it finds a posterior mode).

    The prior is rows: what it adds to the statistics, in units of the weights. Its log-density, but for a constant, is the
    expected log-joint of these.

    Attributes
    ----------
    family : whose parameters they are.
    prior : (K, S) or None: maximum likelihood.
    fixed : arrays that are known, by name.
    """

    family: Family
    prior: np.ndarray | None = None
    fixed: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def has_fixed(self) -> bool:
        return bool(self.fixed)

    @property
    def n_fixed(self) -> int:
        return sum(self.family.domains[name].n_free(array.shape) for name, array in self.fixed.items())

    def maximize(self, statistics: Statistics) -> Any:
        return self.with_fixed(statistics.family.maximize(self.joined(statistics)))

    def joined(self, statistics: Statistics) -> Statistics:
        """With those of the prior."""
        if self.prior is None:
            return statistics
        return replace(statistics, components=statistics.components + self.prior)

    def log_prior(self, parameters: Any) -> float:
        if self.prior is None:
            return 0.0
        if not self.prior[:, 1:].any():
            return float((self.prior[:, 0] * finite_log(parameters.weights)).sum())
        family = parameters.family
        nothing = family.expected_statistics(parameters)
        rows = replace(nothing, components=self.prior, shared=np.zeros_like(nothing.shared))
        found = family.expected_log_joint(rows)
        assert found is not None
        return float(found[0])

    def with_fixed(self, parameters: Any) -> Any:
        return parameters.family.with_arrays(parameters, self.fixed) if self.fixed else parameters

    def continuing(self, parameters: Any) -> ConjugateRule:
        return replace(self, fixed={name: getattr(parameters, name) for name in self.fixed})
