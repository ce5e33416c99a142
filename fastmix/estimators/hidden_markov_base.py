"""What hidden Markov models of all families have in common: how they are fitted, and what parameters they have."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmix.data.entries import ENTRIES, check_entries
from fastmix.data.incomplete import IncompleteRows, check_all_observed
from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.data.validation import as_parameter_array, check_choice, check_integer, check_real
from fastmix.engines.baum_welch import BaumWelch
from fastmix.engines.incomplete_sequences import sequence_pass
from fastmix.engines.loop import Callback, RunResult, StopReason
from fastmix.engines.sequences import Sequences
from fastmix.estimators.base import Estimator, features_of
from fastmix.estimators.fitting import MISSING
from fastmix.estimators.hidden_markov_file import read_hidden_markov, stored_hidden_markov
from fastmix.estimators.hidden_markov_results import HiddenMarkovResults
from fastmix.exceptions import warn_user
from fastmix.families.base import Family
from fastmix.families.hidden_markov import ChainRule, HiddenMarkov, with_weights_of_one
from fastmix.families.rule import PLAIN, UpdateRule
from fastmix.fitting.options import as_checkpoint
from fastmix.fitting.problem import Control, FitProblem
from fastmix.fitting.run import run_fit
from fastmix.starts.hidden_markov import HiddenMarkovStart
from fastmix.starts.initialize import INIT_METHODS

_OWN_TOL = 1e-6


class HiddenMarkovModelBase(HiddenMarkovResults, Estimator):
    """What all hidden Markov models do. A subclass says which family, and what its arrays are called.

    ``_letters`` are what ``params`` and ``init_params`` may hold: "s" start, "t" transitions, others arrays of the family.
    """

    _estimator_type = "density_estimator"
    _letters: Mapping[str, tuple[str, ...]]

    n_components: int
    max_iter: int
    n_iter: int | None
    tol: float | None
    n_init: int
    init: Any
    params: str
    init_params: str
    startprob_prior: Any
    transmat_prior: Any
    startprob_init: Any
    transmat_init: Any
    algorithm: str
    missing: str
    random_state: Any
    checkpoint: Any
    n_threads: int | None
    verbose: Any
    callback: Callback | None

    @abstractmethod
    def _family(self) -> Family:
        """Of the emissions."""

    def _emission_rule(self, source: Source) -> UpdateRule:
        return PLAIN

    def _emissions_init(self, n_features: int) -> dict[str, np.ndarray]:
        """Arrays of the family that the user gave, checked."""
        return {}

    def fit(self, X: Any, lengths: Any = None, sample_weight: Any = None) -> Any:
        """Estimate the parameters by Baum-Welch.

        Parameters
        ----------
        X : (N, D) array-like
            Rows of all sequences, one sequence after the other, each in its order in time.
        lengths : (S,) array-like of int, optional
            How many rows each sequence has; by default all rows are one.
        sample_weight : (S,) array-like, optional
            The weight of each sequence; a weight of 2 is as good as having the sequence twice.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Rows, lengths or weights that cannot be; empty sequences.
        """
        self._check_parameters()
        X, lengths = _as_table(X, lengths)
        rows = self._rows_to_fit(X)
        sequences = Sequences.of(lengths, len(rows), sample_weight)
        if len(rows) < self.n_components:
            raise ValueError(f"n_components is {self.n_components}, but X has {len(rows)} rows: use fewer states")
        family, source = self._family(), make_rows(rows)
        may_miss = bool(self._may_miss())
        if may_miss:
            check_all_observed(source)
        passes = sequence_pass(family, source, sequences, self.n_components, self.n_threads, may_miss=may_miss)
        looked_at: Source = IncompleteRows.of(source) if may_miss else source
        rule = self._rule(looked_at)
        given = self._given(rows.shape[1])
        tol = self._tolerance(len(rows))

        def make_start(source: Source, generator: np.random.Generator) -> HiddenMarkovStart:
            return HiddenMarkovStart(
                family,
                source,
                passes,
                self.n_components,
                rule.emissions,
                given,
                self.init,
                self.n_threads,
                generator,
            )

        problem = FitProblem(
            family,
            self.n_components,
            looked_at,
            make_start,
            start_is_given={"start", "transitions", *family.domains} - {"weights"} <= set(given),
            engine=BaumWelch(passes, rule, tol),
        )
        control = Control(
            tol=tol,
            max_iter=self._n_iterations(),
            n_init=self.n_init,
            checkpoint=as_checkpoint(self.checkpoint),
            settings={
                **self.get_params(),
                "lengths": sequences.lengths,
                "sequence_weights": sequences.weights,
                "algorithm": "baum-welch",
            },
            random_state=self.random_state,
            n_threads=self.n_threads,
            print_every=1 if self.verbose else 0,
            callback=self.callback,
        )
        outcome = run_fit(problem, control)
        self._take(
            outcome.result,
            features_of(X, rows.shape[1]),
            n_collapsed_runs_=outcome.n_collapsed_runs,
            _total_weight=float(sequences.weights @ sequences.lengths),
            _sampling=outcome.sampling,
        )
        if outcome.interrupted:
            raise KeyboardInterrupt
        for message in outcome.concerns:
            # Who asked for so many iterations knows: hmmlearn's n_iter is a number of them.
            if self.n_iter is None or self.stop_reason_ is not StopReason.ITERATION_LIMIT:
                warn_user(message)
        return self

    def fit_predict(self, X: Any, lengths: Any = None, sample_weight: Any = None) -> np.ndarray:
        """``fit``, then ``predict`` of the same sequences; returns states (N,) int64."""
        states: np.ndarray = self.fit(X, lengths, sample_weight).predict(X, lengths)
        return states

    def _rule(self, source: Source) -> ChainRule:
        names = {"s": "start", "t": "transitions"}
        estimated = {names.get(letter, "emissions") for letter in self.params}
        return ChainRule(
            self._emission_rule(source),
            start_prior=_checked_prior(self.startprob_prior, "startprob_prior", (self.n_components,)),
            transitions_prior=_checked_prior(
                self.transmat_prior, "transmat_prior", (self.n_components, self.n_components)
            ),
            estimated=frozenset(estimated),
        )

    def _given(self, n_features: int) -> dict[str, np.ndarray]:
        """What the first parameters are not to be made from the data for."""
        n = self.n_components
        given = self._emissions_init(n_features)
        for name, attribute, shape in (("start", "startprob", (n,)), ("transitions", "transmat", (n, n))):
            value = getattr(self, f"{attribute}_init")
            if value is None and name[0] not in self.init_params:
                value = getattr(self, f"{attribute}_", None)
            if value is not None:
                given[name] = checked_probabilities(value, f"{attribute}_init", shape)
        for letter, names in self._letters.items():
            for name in names:
                if letter not in self.init_params and hasattr(self, f"{name}_") and name not in given:
                    given[name] = np.asarray(getattr(self, f"{name}_"), dtype=np.float64)
        return given

    def _tolerance(self, n_rows: int) -> float:
        """A row."""
        if self.tol is None:
            return _OWN_TOL if self.n_iter is None else 1e-2 / n_rows
        return check_real(self.tol, "tol") / (1 if self.n_iter is None else n_rows)

    def _n_iterations(self) -> int:
        return int(self.max_iter if self.n_iter is None else self.n_iter)

    def _check_parameters(self) -> None:
        check_integer(self.n_components, "n_components", 1)
        check_integer(self.max_iter, "max_iter", 0)
        check_integer(self.n_init, "n_init", 1)
        if self.n_iter is not None:
            check_integer(self.n_iter, "n_iter", 0)
        _ = self._tolerance(1)
        check_choice(self.algorithm, "algorithm", ("viterbi", "map"))
        check_choice(self.missing, "missing", MISSING)
        if isinstance(self.init, str):
            check_choice(self.init, "init", INIT_METHODS)
        for name in "params", "init_params":
            unknown = set(getattr(self, name)) - {"s", "t", *self._letters}
            if unknown:
                letters = "".join(("s", "t", *self._letters))
                raise ValueError(f"{name} holds letters of {letters!r}; got {getattr(self, name)!r}")
        if self.n_threads is not None:
            check_integer(self.n_threads, "n_threads", 1)
        if self.callback is not None and not callable(self.callback):
            raise ValueError(f"callback must be callable or None; got {self.callback!r}")

    def _checked_table(self, X: Any) -> np.ndarray:
        table = super()._checked_table(X)
        check_entries(table, self._family().entries, "X")
        return table

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        kind = ENTRIES[self._family().entries]
        tags.input_tags.positive_only = kind.is_amount
        tags.input_tags.categorical = kind.is_whole
        return tags

    def _take(self, result: RunResult, features: Mapping[str, Any], **also: Any) -> None:
        parameters: HiddenMarkov = result.parameters
        family = parameters.family
        taken = {
            **{f"{name}_": array for name, array in family.arrays(parameters.emissions).items() if name != "weights"},
            **features,
            "startprob_": parameters.start,
            "transmat_": parameters.transitions,
            "_fitted_family": family,
            "stop_reason_": result.reason,
            "converged_": result.reason is StopReason.CONVERGED,
            "n_iter_": result.n_iter,
            "lower_bound_": result.objective,
            "lower_bounds_": list(result.objectives),
            "n_collapsed_runs_": 0,
        }
        kept = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        self.__dict__ = kept | taken | also

    def _parameters(self) -> HiddenMarkov:
        """Those of the attributes as they are now, which a user may have set."""
        family = self._family()
        names = [name for name in family.domains if name != "weights"]
        missing = [name for name in ("startprob", "transmat", *names) if not hasattr(self, f"{name}_")]
        if missing:
            self._check_fitted()
            raise ValueError(f"{', '.join(f'{name}_' for name in missing)} are not set: fit the model, or set them")
        n = len(self.startprob_)
        arrays = {name: getattr(self, f"{name}_") for name in names}
        emissions = family.from_arrays({"weights": np.full(n, 1.0 / n), **arrays})
        return HiddenMarkov(
            checked_probabilities(self.startprob_, "startprob_", (n,)),
            checked_probabilities(self.transmat_, "transmat_", (n, n)),
            with_weights_of_one(emissions),
        )

    def _sequences_of(self, X: Any, lengths: Any) -> tuple[ArrayRows, Sequences]:
        X, lengths = _as_table(X, lengths)
        if not self.__sklearn_is_fitted__():  # parameters may have been set by hand
            parameters = self._parameters()
            self.n_features_in_ = parameters.family.n_features(parameters.emissions)
        rows = make_rows(self._rows_to_evaluate(X))
        return rows, Sequences.of(lengths, rows.n_rows)

    def _to_model_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return stored_hidden_markov(self)

    @classmethod
    def _from_model_file(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
        return read_hidden_markov(cls, header, arrays)


def _as_table(X: Any, lengths: Any) -> tuple[Any, Any]:
    """X, or a list of sequences as one table and their lengths."""
    if isinstance(X, (list, tuple)) and X and all(isinstance(each, np.ndarray) and each.ndim == 2 for each in X):
        if lengths is not None:
            raise ValueError("X is a list of sequences, which says how long they are: leave lengths out")
        lengths = [len(each) for each in X]
        X = np.concatenate(X)
    return X, lengths


def checked_probabilities(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Rows that sum to 1 (within 1e-6), none of their entries negative."""
    array = as_parameter_array(value, name, shape)
    sums = array.sum(axis=-1)
    if (array < 0).any() or (np.abs(sums - 1.0) > 1e-6).any():
        raise ValueError(f"{name} must hold probabilities that sum to 1{' in each row' if len(shape) > 1 else ''}")
    # What is known stays to the bit, where no more than rounding is wrong with it.
    return np.where(np.abs(sums - 1.0)[..., None] > 1e-12, array / sums[..., None], array)


def _checked_prior(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray | float:
    array = np.asarray(value, dtype=np.float64)
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} must be a number or broadcast to shape {shape}; got shape {array.shape}") from None
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name} must hold finite numbers, none negative; got {value!r}")
    return array
