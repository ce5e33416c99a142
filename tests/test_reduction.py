"""Mixtures reduced pair by pair, against the definition (Runnalls 2007); and which runs a start refuses."""

import numpy as np
import pytest
from fits import fit_quietly

from fastmix import GaussianMixture
from fastmix.families.gaussian.compiled import mixture_for
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.kernels.starts.reduction import ReductionContext, reduction, reduction_bytes


def together(first, second, kind):
    """(weight, mean, covariance) of two components as one, as nearly as the covariance type can say it."""
    (v, m, S), (w, n, T) = first, second
    total = v + w
    mean = (v * m + w * n) / total
    covariance = (v * S + w * T) / total + v * w / total**2 * np.outer(m - n, m - n)
    if kind != "full":
        covariance = np.diag(np.diag(covariance))
    if kind == "spherical":
        covariance = np.eye(len(m)) * np.trace(covariance) / len(m)
    return total, mean, covariance


def reduced_by_definition(components, n_left, kind):
    components = list(components)
    while len(components) > n_left:
        costs = {}
        for i in range(len(components)):
            for j in range(i):
                merged = together(components[i], components[j], kind)
                before = sum(w * np.linalg.slogdet(S)[1] for w, _, S in (components[i], components[j]))
                costs[i, j] = merged[0] * np.linalg.slogdet(merged[2])[1] - before
        i, j = min(costs, key=costs.get)
        merged = together(components[i], components[j], kind)
        components = [each for k, each in enumerate(components) if k not in (i, j)] + [merged]
    return components


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize(("n_features", "n_many", "n_left"), [(1, 8, 3), (2, 12, 2), (4, 15, 5)])
def test_pairs_are_merged_as_defined(kind, n_features, n_many, n_left, rng):
    family = gaussian_family(kind)
    weights, means = rng.dirichlet(np.ones(n_many)), 3 * rng.normal(size=(n_many, n_features))
    roots = rng.normal(size=(n_many, n_features, n_features))
    covariances = roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(n_features)
    if kind != "full":
        covariances *= np.eye(n_features)
    if kind == "spherical":
        covariances = np.trace(covariances, axis1=1, axis2=2)[:, None, None] / n_features * np.eye(n_features)
    mixtures = mixture_for(family, n_features, n_many, 1)
    mixtures.weights[0], mixtures.means[0] = weights, means
    numbers = {"full": covariances.reshape(n_many, -1), "diag": np.einsum("kdd->kd", covariances)}
    mixtures.covariances[0] = numbers.get(kind, covariances[:, 0, :1])
    n_bytes = reduction_bytes(n_many, n_features, mixtures.covariances.shape[2])
    context = ReductionContext(mixtures.weights, mixtures.means, mixtures.covariances, n_left)
    reduction().bind(context, n_bytes).work(1, 1.0, 1)
    expected = reduced_by_definition(zip(weights, means, covariances, strict=True), n_left, kind)
    order, expected_order = np.argsort(mixtures.weights[0, :n_left]), np.argsort([w for w, _, _ in expected])
    for k, e in zip(order, expected_order, strict=True):
        weight, mean, covariance = expected[e]
        numbers = {"full": covariance.ravel(), "diag": np.diag(covariance)}.get(kind, covariance[0, :1])
        assert mixtures.weights[0, k] == pytest.approx(weight, rel=1e-12)
        np.testing.assert_allclose(mixtures.means[0, k], mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mixtures.covariances[0, k], numbers, rtol=1e-9, atol=1e-12)


def test_clusters_that_cross_are_found(rng):
    """Four long clusters that cross in one point: no seeds of k-means lead there."""
    angles, X = np.pi * np.arange(4) / 4, []
    for angle in angles:
        along = rng.normal(0, 10, 500)
        X.append(along[:, None] * [np.cos(angle), np.sin(angle)] + rng.normal(0, 0.3, (500, 2)))
    X = np.concatenate(X)
    truth = GaussianMixture(4, init_params=np.repeat(np.eye(4), 500, axis=0))
    wanted = fit_quietly(truth, X).score(X)
    for seed in range(3):
        assert fit_quietly(GaussianMixture(4, random_state=seed), X).score(X) > wanted - 1e-3


def test_rounded_values_do_not_end_in_planes(rng):
    X = np.round(rng.normal(0, 2, (2000, 3)))
    for seed in range(3):
        assert fit_quietly(GaussianMixture(3, random_state=seed), X).n_collapsed_components_ == 0
