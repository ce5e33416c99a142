"""Which engine fits a mixture."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmix.data.streams import Source, Streamed
from fastmix.engines.accelerated import Accelerated
from fastmix.engines.batch import BatchEM
from fastmix.engines.growing import Growing
from fastmix.engines.incremental import IncrementalEM
from fastmix.engines.loop import MixtureEngine
from fastmix.engines.online import OnlineEM
from fastmix.engines.sparse.engine import SparseEM
from fastmix.families.base import Family
from fastmix.kernels.mixture.tiles import Rows

AUTO, BATCH, SPARSE, INCREMENTAL, ONLINE = "auto", "batch", "sparse", "incremental", "online"
ALGORITHMS = (AUTO, BATCH, SPARSE, INCREMENTAL, ONLINE)
SQUAREM, ANDERSON = "squarem", "anderson"
ACCELERATIONS = (None, AUTO, SQUAREM, ANDERSON)

# What sparse EM tells of a fit, by attribute of the estimator.
LISTS_ATTRIBUTES = ("free_energies_", "n_evaluations_", "mean_active_", "retained_mass_")

# What partial_fit tells besides.
BATCHES_ATTRIBUTES = ("n_steps_", "n_samples_seen_")

# Where whole fits by sparse EM took less time, on mixtures of which half of the components have a neighbour nearer than
# 1-separated (the grid of benchmarks/sparse_growth.py). With few features batch EM is cheaper, and settles sooner; covariance
# matrices of middling size make its passes dear, and large ones run nearer to the machine's peak.
_FEW_FEATURES, _FEWEST_OF_FEW_FEATURES = 4, 256
_MANY_FEATURES, _DEAR_STATISTICS, _FEWEST_WHERE_DEAR = 17, 40, 32
_FEWEST_COMPONENTS = 64
_FEWEST_ROWS_A_COMPONENT = 20
_LEAST_WORK = 1e7  # rows times components: a list costs some Python, whatever its length

# Of incremental EM: a pass makes so many operations a second on two cores; an M-step, with sums of statistics, takes so long.
_OPERATIONS_PER_SECOND = 4e10
_SECONDS_A_BLOCK, _SECONDS_A_STATISTIC = 2.5e-4, 4.5e-8
_M_STEPS_SHARE = 0.1
# Few passes are saved by more blocks than that: to the same likelihood 4, 8, 16 and 32 blocks took 61, 54, 52 and 50 % of the
# passes of batch EM (200 000 rows, 8 components 1-separated in 6 features).
_LEAST_BLOCKS, _MOST_BLOCKS = 2, 16


def sparse_pays(family: Family, n_rows: int, n_features: int, n_components: int) -> bool:
    """Whether sparse EM is likely to take less time than batch EM."""
    fewest = _FEWEST_COMPONENTS
    if n_features <= _FEW_FEATURES:
        fewest = _FEWEST_OF_FEW_FEATURES
    elif n_features < _MANY_FEATURES and family.n_statistics(n_features) >= _DEAR_STATISTICS:
        fewest = _FEWEST_WHERE_DEAR
    enough_rows = n_rows >= _FEWEST_ROWS_A_COMPONENT * n_components
    return n_components >= fewest and enough_rows and float(n_rows) * n_components >= _LEAST_WORK


class Options(NamedTuple):
    """What a user asks of an engine; see ``GaussianMixture``."""

    algorithm: str = AUTO
    active_threshold: float | str = AUTO
    refresh_interval: int | str = AUTO
    max_active: int | str = AUTO
    n_blocks: int | str = AUTO
    grow_sample: bool = False
    accelerate: str | None = None
    batch_size: int | str = AUTO


def options_of(model: Any) -> Options:
    """The options among the constructor parameters of an estimator."""
    return Options(**{name: getattr(model, name) for name in Options._fields})


def check_options(options: Options) -> None:
    """ValueError for options that do not go together."""
    algorithm = options.algorithm
    if options.accelerate not in (None, AUTO) and algorithm in (INCREMENTAL, ONLINE):
        raise ValueError(
            f"accelerate={options.accelerate!r} is for algorithm 'batch' or 'sparse'; got algorithm={algorithm!r}. "
            "Use accelerate=None"
        )
    if options.accelerate is not None and algorithm == SPARSE and options.n_blocks not in (AUTO, 1):
        raise ValueError(
            f"accelerate={options.accelerate!r} moves all parameters at once, n_blocks={options.n_blocks} by one block after the "
            "other; use accelerate=None or n_blocks='auto'"
        )
    if options.grow_sample and algorithm in (SPARSE, ONLINE):
        raise ValueError(
            f"grow_sample=True is for algorithm 'batch' or 'incremental'; got algorithm={algorithm!r}. Use grow_sample=False"
        )
    if options.n_blocks not in (AUTO, 1) and algorithm not in (INCREMENTAL, SPARSE):
        raise ValueError(
            f"n_blocks={options.n_blocks} is for algorithm 'incremental' or 'sparse'; got algorithm={algorithm!r}. "
            "Use n_blocks='auto'"
        )


def check_options_for_stream(options: Options) -> None:
    """ValueError for options of an engine that needs rows in another order than theirs."""
    if options.algorithm not in (AUTO, BATCH) or options.grow_sample:
        asked = "grow_sample=True" if options.grow_sample else f"algorithm={options.algorithm!r}"
        raise ValueError(
            f"{asked} looks at rows in an order of its own, but X is a stream of blocks, which has only one: use "
            "algorithm='batch' and grow_sample=False, or partial_fit with one block at a time"
        )


def engine_for(
    options: Options, family: Family, rows: Source, n_components: int, *, all_known: bool = False, **common: Any
) -> MixtureEngine:
    """The engine that does what ``options`` say.

    Parameters
    ----------
    all_known : the component of every row is known. Whatever the options say, one M-step is all there is to do.
    common : what every engine takes.
    """
    if all_known:
        return BatchEM(family, rows, all_known=True, **common)
    if isinstance(rows, Streamed):
        return _accelerated(BatchEM(family, rows, **common), options)
    algorithm = options.algorithm
    n_rows, n_features = rows.X.shape
    if algorithm == AUTO:
        pays = not options.grow_sample and sparse_pays(family, n_rows, n_features, n_components)
        algorithm = SPARSE if pays else BATCH
    if algorithm == SPARSE:
        lists = _given(options, "active_threshold", "refresh_interval", "max_active", "n_blocks")
        return _accelerated(SparseEM(family, rows, **common, **lists), options)
    if algorithm == ONLINE:
        assert isinstance(rows, Rows)  # estimators refuse others
        return OnlineEM(family, rows, **common, **_given(options, "batch_size"))
    if algorithm == INCREMENTAL:
        n_blocks = options.n_blocks
        if n_blocks == AUTO:
            n_blocks = blocks_for(family, n_rows, n_features, n_components)
        engine = IncrementalEM(family, rows, **common, n_blocks=int(n_blocks))
        return Growing(engine, rows) if options.grow_sample else engine
    batch = BatchEM(family, rows, **common)
    return _accelerated(Growing(batch, rows) if options.grow_sample else batch, options)


def _accelerated(engine: BatchEM | Growing, options: Options) -> MixtureEngine:
    return engine if options.accelerate is None else Accelerated(engine, options.accelerate)


def blocks_for(family: Family, n_rows: int, n_features: int, n_components: int) -> int:
    """The number of blocks for incremental EM: as many as keep M-steps below a tenth of the time of two cores.

    It depends on the sizes of the problem only: what is fitted must not depend on the machine.
    """
    n_statistics = family.n_statistics(n_features)
    seconds_of_pass = n_rows * n_components * (10.0 + n_statistics) / _OPERATIONS_PER_SECOND
    seconds_of_m_step = _SECONDS_A_BLOCK + _SECONDS_A_STATISTIC * n_components * n_statistics
    affordable = int(_M_STEPS_SHARE * seconds_of_pass / seconds_of_m_step)
    return max(_LEAST_BLOCKS, min(_MOST_BLOCKS, affordable))


def _given(options: Options, *names: str) -> dict[str, Any]:
    """Those of the options that are not "auto"."""
    return {name: getattr(options, name) for name in names if getattr(options, name) != AUTO}
