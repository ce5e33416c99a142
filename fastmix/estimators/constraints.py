"""Known parameters and priors of a mixture: what users may give, and the update rule that follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from fastmix.data.streams import Source, Streamed
from fastmix.data.validation import as_array, as_weights
from fastmix.estimators.prior import MCLUST, Prior, gaussian_prior
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.families.gaussian.rule import GaussianRule, Known
from fastmix.fitting.choice import ONLINE
from fastmix.starts.initialize import given_parameters

# What may be known, and the argument that says what it is.
_SAID_BY = {"weights": "weights_init", "means": "means_init", "covariances": "precisions_init"}
_WANTED = (
    "a collection of names among 'weights', 'means' and 'covariances', or a dict of these to True or (K,) bool masks"
)


def check_constraints(model: Any) -> None:
    """ValueError for ``fixed`` or ``prior`` that cannot be, or that the engine asked for does not take."""
    masks_of(model.fixed, model.n_components, model.covariance_type)
    prior = model.prior
    if prior is None:
        return
    if not isinstance(prior, Prior) and not (isinstance(prior, str) and prior == MCLUST):
        raise ValueError(f"prior must be None, {MCLUST!r} or a fastmix.Prior; got {prior!r}")
    if model.algorithm == ONLINE:
        raise ValueError(
            f"prior={prior!r} is for fits to a known number of rows, but algorithm={ONLINE!r} forgets them; use another "
            "algorithm, or prior=None"
        )


def check_unconstrained(model: Any) -> None:
    """ValueError where ``partial_fit`` is asked to know parameters or to have a prior."""
    for name in ("fixed", "prior"):
        if getattr(model, name) is not None:
            raise ValueError(
                f"partial_fit estimates all parameters by maximum likelihood, but {name} is {getattr(model, name)!r}; set it "
                "to None, or use fit"
            )


def masks_of(fixed: Any, n_components: int, covariance_type: str) -> dict[str, np.ndarray]:
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
    n_known = int(masks["covariances"].sum())
    if gaussian_family(covariance_type).tied and 0 < n_known < n_components:
        raise ValueError(
            f"fixed['covariances'] names {n_known} of {n_components} components, but with covariance_type {covariance_type!r} "
            "they share what is known or is not: use True, or a covariance type without 'tied'"
        )
    return masks if any(mask.any() for mask in masks.values()) else {}


def rule_for(model: Any, rows: Source, sample_weight: Any, begun_with: GaussianParameters | None) -> GaussianRule:
    """The update rule of a fit.

    Parameters
    ----------
    begun_with : parameters of an earlier fit that this one goes on from, if it does; else those given for the start are known.

    Raises
    ------
    ValueError : a known parameter that was not given, or a prior that does not fit the rows.
    """
    family = gaussian_family(model.covariance_type)
    known = _known(model, rows.n_features, begun_with)
    if model.prior is None:
        return GaussianRule(known, reg_covar=model.reg_covar)
    unit = rows.unit if isinstance(rows, Streamed) else _largest(sample_weight, rows.n_rows)
    prior = gaussian_prior(model.prior, family, model.n_components, rows, unit)
    if known is not None and prior.concentration is not None:
        impossible = known.weights & (known.values.weights == 0) & (prior.concentration > 1)
        if impossible.any():
            raise ValueError(
                f"the known weight of component {int(impossible.argmax())} is 0, where the prior's weight_concentration "
                "above 1 leaves no density; use a weight_concentration of 1 there, or leave the component out"
            )
    return GaussianRule(known, prior, model.reg_covar)


def _known(model: Any, n_features: int, begun_with: GaussianParameters | None) -> Known | None:
    """What is known of the parameters, None for nothing."""
    masks = masks_of(model.fixed, model.n_components, model.covariance_type)
    if not masks:
        return None
    if begun_with is not None:
        return Known(**masks, values=begun_with)
    family, n_components = gaussian_family(model.covariance_type), model.n_components
    for name, argument in _SAID_BY.items():
        if masks[name].any() and getattr(model, argument) is None:
            raise ValueError(
                f"fixed names {name!r}, but {argument} is None: give what is known (for all components; where a mask is False it "
                "is where the fit starts), or set warm_start=True on a fitted model"
            )
    given = given_parameters(
        family, n_components, n_features, *(getattr(model, argument) for argument in _SAID_BY.values())
    )
    # What is not known is not looked at.
    nothing = {
        "weights": np.zeros(n_components),
        "means": np.zeros((n_components, n_features)),
        "covariances": np.zeros(family.covariance_shape(n_features, n_components)),
    }
    return Known(**masks, values=GaussianParameters(family, **{**nothing, **given}))


def _largest(sample_weight: Any, n_rows: int) -> float:
    """What weights are in units of."""
    weights = as_weights(sample_weight, n_rows)
    return 1.0 if weights is None else float(weights.max())
