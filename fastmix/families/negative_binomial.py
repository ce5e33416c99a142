"""Overdispersed counts: negative binomial components with independent features.

Given the size a, the mean mu has a closed form. The sum over rows of log Gamma(x + a) - log Gamma(a), which is a sum of
log(a + j), is replaced by the tightest lower bound that its first and second derivative at the present size allow: above it
s1^2 / s2 log(a + s1 / s2 - a0), below it s2 a0^2 log a + (s1 - s2 a0) a, with s1 = sum of 1 / (a0 + j) and s2 = sum of
1 / (a0 + j)^2. Both touch it to second order (they are the lower and upper principal representations of the derivative, a
Stieltjes function), so that a step never lowers the likelihood, and is Newton's near the maximum.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fastmix.families.base import Family, finite_log
from fastmix.families.domains import Positive, Simplex
from fastmix.families.independent import IndependentFamily, ratio
from fastmix.families.linear_kernel import add_scales, is_unscaled, prepare_scales
from fastmix.families.special import root_of_decreasing
from fastmix.families.statistics import Statistics
from fastmix.kernels.jit import part
from fastmix.kernels.mixture.tiles import register_tile_functions
from fastmix.kernels.simd.factorials import subtract_log_factorials
from fastmix.kernels.simd.linear import add_row_sums

# Bounds of the size: at the upper one the variance exceeds a Poisson's by less than rounding of the fit.
LEAST_SIZE, MOST_SIZE = 1e-3, 1e8
# Counts below it are looked up; the sums of larger ones go on from there by a series.
_TABLE = 128


class NegativeBinomialKernel(NamedTuple):
    """Kernel parameters."""

    log_weights: np.ndarray  # (K,)
    by_feature: np.ndarray  # (K, D) log p(0)
    sizes: np.ndarray  # (K, D) a
    log_rates: np.ndarray  # (K, D) log(mu / (a + mu)) + log a
    log_terms: np.ndarray  # (K D, T) by count: log p(x) - log p(0) + log x!
    first: np.ndarray  # (K D, T) s1: sum over j < x of a / (a + j)
    second: np.ndarray  # (K D, T) s2: sum over j < x of a^2 / (a + j)^2


@part
def _log_rising(a, x):
    """log Gamma(a + x) - log Gamma(a) - x log a for a >= T: Stirling's series, arranged so that nothing cancels."""
    r = x / a
    first, last = 1.0 / a, 1.0 / (a + x)
    found = (a + x - 0.5) * np.log1p(r) - x
    return found + (last - first) / 12.0 - (last**3 - first**3) / 360.0 + (last**5 - first**5) / 1260.0


@part
def _inverse_sums(a, x):
    """(Sum over j < x of 1 / (a + j), of 1 / (a + j)^2) for a >= T, by the Euler-Maclaurin formula."""
    b = a + x
    p, q = 1.0 / a, 1.0 / b
    first = np.log1p(x / a) + 0.5 * (p - q) + (p**2 - q**2) / 12.0 - (p**4 - q**4) / 120.0 + (p**6 - q**6) / 252.0
    second = (p - q) + 0.5 * (p**2 - q**2) + (p**3 - q**3) / 6.0 - (p**5 - q**5) / 30.0 + (p**7 - q**7) / 42.0
    return first, second


def prepare(parameters, tile):
    """See ``prepare_scales``."""
    prepare_scales(tile, parameters.by_feature.shape[1])


def log_joint(parameters, tile, k, out):
    """log p(0), and what the count adds to it."""
    n_features, last = parameters.by_feature.shape[1], parameters.log_terms.shape[1] - 1
    out[:] = parameters.log_weights[k]
    for d in range(n_features):
        i = k * n_features + d
        at_zero, terms = parameters.by_feature[k, d], parameters.log_terms[i]
        a, log_rate = parameters.sizes[k, d], parameters.log_rates[k, d]
        n_large, x = 0, tile.x[d]
        for b in range(out.size):
            out[b] += at_zero + terms[np.int64(min(x[b], last))]
            n_large += 1 if x[b] > last else 0
        if not is_unscaled(tile, n_features):
            for b in range(out.size):
                out[b] -= at_zero if tile.kept[d, b] == 0.0 else 0.0
        if n_large:
            for b in range(out.size):
                if x[b] > last:
                    more = x[b] - last
                    log_ratio = np.log1p(last / a)
                    out[b] += _log_rising(a + last, more) + more * (log_rate + log_ratio)


def accumulate(parameters, tile, k, r, out):
    """out: count, then by feature sums of r x, of r s1, of r s2, of r scale."""
    n, last = parameters.by_feature.shape[1], parameters.log_terms.shape[1] - 1
    add_row_sums(tile.x[:n], r, out[1 : 1 + n])
    for d in range(n):
        i, x = k * n + d, tile.x[d]
        first, second, a = parameters.first[i], parameters.second[i], parameters.sizes[k, d]
        total_1, total_2 = 0.0, 0.0
        for b in range(r.size):
            at = np.int64(min(x[b], last))
            total_1 += r[b] * first[at]
            total_2 += r[b] * second[at]
        for b in range(r.size):
            if x[b] > last:
                more_1, more_2 = _inverse_sums(a + last, x[b] - last)
                total_1 += r[b] * a * more_1
                total_2 += r[b] * a * a * more_2
        out[1 + n + d] += total_1
        out[1 + 2 * n + d] += total_2
    add_scales(tile, n, r, out[1 + 3 * n :])


def row_constant(parameters, tile, out):
    """- log x!."""
    for d in range(parameters.by_feature.shape[1]):
        subtract_log_factorials(tile.x[d], out)


