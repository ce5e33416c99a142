"""Known parameters and priors of a mixture: what users may give."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from fastmix.data.validation import as_array
from fastmix.estimators.prior import MCLUST, Prior
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.families.gaussian.rule import Fixed
from fastmix.fitting.options import Algorithm, shortest

# What may be known, and the argument that says what it is.
_SAID_BY = {"weights": "weights_init", "means": "means_init", "covariances": "precisions_init"}
_WANTED = (
    "a collection of names among 'weights', 'means' and 'covariances', or a dict of these to True or (K,) bool masks"
)


def check_prior(prior: Any, algorithm: Algorithm | None) -> None:
    """ValueError for a ``prior`` that cannot be, or that the engine asked for does not take."""
    if prior is None:
        return
    if not isinstance(prior, Prior) and not (isinstance(prior, str) and prior == MCLUST):
        raise ValueError(f"prior must be None, {MCLUST!r} or a fastmix.Prior; got {prior!r}")
    if algorithm is not None and algorithm.is_online:
        raise ValueError(
            f"prior={prior!r} is for fits to a known number of rows, but algorithm={shortest(algorithm)!r} forgets them; use "
            "another algorithm, or prior=None"
        )


def masks_of(fixed: Any, n_components: int, family: GaussianFamily) -> dict[str, np.ndarray]:
    """For each of the three the components (K,) bool whose parameter ``fixed`` says is known; nothing where nothing is.

    Raises
    ------
    ValueError : other names, masks of another kind or shape, or some of the components where they share the covariance.
    """
    if fixed is None:
        return {}
    if isinstance(fixed, str) or not isinstance(fixed, Collection):
        remedy = f": write fixed={{{fixed!r}}}" if isinstance(fixed, str) and fixed in _SAID_BY else ""
        raise ValueError(f"fixed must be {_WANTED}; got {fixed!r}{remedy}")
    unknown = [name for name in fixed if not isinstance(name, str) or name not in _SAID_BY]
    if unknown:
        raise ValueError(f"fixed must be {_WANTED}; it names {unknown[0]!r}")
    given = dict(fixed) if isinstance(fixed, Mapping) else dict.fromkeys(fixed, True)
    masks = {}
    for name in _SAID_BY:
        mask = as_array(given.get(name, False), f"fixed[{name!r}]")
        if mask.dtype != bool or mask.shape not in ((), (n_components,)):
            raise ValueError(
                f"fixed[{name!r}] must be True or a mask of shape {(n_components,)} and dtype bool, one entry a component; got "
                f"shape {mask.shape} and dtype {mask.dtype}"
            )
        masks[name] = np.array(np.broadcast_to(mask, (n_components,)))
    n_fixed = int(masks["covariances"].sum())
    if family.tied and 0 < n_fixed < n_components:
        raise ValueError(
            f"fixed['covariances'] names {n_fixed} of {n_components} components, but with covariance_type {family.name!r} "
            "they share what is known or is not: use True, or a covariance type without 'tied'"
        )
    return masks if any(mask.any() for mask in masks.values()) else {}


def check_given(masks: Mapping[str, np.ndarray], given: Mapping[str, Any]) -> None:
    """ValueError where a parameter is known, but ``given`` does not have it."""
    for name, argument in _SAID_BY.items():
        if masks and masks[name].any() and name not in given:
            raise ValueError(
                f"fixed names {name!r}, but {argument} is None: give what is known (for all components; where a mask is False it "
                "is where the fit starts), or set warm_start=True on a fitted model"
            )


def fixed_among(
    masks: Mapping[str, np.ndarray],
    family: GaussianFamily,
    n_components: int,
    n_features: int,
    given: Mapping[str, Any],
) -> Fixed | None:
    """What is known of the parameters, None for nothing; ``given`` has their values, as far as there are any yet."""
    if not masks:
        return None
    # What is not known is not looked at.
    nothing = {
        "weights": np.zeros(n_components),
        "means": np.zeros((n_components, n_features)),
        "covariances": np.zeros(family.covariance_shape(n_features, n_components)),
    }
    return Fixed(**masks, values=GaussianParameters(family, **{**nothing, **given}))


def check_density(
    masks: Mapping[str, np.ndarray], weights: np.ndarray | None, concentration: np.ndarray | None
) -> None:
    """ValueError where a weight is known to be 0 to which the prior gives no density."""
    if not masks or weights is None or concentration is None:
        return
    impossible = masks["weights"] & (weights == 0) & (concentration > 1)
    if impossible.any():
        raise ValueError(
            f"the known weight of component {int(impossible.argmax())} is 0, where the prior's weight_concentration "
            "above 1 leaves no density; use a weight_concentration of 1 there, or leave the component out"
        )
