"""Hidden Markov models in plain NumPy, in logarithms, a sequence at a time: shares no code with the package."""

import numpy as np
from scipy.special import logsumexp


def log(values):
    with np.errstate(divide="ignore"):
        return np.log(values)


def forward_backward(log_emissions, start, transitions, lengths, weights=None):
    """(log-likelihood, smoothed (N, K), filtered (N, K), expected transitions (K, K), expected first states (K,))."""
    n_states = len(start)
    weights = np.ones(len(lengths)) if weights is None else weights
    total, pairs, firsts = 0.0, np.zeros((n_states, n_states)), np.zeros(n_states)
    smoothed, filtered = np.empty_like(log_emissions), np.empty_like(log_emissions)
    begin = 0
    for n, weight in zip(lengths, weights, strict=True):
        q = log_emissions[begin : begin + n]
        alpha, scales = np.empty((n, n_states)), np.empty(n)
        beta = np.zeros((n, n_states))
        for t in range(n):
            arriving = log(start) if t == 0 else logsumexp(alpha[t - 1][:, None] + log(transitions), axis=0)
            scales[t] = logsumexp(arriving + q[t])
            alpha[t] = arriving + q[t] - scales[t]
        for t in range(n - 2, -1, -1):
            beta[t] = logsumexp(log(transitions) + q[t + 1] + beta[t + 1], axis=1) - scales[t + 1]
        gamma = np.exp(alpha + beta)
        for t in range(1, n):
            pairs += weight * np.exp(alpha[t - 1][:, None] + log(transitions) + q[t] + beta[t] - scales[t])
        firsts += weight * gamma[0]
        total += weight * scales.sum()
        smoothed[begin : begin + n], filtered[begin : begin + n] = gamma, np.exp(alpha)
        begin += n
    return total, smoothed, filtered, pairs, firsts


def viterbi(log_emissions, start, transitions, lengths):
    """(Log-density of the likeliest paths and the rows, the paths (N,))."""
    total, paths, begin = 0.0, [], 0
    for n in lengths:
        q = log_emissions[begin : begin + n]
        best, before = log(start) + q[0], np.zeros((n, len(start)), int)
        for t in range(1, n):
            through = best[:, None] + log(transitions)
            before[t] = through.argmax(axis=0)
            best = through.max(axis=0) + q[t]
        path = [int(best.argmax())]
        for t in range(n - 1, 0, -1):
            path.append(before[t, path[-1]])
        total += best.max()
        paths += path[::-1]
        begin += n
    return total, np.array(paths)
