"""Student t components: parameters and M-step.

The M-step is that of the parameter-expanded EM algorithm (Liu, Rubin and Wu 1998): scale matrices are divided by the sum of
r u, not of r, and degrees of freedom solve log(nu / 2) - digamma(nu / 2) = log a + mean(u) / a - 1 - mean(E[log u]), where the
means are over a component's rows and a is the mean of u that scale matrices were divided by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from fastmix.data.validation import check_choice
from fastmix.families.base import Family
from fastmix.families.domains import Domain, Positive, Simplex
from fastmix.families.domains import Real as RealNumbers
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.covariance_types import GAUSSIAN_FAMILIES, gaussian_family
from fastmix.families.special import log_less_digamma, log_rising, root_of_decreasing
from fastmix.families.statistics import Statistics
from fastmix.families.student_t.kernel import StudentTKernel
from fastmix.families.student_t.missing import StudentTJoint

# Bounds of degrees of freedom that are estimated.
LEAST_DOF, MOST_DOF = 0.1, 200.0
# A start that takes outliers for what they are (three groups of velocities of galaxies: the maximum is found from 1 in 12 of 20
# starts, from 4 in 2).
START_DOF = 1.0
# What components share is pooled after an M-step of each by itself.
_BY_COMPONENT = {"tied": "full", "tied_diag": "diag", "tied_spherical": "spherical"}


@dataclass(frozen=True, eq=False)
class StudentTParameters:
    """Parameters of a Student t mixture.

    Attributes
    ----------
    family : a ``StudentT``.
    weights, means : as of a Gaussian mixture.
    scale_matrices : of the shape of its covariances; a covariance
        is nu / (nu - 2) times as large.
    dof : (K,) degrees of freedom nu.
    """

    family: StudentT
    weights: np.ndarray
    means: np.ndarray
    scale_matrices: np.ndarray
    dof: np.ndarray

    @cached_property
    def gaussian(self) -> GaussianParameters:
        """The Gaussians with these means and scale matrices, each with its own."""
        return GaussianParameters(
            self.family.by_component,
            self.weights,
            self.means,
            self.family.expanded(self.scale_matrices, len(self.weights)),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "gaussian"}


class StudentT(Family):
    """Student t components.

    Parameters
    ----------
    covariance_type : what scale matrices look like, as of Gaussians.
    dof : "common" or "own" degrees of freedom, estimated; or what they are, known.
    """

    name = "student_t"
    kernel_class = StudentTKernel
    parameters_class = StudentTParameters
    n_carried = 2

    def __init__(self, covariance_type: str = "full", dof: str | float = "common"):
        self.covariance_type = covariance_type
        if not isinstance(dof, str) and not (isinstance(dof, Real) and 0 < float(dof) < np.inf):
            raise ValueError(f"dof must be 'common', 'own' or a positive number; got {dof!r}")
        self.dof = check_choice(dof, "dof", ("common", "own")) if isinstance(dof, str) else float(dof)
        self.gaussian = gaussian_family(covariance_type)
        self.tied = covariance_type in _BY_COMPONENT
        self.by_component: GaussianFamily = GAUSSIAN_FAMILIES[_BY_COMPONENT.get(covariance_type, covariance_type)]

    @property
    def domains(self) -> Mapping[str, Domain]:  # type: ignore[override]  # the covariance type says it
        return {
            "weights": Simplex("K"),
            "means": RealNumbers("K", "D"),
            "scale_matrices": self.gaussian.covariances_domain,
            "dof": Positive("K"),
        }

    def expanded(self, covariances: np.ndarray, n_components: int) -> np.ndarray:
        """One for each component."""
        return np.repeat(covariances[None], n_components, axis=0) if self.tied else covariances

    def n_statistics(self, n_features: int) -> int:
        return 2 + self.by_component.n_statistics(n_features)

    def n_work_rows(self, n_features: int) -> int:
        return self.by_component.n_work_rows(n_features) + 1

    def longest_tile(self, n_features: int, itemsize: int = 8) -> int:
        return self.by_component.longest_tile(n_features, itemsize)

    def n_free_parameters(self, parameters: StudentTParameters) -> int:
        of_dof = 0 if not isinstance(self.dof, str) else 1 if self.dof == "common" else len(parameters.dof)
        return super().n_free_parameters(parameters) - len(parameters.dof) + of_dof

    def n_parameters_a_component(self, parameters: StudentTParameters) -> int:
        return super().n_parameters_a_component(parameters) - (self.dof != "own")

    def constants(self, parameters: StudentTParameters, n_features: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """(Logarithms of ratios of gamma functions, E[log u] where delta is 0), of n features; see ``StudentTJoint``."""
        dof = parameters.dof[:, None]
        half = 0.5 * (dof + n_features)
        ratios = log_rising(np.broadcast_to(0.5 * dof, half.shape), np.broadcast_to(0.5 * n_features, half.shape))
        return ratios, np.log(2.0 * half / dof) - log_less_digamma(half)

    def kernel_parameters(self, parameters: StudentTParameters) -> StudentTKernel:
        gaussian, n_features = parameters.gaussian, parameters.means.shape[1]
        ratios, expected_logs = self.constants(parameters, n_features)
        # (2 pi)^(-D/2) is the Gaussian's; the t has (nu pi)^(-D/2), of which (nu / 2)^(-D/2) is in the ratios.
        constants = gaussian.family.log_constants(gaussian)
        kernel = gaussian.kernel._replace(log_constants=np.zeros(len(parameters.weights)))
        return StudentTKernel(
            kernel,
            parameters.dof,
            0.5 * (parameters.dof + n_features),
            constants + ratios[:, 0],
            np.ascontiguousarray(expected_logs[:, 0]),
        )

    def joint_parameters(self, parameters: StudentTParameters, kernel: StudentTKernel) -> StudentTJoint:
        gaussian = parameters.gaussian
        joint = gaussian.family.joint_parameters(gaussian, gaussian.kernel)
        return StudentTJoint(
            joint, joint.means, parameters.dof, *self.constants(parameters, np.arange(parameters.means.shape[1] + 1.0))
        )

    def _gaussian_statistics(self, statistics: Statistics) -> Statistics:
        """Those of the Gaussian, of rows with the weights r u."""
        components = np.concatenate([statistics.components[:, 1:2], statistics.components[:, 3:]], axis=1)
        return Statistics(
            self.by_component, statistics.centre.gaussian, components, np.empty(0), 0.0, 0.0, statistics.total_weight
        )

    def maximize(self, statistics: Statistics, reg_covar: np.ndarray | float = 0.0) -> StudentTParameters:
        """See above. A component without rows keeps its parameters.

        Raises
        ------
        CollapsedError : if a scale matrix is not positive definite.
        """
        before, counts = statistics.centre, statistics.counts
        found = self.by_component.maximize(self._gaussian_statistics(statistics), 0.0 if self.tied else reg_covar)
        alive = counts > 0
        n = np.where(alive, counts, 1.0)
        mean_u, mean_log_u = (statistics.components[:, i] / n for i in (1, 2))
        scale, covariances = mean_u, found.covariances
        if self.tied:
            shares = counts * before.dof
            scale = np.full(len(counts), (shares * mean_u).sum() / shares.sum())
            of_all = np.tensordot(counts * mean_u, covariances, axes=1) / (counts.sum() * scale[0])
            covariances = self._with_floor(of_all, reg_covar)
        dof = before.dof
        if isinstance(self.dof, str):
            scale = np.where(alive, scale, 1.0)
            gaps = np.log(scale) + mean_u / scale - 1.0 - mean_log_u
            dof = self._degrees_of_freedom(gaps, counts, before.dof)
        return StudentTParameters(self, counts / counts.sum(), found.means, covariances, dof)

    def _with_floor(self, covariances: np.ndarray, reg_covar: np.ndarray | float) -> np.ndarray:
        if self.covariance_type == "tied":
            return covariances + np.diag(np.broadcast_to(reg_covar, (len(covariances),)))
        return np.asarray(covariances + (np.mean(reg_covar) if covariances.ndim == 0 else reg_covar))

    def _degrees_of_freedom(self, gaps: np.ndarray, counts: np.ndarray, before: np.ndarray) -> np.ndarray:
        if self.dof == "common":
            gaps, start = np.array([(counts * gaps).sum() / counts.sum()]), before[:1]
        else:
            start = before
        found = root_of_decreasing(lambda nu: log_less_digamma(0.5 * nu) - gaps, LEAST_DOF, MOST_DOF, start)
        return np.full(len(counts), found[0]) if self.dof == "common" else np.where(counts > 0, found, before)

    def recentre(self, statistics: Statistics, centre: StudentTParameters) -> Statistics:
        """Moments about other means. The weights u stay those of the parameters that the rows met."""
        moved = self.by_component.recentre(self._gaussian_statistics(statistics), centre.gaussian)
        components = np.concatenate([statistics.components[:, :3], moved.components[:, 1:]], axis=1)
        return statistics.recentred(components, centre)

    def expected_statistics(self, parameters: StudentTParameters, reg_covar: np.ndarray | float = 0.0) -> Statistics:
        found = super().expected_statistics(parameters)
        inner = self.by_component.expected_statistics(parameters.gaussian, reg_covar=reg_covar).components
        weights = parameters.weights
        found.components[:, 0] = found.components[:, 1] = weights
        found.components[:, 2] = -weights * log_less_digamma(0.5 * parameters.dof)
        found.components[:, 3:] = inner[:, 1:]
        return found

    def neutral(self, n_components: int, n_features: int) -> StudentTParameters:
        found: StudentTParameters = super().neutral(n_components, n_features)
        return replace(found, dof=np.full(n_components, START_DOF if isinstance(self.dof, str) else self.dof))

    def draw(self, parameters: StudentTParameters, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        u = generator.chisquare(parameters.dof[k], n_rows) / parameters.dof[k]
        noise = generator.standard_normal((n_rows, parameters.means.shape[1]))
        gaussian = parameters.gaussian
        return parameters.means[k] + gaussian.family.apply(gaussian, k, noise) / np.sqrt(u)[:, None]
