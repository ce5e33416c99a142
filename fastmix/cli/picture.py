"""The picture of ``fastmix demo``: Old Faithful, each eruption coloured by its responsibility. Needs matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from fastmix.files.atomicfile import atomic_file

__all__ = ["save_picture"]

_SHORT, _LONG, _BETWEEN = "#2a6f97", "#d1603d", "#b9a5b0"
_INK = "#2b2b2b"


def save_picture(model: Any, data: NDArray[np.float64], path: str) -> None:
    """Save a PNG of the Old Faithful fit with two full covariances.

    Parameters
    ----------
    model : GaussianMixture
        Fitted to `data`.
    data : ndarray of shape (N, 2)
        Eruption length and waiting time in minutes.
    path : str
        The file to write; always PNG.
    """
    # No pyplot: it keeps global state and would look for a display.
    figure = Figure(figsize=(8.0, 5.6), layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12))
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    short, long = np.argsort(model.means_[:, 0])
    for component, colour, label, offset in (
        (short, _SHORT, "short eruptions", (0.0, 20.0)),
        (long, _LONG, "long eruptions", (0.0, -20.5)),
    ):
        mean = model.means_[component]
        for deviations, opacity in ((2, 0.07), (1, 0.13)):
            axes.add_patch(_ellipse(mean, model.covariances_[component], deviations, fc=colour, alpha=opacity, lw=0))
            axes.add_patch(
                _ellipse(mean, model.covariances_[component], deviations, fc="none", ec=colour, lw=1.4, alpha=0.85)
            )
        axes.plot(*mean, marker="+", color=colour, markersize=11, markeredgewidth=2, zorder=4)
        axes.annotate(
            f"{100 * model.weights_[component]:.0f} % {label}",
            mean + offset,
            color=colour,
            fontsize=11.5,
            fontweight="bold",
            ha="center",
            va="center",
        )
    points = axes.scatter(
        data[:, 0],
        data[:, 1],
        c=model.predict_proba(data)[:, long],
        cmap=LinearSegmentedColormap.from_list("responsibility", [_SHORT, _BETWEEN, _LONG]),
        vmin=0,
        vmax=1,
        s=26,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
    )
    bar = figure.colorbar(points, ax=axes, fraction=0.035, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("responsibility of the long component", color=_INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=_INK)
    axes.set_title("Old Faithful: a mixture of two Gaussians", loc="left", fontsize=15, color=_INK, pad=26)
    axes.annotate(
        f"{len(data)} eruptions; ellipses at 1 and 2 standard deviations; "
        f"log-likelihood {model.score(data) * len(data):.4f}",
        (0, 1),
        xytext=(0, 9),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=10,
        color="#6b6b6b",
    )
    axes.set_xlabel("length of the eruption (minutes)", color=_INK)
    axes.set_ylabel("waiting time to the next eruption (minutes)", color=_INK)
    axes.set_xlim(1.2, 5.6)
    axes.set_ylim(38, 100)
    axes.grid(color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    with atomic_file(path) as stream:
        canvas.print_figure(stream, format="png", dpi=200)


def _ellipse(mean: NDArray[np.float64], covariance: NDArray[np.float64], deviations: float, **style: Any) -> Ellipse:
    """The points `deviations` standard deviations from `mean`, in Mahalanobis' distance."""
    variances, axes = np.linalg.eigh(covariance)
    width, height = 2 * deviations * np.sqrt(variances)
    angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
    return Ellipse((mean[0], mean[1]), width, height, angle=angle, **style)
