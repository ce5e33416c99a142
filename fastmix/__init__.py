"""fastmix: mixture models fitted by expectation-maximisation, on all cores, in one pass over the rows an iteration.

What is named here is imported when it is first asked for: a program that fits Gaussian mixtures loads no other estimator.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastmix._version import __version__

if TYPE_CHECKING:
    from fastmix import backend, conditional, datasets
    from fastmix.engines.loop import FitState, StopReason
    from fastmix.estimators.bernoulli_mixture import BernoulliMixture
    from fastmix.estimators.categorical_mixture import CategoricalMixture
    from fastmix.estimators.exponential_mixture import ExponentialMixture
    from fastmix.estimators.fit_each import FittedGroups, fit_each
    from fastmix.estimators.gamma_mixture import GammaMixture
    from fastmix.estimators.gaussian_hmm import GaussianHMM
    from fastmix.estimators.gaussian_mixture import GaussianMixture
    from fastmix.estimators.hidden_markov import HiddenMarkovModel
    from fastmix.estimators.kmeans import KMeans
    from fastmix.estimators.loading import load
    from fastmix.estimators.mixed_mixture import MixedMixture
    from fastmix.estimators.mixture import Mixture
    from fastmix.estimators.modelfile import ModelFileError
    from fastmix.estimators.negative_binomial_mixture import NegativeBinomialMixture
    from fastmix.estimators.poisson_mixture import PoissonMixture
    from fastmix.estimators.prior import Prior
    from fastmix.estimators.soft_kmeans import SoftKMeans
    from fastmix.estimators.student_t_mixture import StudentTMixture
    from fastmix.estimators.warm import warmup
    from fastmix.exceptions import CollapsedError, ConvergenceWarning, ModelError, NotFittedError
    from fastmix.fitting.check_em import check_em
    from fastmix.fitting.em import Diagnostics, EMResult, em
    from fastmix.fitting.options import Batch, Checkpoint, Incremental, Online, Sparse
    from fastmix.profiling import profile

# The module of each name; of a module itself none.
_MODULES = {
    "MixedMixture": "fastmix.estimators.mixed_mixture",
    "StudentTMixture": "fastmix.estimators.student_t_mixture",
    "PoissonMixture": "fastmix.estimators.poisson_mixture",
    "NegativeBinomialMixture": "fastmix.estimators.negative_binomial_mixture",
    "GammaMixture": "fastmix.estimators.gamma_mixture",
    "ExponentialMixture": "fastmix.estimators.exponential_mixture",
    "CategoricalMixture": "fastmix.estimators.categorical_mixture",
    "BernoulliMixture": "fastmix.estimators.bernoulli_mixture",
    "Batch": "fastmix.fitting.options",
    "Checkpoint": "fastmix.fitting.options",
    "CollapsedError": "fastmix.exceptions",
    "ConvergenceWarning": "fastmix.exceptions",
    "Diagnostics": "fastmix.fitting.em",
    "EMResult": "fastmix.fitting.em",
    "FitState": "fastmix.engines.loop",
    "FittedGroups": "fastmix.estimators.fit_each",
    "GaussianHMM": "fastmix.estimators.gaussian_hmm",
    "GaussianMixture": "fastmix.estimators.gaussian_mixture",
    "HiddenMarkovModel": "fastmix.estimators.hidden_markov",
    "Incremental": "fastmix.fitting.options",
    "KMeans": "fastmix.estimators.kmeans",
    "Mixture": "fastmix.estimators.mixture",
    "ModelError": "fastmix.exceptions",
    "ModelFileError": "fastmix.estimators.modelfile",
    "NotFittedError": "fastmix.exceptions",
    "Online": "fastmix.fitting.options",
    "Prior": "fastmix.estimators.prior",
    "SoftKMeans": "fastmix.estimators.soft_kmeans",
    "Sparse": "fastmix.fitting.options",
    "StopReason": "fastmix.engines.loop",
    "backend": "",
    "check_em": "fastmix.fitting.check_em",
    "conditional": "",
    "datasets": "",
    "em": "fastmix.fitting.em",
    "fit_each": "fastmix.estimators.fit_each",
    "load": "fastmix.estimators.loading",
    "profile": "fastmix.profiling",
    "warmup": "fastmix.estimators.warm",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fastmix' has no attribute {name!r}")
    module = _MODULES[name]
    found = getattr(import_module(module), name) if module else import_module(f"fastmix.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
