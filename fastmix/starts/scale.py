"""The scale of the data: where they lie, how far each feature spreads, and the floor under variances that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fastmix.data.rows import ArrayRows, make_rows
from fastmix.data.source import Source
from fastmix.exceptions import warn_user
from fastmix.families.gaussian.base import GaussianFamily, GaussianParameters
from fastmix.kernels.starts.small_start import TAIL, ScaleContext, scale_bytes, scales

AUTO = "auto"  # ``reg_covar`` that follows from the data
# Of a feature's spread: a component may be a thousandth as wide as the data before the floor is half of its variance.
_RELATIVE = 1e-6

SCALE_ROWS = 2000  # rows that the scale of the data is taken from;
_LEAST_ROWS, _MOST_ENTRIES = 250, 1 << 20  # of wide data fewer, which hold so many numbers
_SEED = 20240229  # of which rows these are: the same data have one scale, whatever random_state is
_CHUNK_ENTRIES = 1 << 20
MOST_FEATURES = 32  # of small searches, whose loops over pairs of features are plain ones
_NOTHING = np.empty((0, 3, 0))
# A variance so far below the square of the mean is what rounding leaves of 0.
_ROUNDING = 8 * float(np.finfo(np.float64).eps)
_LEAST_SINGLE, _MOST_SINGLE = 1e-36, 1e34  # with room for clusters that are smaller, and for rows far out
_MOST_FLOOR = 1e300  # of constants whose square float64 does not hold
_LEAST_VARIANCE = float(np.finfo(np.float64).tiny) / _RELATIVE


class Moments(NamedTuple):
    """Of each of G data sets."""

    means: np.ndarray  # (G, D)
    covariances: np.ndarray  # (G, D, D)


def moments_of(
    rows: ArrayRows, begins: np.ndarray, ends: np.ndarray, n_threads: int | None, quantiles: np.ndarray = _NOTHING
) -> Moments:
    """Means and covariances of stretches of rows; and ``quantiles``, see ``ScaleContext``."""
    n_groups, n_features = len(begins), rows.n_features
    found = Moments(np.empty((n_groups, n_features)), np.empty((n_groups, n_features, n_features)))
    n_bytes = scale_bytes(int((ends - begins).max()))
    lanes = scales().bind(ScaleContext(rows, begins, ends, *found, quantiles), n_bytes)
    lanes.work(n_groups, float((ends - begins).sum()) * n_features**2, n_threads)
    return found


def _moments(X: np.ndarray, weights: np.ndarray | None, as_matrix: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same of one data set of many features, in NumPy; variances (D,) where the covariance is not wanted as a matrix."""
    shares = np.full(len(X), 1.0 / len(X)) if weights is None else weights / weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        # einsum, not BLAS: its order of summation depends on nothing but the shapes
        mean = np.einsum("n,ni->i", shares, X)
        mean += np.einsum("n,ni->i", shares, X - mean)  # of a constant feature, to the last digit
        deviations = X - mean
        subscripts = "ni,nj->ij" if as_matrix else "ni,ni->i"
        return mean, np.einsum(subscripts, shares[:, None] * deviations, deviations)


