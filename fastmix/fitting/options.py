"""Options that belong together, as objects: how an engine arranges its passes, and where the state of a fit is kept.

They check themselves, are equal when they say the same, and are written to model files by their names.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from fastmix.data.source import Source
from fastmix.data.validation import check_flag, check_integer, check_real
from fastmix.engines.batch import BatchEM
from fastmix.engines.growing import Growing
from fastmix.engines.incremental import IncrementalEM, blocks_for
from fastmix.engines.loop import MixtureEngine
from fastmix.engines.online import OnlineEM
from fastmix.engines.sparse.engine import SparseEM
from fastmix.families.base import Family
from fastmix.files.plain import storable

AUTO = "auto"


class Options:
    """What the objects share: they show what differs from the defaults."""

    def __repr__(self) -> str:
        given = ((field, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]  # subclasses are dataclasses
        shown = ", ".join(f"{field.name}={value!r}" for field, value in given if value != field.default)
        return f"{type(self).__name__}({shown})"

    def _check_integer(self, name: str, *otherwise: str | None) -> None:
        """The argument ``name`` is a whole number from 1, which is kept as an int, or one of ``otherwise``."""
        value = getattr(self, name)
        if (value is None or isinstance(value, str)) and value in otherwise:
            return
        if_not = f", if not {otherwise[0]!r}," if otherwise else ""
        object.__setattr__(self, name, check_integer(value, f"{name} of {type(self).__name__}{if_not}", 1))

    def _check_flag(self, name: str) -> None:
        object.__setattr__(self, name, check_flag(getattr(self, name), f"{name} of {type(self).__name__}"))


class Algorithm(Options, ABC):
    """Which engine fits, and how it arranges its passes.

    Attributes
    ----------
    name : of the engine.
    is_online : it forgets rows, so that nothing can be known about them or about parameters.
    """

    name: ClassVar[str]
    is_online: ClassVar[bool] = False

    @property
    def takes_streams(self) -> bool:
        """Whether it reads rows in their own order, so that they may come as a stream."""
        return False

    @property
    def extrapolates(self) -> bool:
        """Whether its iterations move all parameters at once, so that they can be accelerated."""
        return False

    @abstractmethod
    def engine(self, family: Family, rows: Source, n_components: int, **common: Any) -> MixtureEngine:
        """The engine, given what all of them take."""


@storable
@dataclass(frozen=True, repr=False)
class Batch(Algorithm):
    """Batch EM: every iteration looks at all rows and all components (``algorithm="batch"``).

    Parameters
    ----------
    grow_sample : bool, default False
        Begin on a small random sample of the rows and double it whenever the gain of a pass is less than its standard error;
        the last passes are over all rows.

    Raises
    ------
    ValueError : for another type.

    Examples
    --------
    >>> import fastmix
    >>> fastmix.GaussianMixture(8, algorithm=fastmix.Batch(grow_sample=True))
    GaussianMixture(n_components=8, algorithm=Batch(grow_sample=True))
    """

    grow_sample: bool = False
    name: ClassVar[str] = "batch"

    def __post_init__(self) -> None:
        self._check_flag("grow_sample")

    @property
    def takes_streams(self) -> bool:
        return not self.grow_sample

    @property
    def extrapolates(self) -> bool:
        return True

    def engine(self, family: Family, rows: Source, n_components: int, **common: Any) -> BatchEM | Growing:
        return _grown(BatchEM(family, rows, **common), rows, self.grow_sample)


@storable
@dataclass(frozen=True, repr=False)
class Sparse(Algorithm):
    """Sparse EM: a row is compared with the components that matter to it (``algorithm="sparse"``; docs/sparse.md).

    Parameters
    ----------
    active_threshold : float in [0, 1), default 1e-4
        Share of the mass of a tile (some hundred similar rows) below which the tile no longer looks at a component. With 0
        every tile looks at everything, as in batch EM.
    refresh_interval : "auto" or int, default "auto"
        Iterations on lists between remaking them; "auto": few at first, then more, and when the free energy settles.
    max_active : int, optional
        The most components that a tile looks at, unless the free energy would fall; None: no limit.
    n_blocks : int, default 1
        Parts of the rows with an M-step after each, as in incremental EM: for long fits on settled lists.

    Raises
    ------
    ValueError : for numbers that cannot be.

    Examples
    --------
    >>> import fastmix
    >>> fastmix.Sparse(max_active=50)
    Sparse(max_active=50)
    """

    active_threshold: float = 1e-4
    refresh_interval: int | str = AUTO
    max_active: int | None = None
    n_blocks: int = 1
    name: ClassVar[str] = "sparse"

    def __post_init__(self) -> None:
        threshold = check_real(self.active_threshold, "active_threshold of Sparse")
        if threshold >= 1:
            raise ValueError(f"active_threshold of Sparse must be a number in [0, 1); got {self.active_threshold!r}")
        object.__setattr__(self, "active_threshold", threshold)
        self._check_integer("refresh_interval", AUTO)
        self._check_integer("max_active", None)
        self._check_integer("n_blocks")

    @property
    def extrapolates(self) -> bool:
        return self.n_blocks == 1

    def engine(self, family: Family, rows: Any, n_components: int, **common: Any) -> SparseEM:
        interval = None if self.refresh_interval == AUTO else int(self.refresh_interval)
        return SparseEM(
            family,
            rows,
            **common,
            active_threshold=self.active_threshold,
            refresh_interval=interval,
            max_active=self.max_active,
            n_blocks=self.n_blocks,
        )


@storable
@dataclass(frozen=True, repr=False)
class Incremental(Algorithm):
    """Incremental EM: an M-step after each part of the rows (``algorithm="incremental"``).

    Parameters
    ----------
    n_blocks : "auto" or int, default "auto"
        How many parts; "auto": so many that M-steps take a small share of the time. One is batch EM.
    grow_sample : bool, default False
        As of ``Batch``.

    Raises
    ------
    ValueError : for numbers that cannot be.
    """

    n_blocks: int | str = AUTO
    grow_sample: bool = False
    name: ClassVar[str] = "incremental"

    def __post_init__(self) -> None:
        self._check_integer("n_blocks", AUTO)
        self._check_flag("grow_sample")

    def engine(self, family: Family, rows: Any, n_components: int, **common: Any) -> BatchEM | Growing:
        n_blocks = self.n_blocks
        if n_blocks == AUTO:
            n_blocks = blocks_for(family, rows.n_rows, rows.n_features, n_components)
        return _grown(IncrementalEM(family, rows, **common, n_blocks=int(n_blocks)), rows, self.grow_sample)


@storable
@dataclass(frozen=True, repr=False)
class Online(Algorithm):
    """Online EM: steps on small batches of rows (``algorithm="online"``). ``partial_fit`` takes its options from here, too.

    Parameters
    ----------
    batch_size : "auto" or int, default "auto"
        Rows of a step. "auto": 64 a component, 4096 at least and 16 384 at most; in ``fit`` fewer where there are few rows.

    Raises
    ------
    ValueError : for numbers that cannot be.
    """

    batch_size: int | str = AUTO
    name: ClassVar[str] = "online"
    is_online: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check_integer("batch_size", AUTO)

    @property
    def rows_a_batch(self) -> int | None:
        """None where the engine decides."""
        return None if self.batch_size == AUTO else int(self.batch_size)

    def engine(self, family: Family, rows: Source, n_components: int, **common: Any) -> OnlineEM:
        in_any_order = rows.in_any_order
        if in_any_order is None:
            raise TypeError("online EM looks at rows in an order of its own, which a stream does not have")
        return OnlineEM(family, in_any_order, **common, batch_size=self.rows_a_batch)


_NAMED: dict[str, type[Algorithm]] = {each.name: each for each in (Batch, Sparse, Incremental, Online)}
ALGORITHMS = (AUTO, *_NAMED)


def as_algorithm(value: Any) -> Algorithm | None:
    """``algorithm`` as users give it, by name or as an object; None for "auto".

    Raises
    ------
    ValueError : for anything else.
    """
    if isinstance(value, Algorithm):
        return value
    if not isinstance(value, str) or value not in ALGORITHMS:
        remedy = f"; write {value.__name__}()" if value in _NAMED.values() else ""
        raise ValueError(
            f"algorithm must be one of {', '.join(ALGORITHMS)}, or an object such as fastmix.Sparse(max_active=50); got "
            f"{value!r}{remedy}"
        )
    return None if value == AUTO else _NAMED[value]()


def shortest(algorithm: Algorithm | None) -> Algorithm | str:
    """The same as users may write it: by name where all else is as it is by default."""
    if algorithm is None:
        return AUTO
    return algorithm.name if algorithm == type(algorithm)() else algorithm


@storable
@dataclass(frozen=True, repr=False)
class Checkpoint(Options):
    """Where the state of a fit is kept, so that it can go on after an interruption (docs/checkpoints.md).

    Parameters
    ----------
    path : path
        The file. It is written when the first start is made, then every ``every`` seconds, and when the fit ends, also by an
        error or an interruption; never half. A file with a fit that is not done, or that is no checkpoint, is refused; one with a
        fit that is done is written over.
    every : float, default 60.0
        Seconds from one writing to the next; it is written between iterations.
    resume : bool, default False
        Go on from the file: to the last bit what would have come without an interruption, on the same machine. Where there is no
        file yet the fit begins; where the fit is done it is returned at once. Data and settings have to be the same, except that
        ``max_iter`` may be larger, and what does not change results (threads, callback, verbosity) may differ. A fitted model
        with ``warm_start`` refuses a checkpoint whose fit is done.

    Raises
    ------
    ValueError : for something else than a path, or a number below 0.

    Examples
    --------
    >>> import fastmix
    >>> fastmix.Checkpoint("fit.checkpoint", resume=True)
    Checkpoint(path='fit.checkpoint', resume=True)
    """

    path: Any
    every: float = 60.0
    resume: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, os.PathLike)):
            raise ValueError(f"path of a Checkpoint must be a path; got {self.path!r}")
        object.__setattr__(self, "every", check_real(self.every, "every of a Checkpoint"))
        self._check_flag("resume")


def as_checkpoint(value: Any) -> Checkpoint | None:
    """``checkpoint`` as users give it: a path or an object; None for none.

    Raises
    ------
    ValueError : for anything else.
    """
    if value is None or isinstance(value, Checkpoint):
        return value
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"checkpoint must be a path, a fastmix.Checkpoint or None; got {value!r}")
    return Checkpoint(value)


def _grown(engine: BatchEM, rows: Any, grow_sample: bool) -> BatchEM | Growing:
    return Growing(engine, rows) if grow_sample else engine
