"""The two tiers of the suite.

The first, which the README's test command runs, checks every behaviour, property and reference number once, compiled in few
signatures: most of the time goes into compiling. What is marked ``thorough`` is the second tier: full products (of types, dtypes
and engines), other tools' checks of more than one estimator, processes that compile all anew. ``.ci/run`` runs both.
"""

import numpy as np
import pytest

thorough = pytest.mark.thorough
# The covariance type that stands for all in the first tier where float32 is stored or computed in: the default.
_IN_FLOAT32 = "full"


def first_tier(values, *kept):
    """Values of a parameter, of which the first tier takes those that are kept, the second the others."""
    return [
        value if value in kept else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=thorough)
        for value in values
    ]


def is_thorough(parameters):
    """Whether these parameters of a test ask for float32 and for a covariance type that does not stand for all."""
    in_float32 = any(
        isinstance(value, (str, type)) and value in ("float32", np.float32) for value in parameters.values()
    )
    return in_float32 and parameters.get("covariance_type", _IN_FLOAT32) != _IN_FLOAT32
