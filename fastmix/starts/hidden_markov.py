"""Where a hidden Markov model begins: at a mixture, and at how its responsibilities follow each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmix.data.source import Source
from fastmix.engines.baum_welch import expected
from fastmix.engines.incomplete_sequences import IncompleteSequencePass
from fastmix.engines.sequences import SequencePass
from fastmix.families.base import Family
from fastmix.families.hidden_markov import HiddenMarkov, with_weights_of_one
from fastmix.families.rule import UpdateRule
from fastmix.starts.general import GeneralStart

# Of an expected count of transitions, what each has besides: none is impossible that might happen.
_SMOOTHING = 1.0
# Runs after the first begin elsewhere, in turn.
_OTHERS = ("k-means++", "random_from_data")


class HiddenMarkovStart:
    """Makes starts for one data set.

    Parameters
    ----------
    sequences : passes over the data.
    given : the arrays that are known beforehand by name: "start", "transitions", and those of the family.
    init : how emissions begin in the first run, see ``GeneralStart``.
    """

    def __init__(
        self,
        family: Family,
        source: Source,
        sequences: SequencePass | IncompleteSequencePass,
        n_states: int,
        rule: UpdateRule,
        given: Mapping[str, np.ndarray],
        init: Any,
        n_threads: int | None,
        generator: np.random.Generator,
    ):
        self._family = family
        self._sequences = sequences
        self._n_states = n_states
        self._given = given
        self._init = init
        self._of_mixture: GeneralStart | None = None
        if not set(family.domains) - {"weights"} <= set(given):
            self._of_mixture = GeneralStart(family, source, n_states, n_threads, generator, rule)

    def __call__(self, index: int, generator: np.random.Generator) -> tuple[HiddenMarkov, None]:
        """See ``fastmix.fitting.problem.Start``."""
        given, n_states = dict(self._given), self._n_states
        of_emissions = {name: value for name, value in given.items() if name in self._family.domains}
        if self._of_mixture is None:
            uniform = np.full(n_states, 1.0 / n_states)
            emissions = self._family.from_arrays({"weights": uniform, **of_emissions})
        else:
            init = self._init
            if index and isinstance(init, str) and init != "random":
                init = _OTHERS[(index - 1) % len(_OTHERS)]
            emissions = self._family.with_arrays(self._of_mixture(init, generator), of_emissions)
        weights = np.where(emissions.weights > 0, emissions.weights, 1.0 / n_states)
        weights = weights / weights.sum()
        emissions = with_weights_of_one(emissions)
        start, transitions = given.get("start"), given.get("transitions")
        if start is None or transitions is None:
            found_start, found = self._chain(weights, emissions)
            if index:  # elsewhere than the first run
                found = 0.5 * (found + generator.dirichlet(np.ones(n_states), n_states))
            start = found_start if start is None else start
            transitions = found if transitions is None else transitions
        return HiddenMarkov(start, transitions, emissions), None

    def _chain(self, weights: np.ndarray, emissions: Any) -> tuple[np.ndarray, np.ndarray]:
        """Start and transitions from the responsibilities of a mixture: a chain whose rows do not know each other."""
        n_states = len(weights)
        statistics = expected(self._sequences, HiddenMarkov(weights, np.tile(weights, (n_states, 1)), emissions))
        firsts, pairs = statistics.firsts + _SMOOTHING * weights, statistics.transitions + _SMOOTHING * weights
        return firsts / firsts.sum(), pairs / pairs.sum(axis=1, keepdims=True)
