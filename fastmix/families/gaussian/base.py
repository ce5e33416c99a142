"""What all Gaussian families share: their parameters and the M-step for weights and means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fastmix.families.base import Family, Reach, finite_log
from fastmix.families.domains import Domain, Real, Simplex
from fastmix.families.gaussian.compiled import maximized, point_error
from fastmix.families.gaussian.coordinates import from_gaussian_coordinates, gaussian_coordinates
from fastmix.families.gaussian.moments import mean_shifts
from fastmix.families.gaussian.splitting import SPLITTING, GaussianSplitting
from fastmix.families.statistics import Statistics
from fastmix.kernels.mixture.updating import Mixture

LOG_2PI = float(np.log(2 * np.pi))
# More than what rounding takes off a norm.
_ABOVE_ROUNDING = 1.0 + 1e-6


@dataclass(frozen=True, eq=False)
class GaussianParameters:
    """Parameters of a Gaussian mixture.

    Attributes
    ----------
    family : one of ``fastmix.families.gaussian.covariance_types.GAUSSIAN_FAMILIES``.
    weights : (K,), non-negative, sum 1.
    means : (K, D), in the units of the data.
    covariances : (K, D, D) full, (D, D) tied, (K, D) diag, (K,) spherical, (D,) tied_diag, () tied_spherical; squared units.
    """

    family: GaussianFamily
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    remade: ClassVar = ("kernel",)  # what no file holds: it follows from the rest, to the bit

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold."""
        return {name: value for name, value in vars(self).items() if name not in self.remade}

    @cached_property
    def cholesky(self) -> np.ndarray:
        """Lower Cholesky factors, or standard deviations where there is no matrix; of the shape of ``covariances``.

        Raises
        ------
        CollapsedError : if a covariance is not positive definite.
        """
        return self.family.cholesky(self.covariances)

    @classmethod
    def of(cls, family: GaussianFamily, mixture: Mixture) -> GaussianParameters:
        """The parameters of a mixture in the memory of compiled code, which is theirs from now on."""
        shape = family.covariance_shape(*mixture.means.shape[::-1])
        made = cls(family, mixture.weights, mixture.means, mixture.covariances.reshape(shape))
        made.__dict__["kernel"] = mixture.kernel
        return made

    @cached_property
    def kernel(self) -> Any:
        """Kernel parameters, which take longer to make than a row takes to evaluate.

        Raises
        ------
        CollapsedError : if a covariance is not positive definite.
        """
        return self.family.kernel_from(self)


