"""What a hidden Markov model with parameters does: scores, decodes, filters, predicts, samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastmix.data.rows import ArrayRows
from fastmix.data.validation import as_kernels_read, check_choice, check_integer
from fastmix.engines.evaluate import run_evaluation
from fastmix.engines.incomplete_sequences import sequence_pass
from fastmix.engines.loop import StopReason
from fastmix.engines.sequences import RowOutputs, Sequences
from fastmix.families.hidden_markov import HiddenMarkov
from fastmix.starts.seeding import generators

_DECODERS = ("viterbi", "map")


@dataclass(frozen=True, eq=False)
class Forecast:
    """What comes next after each of S sequences: a mixture of the states' emissions.

    Attributes
    ----------
    states : (S, K) probabilities of the next row's state.
    """

    states: np.ndarray
    _emissions: Any

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density (S,) in nats of X (S, D) as the next row of each sequence."""
        rows = as_kernels_read(np.atleast_2d(np.asarray(X, dtype=np.float64)))
        if len(rows) != len(self.states):
            raise ValueError(f"X must have one row a sequence, {len(self.states)}; got {len(rows)}")
        family = self._emissions.family
        found = np.empty(len(rows))
        for n, weights in enumerate(self.states):
            mixture = family.with_arrays(self._emissions, {"weights": weights})
            found[n] = run_evaluation(family, mixture, rows[n : n + 1], log_density=True).log_density[0]
        return found


class Monitor(NamedTuple):
    """How the best run went, by hmmlearn's names.

    Attributes
    ----------
    converged : whether it converged; False at the iteration limit.
    iter : its number of iterations.
    history : its total objective before each iteration, in nats.
    """

    converged: bool
    iter: int
    history: list[float]


