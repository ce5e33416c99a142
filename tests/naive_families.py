"""The oracle of families other than Gaussian: densities by SciPy, M-steps as textbooks write them; no code is shared.

Parameters are dicts of arrays. An entry that is NaN is missing, and leaves its row's density.
"""

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, logsumexp, polygamma

LONG = np.longdouble


def _by_feature(name, p, X):
    """(N, K, D), of entries that are not missing."""
    x = np.where(np.isnan(X), 1.0, X)[:, None, :]
    if name == "poisson":
        return stats.poisson.logpmf(x, p["rates"])
    if name == "bernoulli":
        return stats.bernoulli.logpmf(x, p["probabilities"])
    if name == "exponential":
        return stats.expon.logpdf(x, scale=p["scales"])
    if name == "gamma":
        return stats.gamma.logpdf(x, p["shapes"], scale=p["scales"])
    if name == "negative_binomial":
        return stats.nbinom.logpmf(x, p["sizes"], p["sizes"] / (p["sizes"] + p["means"]))
    if name == "normal":
        return stats.norm.logpdf(x, p["means"], np.sqrt(p["variances"]))
    assert name == "categorical"
    k, d = np.indices(p["probabilities"].shape[:2])
    with np.errstate(divide="ignore"):
        return np.log(p["probabilities"][k[None], d[None], x.astype(int)])


_KINDS = {"gaussian": "normal", "counts": "poisson", "binary": "bernoulli", "categories": "categorical"}


def _parts(p):
    """(Family, parameters with the weights of all equal to 1, columns) of each kind of column."""
    first = 0
    for kind, family in _KINDS.items():
        own = {name.partition("_")[2]: array for name, array in p.items() if name.startswith(kind)}
        width = next(iter(own.values())).shape[1]
        yield family, own | {"weights": np.ones(len(p["weights"]))}, slice(first, first + width)
        first += width


def _scale(p, k, n_features):
    scale = p["scale_matrices"]
    scale = scale[k] if scale.ndim == 3 or scale.shape[0] == len(p["weights"]) != n_features else scale
    return scale if np.ndim(scale) == 2 else np.diag(np.broadcast_to(scale, (n_features,)))


