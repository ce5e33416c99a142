"""What an engine asks of a family, and the statistics that a pass returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fastmix.families.coordinates import from_generic_coordinates, generic_coordinates
from fastmix.families.label_noise import LabelNoise


@dataclass(frozen=True)
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
    label_counts : (C + 1, K) sum of the responsibilities, weighted, by label given to the row and component, laid out as
        ``LabelNoise.log_table``; None where the parameters say nothing about labels.
    remainder : total of log-likelihood less entropy and expected log-joint at the parameters that each row met, in nats, where
        an engine asks (``fastmix.engines.incremental``): what the statistics do not tell, and what parameters do not change.
    """

    family: Family
    centre: Any
    components: np.ndarray
    shared: np.ndarray
    log_likelihood: float
    entropy: float
    total_weight: float
    label_counts: np.ndarray | None = None
    remainder: float = 0.0

    @property
    def counts(self) -> np.ndarray:
        """(K,) sum of the responsibilities of each component."""
        return self.components[:, 0]

    def maximized_label_noise(self) -> LabelNoise | None:
        """The M-step for what labels say about components; None where that is not estimated."""
        return None if self.label_counts is None else self.centre.label_noise.maximized(self.label_counts)

    def expected_log_labels(self) -> float:
        """E[log p(label | component)] in nats, summed over rows, at the statistics' centre, where that is estimated; else 0."""
        return 0.0 if self.label_counts is None else self.centre.label_noise.expected(self.label_counts)

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
            remainder=self.remainder + other.remainder,
        )

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


class Reach(NamedTuple):
    """How far log-joints can be from what they are at a point nearby.

    m_k(x) = sqrt(2 (peaks[k] - log_joint_k(x))) is a distance from component k that changes by at most
    steepness[k] |(x - y) / units| from x to y. For a Gaussian it is the Mahalanobis distance.
    """

    peaks: np.ndarray  # (K,) what no log-joint of the component exceeds, in nats
    steepness: np.ndarray  # (K,) at least 0
    units: np.ndarray  # (D,) positive, of the features


class Family(ABC):
    """What a component is.

    A family has two tile functions, registered for its class of kernel parameters with
    ``fastmix.kernels.mixture.tiles.register_tile_functions``, and the methods below. Parameters are any frozen object of arrays
    with attributes ``weights`` (K,) and ``family``. docs/architecture.md builds one from nothing.
    """

    name: str
    kernel_class: type

    @abstractmethod
    def n_statistics(self, n_features: int) -> int:
        """S: how many numbers a pass keeps for a component, the count included."""

    @abstractmethod
    def kernel_parameters(self, parameters: Any) -> Any:
        """The constants that the kernels read, an instance of ``kernel_class``."""

    def in_float32(self, parameters: Any) -> tuple[Any, Any, np.ndarray]:
        """(Parameters as float32 can say them, kernel parameters in float32, the origin (D,) that both are relative to).

        For a family that computes in float32. Moments are about the means that the kernel used, so statistics have to be
        centred at the parameters returned.
        """
        raise ValueError(f"the family {self.name!r} is computed in float64 only")

    def joint_parameters(self, parameters: Any, means: np.ndarray) -> Any:
        """What kernels make the parameters of marginal mixtures from, for rows with missing entries: an instance of a class that
        ``fastmix.kernels.mixture.incomplete.register_incomplete_functions`` was called with.

        Parameters
        ----------
        means : (K, D) that take the place of the parameters' own: relative to the origin where float32 is computed in.
        """
        raise ValueError(f"the family {self.name!r} takes no missing entries")

    @abstractmethod
    def maximize(self, statistics: Statistics, reg_covar: float = 0.0) -> Any:
        """The M-step: parameters that maximise the expected log-likelihood."""

    def expected_log_joint(self, statistics: Statistics) -> tuple[float, float] | None:
        """E[log p(x, z)] in nats, under the responsibilities behind ``statistics`` and the parameters at their centre.

        With the entropy it makes the free energy. None, the default, where the statistics do not tell.

        Returns
        -------
        The expectation, and the sum of the sizes of the terms that make it up: its rounding is in proportion to that.
        """
        return None

    def expected_statistics(self, parameters: Any, n_features: int, reg_covar: float = 0.0) -> Statistics:
        """Statistics of unit weight from which ``maximize`` makes these parameters: the inverse of the M-step.

        They are of no rows: log-likelihood, entropy and ``total_weight`` are 0. The default knows nothing, and all of them are 0.
        """
        n_components = len(parameters.weights)
        components = np.zeros((n_components, self.n_statistics(n_features)))
        shared = np.zeros(self.n_shared(n_features, n_components))
        return Statistics(self, parameters, components, shared, 0.0, 0.0, 0.0)

    def n_shared(self, n_features: int, n_components: int) -> int:
        """S': how many numbers a pass keeps for all components together."""
        return 0

    def complete_shared(
        self, parameters: Any, kernel: Any, components: np.ndarray, shared: np.ndarray
    ) -> np.ndarray | None:
        """What ``Statistics.shared`` holds, from the (K, S) and (S',) numbers that a pass kept.

        For what is easier said of the totals than of each tile. The default keeps them as they are.

        Parameters
        ----------
        parameters, kernel : what the pass ran with.

        Returns
        -------
        None where digits were lost: the pass is run again with the kernel parameters that ``careful`` makes of these.
        """
        return shared

    def careful(self, kernel: Any) -> Any:
        """Kernel parameters with which a pass loses no digits, at some cost."""
        return kernel

    def n_work_rows(self, n_features: int) -> int:
        """How many rows of B numbers the tile functions want as scratch."""
        return 0

    def longest_tile(self, n_features: int, itemsize: int = 8) -> int:
        """The most rows that a tile should have, in numbers of ``itemsize`` bytes.

        The default suits a family whose ``log_joint`` runs over all of ``tile.x`` for each component.
        """
        return tile_in_first_cache(n_features, itemsize)

    def reach(self, parameters: Any) -> Reach | None:
        """Bounds by which components that cannot matter to a tile are left out where exact results are wanted.

        None, the default, where there are none: each component is then evaluated at every row.
        """
        return None

    def recentre(self, statistics: Statistics, centre: Any) -> Statistics:
        """The same statistics, with moments about the means of ``centre``.

        The default is right for a family whose statistics have no centre.
        """
        return replace(statistics, centre=centre)

    def coordinates(self, parameters: Any, reference: Any) -> np.ndarray:
        """The parameters as unconstrained numbers (P,), of which every value, within reason, stands for parameters.

        Relative to the reference, which is 0. What acceleration extrapolates; see ``fastmix.families.coordinates`` for
        what makes coordinates good, and for the default, which suits dataclasses and NamedTuples of arrays.
        """
        return generic_coordinates(parameters, reference)

    def from_coordinates(self, vector: np.ndarray, reference: Any) -> Any:
        """The parameters that ``coordinates`` makes ``vector`` of."""
        return from_generic_coordinates(vector, reference)


def tile_in_first_cache(n_features: int, itemsize: int = 8) -> int:
    """How many rows of a tile a core's first-level cache holds (40 of 48 KiB): up to twice as fast as more (D = 64)."""
    return 40 * 1024 // (itemsize * n_features)


def log_weights(weights: np.ndarray) -> np.ndarray:
    """log w_k, with a huge negative number for a dead component's log 0 (kernels want finite constants)."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(weights), -1e290)
