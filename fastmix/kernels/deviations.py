"""Sums over features of deviations from a mean: loops that several families share.

All of them take 4 features at once, so that a row's running sum is loaded and stored once for 4 features.
"""

from fastmix._jit import helper


@helper("elementwise")
def subtract_mean(x, mean, out):
    """out[d, b] = x[d, b] - mean[d], and 0 where out (P, B) has more rows than x (D, B)."""
    out[x.shape[0] :] = 0.0
    for d in range(x.shape[0]):
        m = mean[d]
        for b in range(x.shape[1]):
            out[d, b] = x[d, b] - m


@helper("elementwise")
def squared_distance(x, mean, out):
    """out[b] = sum over d of (x[d, b] - mean[d])^2."""
    n_features = x.shape[0]
    blocked = n_features - n_features % 4
    for b in range(out.size):
        out[b] = 0.0
    for d in range(0, blocked, 4):
        m0, m1, m2, m3 = mean[d], mean[d + 1], mean[d + 2], mean[d + 3]
        for b in range(out.size):
            z0 = x[d, b] - m0
            z1 = x[d + 1, b] - m1
            z2 = x[d + 2, b] - m2
            z3 = x[d + 3, b] - m3
            out[b] += z0 * z0 + z1 * z1 + z2 * z2 + z3 * z3
    for d in range(blocked, n_features):
        m0 = mean[d]
        for b in range(out.size):
            z0 = x[d, b] - m0
            out[b] += z0 * z0


@helper("elementwise")
def scaled_squared_distance(x, mean, scale, out):
    """out[b] = sum over d of (scale[d] (x[d, b] - mean[d]))^2."""
    n_features = x.shape[0]
    blocked = n_features - n_features % 4
    for b in range(out.size):
        out[b] = 0.0
    for d in range(0, blocked, 4):
        m0, m1, m2, m3 = mean[d], mean[d + 1], mean[d + 2], mean[d + 3]
        s0, s1, s2, s3 = scale[d], scale[d + 1], scale[d + 2], scale[d + 3]
        for b in range(out.size):
            z0 = s0 * (x[d, b] - m0)
            z1 = s1 * (x[d + 1, b] - m1)
            z2 = s2 * (x[d + 2, b] - m2)
            z3 = s3 * (x[d + 3, b] - m3)
            out[b] += z0 * z0 + z1 * z1 + z2 * z2 + z3 * z3
    for d in range(blocked, n_features):
        m0, s0 = mean[d], scale[d]
        for b in range(out.size):
            z0 = s0 * (x[d, b] - m0)
            out[b] += z0 * z0


@helper("reduction")
def add_first_moments(x, mean, r, first):
    """first[d] += sum over b of r[b] (x[d, b] - mean[d])."""
    for d in range(x.shape[0]):
        m = mean[d]
        total = 0.0
        for b in range(r.size):
            total += r[b] * (x[d, b] - m)
        first[d] += total


@helper("reduction")
def add_moments(x, mean, r, first, second):
    """first[d] += sum over b of r[b] z, second[d] += sum over b of r[b] z^2, where z = x[d, b] - mean[d]."""
    for d in range(x.shape[0]):
        m = mean[d]
        sum_first = 0.0
        sum_second = 0.0
        for b in range(r.size):
            z = x[d, b] - m
            u = r[b] * z
            sum_first += u
            sum_second += u * z
        first[d] += sum_first
        second[d] += sum_second


@helper("reduction")
def weighted_deviations(x, mean, r, deviations, weighted, first):
    """deviations = x - mean and weighted = r (x - mean), both 0 where padded; first[d] += sum of the latter."""
    deviations[x.shape[0] :] = 0.0
    weighted[x.shape[0] :] = 0.0
    for d in range(x.shape[0]):
        m = mean[d]
        total = 0.0
        for b in range(r.size):
            z = x[d, b] - m
            u = r[b] * z
            deviations[d, b] = z
            weighted[d, b] = u
            total += u
        first[d] += total


@helper("elementwise")
def scale_and_shift(constant, factor, out):
    """out[b] = constant + factor out[b]."""
    for b in range(out.size):
        out[b] = constant + factor * out[b]
