"""The families of Gaussians, by what a covariance looks like."""

from __future__ import annotations

from fastmix.families.gaussian.base import GaussianFamily
from fastmix.families.gaussian.diagonal import DiagonalGaussian
from fastmix.families.gaussian.full import FullGaussian
from fastmix.families.gaussian.tied import TiedGaussian

GAUSSIAN_FAMILIES: dict[str, GaussianFamily] = {
    family.name: family
    for family in (
        FullGaussian(),
        TiedGaussian(),
        DiagonalGaussian("diag", tied=False, spherical=False),
        DiagonalGaussian("spherical", tied=False, spherical=True),
        DiagonalGaussian("tied_diag", tied=True, spherical=False),
        DiagonalGaussian("tied_spherical", tied=True, spherical=True),
    )
}


def gaussian_family(covariance_type: str) -> GaussianFamily:
    """The family of Gaussians of a ``covariance_type``; ValueError where there is none of that name."""
    if not isinstance(covariance_type, str) or covariance_type not in GAUSSIAN_FAMILIES:
        raise ValueError(f"covariance_type must be one of {', '.join(GAUSSIAN_FAMILIES)}; got {covariance_type!r}")
    return GAUSSIAN_FAMILIES[covariance_type]