class GaussianFamily(Family):
    """Base of the Gaussian families: a subclass knows how its covariances look.

    Attributes
    ----------
    covariances_domain : what ``covariances`` may hold.
    tied : components share their covariances.
    has_matrices : covariances are matrices, not variances.
    pools_features : features share a variance, so that a constant one does no harm.
    """

    parameters_class = GaussianParameters
    covariances_domain: Domain
    tied = False
    has_matrices = True
    pools_features = False

    @property
    def domains(self) -> Mapping[str, Domain]:  # type: ignore[override]  # the covariance type says it
        """See ``Family.domains``."""
        return {"weights": Simplex("K"), "means": Real("K", "D"), "covariances": self.covariances_domain}

    @property
    def splitting(self) -> GaussianSplitting | None:  # type: ignore[override]  # the covariance type says it
        """Components that share no covariance can be split and merged."""
        return None if self.tied else SPLITTING

    def covariance_shape(self, n_features: int, n_components: int) -> tuple[int, ...]:
        """Shape of ``covariances``."""
        lengths = {"K": n_components, "D": n_features}
        return tuple(lengths[axis] for axis in self.covariances_domain.axes)

    def n_covariance_parameters(self, n_features: int, n_components: int) -> int:
        """Number of free parameters in ``covariances``."""
        return self.covariances_domain.n_free(self.covariance_shape(n_features, n_components))

    def has_compiled_update(self, n_features: int) -> bool:
        """Whether M-steps run in compiled code: where Python would take longer than the pass, and LAPACK is not faster."""
        return False

    def kernel_memory(self, n_features: int, n_components: int, *jobs: int) -> Any:
        """Kernel parameters to be filled in, of one mixture or of several; for families that have a compiled update."""
        raise TypeError(f"the family {self.name!r} has no compiled update")

    @abstractmethod
    def kernel_from(self, parameters: GaussianParameters) -> Any:
        """Kernel parameters made anew; CollapsedError where a covariance is not positive definite."""

    def kernel_parameters(self, parameters: GaussianParameters) -> Any:
        """See ``Family.kernel_parameters``."""
        return parameters.kernel

    @abstractmethod
    def maximize_covariances(
        self, statistics: Statistics, shifts: np.ndarray, reg_covar: np.ndarray | float
    ) -> np.ndarray:
        """The M-step for covariances; ``shifts`` (K, D) are new minus previous means."""

    @abstractmethod
    def cholesky(self, covariances: np.ndarray) -> np.ndarray:
        """See ``GaussianParameters.cholesky``."""

    @abstractmethod
    def marginal_variances(self, covariances: np.ndarray) -> np.ndarray:
        """The variance of each component in each feature, (K, D) or what broadcasts to it."""

    @abstractmethod
    def log_determinants(self, parameters: GaussianParameters) -> np.ndarray:
        """log |Sigma_k|, (K,) or what broadcasts to it."""

    @abstractmethod
    def from_matrix(self, matrix: np.ndarray, n_components: int) -> np.ndarray:
        """``covariances`` that give each component a covariance (D, D), or variances (D,), as nearly as the type can say it."""

    @abstractmethod
    def precisions_cholesky(self, parameters: GaussianParameters) -> np.ndarray:
        """Upper triangular U with precision = U U^T (or 1 / standard deviation), of the shape of ``covariances``."""

    @abstractmethod
    def precisions(self, parameters: GaussianParameters) -> np.ndarray:
        """Inverse covariances, of the shape of ``covariances``."""

    @abstractmethod
    def covariances_from_precisions(self, precisions: np.ndarray) -> np.ndarray:
        """The inverse of ``precisions``."""

    @abstractmethod
    def steepness(self, parameters: GaussianParameters, units: np.ndarray) -> np.ndarray:
        """(K,) or what broadcasts to it: at least the largest singular value of A_k diag(units), Sigma_k^-1 = A_k^T A_k."""

    @abstractmethod
    def squared_distances(self, statistics: Statistics) -> np.ndarray:
        """Terms of the sum, over rows and components, of r (x - mu_k)^T Sigma_k^-1 (x - mu_k), at the statistics' centre."""

    @abstractmethod
    def apply(self, parameters: GaussianParameters, k: int, noise: np.ndarray) -> np.ndarray:
        """Give standard normal noise (n, D) the covariance of component k."""

    @abstractmethod
    def with_second_moments(self, statistics: Statistics, reg_covar: np.ndarray | float) -> Statistics:
        """``statistics`` with the second moments that the covariances of their centre expect of their counts."""

    def maximize(self, statistics: Statistics, reg_covar: np.ndarray | float = 0.0) -> GaussianParameters:
        """Bishop (2006), eqs. 9.24-9.26. A component without any mass gets weight 0 and keeps its mean.

        Raises
        ------
        CollapsedError : if a covariance is not positive definite.
        """
        counts = statistics.counts
        n_features = statistics.centre.means.shape[1]
        if self.has_compiled_update(n_features):
            found = maximized(self, statistics, np.full(n_features, reg_covar))
            return GaussianParameters.of(self, found)
        shifts = mean_shifts(statistics)
        parameters = GaussianParameters(
            family=self,
            weights=counts / counts.sum(),
            means=statistics.centre.means + shifts,
            covariances=self.maximize_covariances(statistics, shifts, reg_covar),
        )
        return not_collapsed(parameters, reg_covar)

    def expected_statistics(self, parameters: GaussianParameters, *, reg_covar: np.ndarray | float = 0.0) -> Statistics:
        """See ``Family.expected_statistics``: about the means first moments are 0, and second moments w_k Sigma_k.

        reg_covar : what the M-step will add, (D,) or a number.
        """
        expected = super().expected_statistics(parameters)
        expected.components[:, 0] = parameters.weights
        return self.with_second_moments(expected, reg_covar)

    def draw(self, parameters: GaussianParameters, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        """See ``Family.draw``."""
        noise = generator.standard_normal((n_rows, parameters.means.shape[1]))
        return parameters.means[k] + self.apply(parameters, k, noise)

    def log_constants(self, parameters: GaussianParameters) -> np.ndarray:
        """log w_k - D/2 log 2 pi - 1/2 log |Sigma_k|, (K,)."""
        n_features = parameters.means.shape[1]
        return finite_log(parameters.weights) - 0.5 * (n_features * LOG_2PI + self.log_determinants(parameters))

    def expected_log_joint(self, statistics: Statistics) -> tuple[float, float]:
        """See ``Family.expected_log_joint``; Bishop (2006), eq. 9.40."""
        alive = statistics.counts > 0
        constants = statistics.counts[alive] * self.log_constants(statistics.centre)[alive]
        distances = self.squared_distances(statistics)
        size = np.abs(constants).sum() + 0.5 * np.abs(distances).sum()
        return float(constants.sum() - 0.5 * distances.sum()), float(size)

    def reach(self, parameters: GaussianParameters) -> Reach:
        """See ``Family.reach``; a Gaussian's distance is |A_k (x - mu_k)|. Units are typical standard deviations."""
        variances = self.marginal_variances(parameters.covariances)
        units = np.broadcast_to(np.exp(0.5 * np.log(variances).mean(axis=0)), parameters.means.shape[1:]).copy()
        steepness = self.steepness(parameters, units) * _ABOVE_ROUNDING
        shape = parameters.weights.shape
        return Reach(self.log_constants(parameters), np.broadcast_to(steepness, shape).copy(), units)

    def in_float32(self, parameters: GaussianParameters) -> tuple[GaussianParameters, Any, np.ndarray]:
        """See ``Family.in_float32``; the origin is the mean of the mixture."""
        origin = np.einsum("k,kd->d", parameters.weights, parameters.means)  # not BLAS: it may sum in another order
        relative = (parameters.means - origin).astype(np.float32).astype(np.float64)
        kernel = self.kernel_parameters(_with_means(parameters, relative))
        fields = kernel._asdict().items()
        single = {name: field if name == "log_constants" else field.astype(np.float32) for name, field in fields}
        return _with_means(parameters, origin + relative), type(kernel)(**single), origin

    def coordinates(self, parameters: GaussianParameters, reference: GaussianParameters) -> np.ndarray:
        """See ``Family.coordinates``; the same for whatever units of the features."""
        return gaussian_coordinates(parameters, reference)

    def from_coordinates(self, vector: np.ndarray, reference: GaussianParameters) -> GaussianParameters:
        return from_gaussian_coordinates(vector, reference)

    def _recentred(self, statistics: Statistics, centre: GaussianParameters):
        """(statistics with first moments about the new means, shifts (K, D) of the means, previous first moments)."""
        n_features = centre.means.shape[1]
        shifts = centre.means - statistics.centre.means
        components = statistics.components.copy()
        first = statistics.components[:, 1 : 1 + n_features]
        components[:, 1 : 1 + n_features] -= statistics.counts[:, None] * shifts
        return replace(statistics, centre=centre, components=components), shifts, first


def not_collapsed(
    parameters: GaussianParameters, reg_covar: np.ndarray | float, known: np.ndarray | None = None
) -> GaussianParameters:
    """The parameters after an M-step, with their Cholesky factors, so that a collapse is found where it happens.

    Parameters
    ----------
    known : (K,) bool, components whose covariance is not estimated, and may be as small as it likes.
    """
    if not np.any(reg_covar):
        _check_not_a_point(parameters, known)
    _ = parameters.cholesky
    return parameters


def _check_not_a_point(parameters: GaussianParameters, known: np.ndarray | None) -> None:
    """Raise CollapsedError where a component has shrunk to one value, up to the rounding of its mean."""
    variances = parameters.family.marginal_variances(parameters.covariances)
    variances = np.broadcast_to(variances, parameters.means.shape)
    points = variances <= (8 * np.finfo(np.float64).eps * parameters.means) ** 2
    if known is not None:
        points &= ~known[:, None]
    if points.any():
        k, d = np.argwhere(points)[0]
        raise point_error(int(k), int(d), parameters.weights[k], parameters.means[k, d])


def _with_means(parameters: GaussianParameters, means: np.ndarray) -> GaussianParameters:
    """The same with other means, and with the Cholesky factors that are known already."""
    other = replace(parameters, means=means)
    other.__dict__["cholesky"] = parameters.cholesky
    return other