class HiddenMarkovResults:
    """Methods of a fitted model, or of one whose parameters were set."""

    startprob_: np.ndarray
    transmat_: np.ndarray
    lower_bounds_: list[float]
    lower_bound_: float
    stop_reason_: StopReason
    converged_: bool
    n_iter_: int
    algorithm: str
    missing: str
    n_threads: int | None
    random_state: Any
    _sampling: np.random.Generator | None = None
    _total_weight: float = 1.0  # of the rows that were fitted

    def _parameters(self) -> HiddenMarkov:
        raise NotImplementedError

    def _sequences_of(self, X: Any, lengths: Any) -> tuple[ArrayRows, Sequences]:
        raise NotImplementedError

    @property
    def monitor_(self) -> Monitor:
        """How the best run went, by hmmlearn's names; ``lower_bounds_`` are the same a row."""
        if not hasattr(self, "converged_"):
            raise AttributeError("monitor_ is not there before fit")
        return Monitor(self.converged_, self.n_iter_, [self._total_weight * each for each in self.lower_bounds_])

    def score(self, X: Any, lengths: Any = None) -> float:
        """Total log-likelihood of all sequences, in nats."""
        return float(self._run(X, lengths)[1])

    def score_samples(self, X: Any, lengths: Any = None) -> tuple[float, np.ndarray]:
        """(Total log-likelihood, probabilities (N, K) of the states of each row given its sequence)."""
        outputs, total = self._run(X, lengths, "smoothed")
        return total, outputs.smoothed

    def predict_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Probabilities (N, K) of the states of each row, given all rows of its sequence."""
        return self._run(X, lengths, "smoothed")[0].smoothed

    def filter(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Probabilities (N, K) of the states of each row, given the rows of its sequence up to it."""
        return self._run(X, lengths, "filtered")[0].filtered

    def log_density(self, X: Any, lengths: Any = None) -> np.ndarray:
        """(N,) log-density of each row given the rows before it, in nats; those of a sequence sum to its log-likelihood."""
        return self._run(X, lengths, "log_density")[0].log_density

    def predict_next(self, X: Any, lengths: Any = None) -> Forecast:
        """What the row after the last of each sequence is like."""
        parameters = self._parameters()
        rows, sequences = self._sequences_of(X, lengths)
        outputs = self._pass_over(parameters, rows, sequences, "filtered")[0]
        last = outputs.filtered[sequences.starts + sequences.lengths - 1]
        return Forecast(last @ parameters.transitions, parameters.emissions)

    def predict(self, X: Any, lengths: Any = None) -> np.ndarray:
        """States (N,) int64, as ``decode`` finds them."""
        return self.decode(X, lengths)[1]

    def decode(self, X: Any, lengths: Any = None, algorithm: str | None = None) -> tuple[float, np.ndarray]:
        """States of each row.

        Parameters
        ----------
        algorithm : {"viterbi", "map"}, optional
            The likeliest path of each sequence, or the likeliest state of each row; by default that of the constructor.

        Returns
        -------
        log_probability : float, of all paths together with their rows; of "map" the sum over rows of the probabilities of
            the states (hmmlearn's score).
        states : (N,) int64.
        """
        chosen = check_choice(self.algorithm if algorithm is None else algorithm, "algorithm", _DECODERS)
        if chosen == "map":
            shares = self.predict_proba(X, lengths)
            return float(shares.max(axis=1).sum()), shares.argmax(axis=1).astype(np.int64)
        parameters = self._parameters()
        rows, sequences = self._sequences_of(X, lengths)
        passes = self._passes(parameters, rows, sequences, one_by_one=True)
        states, found = passes.decode(parameters.emissions, parameters.start, parameters.transitions)
        return float(found.sum()), states

    def bic(self, X: Any, lengths: Any = None) -> float:
        """Bayesian information criterion -2 LL + p ln N, N the number of rows; lower is better (Schwarz 1978)."""
        total, n = self._total_and_rows(X, lengths)
        return float(-2.0 * total + self._n_parameters() * np.log(n))

    def aic(self, X: Any, lengths: Any = None) -> float:
        """Akaike information criterion -2 LL + 2 p; lower is better (Akaike 1974)."""
        return -2.0 * self._total_and_rows(X, lengths)[0] + 2.0 * self._n_parameters()

    def get_stationary_distribution(self) -> np.ndarray:
        """(K,) the distribution of states in the long run."""
        return self._parameters().stationary()

    def sample(
        self, n_samples: int = 1, random_state: Any = None, currstate: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one sequence.

        Parameters
        ----------
        n_samples : its number of rows.
        random_state : by default successive calls go on with one stream of random numbers.
        currstate : the state before the first row; by default it begins as ``startprob_`` says.

        Returns
        -------
        X : (n_samples, D), states : (n_samples,) int64.
        """
        parameters = self._parameters()
        check_integer(n_samples, "n_samples", 1)
        generator = self._generator(random_state)
        n_states = len(parameters.start)
        first = parameters.start
        if currstate is not None:
            if not 0 <= check_integer(currstate, "currstate", 0) < n_states:
                raise ValueError(f"currstate must be a state, 0 to {n_states - 1}; got {currstate}")
            first = parameters.transitions[currstate]
        bounds, start = np.cumsum(parameters.transitions, axis=1), np.cumsum(first)
        states = np.empty(n_samples, np.int64)
        state = -1
        for n, u in enumerate(generator.random(n_samples)):
            limits = start if n == 0 else bounds[state]
            state = int(np.searchsorted(limits, u * limits[-1], side="right"))
            states[n] = state
        family = parameters.family
        X = np.empty((n_samples, family.n_features(parameters.emissions)))
        for k in np.unique(states):
            where = states == k
            X[where] = family.draw(parameters.emissions, int(k), int(where.sum()), generator)
        return X, states

    def _generator(self, random_state: Any) -> np.random.Generator:
        if random_state is not None:
            return generators(random_state, 1)[0]
        if self._sampling is None:
            self._sampling = generators(self.random_state, 1)[0]
        return self._sampling

    def _n_parameters(self) -> int:
        return self._parameters().n_free_parameters

    def _total_and_rows(self, X: Any, lengths: Any) -> tuple[float, int]:
        parameters = self._parameters()
        rows, sequences = self._sequences_of(X, lengths)
        return self._pass_over(parameters, rows, sequences)[1], rows.n_rows

    def _passes(self, parameters: HiddenMarkov, rows: ArrayRows, sequences: Sequences, **how: bool) -> Any:
        may_miss = self.missing != "error"
        return sequence_pass(
            parameters.family, rows, sequences, len(parameters.start), self.n_threads, may_miss=may_miss, **how
        )

    def _run(self, X: Any, lengths: Any, *wanted: str) -> tuple[RowOutputs, float]:
        parameters = self._parameters()
        return self._pass_over(parameters, *self._sequences_of(X, lengths), *wanted)

    def _pass_over(
        self, parameters: HiddenMarkov, rows: ArrayRows, sequences: Sequences, *wanted: str
    ) -> tuple[RowOutputs, float]:
        passes = self._passes(parameters, rows, sequences)
        outputs = RowOutputs.of(rows.n_rows, len(parameters.start), *wanted)
        found = passes(parameters.emissions, parameters.start, parameters.transitions, outputs, accumulates=False)
        return outputs, found.log_likelihood
