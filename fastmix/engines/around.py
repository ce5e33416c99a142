"""What an engine that arranges the steps of another one takes from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastmix.engines.loop import MixtureEngine


@dataclass(frozen=True, eq=False)
class Around:
    """An engine around another one; both fit the same rows to the same end.

    Attributes
    ----------
    engine : the one within.
    """

    engine: MixtureEngine

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def n_rows(self) -> int:
        return self.engine.n_rows

    @property
    def sign(self) -> int:
        return self.engine.sign

    @property
    def is_monotone(self) -> bool:
        return self.engine.is_monotone

    def whole_run(self, parameters: Any, max_iter: int) -> None:
        return None
