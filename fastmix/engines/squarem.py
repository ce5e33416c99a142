"""SQUAREM: from two successive steps of EM, how far EM would go in the same direction.

Varadhan and Roland (2008), "Simple and globally convergent methods for accelerating the convergence of any EM algorithm",
Scandinavian Journal of Statistics 35, 335-353.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastmix.engines.loop import EngineState
from fastmix.families.rule import Coordinates
from fastmix.files.encoding import STORED

# The longest step length allowed at first, and the factor by which it grows when it is reached: theirs (section 6).
_FIRST_LONGEST = 4.0
_GROWTH = 4.0
# How far a proposal may lie from where plain EM would be, in the metric of the coordinates (0.05: 0.001 nats a row of relative
# entropy between the two mixtures of rows with their components). From raw seeds 9 of 146 fits came to a lower maximum with
# longer steps, and 3 with steps of up to 0.1.
_FARTHEST = 0.05
# With less than this nothing is gained.
_LEAST_LENGTH = 1.01


@STORED.add
@dataclass(frozen=True, eq=False)
class Squarem:
    """What SQUAREM remembers; a cycle is two steps of EM, an extrapolated one, and EM again from there.

    Attributes
    ----------
    points : up to two parameters: where this cycle's steps of EM began.
    longest : the longest step length allowed.
    reached : whether the last proposal was that long.
    """

    points: tuple[Any, ...] = ()
    longest: float = _FIRST_LONGEST
    reached: bool = False

    def observed(self, rule: Coordinates, state: EngineState, extrapolated: bool, gain: float) -> Squarem:
        """With the step of EM from ``state.evaluated`` to ``state.parameters``."""
        if not extrapolated:
            return replace(self, points=(*self.points[-1:], state.evaluated))
        return Squarem(longest=self.longest * (_GROWTH if self.reached else 1.0))

    def proposal(self, rule: Coordinates, parameters: Any) -> tuple[Any | None, Squarem]:
        """Where to go instead of ``parameters``, the next of EM's; None: there."""
        if len(self.points) < 2:
            return None, self
        first, second = self.points
        u = rule.coordinates(second, first)
        plain = rule.coordinates(parameters, first)
        if not np.isfinite(plain).all():
            return None, self.forgotten()
        v = plain - 2.0 * u
        # Steplength S3, their equation 11 (with the sign turned): |u| / |v|.
        length, bend = _norm(u), _norm(v)
        alpha = min(max(1.0, length / bend if bend > 0 else np.inf), self.longest)
        reached = alpha == self.longest
        while alpha > _LEAST_LENGTH and _norm(_at(alpha, u, v) - plain) > _FARTHEST:
            alpha, reached = 1.0 + 0.7 * (alpha - 1.0), False
        if alpha <= _LEAST_LENGTH:
            return None, self.forgotten()
        return rule.from_coordinates(_at(alpha, u, v), first), replace(self, reached=reached)

    def refused(self) -> Squarem:
        """The proposal was not accepted."""
        return Squarem(longest=max(_FIRST_LONGEST, self.longest / _GROWTH) if self.reached else self.longest)

    def forgotten(self) -> Squarem:
        """Without the steps seen: what follows does not continue them."""
        return Squarem(longest=self.longest)


def _at(alpha: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Relative to where the cycle began; alpha = 1 is where plain EM is."""
    return 2.0 * alpha * u + alpha**2 * v


def _norm(vector: np.ndarray) -> float:
    # einsum, not BLAS, whose order of summation may depend on its threads
    return float(np.sqrt(np.einsum("i,i->", vector, vector)))