def floors_of_each(family: GaussianFamily, moments: Moments, quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(G, D) ``Scale.floor`` of data sets of at most 2000 rows of weight 1; (G,) whether it is that simple for each."""
    low, usual, high = quantiles.transpose(1, 0, 2)
    variances = np.einsum("gdd->gd", moments.covariances)
    with np.errstate(over="ignore", invalid="ignore"):
        middle = (high - low) ** 2
        spread = np.fmin(variances, middle)
        varies = variances > (_ROUNDING * moments.means) ** 2
        fine = (varies & (middle > 0) & (spread >= _LEAST_VARIANCE) & (spread < np.inf)).all(axis=1)
        rounding = (_ROUNDING * usual) ** 2
        if family.pools_features:
            spread, rounding = (
                np.repeat(each.mean(axis=1)[:, None], each.shape[1], axis=1) for each in (spread, rounding)
            )
        floors = np.minimum(np.maximum(_RELATIVE * spread, rounding), _MOST_FLOOR)
        if family.pools_features:
            floors = np.repeat(floors.mean(axis=1)[:, None], floors.shape[1], axis=1)
    return floors, fine


@dataclass(frozen=True, eq=False)
class Scale:
    """What a sample of the rows says of all, and all rows of the features that are constant in the sample.

    Attributes
    ----------
    rows : all of them.
    X, weights : the sample (n, D), and its weights (n,); None: all 1.
    mean, covariance : (D,) and (D, D), of the sample; of many features, of a family without matrices, variances (D,).
    """

    rows: Source
    X: np.ndarray
    weights: np.ndarray | None
    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, rows: Source, family: GaussianFamily) -> Scale:
        """By one reading of a stream, of at most a few thousand rows."""
        n = min(SCALE_ROWS, max(_LEAST_ROWS, _MOST_ENTRIES // rows.n_features))
        if rows.n_weighted <= n:
            X, weights = rows.take(np.arange(rows.n_weighted))
        else:
            X, weights = rows.sample(n, np.random.default_rng(_SEED))
        X = np.asarray(X, dtype=np.float64)
        if X.shape[1] > MOST_FEATURES:
            return cls(rows, X, weights, *_moments(X, weights, family.has_matrices))
        begins, ends = np.zeros(1, np.int64), np.full(1, len(X))
        means, covariances = moments_of(make_rows(np.ascontiguousarray(X), weights), begins, ends, 1)
        return cls(rows, X, weights, means[0], covariances[0])

    @property
    def variances(self) -> np.ndarray:
        """(D,) of the sample."""
        return self.covariance if self.covariance.ndim == 1 else self.covariance.diagonal()

    @property
    def constant_features(self) -> np.ndarray:
        """Indices of the features that have one value in all rows of positive weight."""
        suspects, _, differ = self._suspects
        return suspects[~differ] if suspects.size else suspects

    @cached_property
    def spread(self) -> np.ndarray:
        """(D,) variances, of constant features 0; of a feature with glitches that of the values in its middle, about.

        The variance, or the squared width of the middle four fifths of the values where that is less: of most data it is several
        times the variance. One row a million standard deviations away would make the variance 1e12 / N times what it is.
        """
        suspects, variances, _ = self._suspects
        spread = self.variances.copy()
        low, usual, high = self._quantiles
        with np.errstate(over="ignore"):
            middle = (high - low) ** 2
        if not middle.all():
            for d in np.flatnonzero((middle == 0) & (spread > 0)):
                middle[d] = self._middle_of_others(int(d), usual[d])
        spread = np.fmin(spread, middle)
        if suspects.size:
            spread[suspects] = variances
        return spread

    def floor(self, family: GaussianFamily) -> np.ndarray:
        """(D,) what ``reg_covar="auto"`` adds to the variance of each feature.

        Raises
        ------
        ValueError : where float64 does not hold the variance of a feature, or of any, because it is too small.
        """
        spread = self.spread
        if not (spread.min() >= _LEAST_VARIANCE and spread.max() < np.inf):
            self._check_spread(spread, family)
        return _floor(spread, self._quantiles[1], family)

    def check_single(self, family: GaussianFamily) -> None:
        """ValueError for a feature that is not constant, and squares of whose deviations float32 does not hold."""
        bad = ~((self.spread >= _LEAST_SINGLE) & (self.spread <= _MOST_SINGLE))
        bad[self.constant_features] = False
        if family.pools_features and self.spread.max() <= _MOST_SINGLE:
            bad &= self.spread.max() < _LEAST_SINGLE
        if bad.any():
            d = int(np.argmax(bad))
            raise ValueError(
                f"dtype='float32' takes features with standard deviations from 1e-18 to 1e17, but that of feature {d} of X is "
                f"{np.sqrt(self.spread[d]):.3g}: give it in other units, or set dtype='float64'"
            )

    def _check_spread(self, spread: np.ndarray, family: GaussianFamily) -> None:
        """A warning or ValueError for a feature that is not constant, and whose variance float64 does not hold."""
        small = spread < _LEAST_VARIANCE
        held_up_by_others = not small.all()
        small[self.constant_features] = False
        large = ~(spread < np.inf)
        if not (small | large).any():
            return
        d = int(np.argmax(small | large))
        size = np.ptp(self.X[:, d] / 2) * 2
        found = f"feature {d} of X varies by about {size:.3g}, whose square is too {'large' if large[d] else 'small'} for float64"
        if large.any() or not held_up_by_others:
            raise ValueError(
                f"{found}: reg_covar='auto' has no variance to go by. Give the feature in other units, or reg_covar as a number"
            )
        if not family.pools_features:
            warn_user(f"{found}: its variance is held up by reg_covar alone; give the feature in other units")

    @cached_property
    def _suspects(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The features that are constant in the sample; over all rows: their variances, and whether they do vary."""
        suspects = (self.variances <= (_ROUNDING * self.mean) ** 2).nonzero()[0]
        differ = np.zeros(len(suspects), dtype=bool)
        if not suspects.size:
            return suspects, np.zeros(0), differ
        first = np.asarray(self.rows.take(np.zeros(1, np.int64))[0][0], dtype=np.float64)
        total, sums, squares = 0.0, np.zeros(len(suspects)), np.zeros(len(suspects))
        with self.rows.pieces(max(1, _CHUNK_ENTRIES // len(first))) as pieces:
            for X, weights in pieces:
                deviations = X[:, suspects] - first[suspects]
                w = np.ones(len(X)) if weights is None else np.asarray(weights)
                differ |= (deviations[w > 0] != 0).any(axis=0)
                total += float(w.sum())
                sums += np.einsum("n,nd->d", w, deviations)
                squares += np.einsum("n,nd,nd->d", w, deviations, deviations)
        return suspects, np.maximum(0.0, squares / total - (sums / total) ** 2), differ

    @cached_property
    def _quantiles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(D,) each: where the middle of the values begins, its middle, and where it ends, by weight."""
        n = len(self.X)
        if self.weights is None:
            values, low = np.sort(self.X, axis=0), int(TAIL * n)
            return values[low], values[n // 2], values[n - 1 - low]
        order = np.argsort(self.X, axis=0, kind="stable")
        values = np.take_along_axis(self.X, order, axis=0)
        shares = np.cumsum(self.weights[order], axis=0)
        shares = shares / shares[-1]
        places = (shares <= TAIL).sum(axis=0), (shares < 0.5).sum(axis=0), (shares < 1.0 - TAIL).sum(axis=0)
        low, usual, high = (np.take_along_axis(values, np.minimum(at, n - 1)[None], axis=0)[0] for at in places)
        return low, usual, high

    def _middle_of_others(self, d: int, usual: float) -> float:
        """What the rows make of the variance that do not share the ``usual`` value, the farthest tenth of them left out."""
        weights = np.ones(len(self.X)) if self.weights is None else self.weights
        others = np.flatnonzero(self.X[:, d] != usual)
        squares = (self.X[others, d] - usual) ** 2
        order = np.argsort(squares, kind="stable")
        shares = np.cumsum(weights[others][order]) / weights.sum()
        at = min(int((shares < (1.0 - TAIL) * shares[-1]).sum()), len(others) - 1)
        return float(shares[-1] * squares[order[at]])


def floor_under(parameters: GaussianParameters) -> np.ndarray:
    """(D,) the same for rows of which only a mixture that was fitted to them is left."""
    family, weights = parameters.family, parameters.weights
    mean = np.einsum("k,kd->d", weights, parameters.means)
    variances = family.marginal_variances(parameters.covariances) + (parameters.means - mean) ** 2
    return _floor(np.einsum("k,kd->d", weights, variances), mean, family)


def _floor(spread: np.ndarray, middle: np.ndarray, family: GaussianFamily) -> np.ndarray:
    """A millionth of the spread (D,), and no less than what rounding makes of values about their middle (D,).

    A constant feature has no spread: its own square stands in, and of 0 the mean spread of the others (of none, 1). So it is
    for one whose variance is too small for float64.
    """
    with np.errstate(over="ignore"):
        rounding = (_ROUNDING * middle) ** 2
        if family.pools_features and spread.any():
            spread, rounding = (np.full(len(middle), each.mean()) for each in (spread, rounding))
        if spread.min() < _LEAST_VARIANCE:
            varies, own = spread >= _LEAST_VARIANCE, middle**2
            others = spread[varies].mean() if varies.any() else 1.0
            spread = np.where(varies, spread, np.where(own >= _LEAST_VARIANCE, own, others))
        floor: np.ndarray = np.minimum(np.maximum(_RELATIVE * spread, rounding), _MOST_FLOOR)
    return np.full(len(middle), floor.mean()) if family.pools_features else floor
