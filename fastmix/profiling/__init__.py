"""The instrument: where an iteration's time goes, and how near that is to what the machine can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmix.profiling.report import ProfileReport

__all__ = ["profile"]


def profile(
    X: Any = None,
    n_components: int = 16,
    *,
    n_rows: int | None = None,
    n_features: int | None = None,
    model: str = "mixture",
    covariance_type: str | None = None,
    data_dtype: str | None = None,
    dtype: str = "float64",
    n_threads: int | None = None,
    quick: bool = False,
    callback: Callable[[str], object] | None = None,
) -> ProfileReport:
    """Measure where the time of one iteration goes, and compare it with what the machine can do.

    Everything is measured in this call: the phases of the pass that a fit makes, its time with fewer threads, the peak
    of fused multiply-adds and the bandwidth of memory (which takes arrays of 400 MB, or more where the third-level cache is
    large). docs/performance.md tells how, and how to read the result.

    Parameters
    ----------
    X : (N, D) array-like, optional
        Data to profile with, at the parameters that three iterations of a default fit come to. By default rows are drawn
        from K equally heavy unit Gaussians whose means lie, in root mean square, four standard deviations apart, and
        the parameters are the true ones.
    n_components : int, default 16
        K.
    n_rows, n_features : int, default 1 000 000 and 8
        N and D of drawn data; not together with X.
    model : {"mixture", "kmeans"}, default "mixture"
        A Gaussian mixture; or K-means, whose iteration is a single phase.
    covariance_type : str, default "full"
        As for ``GaussianMixture``; not together with K-means, which has none.
    data_dtype : {"float64", "float32"}, default "float64"
        Of drawn data; not together with X.
    dtype : {"float64", "float32"}, default "float64"
        Of the arithmetic; K-means knows float64 only.
    n_threads : int, optional
        None for all; at most what Numba was started with.
    quick : bool, default False
        Fewer rounds: some two seconds instead of ten at the default size, and less repeatable.
    callback : callable, optional
        Called with a few words before each part of the work.

    Returns
    -------
    ProfileReport
        Its ``str`` is a table, ``to_dict()`` holds every number, ``plot()`` makes a roofline picture.

    Raises
    ------
    ValueError : bad arguments or data.

    Examples
    --------
    >>> import fastmix
    >>> report = fastmix.profile(n_rows=100_000, n_features=8, n_components=16, quick=True)
    >>> print(report)  # doctest: +SKIP
    """
    # Imported here, because importing fastmix has to be quick (this would add a tenth of what it may cost).
    from fastmix.profiling.run import measure

    return measure(
        X, n_components, n_rows, n_features, model, covariance_type, data_dtype, dtype, n_threads, quick, callback
    )
