"""What ``fastmix.profile`` does: a problem, drawn or given, from its compilation to its last phase."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastmix.data.validation import DTYPES, as_rows, check_choice, check_integer
from fastmix.families.gaussian.covariance_types import gaussian_family
from fastmix.kernels.threads import must_run_serially, thread_count
from fastmix.profiling import machine_code
from fastmix.profiling.machine import measure_limits
from fastmix.profiling.measured import Compilation, Phase, Scaling
from fastmix.profiling.operations import count_operations
from fastmix.profiling.problems import Problem, draw, make_problem
from fastmix.profiling.report import ProfileReport
from fastmix.profiling.timing import FULL, QUICK, Effort, best_times, core_share

MODELS = ("mixture", "kmeans")


_DEFAULT_ROWS, _DEFAULT_FEATURES = 1_000_000, 8


def measure(
    X: Any,
    n_components: int,
    n_rows: int | None,
    n_features: int | None,
    model: str,
    covariance_type: str | None,
    data_dtype: str | None,
    dtype: str,
    n_threads: int | None,
    quick: bool,
    callback: Callable[[str], object] | None,
) -> ProfileReport:
    """See ``fastmix.profile``."""
    check_choice(model, "model", MODELS)
    counted = _counted_model(model, covariance_type)
    check_integer(n_components, "n_components", 1)
    if check_choice(dtype, "dtype", DTYPES) != "float64" and model == "kmeans":
        raise ValueError(f"dtype is {dtype!r}, but K-means is computed in float64; leave dtype out")
    if n_threads is not None:
        check_integer(n_threads, "n_threads", 1)
    tell = callback or (lambda text: None)
    if X is None:
        n_rows = check_integer(_DEFAULT_ROWS if n_rows is None else n_rows, "n_rows", n_components)
        n_features = check_integer(_DEFAULT_FEATURES if n_features is None else n_features, "n_features", 1)
        data_dtype = check_choice("float64" if data_dtype is None else data_dtype, "data_dtype", DTYPES)
        tell("drawing rows")
        data, means = draw(n_rows, n_features, n_components, data_dtype)
    else:
        for name, value in (("n_rows", n_rows), ("n_features", n_features), ("data_dtype", data_dtype)):
            if value is not None:
                raise ValueError(f"{name} is {value!r}, but X has its own; leave {name} out, or X")
        data = as_rows(X, owner="fastmix.profile")
        if len(data) < n_components:
            raise ValueError(
                f"X has {len(data)} rows, too few for {n_components} components; give n_components at most that"
            )
        means = np.zeros((n_components, data.shape[1]))
    problem = make_problem(counted, data, means, dtype)
    threads = 1 if must_run_serially() else thread_count(n_threads)
    effort, rounds = (QUICK, 3) if quick else (FULL, 10)
    tell("compiling")
    compilation, code = _compile(problem)
    tell("measuring the machine's limits")
    limits = measure_limits(threads, dtype, rounds)
    if X is not None:
        tell("fitting for a few iterations")
        problem = problem.fitted(threads)
    operations = count_operations(counted, data.shape[0], data.shape[1], n_components)
    tell("timing the phases")
    phases = problem.phases(operations, threads, effort)
    tell("timing with fewer threads")
    scaling = _scaling(problem, threads, effort)
    share = core_share(partial(problem.iterate, 1), effort)
    tell("measuring the machine's limits again")
    limits = limits.better(measure_limits(threads, dtype, rounds))
    return ProfileReport(
        model=counted,
        n_rows=data.shape[0],
        n_features=data.shape[1],
        n_components=n_components,
        data_dtype=str(data.dtype),
        dtype=dtype,
        n_threads=threads,
        phases=phases,
        iteration=Phase(
            "iteration",
            sum(phase.seconds for phase in phases),
            sum(phase.operations for phase in phases),
            sum(phase.bytes for phase in phases),
        ),
        exponentials=operations.exponentials,
        scaling=scaling,
        core_share=share,
        machine=limits,
        compilation=compilation,
        machine_code=code,
    )


def _counted_model(model: str, covariance_type: str | None) -> str:
    """The covariance type, or "kmeans"."""
    if model == "kmeans":
        if covariance_type is not None:
            raise ValueError(f"covariance_type is {covariance_type!r}, but K-means has no covariances; leave it out")
        return model
    return gaussian_family("full" if covariance_type is None else covariance_type).name


def _compile(problem: Problem) -> tuple[Compilation, machine_code.MachineCode | None]:
    """Call the kernel on a single row: what a second call does not take is its compilation."""
    few = problem.first_row()
    dispatcher = problem.dispatcher
    known = set(dispatcher.overloads)
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        few.sweep(1)
        seconds.append(time.perf_counter() - begin)
    signature = next(each for each in dispatcher.overloads if few.is_version(each))
    code = machine_code.of_kernel(dispatcher, signature)
    if signature in known:
        return Compilation("memory", None), code
    source = "cache" if dispatcher.stats.cache_hits[signature] else "compiled"
    return Compilation(source, seconds[0] - seconds[1]), code


def _scaling(problem: Problem, n_threads: int, effort: Effort) -> tuple[Scaling, ...]:
    """The time of an iteration from one thread to so many: each number up to 8, then powers of two."""
    counts = [n for n in range(1, n_threads + 1) if n <= 8 or n == n_threads or n & (n - 1) == 0]
    best = best_times({str(n): partial(problem.iterate, n) for n in counts}, effort)
    one = best["1"]
    return tuple(Scaling(n, best[str(n)], one / best[str(n)], one / best[str(n)] / n) for n in counts)
