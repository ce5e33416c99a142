"""Hidden Markov models of any family of emissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastmix.estimators.hidden_markov_base import HiddenMarkovModelBase
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family


@MODELS.add
class HiddenMarkovModel(HiddenMarkovModelBase):
    """Hidden Markov model whose emissions are of any family.

    Parameters
    ----------
    family : Family
        What a row is like in a state.
    n_components : int, default 1
        K, the number of states.
    max_iter : int, default 200
        Most iterations of a run.
    tol : float, optional, default 1e-6
        Converged when the objective a row (nats) changes by less; with ``n_iter``, when the total does (default 1e-2).
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How emissions begin, as ``init_params`` of ``Mixture``; transitions follow from consecutive responsibilities.
    n_iter : int, optional
        hmmlearn's name: as ``max_iter``, with hmmlearn's meaning of ``tol``.
    params, init_params : str, default "ste"
        What is estimated, and what a fit makes its start from the data for: "s" start, "t" transitions, "e" emissions. What is
        not in ``init_params`` begins with the attributes as they are.
    startprob_prior, transmat_prior : float or array, default 1.0
        Parameters of Dirichlet densities; 1: none.
    startprob_init, transmat_init : array, optional
        Where the chain begins, (K,) and (K, K); what is 0 stays 0.
    emissions_init : mapping, optional
        Arrays of the family to begin with, by name.
    algorithm : {"viterbi", "map"}, default "viterbi"
        Of ``decode`` and ``predict``: the likeliest path, or the likeliest state of each row.
    missing : {"error", "em"}, default "error"
        "em": NaN is a missing entry, of a whole row, too, if the family takes that. Memory then grows with N K.
    random_state, checkpoint, n_threads, verbose, callback :
        As for ``GaussianMixture``.

    Attributes
    ----------
    startprob_ : (K,) array
    transmat_ : (K, K) array, from row to column
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``. The arrays of the family are attributes, too, by their names with an underscore.
    """

    def __init__(
        self,
        family: Family,
        n_components: int = 1,
        *,
        max_iter: int = 200,
        tol: float | None = None,
        n_init: int = 1,
        init: Any = "kmeans",
        n_iter: int | None = None,
        params: str = "ste",
        init_params: str = "ste",
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        startprob_init: Any = None,
        transmat_init: Any = None,
        emissions_init: Mapping[str, Any] | None = None,
        algorithm: str = "viterbi",
        random_state: Any = None,
        missing: str = "error",
        checkpoint: Any = None,
        n_threads: int | None = None,
        verbose: Any = 0,
        callback: Callable | None = None,
    ):
        self.family = family
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.init = init
        self.n_iter = n_iter
        self.params = params
        self.init_params = init_params
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.startprob_init = startprob_init
        self.transmat_init = transmat_init
        self.emissions_init = emissions_init
        self.algorithm = algorithm
        self.random_state = random_state
        self.missing = missing
        self.checkpoint = checkpoint
        self.n_threads = n_threads
        self.verbose = verbose
        self.callback = callback

    @property
    def _letters(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        return {"e": tuple(name for name in self._family().domains if name != "weights")}

    def _family(self) -> Family:
        if isinstance(self.family, type) or not hasattr(self.family, "kernel_class"):
            raise ValueError(
                "family must be a fastmix family, an instance of a subclass of fastmix.families.base.Family; got "
                f"{self.family!r}"
            )
        return self.family

    def _emissions_init(self, n_features: int) -> dict[str, np.ndarray]:
        given = dict(self.emissions_init or {})
        unknown = set(given) - set(self._family().domains)
        if unknown:
            raise ValueError(f"emissions_init has {sorted(unknown)}, which the family {self.family.name!r} has not")
        return {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}
