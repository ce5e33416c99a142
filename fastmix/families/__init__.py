"""Families: what a component is. Parameters <-> kernel parameters, statistics -> parameters, sampling."""

from __future__ import annotations

from fastmix.families.base import Family, Statistics
from fastmix.families.gaussian import GaussianFamily, GaussianParameters
from fastmix.families.gaussian_diagonal import DiagonalGaussian
from fastmix.families.gaussian_full import FullGaussian
from fastmix.families.gaussian_tied import TiedGaussian

__all__ = ["GAUSSIAN_FAMILIES", "Family", "GaussianFamily", "GaussianParameters", "Statistics", "gaussian_family"]

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
