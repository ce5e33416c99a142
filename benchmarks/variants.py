"""fastmix beside itself: covariance types, float32 computation, threads. No peers, so these are quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks import contestants, referee, timing, workloads
from benchmarks.iterations import SEPARATION
from benchmarks.workloads import Size

FAMILIES = ("diag", "spherical", "tied")
THREADED = ("full", "diag")
ROUNDS = 5


@dataclass(kw_only=True)
class Precision(timing.Comparison):
    """float64 and float32 computation of one model, and the mean log-likelihood that each reports."""

    log_likelihoods: dict[str, float]

    @property
    def difference(self) -> float:
        """Relative difference of the log-likelihoods."""
        reference, found = self.log_likelihoods["float64"], self.log_likelihoods["float32"]
        return abs(found - reference) / abs(reference)


def _iterations(
    what: str, size: Size, variants: Mapping[str, Callable[..., Any]], rows: type = np.float64
) -> tuple[dict[str, timing.Seconds], float, dict[str, Any]]:
    """Seconds of an iteration by variant, the machine's limit meanwhile, and the fitted models of the longest fits."""
    X, means = workloads.draw(*size.shape, separation=SEPARATION)
    X = X.astype(rows, copy=False)
    begin = workloads.start(means)
    models: dict[str, Any] = {}

    def run(name: str, count: int) -> None:
        models[name] = variants[name](X, count, begin)
        referee.require_iterations(name, models[name].n_iter_, count)

    for variant in variants.values():
        variant(X[: 8 * size.features * size.components], 1, begin)  # loads or compiles code
    iterations = dict.fromkeys(variants, size.iterations)
    seconds, peak = timing.of_iterations({name: partial(run, name) for name in variants}, iterations, ROUNDS)
    timing.say_seconds(f"{what} {size.shape}", seconds)
    for name in variants:
        run(name, 1 + size.iterations)  # the last turn may have been a short one
    return seconds, peak, models


def families(size: Size) -> timing.Comparison:
    """The covariance types whose costs are promised as multiples of one another."""
    variants = {name: partial(contestants.fastmix_model, covariance_type=name) for name in FAMILIES}
    seconds, peak, _ = _iterations("families", size, variants)
    return timing.Comparison(what="families", shape=size.shape, seconds=seconds, fma_peak_gflops=peak)


def precision(covariance_type: str, size: Size) -> Precision:
    """float32 computation beside float64's, on the same float32 rows."""
    variants = {
        name: partial(contestants.fastmix_model, covariance_type=covariance_type, dtype=name)
        for name in ("float64", "float32")
    }
    seconds, peak, models = _iterations(f"float32 {covariance_type}", size, variants, np.float32)
    return Precision(
        what=covariance_type,
        shape=size.shape,
        seconds=seconds,
        fma_peak_gflops=peak,
        targets={"float32": workloads.FLOAT32_GAIN} if size.features >= workloads.FLOAT32_LEAST_FEATURES else {},
        log_likelihoods={name: float(model.lower_bound_) for name, model in models.items()},
    )


def threads(covariance_type: str, size: Size) -> timing.Comparison:
    """All threads beside one; the gain of two is promised."""
    count = numba.get_num_threads()
    variants = {
        name: partial(contestants.fastmix_model, covariance_type=covariance_type, n_threads=n_threads)
        for name, n_threads in (("one thread", 1), ("all threads", count))
    }
    seconds, peak, models = _iterations(f"threads {covariance_type}", size, variants)
    referee.require_agreement(
        f"threads {covariance_type}", {name: float(model.lower_bound_) for name, model in models.items()}
    )
    return timing.Comparison(
        what=covariance_type,
        shape=size.shape,
        seconds=seconds,
        fma_peak_gflops=peak,
        targets={"all threads": workloads.TWO_THREADS_GAIN} if count == 2 else {},
    )
