"""A family that replaces the posterior of a tile: a hidden Markov model of Gaussian emissions, from outside the package.

Components are states, and a tile is one sequence of rows in their order. Where a mixture has Bayes' rule, row by row, it has
the scaled forward and backward recursions (Rabiner 1989, section V.A; maxima taken out of the emissions first).
"""

import math
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fastmix.families.base import Family
from fastmix.families.domains import Positive, Real, Simplex
from fastmix.kernels.mixture.tiles import register_tile_functions


class HMMKernel(NamedTuple):
    """What the kernels read."""

    means: np.ndarray  # (K, D)
    precisions: np.ndarray  # (K, D)
    log_constants: np.ndarray  # (K,) of the emissions
    initial: np.ndarray  # (K,)
    transitions: np.ndarray  # (K, K), from row to column


def log_joint(parameters, tile, k, out):
    """The log-density of the emission."""
    out[:] = parameters.log_constants[k]
    for d in range(tile.x.shape[0]):
        mean, precision = parameters.means[k, d], parameters.precisions[k, d]
        for b in range(out.size):
            deviation = tile.x[d, b] - mean
            out[b] -= 0.5 * precision * deviation * deviation


def posterior(parameters, tile, q, vectors, shared):
    """q: log-densities of emissions, then probabilities of states; scratch: K rows for the forward messages, K for others.

    shared: expected transitions (K, K), and expected first states (K,).
    """
    n_states = q.shape[0]
    w, largest, scales, log_row, entropy_row = vectors[0], vectors[1], vectors[2], vectors[4], vectors[5]
    forward, backward = tile.work[:n_states], tile.work[n_states : 2 * n_states]
    n = 0
    while n < w.size and w[n] > 0.0:  # what is beyond the sequence has weight 0
        n += 1
    log_row[:] = 0.0
    entropy_row[:] = 0.0
    for t in range(n):
        largest[t] = q[0, t]
        for k in range(1, n_states):
            largest[t] = max(largest[t], q[k, t])
        total = 0.0
        for k in range(n_states):
            q[k, t] = math.exp(q[k, t] - largest[t])
            arriving = parameters.initial[k]
            if t:
                arriving = 0.0
                for j in range(n_states):
                    arriving += forward[j, t - 1] * parameters.transitions[j, k]
            forward[k, t] = arriving * q[k, t]
            total += forward[k, t]
        for k in range(n_states):
            forward[k, t] /= total
        scales[t] = total
        log_row[t] = math.log(total) + largest[t]
    for k in range(n_states):
        backward[k, n - 1] = 1.0
    for t in range(n - 2, -1, -1):
        for j in range(n_states):
            total = 0.0
            for k in range(n_states):
                ahead = parameters.transitions[j, k] * q[k, t + 1] * backward[k, t + 1] / scales[t + 1]
                total += ahead
                if shared.size:
                    shared[j * n_states + k] += forward[j, t] * ahead
            backward[j, t] = total
    for k in range(n_states):
        if shared.size:
            shared[n_states * n_states + k] += forward[k, 0] * backward[k, 0]
        for t in range(n):
            q[k, t] = forward[k, t] * backward[k, t]
        for t in range(n, w.size):
            q[k, t] = 0.0


def accumulate(parameters, tile, k, r, out):
    """out: count, first and second moments about the mean, by feature."""
    n_features = tile.x.shape[0]
    for d in range(n_features):
        first, second = 0.0, 0.0
        for b in range(r.size):
            deviation = tile.x[d, b] - parameters.means[k, d]
            first += r[b] * deviation
            second += r[b] * deviation * deviation
        out[1 + d] += first
        out[1 + n_features + d] += second


register_tile_functions(HMMKernel, log_joint=log_joint, accumulate=accumulate, posterior=posterior)


class HMMParameters(NamedTuple):
    family: Family
    weights: np.ndarray  # (K,) of the first state
    transitions: np.ndarray  # (K, K)
    means: np.ndarray  # (K, D)
    variances: np.ndarray  # (K, D)


class GaussianHMM(Family):
    """States whose emissions are Gaussian, with a variance by feature."""

    name = "gaussian_hmm"
    kernel_class = HMMKernel
    parameters_class = HMMParameters
    domains = MappingProxyType(
        {
            "weights": Simplex("K"),
            "transitions": Simplex("K", "L"),
            "means": Real("K", "D"),
            "variances": Positive("K", "D"),
        }
    )

    def __init__(self, n_states):
        self.n_states = n_states

    def n_statistics(self, n_features):
        return 1 + 2 * n_features

    def n_shared(self, n_features, n_components):
        return n_components * (n_components + 1)

    def n_work_rows(self, n_features):
        return 2 * self.n_states

    def kernel_parameters(self, parameters):
        constants = -0.5 * np.log(2.0 * np.pi * parameters.variances).sum(axis=1)
        return HMMKernel(
            parameters.means, 1.0 / parameters.variances, constants, parameters.weights, parameters.transitions
        )

    def maximize(self, statistics):
        centre, counts = statistics.centre, statistics.counts[:, None]
        n_states, n_features = centre.means.shape
        first, second = np.split(statistics.components[:, 1:], [n_features], axis=1)
        shifts = first / counts
        transitions = statistics.shared[: n_states**2].reshape(n_states, n_states)
        initial = statistics.shared[n_states**2 :]
        return HMMParameters(
            self,
            initial / initial.sum(),
            transitions / transitions.sum(axis=1, keepdims=True),
            centre.means + shifts,
            second / counts - shifts**2,
        )

    def draw(self, parameters, k, n_rows, generator):
        noise = generator.standard_normal((n_rows, parameters.means.shape[1]))
        return parameters.means[k] + noise * np.sqrt(parameters.variances[k])