def log_joints(name, p, X):
    """(N, K)."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(p["weights"])
    if name == "mixed":
        return log_weights + sum(log_joints(kind, each, X[:, place]) for kind, each, place in _parts(p))
    if name != "student_t":
        return log_weights + np.where(np.isnan(X)[:, None, :], 0.0, _by_feature(name, p, X)).sum(axis=2)
    found = np.zeros((len(X), len(log_weights)))
    for n, row in enumerate(X):
        seen = ~np.isnan(row)
        for k in range(len(log_weights)):
            if seen.any():
                scale = _scale(p, k, len(row))[np.ix_(seen, seen)]
                found[n, k] = stats.multivariate_t.logpdf(row[seen], p["means"][k][seen], scale, df=p["dof"][k])
    return log_weights + found


def log_density(name, p, X):
    return logsumexp(log_joints(name, p, X), axis=1)


def step(name, p, X, sample_weight):
    """The parameters after one iteration of EM."""
    joint = log_joints(name, p, X)
    r = np.exp(joint - logsumexp(joint, axis=1, keepdims=True)).astype(LONG) * sample_weight[:, None]
    new = {"weights": r.sum(axis=0) / r.sum()}
    return {key: np.asarray(value, dtype=float) for key, value in (new | _STEPS[name](p, X, r)).items()}


def _sums(X, r):
    """(Sums of r x, of r), over observed entries, (K, D)."""
    seen = ~np.isnan(X)
    return np.einsum("nk,nd->kd", r, np.where(seen, X, 0).astype(LONG)), np.einsum("nk,nd->kd", r, seen.astype(LONG))


def _mean(name):
    def of(p, X, r):
        sums, counts = _sums(X, r)
        return {name: sums / counts}

    return of


def _categorical(p, X, r):
    levels = np.arange(p["probabilities"].shape[2])
    counts = np.einsum("nk,ndl->kdl", r, (X[:, :, None] == levels).astype(LONG))
    return {"probabilities": counts / counts.sum(axis=2, keepdims=True)}


def _gamma(p, X, r):
    means = np.divide(*_sums(X, r)).astype(float)
    logs = np.divide(*_sums(np.log(X), r)).astype(float)
    gaps = np.log(means) - logs
    shapes = np.vectorize(lambda gap: np.exp(brentq(lambda t: t - digamma(np.exp(t)) - gap, -7, 14, xtol=1e-15)))(gaps)
    return {"shapes": shapes, "scales": means / shapes}


def _negative_binomial(p, X, r):
    """The size maximises the bound that touches the expected log-likelihood to second order, see the family."""
    sums, counts = _sums(X, r)
    means, old = (sums / counts).astype(float), p["sizes"]
    x = np.where(np.isnan(X), 0.0, X)[:, None, :]
    first = np.einsum("nk,nkd->kd", r, digamma(x + old) - digamma(old)) / counts
    second = np.einsum("nk,nkd->kd", r, polygamma(1, old) - polygamma(1, x + old)) / counts

    def solved(mean, a, s1, s2):
        def slope(t):
            size = np.exp(t)
            bound = s1 / (1 + (size - a) * s2 / s1) if size >= a else s2 * a * a / size + s1 - s2 * a
            return bound - np.log1p(mean / size)

        start = np.log(a)
        return np.exp(brentq(slope, start, start + 5) if slope(start) > 0 else brentq(slope, start - 5, start))

    return {"means": means, "sizes": np.vectorize(solved)(means, old, first.astype(float), second.astype(float))}


def _student_t(p, X, r):
    """Full scale matrices, common degrees of freedom; Liu, Rubin and Wu (1998) with conditional moments of what is missing."""
    n_rows, n_features = X.shape
    n_components = len(p["weights"])
    u, log_u = np.zeros((n_rows, n_components)), np.zeros((n_rows, n_components))
    filled = np.zeros((n_rows, n_components, n_features))
    extra = np.zeros((n_components, n_features, n_features))
    for n, row in enumerate(X):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        for k in range(n_components):
            mean, scale, nu = p["means"][k], p["scale_matrices"][k], p["dof"][k]
            z = row[o] - mean[o]
            inverse = np.linalg.inv(scale[np.ix_(o, o)])
            delta = z @ inverse @ z
            half = (nu + len(o)) / 2
            u[n, k] = half / ((nu + delta) / 2)
            log_u[n, k] = digamma(half) - np.log((nu + delta) / 2)
            filled[n, k, o] = row[o]
            filled[n, k, m] = mean[m] + scale[np.ix_(m, o)] @ inverse @ z
            left = scale[np.ix_(m, m)] - scale[np.ix_(m, o)] @ inverse @ scale[np.ix_(o, m)]
            extra[k][np.ix_(m, m)] += float(r[n, k]) * left
    ru = r * u
    means = np.einsum("nk,nkd->kd", ru, filled.astype(LONG)) / ru.sum(axis=0)[:, None]
    z = filled - means
    scatter = np.einsum("nk,nki,nkj->kij", ru, z, z) + extra
    gap = ((r.sum(axis=0) * np.log(ru.sum(axis=0) / r.sum(axis=0)) - (r * log_u).sum(axis=0)).sum() / r.sum()).astype(
        float
    )
    nu = np.exp(brentq(lambda t: np.log(np.exp(t) / 2) - digamma(np.exp(t) / 2) - gap, -2, 5, xtol=1e-15))
    return {
        "means": means,
        "scale_matrices": scatter / ru.sum(axis=0)[:, None, None],
        "dof": np.full(n_components, nu),
    }


def _normal(p, X, r):
    sums, counts = _sums(X, r)
    means = sums / counts
    z = np.where(np.isnan(X)[:, None, :], 0.0, X[:, None, :] - means)
    return {"means": means, "variances": np.einsum("nk,nkd->kd", r, z**2) / counts}


def _mixed(p, X, r):
    kinds = {family: kind for kind, family in _KINDS.items()}
    found = {}
    for family, own, columns in _parts(p):
        found |= {f"{kinds[family]}_{name}": array for name, array in _STEPS[family](own, X[:, columns], r).items()}
    return found


_STEPS = {
    "normal": _normal,
    "mixed": _mixed,
    "poisson": _mean("rates"),
    "bernoulli": _mean("probabilities"),
    "exponential": _mean("scales"),
    "categorical": _categorical,
    "gamma": _gamma,
    "negative_binomial": _negative_binomial,
    "student_t": _student_t,
}
