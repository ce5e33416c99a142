"""What a pass returns: statistics, which add up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastmix.families.label_noise import LabelNoise
from fastmix.files.encoding import STORED


@STORED.add
@dataclass(frozen=True, eq=False)
class Statistics:
    """What a pass accumulates. Statistics add up: those of two halves of the data sum to those of the whole.

    Attributes
    ----------
    family : the family whose pass accumulated them; it alone knows the layout of ``components`` and ``shared``.
    centre : the parameters that the pass ran with; moments are about its means.
    components : (K, S) float64; column 0 holds the counts.
    shared : float64, what belongs to no single component, as ``complete_shared`` of the family makes it.
    log_likelihood : total over rows, weighted, in nats.
    entropy : total entropy of the responsibilities, weighted, in nats; free energy = E[log joint] + entropy.
    total_weight : sum of the rows' weights (their number where there are none).
    label_noise : what the pass took labels to say about components, where that is estimated; else None.
    label_counts : (C + 1, K) sum of the responsibilities, weighted, by label given to the row and component, laid out as
        ``LabelNoise.log_table``; None where there is no ``label_noise``.
    n_out_of_reach : how many rows of positive weight no component reaches: their log-densities are log 0.
    remainder : total of log-likelihood less entropy and expected log-joint at the parameters that each row met, in nats, where
        an engine asks (``fastmix.engines.incremental``): what the statistics do not tell, and what parameters do not change.
    """

    family: Any
    centre: Any
    components: np.ndarray
    shared: np.ndarray
    log_likelihood: float
    entropy: float
    total_weight: float
    label_noise: LabelNoise | None = None
    label_counts: np.ndarray | None = None
    n_out_of_reach: int = 0
    remainder: float = 0.0

    @property
    def counts(self) -> np.ndarray:
        """(K,) sum of the responsibilities of each component."""
        return self.components[:, 0]

    def expected_log_labels(self) -> float:
        """E[log p(label | component)] in nats, summed over rows, at the pass's parameters, where that is estimated; else 0."""
        if self.label_noise is None or self.label_counts is None:
            return 0.0
        return self.label_noise.expected(self.label_counts)

    def __add__(self, other: Statistics) -> Statistics:
        if not isinstance(other, Statistics):
            return NotImplemented
        if other.family.name != self.family.name:
            raise ValueError(
                f"statistics of the families {self.family.name!r} and {other.family.name!r} cannot be added; take them with "
                "parameters of one family"
            )
        if other.centre is not self.centre:
            other = self.family.recentre(other, self.centre)
        return replace(
            self,
            components=self.components + other.components,
            shared=self.shared + other.shared,
            log_likelihood=self.log_likelihood + other.log_likelihood,
            entropy=self.entropy + other.entropy,
            total_weight=self.total_weight + other.total_weight,
            label_counts=_sum_of_counts(self.label_counts, other.label_counts),
            label_noise=self.label_noise if other.label_noise is None else other.label_noise,
            n_out_of_reach=self.n_out_of_reach + other.n_out_of_reach,
            remainder=self.remainder + other.remainder,
        )

    def recentred(self, components: np.ndarray, centre: Any) -> Statistics:
        """Statistics with other numbers by component, about another centre."""
        return replace(self, components=components, centre=centre)

    def scaled(self, factor: float) -> Statistics:
        """The statistics of rows whose weights are ``factor`` times as large."""
        return replace(
            self,
            components=factor * self.components,
            shared=factor * self.shared,
            log_likelihood=factor * self.log_likelihood,
            entropy=factor * self.entropy,
            total_weight=factor * self.total_weight,
            label_counts=None if self.label_counts is None else factor * self.label_counts,
            remainder=factor * self.remainder,
        )


def _sum_of_counts(left: np.ndarray | None, right: np.ndarray | None) -> np.ndarray | None:
    """Where only one says anything it is of all the rows."""
    if left is None or right is None:
        return right if left is None else left
    return left + right
