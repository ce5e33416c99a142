"""Sparse EM's promises, step by step: the free energy never falls, and with all components active it is batch EM."""

import numpy as np
import pytest
from draws import disturbed, draw_rows, random_mixture
from fits import fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES, relative_error
from tiers import first_tier

from fastmix import GaussianMixture, Sparse, StopReason
from fastmix.exceptions import CollapsedError

FITS = 36


def sparse_fit(seed, covariance_type, dtype="float64"):
    """Rows from a random mixture, from well separated to one blur, and a sparse fit of its size.

    Thresholds and intervals vary, so that many fits leave out what matters, and rebuild their lists often.
    """
    rng = np.random.default_rng(seed)
    n_features = int(rng.integers(2, 5))
    n_components = int(rng.integers(5, 30))
    mixture = random_mixture(
        rng,
        n_components,
        n_features,
        covariance_type,
        separation=rng.uniform(4.0, 20.0),
        scale=10.0 ** rng.uniform(-2, 2),
    )
    # Enough rows that no component can shrink onto a few of them, where the likelihood has no maximum.
    n_rows = int(rng.integers(30, 45)) * n_components * (n_features + 1)
    shift = rng.normal(size=n_features) * 10.0 ** rng.uniform(-2, 2)
    mixture = mixture._replace(means=mixture.means + shift)
    rows = draw_rows(rng, mixture, n_rows)
    turn = seed // len(COVARIANCE_TYPES)
    sample_weight = rng.uniform(0.1, 5.0, size=n_rows) if turn % 3 == 0 else None
    lists = Sparse(
        active_threshold=(1e-4, 1e-2, 1e-6)[turn % 3],
        refresh_interval=("auto", 1, 4)[turn // 2 % 3],
        max_active=(None, 2, 5)[turn // 3 % 3],
    )
    common = {"algorithm": lists, "tol": 1e-9, "max_iter": 30, "dtype": dtype}
    if turn % 2:
        model = started_at(disturbed(rng, mixture), **common)
    else:
        model = GaussianMixture(
            n_components, covariance_type=covariance_type, reg_covar=0.0, random_state=seed, **common
        )
    return fit_quietly(model, rows, sample_weight)


def worst_fall(model):
    """The largest fall of the free energy from one pass to the next, relative to its size."""
    energies = np.asarray(model.free_energies_)
    falls = energies[:-1] - energies[1:]
    return np.max(falls / (1 + np.abs(energies[1:])), initial=0.0)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_free_energy_never_falls(covariance_type):
    steps, n_short = 0, 0
    for seed in range(COVARIANCE_TYPES.index(covariance_type), FITS, len(COVARIANCE_TYPES)):
        try:
            model = sparse_fit(seed, covariance_type)
        except CollapsedError:  # the likelihood has no maximum: batch EM collapses from there, too
            continue
        # A step that worsened the objective ends the run and is not listed, so the reason must be looked at, too.
        assert model.stop_reason_ in (StopReason.CONVERGED, StopReason.ITERATION_LIMIT), f"seed {seed}"
        assert worst_fall(model) <= 1e-12, f"seed {seed}"
        steps += len(model.free_energies_) - 1
        n_short += model.mean_active_ < 0.5 * model.n_components
    assert steps > FITS, "the fits took so few steps that they show nothing"
    assert n_short >= 1, "lists were so long that they show nothing"


@pytest.mark.parametrize("covariance_type", first_tier(["full", "diag"], "full"))
def test_in_float32_it_falls_by_rounding_only(covariance_type):
    for seed in range(3):
        model = sparse_fit(seed, covariance_type, dtype="float32")
        assert worst_fall(model) <= 1e-6, f"seed {seed}"


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_with_all_components_active_each_step_is_batch_em(covariance_type, weighted):
    rng = np.random.default_rng(12)
    mixture = random_mixture(rng, 9, 3, covariance_type, separation=3.0)
    rows = draw_rows(rng, mixture, 1500)
    sample_weight = rng.uniform(0.2, 3.0, size=len(rows)) if weighted else None
    start = disturbed(rng, mixture)
    for n_steps in (1, 2, 5):
        batch = fit_quietly(started_at(start, max_iter=n_steps, algorithm="batch"), rows, sample_weight)
        everything = {"algorithm": Sparse(active_threshold=0.0, max_active=9)}
        sparse = fit_quietly(started_at(start, max_iter=n_steps, **everything), rows, sample_weight)
        assert (sparse.n_iter_, batch.n_iter_) == (n_steps, n_steps)
        for found, expected in zip(mixture_of(sparse)[:3], mixture_of(batch)[:3], strict=True):
            assert relative_error(found, expected) < n_steps * 1e-12
        # What batch EM reports after a step is the likelihood before it; the free energy of all components is that.
        assert relative_error(sparse.free_energies_[:n_steps], batch.lower_bounds_) < n_steps * 1e-12
        assert sparse.mean_active_ == 9
        assert sparse.retained_mass_ == pytest.approx(1.0, abs=1e-12)
