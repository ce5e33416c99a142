"""The update rule that engines share: how statistics become parameters, and what is added to the log-likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmix.families.base import Family, Statistics


class UpdateRule:
    """Plain EM: the M-step of the family, and no more. A subclass knows parameters, or has a prior.

    What an engine raises is the log-likelihood (or free energy) plus ``log_prior``, a unit of weight; ``maximize`` has to be
    the exact maximiser of the expected one.
    """

    @property
    def holds(self) -> bool:
        """Whether some parameters are known: they must come out of every step to the bit as they are."""
        return False

    @property
    def bounds_covariances(self) -> bool:
        """Whether no covariance can shrink to a point, whatever the rows: each is known, or has a prior."""
        return False

    def maximize(self, family: Family, statistics: Statistics, reg_covar: float) -> Any:
        """The M-step."""
        return family.maximize(statistics, reg_covar)

    def log_prior(self, parameters: Any) -> float:
        """The log-density of the parameters in nats, in units of the weight that statistics are in."""
        return 0.0

    def held(self, parameters: Any) -> Any:
        """The parameters with those that are known as they are."""
        return parameters

    def continuing(self, parameters: Any) -> UpdateRule:
        """The rule of a fit that goes on from these parameters: what is known is known as they have it."""
        return self


PLAIN = UpdateRule()
