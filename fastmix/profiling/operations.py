"""How many operations the algorithm needs: the one count that profiles and benchmarks divide by their seconds.

A count of what is needed at least, not of what a processor happened to execute. A multiply-add counts two, as in a
machine's peak. Exponentials, logarithms and the normalisation of responsibilities are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass

MODELS = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical", "kmeans")


@dataclass(frozen=True, eq=False)
class Operations:
    """Floating-point operations of one iteration.

    Attributes
    ----------
    log_joint : of the log-joint; for K-means, of the distances.
    accumulate : of the statistics.
    exponentials : how many exponentials; none of them is in ``total``.
    """

    log_joint: float
    accumulate: float
    exponentials: float

    @property
    def total(self) -> float:
        return self.log_joint + self.accumulate


def count_operations(model: str, n_rows: int, n_features: int, n_components: int) -> Operations:
    """Operations of one iteration over N rows of D features with K components.

    Parameters
    ----------
    model : a covariance type, or "kmeans".
    n_rows, n_features, n_components : N, D, K.

    Raises
    ------
    ValueError : for a model that is not one of ``MODELS``.
    """
    triangle = n_features * (n_features + 1)  # features (features + 1) / 2 multiply-adds
    pairs = float(n_rows) * n_components
    if model == "full":
        # Difference D, whitening, squared norm 2 D; weighting D, first moment D, second moments.
        return Operations(pairs * (triangle + 3 * n_features), pairs * (triangle + 2 * n_features), pairs)
    if model in ("diag", "tied_diag"):
        # Difference D, scaling D, squared norm 2 D; weighting D, first moment D, second moments 2 D.
        return Operations(pairs * 4 * n_features, pairs * 4 * n_features, pairs)
    if model in ("spherical", "tied_spherical"):
        # Difference D, squared norm 2 D, scaling; weighting D, first moment D, second moment.
        return Operations(pairs * (3 * n_features + 2), pairs * (2 * n_features + 2), pairs)
    if model == "tied":
        # Whitening and one scatter a row, and as spherical in whitened coordinates.
        return Operations(pairs * 3 * n_features + n_rows * triangle, pairs * 2 * n_features + n_rows * triangle, pairs)
    if model == "kmeans":
        # Difference D, squared norm 2 D; each row added to its cluster.
        return Operations(pairs * 3 * n_features, float(n_rows) * n_features, 0.0)
    raise ValueError(f"model is {model!r}: no count of operations; give one of {', '.join(MODELS)}")
