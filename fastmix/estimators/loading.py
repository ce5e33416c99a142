"""Reading models of any class: every class that a file may name is imported here, and so says its name."""

import fastmix.estimators.gaussian_mixture
import fastmix.estimators.kmeans
import fastmix.estimators.mixture
import fastmix.estimators.soft_kmeans  # noqa: F401
from fastmix.estimators.modelfile import load, read_model

__all__ = ["load", "read_model"]
