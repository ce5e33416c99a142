"""Mixtures of any family."""

from __future__ import annotations

from typing import Any

from fastmix.engines.loop import Callback
from fastmix.estimators.family_mixture import FamilyMixture
from fastmix.estimators.modelfile import MODELS
from fastmix.families.base import Family


@MODELS.add
class Mixture(FamilyMixture):
    """Mixture of components of any family, a family of one's own included (docs/architecture.md builds one).

    Parameters
    ----------
    family : Family
        What a component is.
    n_components : int, default 1
        K, the number of components.
    tol : float, default 1e-3
        Converged when the mean log-likelihood a row (nats) changes by less.
    max_iter : int, default 100
        Most iterations of a run.
    n_init : int, default 1
        Number of starts; the one with the best likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array, default "kmeans"
        How a run starts. "kmeans": several clusterings of a subsample (``Family.embed`` says where), short runs of EM, the
        likeliest goes on; "k-means++": one of them; "random_from_data": clusters about random rows; "random": random
        responsibilities; responsibilities (N, K), or rows (K, D) to cluster about, or ``f(X, n_components, generator)`` that
        returns one of these.
    random_state : None, int, SeedSequence, Generator or RandomState, default None
        Seed; an int makes fits repeat to the last bit, whatever the number of threads.
    warm_start, verbose, algorithm, accelerate, component_labels, label_noise, checkpoint, n_threads, callback :
        As for ``GaussianMixture``.
    missing : {"error", "em"}, default "error"
        As for ``GaussianMixture``; "em" for families that take missing entries.
    dtype : {"float64", "float32"}, default "float64"
        As for ``GaussianMixture``; "float32" for families that are computed in it.

    Attributes
    ----------
    weights_ : (K,) array, and the other arrays of the family's parameters, by their names with an underscore
    converged_, stop_reason_, n_iter_, algorithm_, lower_bound_, lower_bounds_, n_collapsed_runs_, n_features_in_ :
        As for ``GaussianMixture``.
    n_collapsed_components_ : int
        Components without any weight.
    """

    def __init__(
        self,
        family: Family,
        n_components: int = 1,
        *,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        algorithm: Any = "auto",
        accelerate: str | None = None,
        missing: str = "error",
        component_labels: Any = None,
        label_noise: Any = None,
        checkpoint: Any = None,
        dtype: str = "float64",
        n_threads: int | None = None,
        callback: Callback | None = None,
    ):
        self.family = family
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.missing = missing
        self.component_labels = component_labels
        self.label_noise = label_noise
        self.checkpoint = checkpoint
        self.dtype = dtype
        self.n_threads = n_threads
        self.callback = callback

    @classmethod
    def from_parameters(cls, family: Family, **arrays: Any) -> Mixture:
        """A model with given parameters, that scores and samples at once.

        Parameters
        ----------
        family : what a component is.
        **arrays : those of the family's parameters by name, ``weights`` among them.

        Raises
        ------
        ValueError : arrays that are missing, do not fit each other, or hold what they may not.
        """
        return cls(family)._taken_from(_checked_family(family), arrays)

    def _family(self) -> Family:
        return _checked_family(self.family)


def _checked_family(family: Any) -> Family:
    if isinstance(family, type) or not hasattr(family, "kernel_class"):
        raise ValueError(
            f"family must be a fastmix family, an instance of a subclass of fastmix.families.base.Family; got {family!r}"
        )
    checked: Family = family
    return checked