register_tile_functions(
    NegativeBinomialKernel, log_joint=log_joint, accumulate=accumulate, prepare=prepare, row_constant=row_constant
)


class NegativeBinomialParameters(NamedTuple):
    """Parameters."""

    family: Family
    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, D)
    sizes: np.ndarray  # (K, D)


class NegativeBinomial(IndependentFamily):
    """Counts with a mean mu and the variance mu + mu^2 / size: Poisson counts whose rates are gamma, with shape ``size``."""

    name = "negative_binomial"
    kernel_class = NegativeBinomialKernel
    parameters_class = NegativeBinomialParameters
    entries = "counts"
    coupled = frozenset({"means", "sizes"})
    domains = MappingProxyType({"weights": Simplex("K"), "means": Positive("K", "D"), "sizes": Positive("K", "D")})

    def n_numbers(self, n_features: int) -> int:
        return 3 * n_features

    def n_kept_rows(self, n_columns: int) -> int:
        return n_columns + 1

    def kernel_parameters(self, parameters: NegativeBinomialParameters) -> NegativeBinomialKernel:
        means, sizes = parameters.means, parameters.sizes
        counts = np.arange(_TABLE, dtype=np.float64)
        relative = 1.0 / (1.0 + counts / sizes.reshape(-1, 1))  # a / (a + j)
        log_rates = np.log(means) - np.log1p(means / sizes)
        terms = log_rates.reshape(-1, 1) - np.log(relative)
        return NegativeBinomialKernel(
            finite_log(parameters.weights),
            -sizes * np.log1p(means / sizes),
            sizes,
            log_rates,
            _sums_before(terms),
            _sums_before(relative),
            _sums_before(relative**2),
        )

    def maximize(self, statistics: Statistics) -> NegativeBinomialParameters:
        """The means are those of the rows; sizes maximise a lower bound of the expected log-likelihood (see above)."""
        before = statistics.centre
        numbers, observed = self.split(statistics)
        sums, first, second = np.split(numbers, 3, axis=1)
        means = np.maximum(ratio(sums, observed, before.means), np.finfo(np.float64).tiny)
        n = np.where(observed > 0, observed, 1.0)
        bound = _Bound(means, before.sizes, first / n / before.sizes, second / n / before.sizes**2)
        sizes = np.where(observed > 0, bound.maximizer(), before.sizes)
        return NegativeBinomialParameters(self, self.weights_of(statistics), means, sizes)

    def recentre(self, statistics: Statistics, centre: NegativeBinomialParameters) -> Statistics:
        """What touched at another size becomes s1 a0 log a, a lower bound at any size: s1 a stays, and s2 a^2 is as large."""
        components = statistics.components.copy()
        n = centre.sizes.shape[1]
        same = statistics.centre.sizes == centre.sizes
        first, second = components[:, 1 + n : 1 + 2 * n], components[:, 1 + 2 * n : 1 + 3 * n]
        second[:] = np.where(same, second, first)
        return statistics.recentred(components, centre)

    def draw(
        self, parameters: NegativeBinomialParameters, k: int, n_rows: int, generator: np.random.Generator
    ) -> np.ndarray:
        means, sizes = parameters.means[k], parameters.sizes[k]
        size = n_rows, means.size
        return generator.poisson(generator.gamma(sizes, means / sizes, size)).astype(np.float64)


class _Bound(NamedTuple):
    """The lower bound of the expected log-likelihood of a row, as a function of sizes (K, D), but for a constant."""

    means: np.ndarray
    old: np.ndarray  # sizes, at which the bound touches
    s1: np.ndarray
    s2: np.ndarray

    @property
    def _ratio(self) -> np.ndarray:
        return np.divide(self.s2, self.s1, out=np.zeros_like(self.s1), where=self.s1 > 0)

    def __call__(self, sizes: np.ndarray) -> np.ndarray:
        ratio, step = self._ratio, sizes - self.old
        factor = np.divide(self.s1, ratio, out=np.zeros_like(ratio), where=ratio > 0)
        above = factor * np.log1p(np.maximum(step, 0.0) * ratio)
        below = self.s2 * self.old**2 * np.log(sizes / self.old) + (self.s1 - self.s2 * self.old) * step
        others = -sizes * np.log1p(self.means / sizes) - self.means * np.log((sizes + self.means) / self.old)
        found: np.ndarray = np.where(sizes >= self.old, above, below) + others
        return found

    def slope(self, sizes: np.ndarray) -> np.ndarray:
        above = self.s1 / (1.0 + np.maximum(sizes - self.old, 0.0) * self._ratio)
        below = self.s2 * self.old**2 / sizes + (self.s1 - self.s2 * self.old)
        found: np.ndarray = np.where(sizes >= self.old, above, below) - np.log1p(self.means / sizes)
        return found

    def maximizer(self) -> np.ndarray:
        """On the side of the old sizes to which the slope points there; the old sizes where nothing is gained."""
        rising = self.slope(self.old) > 0

        def on_that_side(sizes: np.ndarray) -> np.ndarray:
            back = np.where(rising, sizes < self.old, sizes > self.old)
            return np.where(back, np.where(rising, 1.0, -1.0), self.slope(sizes))

        found = root_of_decreasing(on_that_side, LEAST_SIZE, MOST_SIZE, self.old)
        return np.where(self(found) >= self(self.old), found, self.old)


def _sums_before(terms: np.ndarray) -> np.ndarray:
    """(.., T) the sum of the terms before each."""
    return np.concatenate([np.zeros((len(terms), 1)), np.cumsum(terms, axis=1)[:, :-1]], axis=1)
