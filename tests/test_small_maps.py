"""Small memory maps of integers are converted, so that no type has kernels of its own; large ones are read as they are."""

import numpy as np
import pytest
from fits import bits, fit_quietly
from tiers import thorough

from fastmix import GaussianMixture
from fastmix.data import validation


@pytest.fixture
def mapped(tmp_path, rng):
    np.save(tmp_path / "rows.npy", rng.integers(-9, 10, (400, 3)).astype(np.int32))
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


def test_small_maps_are_converted_and_large_ones_are_not(mapped, monkeypatch):
    assert not validation.kernels_read(mapped)
    assert validation.as_kernels_read(mapped).dtype == np.float64
    monkeypatch.setattr(validation, "_SMALL", 0)
    assert validation.as_kernels_read(mapped) is mapped


@thorough
def test_both_come_to_the_same_bits(mapped, monkeypatch):
    model = GaussianMixture(2, covariance_type="spherical", init_params="k-means++", random_state=0)
    converted = bits(fit_quietly(model, mapped))
    monkeypatch.setattr(validation, "_SMALL", 0)
    assert bits(fit_quietly(model, mapped)) == converted
