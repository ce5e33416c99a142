"""How much searching for a start small data are worth."""

from __future__ import annotations

from typing import NamedTuple

from fastmix.families.gaussian.base import GaussianFamily

# Rows of a data set that is small.
MOST_ROWS = 12_000
# Of more rows than _MANY, runs begin on some: so many, or so many a component if that is more.
_MANY, _A_COMPONENT = 1500, 250
# What runs may cost, and those that go on (operations: see ``fastmix.engines.cell_pass``): some milliseconds on two cores.
_FIRST_OPERATIONS, _LATER_OPERATIONS = 8e7, 4e7
# Starts by merging begin with so many clusters.
_MANY_A_COMPONENT, _LEAST_MANY = 6, 16


class Plan(NamedTuple):
    """How much searching is affordable: numbers of runs and of iterations."""

    step: int = 1  # runs begin on each step-th row
    k_means: int = 3  # iterations of each
    em: int = 10
    em_later: int = 10  # in later rounds, of many more runs
    merged: int = 1  # starts by merging,
    many: int = 24  # of so many clusters
    again: int = 3  # so many of the runs go on, on all rows
    em_on: int = 48  # for so many iterations


_LEAST_EM, _LEAST_ON = 3, 3


def plan_for(family: GaussianFamily, n_rows: int, n_features: int, n_components: int) -> Plan:
    """The plan for one data set: the default, as far as it is affordable, and there are rows enough for many clusters."""
    whole = Plan()
    operations_a_row = n_components * (10.0 + family.n_statistics(n_features))
    step = max(1, n_rows // max(_MANY, _A_COMPONENT * n_components))
    first, later = (operations_a_row * n for n in (n_rows / step, n_rows))
    passes, later_passes = (int(_FIRST_OPERATIONS / (n * first)) - whole.k_means - 1 for n in (2, 8))
    on = int(_LATER_OPERATIONS / (whole.again * later))
    # Where rows are few: a power of two, so that most data sets of like size have a plan in common.
    fourth = max(1, int(n_rows / step) // 4)
    many = min(max(_MANY_A_COMPONENT * n_components, _LEAST_MANY), 1 << (fourth.bit_length() - 1))
    return whole._replace(
        step=step,
        em=max(_LEAST_EM, min(whole.em, passes)),
        em_later=max(_LEAST_EM, min(whole.em_later, later_passes)),
        em_on=max(_LEAST_ON, min(whole.em_on, on)),
        merged=whole.merged if many > n_components else 0,
        many=many,
    )
