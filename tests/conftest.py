"""Fixtures that several test files share."""

import os

# Before scikit-learn and SciPy are imported: without it one of scikit-learn's checks skips itself.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
from draws import draw_rows, random_mixture
from tiers import compile_a_share, is_thorough, thorough

from fastmix.datasets import load_dataset


@pytest.hookimpl(tryfirst=True)  # before -m looks at marks
def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "callspec") and is_thorough(item.callspec.params):
            item.add_marker(thorough)


def pytest_collection_finish(session):
    compile_a_share(session)


@pytest.fixture
def rng():
    return np.random.default_rng(20240601)


@pytest.fixture(scope="session")
def faithful():
    """Old Faithful, 272 x 2: eruption minutes and waiting minutes."""
    return load_dataset("faithful").data


@pytest.fixture(scope="session")
def iris():
    """Iris, 150 x 4, centimetres."""
    return load_dataset("iris").data


@pytest.fixture(scope="session")
def galaxies():
    """Velocities of 82 galaxies, 82 x 1, in 1000 km/s."""
    return load_dataset("galaxies").data


@pytest.fixture
def five(rng):
    """Two clear clusters of 200 rows each in five dimensions."""
    return draw_rows(rng, random_mixture(rng, 2, 5, "full", separation=8.0), 400)
