"""Coordinates in which EM is extrapolated: there and back, always allowed, in the metric of the complete data."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from draws import matrix_of, random_mixture
from naive import COVARIANCE_TYPES, Mixture

from fastmix.families.base import Family
from fastmix.families.gaussian.base import GaussianParameters
from fastmix.families.gaussian.covariance_types import gaussian_family


def parameters(seed, covariance_type, n_components=4, n_features=3, scale=1.0):
    mixture = random_mixture(np.random.default_rng(seed), n_components, n_features, covariance_type, scale=scale)
    return GaussianParameters(gaussian_family(covariance_type), *mixture[:3])


def arrays(found):
    return found.weights, found.means, found.covariances


def relative_entropy(reference, other):
    """Of the distributions of a row together with its component, in nats, by the textbook's formula."""
    total = 0.0
    mixtures = [Mixture(*arrays(each), each.family.name) for each in (reference, other)]
    for k, weight in enumerate(reference.weights):
        here, there = (matrix_of(each, k) for each in mixtures)
        gap = reference.means[k] - other.means[k]
        ratio = np.linalg.solve(there, here)
        total += weight * np.log(weight / other.weights[k])
        total += weight * 0.5 * (np.trace(ratio) - len(gap) - np.log(np.linalg.det(ratio)))
        total += weight * 0.5 * gap @ np.linalg.solve(there, gap)
    return total


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_there_and_back(covariance_type):
    reference, other = parameters(0, covariance_type), parameters(1, covariance_type, scale=3.0)
    family = reference.family
    vector = family.coordinates(other, reference)
    for found, expected in zip(arrays(family.from_coordinates(vector, reference)), arrays(other), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(family.coordinates(reference, reference), 0.0, atol=1e-14)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_every_vector_stands_for_parameters(covariance_type):
    rng = np.random.default_rng(0)
    reference = parameters(0, covariance_type)
    family = reference.family
    for _ in range(20):
        vector = rng.normal(size=family.coordinates(reference, reference).shape)
        found = family.from_coordinates(vector, reference)
        assert found.weights.sum() == pytest.approx(1.0, abs=1e-14)
        assert (found.weights > 0).all()
        mixture = Mixture(*arrays(found), covariance_type)
        for k in range(4):
            assert (np.linalg.eigvalsh(matrix_of(mixture, k)) > 0).all()


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_short_distances_are_what_the_complete_data_say(covariance_type):
    reference = parameters(0, covariance_type)
    family = reference.family
    rng = np.random.default_rng(1)
    for _ in range(5):
        vector = 1e-3 * rng.normal(size=family.coordinates(reference, reference).shape)
        vector = family.coordinates(family.from_coordinates(vector, reference), reference)  # weights to sum 1
        entropy = relative_entropy(reference, family.from_coordinates(vector, reference))
        assert vector @ vector / 2 == pytest.approx(entropy, rel=0.02)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_units_do_not_matter(covariance_type):
    factor = 1e-4
    if covariance_type not in ("spherical", "tied_spherical"):
        factor = np.array([1e-4, 1.0, 1e6])
    scales = np.outer(factor, factor) if covariance_type in ("full", "tied") else factor**2

    def in_other_units(here):
        return GaussianParameters(here.family, here.weights, here.means * factor + 7.0, here.covariances * scales)

    reference, other = parameters(0, covariance_type), parameters(1, covariance_type)
    expected = reference.family.coordinates(other, reference)
    found = reference.family.coordinates(in_other_units(other), in_other_units(reference))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_components_without_mass_stay_as_they_are(covariance_type):
    reference, other = parameters(0, covariance_type), parameters(1, covariance_type)
    family = reference.family
    weights = np.array([0.5, 0.0, 0.3, 0.2])
    dead = GaussianParameters(family, weights, reference.means, reference.covariances)
    vector = family.coordinates(GaussianParameters(family, weights[[2, 1, 0, 3]], other.means, other.covariances), dead)
    assert np.isfinite(vector).all()
    found = family.from_coordinates(2.0 * vector, dead)
    assert found.weights[1] == 0.0
    np.testing.assert_array_equal(found.means[1], reference.means[1])
    if not family.tied:
        np.testing.assert_array_equal(found.covariances[1], reference.covariances[1])
    for before, after in ((reference, dead), (dead, reference)):
        assert not np.isfinite(family.coordinates(after, before)).all()


class Named(NamedTuple):
    family: Any
    weights: np.ndarray
    rates: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class Frozen:
    family: Any
    weights: np.ndarray
    rates: np.ndarray
    shift: np.ndarray
    n_trials: int = 3


@pytest.mark.parametrize("kind", [Named, Frozen])
def test_any_family_has_coordinates(kind):
    def make(seed):
        rng = np.random.default_rng(seed)
        weights = rng.uniform(0.5, 1.0, 3)
        return kind("a family", weights / weights.sum(), rng.uniform(1.0, 2.0, (3, 2)), rng.normal(size=4))

    reference, other = make(0), make(1)
    vector = Family.coordinates(None, other, reference)
    assert vector.shape == (3 + 6 + 4,)
    found = Family.from_coordinates(None, vector, reference)
    assert type(found) is kind
    assert found.family == "a family"
    for name in ("weights", "rates", "shift"):
        np.testing.assert_allclose(getattr(found, name), getattr(other, name), rtol=1e-12)
    far = Family.from_coordinates(None, -5.0 * vector, reference)
    assert (far.rates > 0).all()
    assert far.weights.sum() == pytest.approx(1.0)
