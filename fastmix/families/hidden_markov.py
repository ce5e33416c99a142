"""Hidden Markov models of any family of emissions: parameters, statistics, and how one becomes the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmix.families.base import Family
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.families.statistics import Statistics
from fastmix.files.encoding import STORED


@STORED.add
@dataclass(frozen=True, eq=False)
class HiddenMarkov:
    """Parameters of a hidden Markov model.

    Attributes
    ----------
    start : (K,) probabilities of the first state, sum 1.
    transitions : (K, K) probabilities of the next state (column) given a state (row); rows sum to 1.
    emissions : parameters of the family, whose weights are 1 each.
    """

    start: np.ndarray
    transitions: np.ndarray
    emissions: Any

    @property
    def family(self) -> Family:
        """Of the emissions."""
        family: Family = self.emissions.family
        return family

    @property
    def weights(self) -> np.ndarray:
        """(K,) positive for each state: no label rules one out."""
        weights: np.ndarray = self.emissions.weights
        return weights

    @property
    def n_free_parameters(self) -> int:
        """Of what is not 0: zeros among probabilities are the model's topology, and stay."""
        n_states = len(self.start)
        of_chain = np.count_nonzero(self.start) - 1 + np.count_nonzero(self.transitions) - n_states
        return int(of_chain) + self.family.n_free_parameters(self.emissions) - (n_states - 1)

    def stationary(self) -> np.ndarray:
        """(K,) the distribution of states in the long run; of several one."""
        n_states = len(self.start)
        equations = np.vstack([self.transitions.T - np.eye(n_states), np.ones(n_states)])
        found = np.linalg.lstsq(equations, np.append(np.zeros(n_states), 1.0), rcond=None)[0]
        return np.clip(found, 0.0, None) / np.clip(found, 0.0, None).sum()


def with_weights_of_one(emissions: Any) -> Any:
    """The parameters as emissions of states: the chain says how probable a state is, not the family."""
    return emissions.family.with_arrays(emissions, {"weights": np.ones(len(emissions.weights))})


@dataclass(frozen=True, eq=False)
class ChainStatistics:
    """What a pass over sequences accumulates.

    Attributes
    ----------
    emissions : those of the family.
    transitions : (K, K) expected number of each.
    firsts : (K,) expected number of sequences that begin in each state.
    """

    emissions: Statistics
    transitions: np.ndarray
    firsts: np.ndarray


@dataclass(frozen=True, eq=False)
class ChainRule:
    """The M-step of Baum and others (1970), with Dirichlet priors, and with what is not to be estimated.

    Attributes
    ----------
    emissions : the rule of the family.
    start_prior, transitions_prior : parameters of Dirichlet densities, which broadcast; 1: none. Below 1 a probability is 0
        where it would be negative.
    estimated : which of "start", "transitions" and "emissions" are estimated.
    """

    emissions: UpdateRule = PLAIN
    start_prior: np.ndarray | float = 1.0
    transitions_prior: np.ndarray | float = 1.0
    estimated: frozenset[str] = frozenset({"start", "transitions", "emissions"})

    @property
    def is_exact(self) -> bool:
        return self.emissions.is_exact and np.min(self.start_prior) >= 1.0 and np.min(self.transitions_prior) >= 1.0

    @property
    def has_fixed(self) -> bool:
        return self.emissions.has_fixed

    @property
    def n_fixed(self) -> int:
        return self.emissions.n_fixed

    def maximize(self, statistics: ChainStatistics, before: HiddenMarkov) -> HiddenMarkov:
        """Zeros among probabilities stay; a state that nothing left keeps its row."""
        start, transitions, emissions = before.start, before.transitions, before.emissions
        if "start" in self.estimated:
            start = _shares(statistics.firsts, start, self.start_prior)
        if "transitions" in self.estimated:
            transitions = _shares(statistics.transitions, transitions, self.transitions_prior)
        if "emissions" in self.estimated:
            emissions = with_weights_of_one(self.emissions.maximize(statistics.emissions))
        return HiddenMarkov(start, transitions, emissions)

    def log_prior(self, parameters: HiddenMarkov) -> float:
        """The log-density of the parameters in nats, but for a constant."""
        found = self.emissions.log_prior(parameters.emissions)
        for values, prior in (
            (parameters.start, self.start_prior),
            (parameters.transitions, self.transitions_prior),
        ):
            more = np.broadcast_to(np.asarray(prior, dtype=np.float64) - 1.0, values.shape)
            some = (values > 0) & (more != 0)
            found += float((more[some] * np.log(values[some])).sum())
        return found

    def continuing(self, parameters: Any) -> ChainRule:
        return self


def _shares(counts: np.ndarray, before: np.ndarray, prior: np.ndarray | float) -> np.ndarray:
    """Rows in proportion to counts and what a prior adds."""
    found = np.where(before > 0, np.maximum(counts + (np.asarray(prior) - 1.0), 0.0), 0.0)
    totals = found.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, found / np.where(totals > 0, totals, 1.0), before)
