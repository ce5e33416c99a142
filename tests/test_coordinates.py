"""Coordinates in which EM is extrapolated: there and back, always allowed, in the metric of the complete data."""

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from draws import matrix_of, random_mixture
from naive import COVARIANCE_TYPES, Mixture

from fastmix.families.base import Family
from fastmix.families.domains import Positive, PositiveDefinite, Real, Simplex, Symmetric
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
    levels: np.ndarray
    scatter: np.ndarray
    form: np.ndarray


class Anything(Family):
    """An array of each domain."""

    name = "anything"
    parameters_class = Named
    domains = MappingProxyType(
        {
            "weights": Simplex("K"),
            "rates": Positive("K", "D"),
            "shift": Real("S"),
            "levels": Simplex("K", "D", "L"),
            "scatter": PositiveDefinite("K", "D", "D"),
            "form": Symmetric("D", "D"),
        }
    )

    def n_statistics(self, n_features):
        raise AssertionError

    kernel_parameters = maximize = draw = n_statistics


def anything(seed, n_components=3, n_features=2, n_levels=4):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 1.0, n_components)
    levels = rng.uniform(0.5, 1.0, (n_components, n_features, n_levels))
    factors = rng.normal(size=(n_components + 1, n_features, 2 * n_features))
    products = factors @ factors.swapaxes(1, 2)
    return Anything().from_arrays(
        {
            "weights": weights / weights.sum(),
            "rates": rng.uniform(1.0, 2.0, (n_components, n_features)),
            "shift": rng.normal(size=4),
            "levels": levels / levels.sum(axis=-1, keepdims=True),
            "scatter": products[1:],
            "form": products[0] - 3.0,
        }
    )


def test_any_family_has_coordinates():
    reference, other = anything(0), anything(1)
    family = reference.family
    vector = family.coordinates(other, reference)
    assert vector.shape == (3 + 6 + 4 + 24 + 9 + 3,)
    assert family.n_free_parameters(other) == 2 + 6 + 4 + 18 + 9 + 3
    assert family.n_parameters_a_component(other) == 1 + 2 + 6 + 3
    assert family.n_features(other) == 2
    found = family.from_coordinates(vector, reference)
    for name in family.domains:
        np.testing.assert_allclose(getattr(found, name), getattr(other, name), rtol=1e-11)


@pytest.mark.parametrize(
    ("covariance_type", "of_covariances", "shared"),
    [
        ("full", 3, 0),
        ("tied", 0, 3),
        ("diag", 2, 0),
        ("spherical", 1, 0),
        ("tied_diag", 0, 2),
        ("tied_spherical", 0, 1),
    ],
)
def test_parameters_are_counted_without_padding(covariance_type, of_covariances, shared):
    """At D = 2 the statistics of a full covariance are 19 numbers, padding included; its component has six parameters."""
    found = parameters(0, covariance_type, n_components=4, n_features=2)
    assert found.family.n_parameters_a_component(found) == 1 + 2 + of_covariances
    assert found.family.n_free_parameters(found) == 3 + 4 * (2 + of_covariances) + shared


def test_no_step_leaves_the_domains():
    """Probabilities sum to 1 and matrices stay positive definite, however far a step goes."""
    reference, other = anything(0), anything(1)
    family = reference.family
    vector = family.coordinates(other, reference)
    for factor in (-5.0, 2.0, 10.0):
        moved = family.from_coordinates(factor * vector, reference)
        family.from_arrays(family.arrays(moved))  # checks them
        assert moved.levels.sum(axis=-1) == pytest.approx(1.0, abs=1e-14)


def test_a_doubled_step_of_probabilities_sums_to_1():
    """Probabilities (0.2, 0.8) by row, of which the default coordinates once made 1.05."""
    here = Simplex("K", "L")
    before, after = np.array([[0.2, 0.8]]), np.array([[0.3, 0.7]])
    step = here.coordinates(after, before, np.ones((1, 1)))
    moved = here.moved(2.0 * step, before, np.ones((1, 1)))
    ratios = (after / before) ** 2 * before
    np.testing.assert_allclose(moved, ratios / ratios.sum(), rtol=1e-14)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [0.5, 0.6, 0.1]}, "weights must sum to 1"),
        ({"rates": np.zeros((3, 2))}, r"rates must be positive; got 0 at \(0, 0\)"),
        ({"rates": np.ones((2, 2))}, r"rates must have shape \(3, 2\); got \(2, 2\)"),
        ({"rates": np.ones(3)}, r"rates must have the axes \(K, D\).*got shape \(3,\)"),
        ({"shift": [0, np.nan]}, "shift must be finite"),
        ({"levels": np.full((3, 2, 4), 0.3)}, r"levels must sum to 1 along the last axis; at \(0, 0\) the sum is 1.2"),
        ({"levels": np.tile([-0.5, 1.5], (3, 2, 1))}, r"levels must be at least 0; got -0.5 at \(0, 0, 0\)"),
        ({"scatter": -np.ones((3, 2, 2))}, "scatter must be positive definite; that of component 0 is not"),
        ({"form": [[1.0, 2.0], [3.0, 1.0]]}, "form must be symmetric"),
        ({"another": [1.0]}, "the arrays of 'anything' are weights, .*form; got"),
    ],
)
def test_arrays_outside_their_domain_are_refused(changes, message):
    parameters = anything(0)
    with pytest.raises(ValueError, match=message):
        parameters.family.from_arrays(parameters.family.arrays(parameters) | changes)
