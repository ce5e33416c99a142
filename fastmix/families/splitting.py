"""Splitting and merging components: what a family has to say for the moves of sparse EM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class Splitting(ABC):
    """How components of one family are halved and united."""

    @abstractmethod
    def deviations(self, parameters: Any) -> np.ndarray:
        """(K, D) typical distances of a component's rows from its mean, by feature."""

    @abstractmethod
    def middles(self, parameters: Any) -> np.ndarray:
        """(K, D) where the rows of a component lie."""

    @abstractmethod
    def halves(self, parameters: Any, axes: np.ndarray) -> Any:
        """2 K components: component k becomes 2 k and 2 k + 1, one on either side along ``axes`` (K, D), one deviation long."""

    @abstractmethod
    def merged(self, parameters: Any, first: np.ndarray, second: np.ndarray) -> Any:
        """Components (P,) that have the weight, and are what pairs of components are together."""

    @abstractmethod
    def prior_weight(self, parameters: Any) -> float:
        """How many rows the prior of ``towards`` is worth, so that few rows do no harm."""

    @abstractmethod
    def towards(self, statistics: Any, prior: Any, weight: float) -> Any:
        """The M-step, shrunk towards the parameters ``prior`` as if these came from rows of that weight."""
