"""A mixture together with what labels say about its components, where both are estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmix.families.label_noise import LabelNoise
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.families.statistics import Statistics
from fastmix.files.encoding import STORED


@STORED.add
@dataclass(frozen=True, eq=False)
class Labelled:
    """Parameters of a mixture, with those of its labels. It reads as the mixture's parameters do.

    Attributes
    ----------
    parameters : of the mixture.
    label_noise : what labels say about components.
    """

    parameters: Any
    label_noise: LabelNoise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("parameters", "label_noise"):  # while it is being made
            raise AttributeError(name)
        return getattr(self.parameters, name)


def split(parameters: Any) -> tuple[Any, LabelNoise | None]:
    """(Parameters of the mixture, those of its labels where they are estimated with them)."""
    noise = getattr(parameters, "label_noise", None)
    return (parameters, None) if noise is None else (parameters.parameters, noise)


@dataclass(frozen=True, eq=False)
class LabelledRule(UpdateRule):
    """The update rule of a mixture whose labels are estimated, too: both M-steps, side by side.

    Attributes
    ----------
    rule : that of the mixture.
    """

    rule: UpdateRule = PLAIN

    @property
    def is_exact(self) -> bool:
        return self.rule.is_exact

    @property
    def has_fixed(self) -> bool:
        return self.rule.has_fixed

    @property
    def n_fixed(self) -> int:
        return self.rule.n_fixed

    def maximize(self, statistics: Statistics) -> Any:
        found, noise = self.rule.maximize(statistics), statistics.label_noise
        if noise is None or statistics.label_counts is None:  # of rows without labels
            return found
        return Labelled(found, noise.maximized(statistics.label_counts))

    def expected_statistics(self, parameters: Any) -> Statistics:
        return self.rule.expected_statistics(split(parameters)[0])

    def continuing(self, parameters: Any) -> LabelledRule:
        return LabelledRule(self.rule.continuing(split(parameters)[0]))

    def log_prior(self, parameters: Any) -> float:
        return self.rule.log_prior(split(parameters)[0])

    def with_fixed(self, parameters: Any) -> Any:
        mixture, noise = split(parameters)
        held = self.rule.with_fixed(mixture)
        return held if noise is None else Labelled(held, noise)

    def coordinates(self, parameters: Any, reference: Any) -> np.ndarray:
        (here, noise), (there, noise_there) = split(parameters), split(reference)
        found = self.rule.coordinates(here, there)
        if noise is None or noise_there is None:
            return found
        return np.concatenate([found, noise.coordinates(noise_there, there.weights)])

    def from_coordinates(self, vector: np.ndarray, reference: Any) -> Any:
        there, noise = split(reference)
        if noise is None:
            return self.rule.from_coordinates(vector, there)
        of_components, of_labels = np.split(vector, [vector.size - noise.confusion.size])
        moved = self.rule.from_coordinates(of_components, there)
        return Labelled(moved, noise.from_coordinates(of_labels, there.weights))
