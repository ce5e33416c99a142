"""What an engine asks of a family."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastmix.families.coordinates import root_weights
from fastmix.families.domains import Domain
from fastmix.families.splitting import Splitting
from fastmix.families.statistics import Statistics
from fastmix.files.encoding import STORED
from fastmix.files.plain import storable


class Reach(NamedTuple):
    """How far log-joints can be from what they are at a point nearby.

    m_k(x) = sqrt(2 (peaks[k] - log_joint_k(x))) is a distance from component k that changes by at most
    steepness[k] |(x - y) / units| from x to y. For a Gaussian it is the Mahalanobis distance.
    """

    peaks: np.ndarray  # (K,) what no log-joint of the component exceeds, in nats
    steepness: np.ndarray  # (K,) at least 0
    units: np.ndarray  # (D,) positive, of the features


class Family(ABC):
    """What a component is.

    A family has two tile functions, registered for its class of kernel parameters with
    ``fastmix.kernels.mixture.tiles.register_tile_functions``, what is declared below, and the methods that are abstract. From
    these follow model files, checkpoints, samples, counts of parameters and every engine. The other methods are capabilities,
    each with a default. docs/architecture.md builds a family from nothing.

    Two families are equal if they are of one class and have the same settings.

    Attributes
    ----------
    name : what it is called in messages.
    kernel_class : the class of kernel parameters, which selects the tile functions.
    parameters_class : of the parameters, a frozen dataclass or NamedTuple that is made by ``parameters_class(family, *arrays)``.
    domains : what each array of the parameters may hold, by its name, in order; the first are the ``weights`` (K,).
    splitting : how components are split and merged; None: they are not.
    accumulate_reads_kept : whether the tile function ``accumulate`` reads ``tile.kept``.
    n_carried : C, rows of B numbers that ``log_joint`` hands to ``accumulate`` for a component (``tile.carried``).
    roles : what people pass besides covariates, see ``fastmix.data.roles``.
    entries : which numbers rows may hold, a key of ``fastmix.data.entries.ENTRIES``.
    needs_spread : whether a column may not be constant.
    skips_missing : whether tile functions take NaN for an entry that is missing, and leave it out of the row's density.
    n_exposures : 1 where the last column of a row is its exposure, else 0.
    coupled : arrays that are known together or not at all, since the M-step of one depends on the others.
    """

    name: str
    kernel_class: type
    parameters_class: type
    domains: Mapping[str, Domain]
    splitting: ClassVar[Splitting | None] = None
    accumulate_reads_kept: ClassVar[bool] = False
    n_carried: ClassVar[int] = 0
    roles: ClassVar[tuple[str, ...]] = ()
    entries: ClassVar[str] = "real"
    needs_spread: ClassVar[bool] = False
    skips_missing: ClassVar[bool] = False
    coupled: ClassVar[frozenset[str]] = frozenset()
    n_exposures: int = 0

    def __init_subclass__(cls, **how: Any):
        super().__init_subclass__(**how)
        STORED.add(cls)
        storable(cls)
        if hasattr(cls, "parameters_class"):
            STORED.add(cls.parameters_class)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.settings() == other.settings()

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.settings().items()))))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.settings().items())})"

    def settings(self) -> dict[str, Any]:
        """What the constructor was given, by name: numbers, text and truth values, kept under the same names."""
        if type(self).__init__ is object.__init__:
            return {}
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @abstractmethod
    def n_statistics(self, n_features: int) -> int:
        """S: how many numbers a pass keeps for a component, the count included."""

    @abstractmethod
    def kernel_parameters(self, parameters: Any) -> Any:
        """The constants that the kernels read, an instance of ``kernel_class``."""

    @abstractmethod
    def maximize(self, statistics: Statistics) -> Any:
        """The M-step: parameters that maximise the expected log-likelihood.

        A component without mass keeps its parameters (those at the statistics' centre), with weight 0.
        """

    @abstractmethod
    def draw(self, parameters: Any, k: int, n_rows: int, generator: np.random.Generator) -> np.ndarray:
        """Rows (n, D) of component k."""

    def arrays(self, parameters: Any) -> dict[str, np.ndarray]:
        """The arrays of the parameters by name."""
        return {name: np.asarray(getattr(parameters, name)) for name in self.domains}

    def from_arrays(self, arrays: Mapping[str, Any]) -> Any:
        """The parameters of arrays by name, checked.

        Raises
        ------
        ValueError : a name that is missing or unknown, a shape that does not fit the others, values outside the domain.
        """
        if arrays.keys() != self.domains.keys():
            raise ValueError(
                f"the arrays of {self.name!r} are {', '.join(self.domains)}; got {', '.join(arrays) or 'none'}"
            )
        lengths: dict[str, int] = {}
        checked = {name: domain.checked(arrays[name], name, lengths) for name, domain in self.domains.items()}
        return self.parameters_class(self, **checked)

    def n_features(self, parameters: Any) -> int:
        """D of the rows that the parameters are for."""
        for name, domain in self.domains.items():
            if "D" in domain.axes:
                return int(getattr(parameters, name).shape[domain.axes.index("D")])
        raise TypeError(f"no array of the family {self.name!r} has an axis 'D': it has to define n_features")

    def n_free_parameters(self, parameters: Any) -> int:
        """How many numbers are estimated, weights included."""
        return sum(domain.n_free(getattr(parameters, name).shape) for name, domain in self.domains.items())

    def n_parameters_a_component(self, parameters: Any) -> int:
        """How many more are estimated with one more component."""
        found = 1  # its weight
        for name, domain in self.domains.items():
            if domain.by_component and name != "weights":
                found += domain.n_free((1, *getattr(parameters, name).shape[1:]))
        return found

    def with_arrays(self, parameters: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        """The parameters with other arrays, which are not checked; nothing that was worked out from the old ones is kept."""
        return self.parameters_class(self, **{**{name: getattr(parameters, name) for name in self.domains}, **arrays})

    def chosen(self, parameters: Any, which: np.ndarray) -> Any:
        """Some of the components (M,), with their weights as they are."""
        arrays = self._by_component(parameters)
        return self.with_arrays(parameters, {name: array[which] for name, array in arrays.items()})

    def replaced(self, parameters: Any, at: np.ndarray, others: Any) -> Any:
        """The parameters with components ``at`` (M,) replaced by the M ``others``; weights as they then are, to sum 1."""
        moved = {name: array.copy() for name, array in self._by_component(parameters).items()}
        for name, array in moved.items():
            array[at] = getattr(others, name)
        moved["weights"] = moved["weights"] / moved["weights"].sum()
        return self.with_arrays(parameters, moved)

    def _by_component(self, parameters: Any) -> dict[str, np.ndarray]:
        return {name: getattr(parameters, name) for name, domain in self.domains.items() if domain.by_component}

    def in_float32(self, parameters: Any) -> tuple[Any, Any, np.ndarray]:
        """(Parameters as float32 can say them, kernel parameters in float32, the origin (D,) that both are relative to).

        For a family that computes in float32. Moments are about the means that the kernel used, so statistics have to be
        centred at the parameters returned.
        """
        raise ValueError(f"the family {self.name!r} is computed in float64 only")

    def joint_parameters(self, parameters: Any, kernel: Any) -> Any:
        """What kernels make the parameters of marginal mixtures from, for rows with missing entries: an instance of a class that
        ``fastmix.kernels.mixture.marginals.register_incomplete_functions`` was called with.

        Parameters
        ----------
        kernel : kernel parameters, whose means are relative to the origin where float32 is computed in.
        """
        raise ValueError(f"the family {self.name!r} takes no missing entries")

    def expected_log_joint(self, statistics: Statistics) -> tuple[float, float] | None:
        """E[log p(x, z)] in nats, under the responsibilities behind ``statistics`` and the parameters at their centre.

        With the entropy it makes the free energy. None, the default, where the statistics do not tell.

        Returns
        -------
        The expectation, and the sum of the sizes of the terms that make it up: its rounding is in proportion to that.
        """
        return None

    def expected_statistics(self, parameters: Any) -> Statistics:
        """Statistics of unit weight from which ``maximize`` makes these parameters: the inverse of the M-step.

        They are of no rows: log-likelihood, entropy and ``total_weight`` are 0. The default knows nothing, and all of them are 0.
        """
        n_components, n_features = len(parameters.weights), self.n_features(parameters)
        components = np.zeros((n_components, self.n_statistics(n_features)))
        shared = np.zeros(self.n_shared(n_features, n_components))
        return Statistics(self, parameters, components, shared, 0.0, 0.0, 0.0)

    def prior_rows(self, prior: Any, n_features: int) -> np.ndarray:
        """(S - 1,) what a conjugate prior of each component adds to its statistics, but for the count.

        Raises
        ------
        ValueError : a prior that cannot be.
        """
        raise ValueError(f"the family {self.name!r} has no prior: leave prior out")

    def embed(self, X: np.ndarray) -> np.ndarray:
        """Rows (n, D) as points (n, E) whose distances say what is alike, for starts. The default: as they are."""
        return X

    def neutral(self, n_components: int, n_features: int) -> Any:
        """K equal components of which nothing is known, for passes whose responsibilities are given.

        The default knows the axes "K" and "D"; a family with others has to say how long they are.
        """
        lengths = {"K": n_components, "D": n_features}
        arrays = {
            name: domain.neutral(tuple(lengths[axis] for axis in domain.axes)) for name, domain in self.domains.items()
        }
        return self.parameters_class(self, **arrays)

    def n_shared(self, n_features: int, n_components: int) -> int:
        """S': how many numbers a pass keeps for all components together."""
        return 0

    def complete_shared(
        self, parameters: Any, kernel: Any, components: np.ndarray, shared: np.ndarray
    ) -> np.ndarray | None:
        """What ``Statistics.shared`` holds, from the (K, S) and (S',) numbers that a pass kept.

        For what is easier said of the totals than of each tile. The default keeps them as they are.

        Parameters
        ----------
        parameters, kernel : what the pass ran with.

        Returns
        -------
        None where digits were lost: the pass is run again with the kernel parameters that ``robust`` makes of these.
        """
        return shared

    def robust(self, kernel: Any) -> Any:
        """Kernel parameters with which a pass loses no digits, at some cost."""
        return kernel

    def n_work_rows(self, n_features: int) -> int:
        """How many rows of B numbers a tile function wants as scratch (``tile.work``)."""
        return 0

    def n_kept_rows(self, n_features: int) -> int:
        """How many rows ``prepare`` hands to the other tile functions (``tile.kept``; see ``accumulate_reads_kept``)."""
        return 0

    def n_expectations(self, n_features: int) -> int:
        """M: how many numbers a row the tile function ``expectation`` makes."""
        return 0

    def longest_tile(self, n_features: int, itemsize: int = 8) -> int:
        """The most rows that a tile should have, in numbers of ``itemsize`` bytes.

        The default suits a family whose ``log_joint`` runs over all of ``tile.x`` for each component.
        """
        return tile_in_first_cache(n_features, itemsize)

    def reach(self, parameters: Any) -> Reach | None:
        """Bounds by which components that cannot matter to a tile are left out where exact results are wanted.

        None, the default, where there are none: each component is then evaluated at every row.
        """
        return None

    def recentre(self, statistics: Statistics, centre: Any) -> Statistics:
        """The same statistics, with moments about the means of ``centre``.

        The default is right for a family whose statistics have no centre.
        """
        return replace(statistics, centre=centre)

    def coordinates(self, parameters: Any, reference: Any) -> np.ndarray:
        """The parameters as unconstrained numbers (P,), of which every value, within reason, stands for parameters.

        Relative to the reference, which is 0. What acceleration extrapolates; see ``fastmix.families.coordinates`` for
        what makes coordinates good. The default is that of each array's domain; what belongs to a component is scaled with the
        root of its weight: what the complete data say grows with its rows.
        """
        parts = []
        for name, domain in self.domains.items():
            there = getattr(reference, name)
            parts.append(domain.coordinates(getattr(parameters, name), there, _scales(name, domain, there, reference)))
        return np.concatenate([part.ravel() for part in parts])

    def from_coordinates(self, vector: np.ndarray, reference: Any) -> Any:
        """The parameters that ``coordinates`` makes ``vector`` of."""
        moved, first = {}, 0
        for name, domain in self.domains.items():
            there = getattr(reference, name)
            n = domain.n_coordinates(there.shape)
            scales = _scales(name, domain, there, reference)
            moved[name] = domain.moved(vector[first : first + n], there, scales)
            first += n
        return self.with_arrays(reference, moved)


def _scales(name: str, domain: Domain, there: np.ndarray, reference: Any) -> np.ndarray:
    """What coordinates of an array are multiplied by; it broadcasts with the array."""
    ones = (1,) * there.ndim
    if not domain.by_component or name == "weights":
        return np.ones(ones)
    return root_weights(reference).reshape(-1, *ones[1:])


def tile_in_first_cache(n_features: int, itemsize: int = 8) -> int:
    """How many rows of a tile a core's first-level cache holds (40 of 48 KiB): up to twice as fast as more (D = 64)."""
    return 40 * 1024 // (itemsize * n_features)


def finite_log(values: np.ndarray) -> np.ndarray:
    """Logarithms, with a huge negative number for that of 0, of a dead component's weight (kernels want finite constants)."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(values), -1e290)
