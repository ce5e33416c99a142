"""fastmix: mixture models fitted by expectation-maximisation, on all cores, in one pass over the rows an iteration."""

from fastmix import backend, conditional, datasets
from fastmix._version import __version__
from fastmix.engines.loop import FitState, StopReason
from fastmix.estimators.fit_each import FittedGroups, fit_each
from fastmix.estimators.gaussian_mixture import GaussianMixture
from fastmix.estimators.kmeans import KMeans
from fastmix.estimators.mixture import Mixture
from fastmix.estimators.modelfile import ModelFileError, load
from fastmix.estimators.prior import Prior
from fastmix.estimators.soft_kmeans import SoftKMeans
from fastmix.estimators.warm import warmup
from fastmix.exceptions import CollapsedError, ConvergenceWarning, NotFittedError
from fastmix.fitting.options import Batch, Checkpoint, Incremental, Online, Sparse
from fastmix.profiling import profile

__all__ = [
    "Batch",
    "Checkpoint",
    "CollapsedError",
    "ConvergenceWarning",
    "FitState",
    "FittedGroups",
    "GaussianMixture",
    "Incremental",
    "KMeans",
    "Mixture",
    "ModelFileError",
    "NotFittedError",
    "Online",
    "Prior",
    "SoftKMeans",
    "Sparse",
    "StopReason",
    "__version__",
    "backend",
    "conditional",
    "datasets",
    "fit_each",
    "load",
    "profile",
    "warmup",
]
