"""The objective gets no worse on any step: asserted for every step of many random fits."""

import warnings

import numpy as np
import pytest
from draws import draw_rows, random_mixture
from fits import fit_quietly
from naive import COVARIANCE_TYPES

from fastmix import ConvergenceWarning, GaussianMixture, KMeans, StopReason

FITS = 200


def random_fit(seed, covariance_type):
    """Rows from a random mixture (sometimes well separated, sometimes one blur) and a model of about its size."""
    rng = np.random.default_rng(seed)
    n_features = int(rng.integers(1, 7))
    n_components = int(rng.integers(1, 7))
    mixture = random_mixture(
        rng,
        n_components,
        n_features,
        covariance_type,
        separation=rng.uniform(0.0, 6.0),
        scale=10.0 ** rng.uniform(-3, 3),
    )
    # Enough rows that no component can shrink onto a few of them, where the likelihood has no maximum.
    n_rows = int(rng.integers(25, 60)) * n_components * (n_features + 1)
    rows = draw_rows(rng, mixture, n_rows) + rng.normal(size=n_features) * 10.0 ** rng.uniform(-2, 4)
    turn = seed // len(COVARIANCE_TYPES)
    sample_weight = rng.uniform(0.1, 5.0, size=n_rows) if turn % 3 == 0 else None
    model = GaussianMixture(
        n_components,
        covariance_type=covariance_type,
        reg_covar=0.0,
        random_state=seed,
        max_iter=60,
        tol=1e-9,
        init_params=("kmeans", "k-means++", "random", "random_from_data")[turn % 4],
    )
    return fit_quietly(model, rows, sample_weight), rows, sample_weight


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_likelihood_never_falls(covariance_type):
    start = COVARIANCE_TYPES.index(covariance_type)
    steps = 0
    for seed in range(start, FITS, len(COVARIANCE_TYPES)):
        model, rows, sample_weight = random_fit(seed, covariance_type)
        assert model.n_collapsed_components_ == 0, f"seed {seed}: a collapse; draw more rows"
        # A step that worsened the objective ends the run and is not listed, so the reason must be looked at, too.
        assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT), f"seed {seed}"
        total = len(rows) if sample_weight is None else np.sum(sample_weight)
        log_likelihoods = np.array(model.lower_bounds_) * total
        assert len(log_likelihoods) >= model.n_iter_
        falls = log_likelihoods[:-1] - log_likelihoods[1:]
        worst = np.max(falls / (1 + np.abs(log_likelihoods[1:])), initial=0.0)
        assert worst <= 1e-12, f"seed {seed}: the log-likelihood fell by {worst} of its size"
        steps += len(falls)
    assert steps > FITS, "the fits took so few steps that they show nothing"


@pytest.mark.parametrize("weighted", [False, True])
def test_the_inertia_of_k_means_falls_at_every_step(weighted):
    steps = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n_features, n_clusters = int(rng.integers(1, 9)), int(rng.integers(2, 9))
        rows = rng.normal(size=(int(rng.integers(50, 500)), n_features)) + rng.normal() * 100
        sample_weight = rng.uniform(0.1, 5.0, size=len(rows)) if weighted else None
        inertias = []

        def remember(state, inertias=inertias):
            inertias.append(state.objective)

        model = KMeans(n_clusters, n_init=1, tol=0, max_iter=50, random_state=seed, callback=remember)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows, sample_weight=sample_weight)
        assert len(inertias) == model.n_iter_
        assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT), f"seed {seed}"
        inertias = np.array([*inertias, model.inertia_])
        assert np.all(inertias[1:] <= inertias[:-1] * (1 + 1e-13)), f"seed {seed}: {inertias}"
        assert inertias[-1] < inertias[0]
        steps += len(inertias)
    assert steps > 100
