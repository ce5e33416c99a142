"""Where sparse EM stands between two iterations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastmix.engines.loop import EngineState
from fastmix.engines.passes import EVERYTHING
from fastmix.engines.sparse.lists import ActiveLists
from fastmix.families.statistics import Statistics
from fastmix.files.encoding import STORED

DENSE = STORED.constants["everything"] = ActiveLists(EVERYTHING, 0)


@STORED.add
@dataclass(frozen=True, eq=False)
class SparseState(EngineState):
    """Where sparse EM stands.

    Attributes
    ----------
    lists : what the next pass looks at.
    fallback : lists with which F is sure not to fall, where ``lists`` are new.
    most_probable : (2, N) int32, see ``fastmix.kernels.mixture.em_pass.Byproducts``. Empty: not known yet.
    wait : list passes until lists are rebuilt.
    interval : how many there were to be since the last time.
    exact : mean log-likelihood of ``parameters``, where it is known.
    n_confirmations : how often F had settled.
    n_refused : how often split and merge moves did not raise F.
    n_evaluations : (row, component) densities computed so far.
    blocks : the statistics of each block's last E-step on these lists, where they are taken by blocks.
    """

    lists: ActiveLists = DENSE
    fallback: ActiveLists | None = None
    most_probable: np.ndarray = field(default_factory=lambda: np.empty((2, 0), np.int32))
    wait: int = 0
    interval: int = 0
    exact: float | None = None
    n_confirmations: int = 0
    n_refused: int = 0
    n_evaluations: int = 0
    blocks: tuple[Statistics, ...] = ()
