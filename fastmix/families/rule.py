"""The update rule that engines share: how statistics become parameters, and what is added to the log-likelihood."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastmix.families.statistics import Statistics


class Coordinates(Protocol):
    """What extrapolation needs to know of parameters."""

    def coordinates(self, parameters: Any, reference: Any) -> np.ndarray: ...

    def from_coordinates(self, vector: np.ndarray, reference: Any) -> Any: ...


class UpdateRule:
    """Plain EM: the M-step of the family, and no more. A subclass knows parameters, has a prior, or holds something up.

    What an engine raises is the log-likelihood (or free energy) plus ``log_prior``, a unit of weight.
    """

    @property
    def is_exact(self) -> bool:
        """Whether ``maximize`` is the exact maximiser of the expected objective, so that no step lowers it."""
        return True

    @property
    def has_fixed(self) -> bool:
        """Whether some parameters are known: they must come out of every step to the bit as they are."""
        return False

    @property
    def n_fixed(self) -> int:
        """How many of the family's free parameters are known."""
        return 0

    def compiled_floor(self, family: Any, n_features: int) -> np.ndarray | None:
        """What the compiled M-step of the family adds to each feature's variance, (D,); None where it cannot take its place."""
        return None

    def maximize(self, statistics: Statistics) -> Any:
        """The M-step."""
        return statistics.family.maximize(statistics)

    def maximize_towards(self, statistics: Statistics, prior: Any, weight: float) -> Any:
        """See ``Splitting.towards``."""
        splitting = statistics.family.splitting
        assert splitting is not None
        return splitting.towards(statistics, prior, weight)

    def expected_statistics(self, parameters: Any) -> Statistics:
        """Statistics of unit weight from which ``maximize`` makes these parameters."""
        return parameters.family.expected_statistics(parameters)

    def log_prior(self, parameters: Any) -> float:
        """The log-density of the parameters in nats, in units of the weight that statistics are in."""
        return 0.0

    def with_fixed(self, parameters: Any) -> Any:
        """The parameters with those that are known as they are."""
        return parameters

    def continuing(self, parameters: Any) -> UpdateRule:
        """The rule of a fit that goes on from these parameters: what is known is known as they have it."""
        return self

    def coordinates(self, parameters: Any, reference: Any) -> np.ndarray:
        """See ``Family.coordinates``."""
        return reference.family.coordinates(parameters, reference)

    def from_coordinates(self, vector: np.ndarray, reference: Any) -> Any:
        """See ``Family.from_coordinates``; with what is known as it is."""
        return self.with_fixed(reference.family.from_coordinates(vector, reference))


PLAIN = UpdateRule()
