"""What labels want of active lists: that no labelled row lies in a tile that looks at none of the components it may have."""

from __future__ import annotations

import numpy as np

from fastmix.engines.sparse.lists import ActiveLists
from fastmix.kernels.mixture.tiles import Labels

# Entries of a matrix of tiles and components at once.
_PART = 1 << 19


def narrowed_for_labels(
    wide: ActiveLists, narrow: ActiveLists, most_probable: np.ndarray, labels: Labels
) -> ActiveLists:
    """The ``narrow`` ones of ``wide`` lists, with what labels need besides; see ``_needed``."""
    n_components = labels.soft_labels.shape[1] or len(labels.label_classes)
    entries, kept = (
        np.repeat(np.arange(lists.n_tiles) * n_components, np.diff(lists.schedule.offsets)) + lists.schedule.active
        for lists in (wide, narrow)
    )
    return wide.only(np.isin(entries, kept, assume_unique=True) | _needed(wide, most_probable, labels))


def _needed(lists: ActiveLists, most_probable: np.ndarray, labels: Labels) -> np.ndarray:
    """For each entry of the lists, whether the tile has to keep the component for the sake of a row.

    Of most rows that is the component that leads it, which a label allows. Of a labelled row that is led by none because it is
    out of place (``fastmix.kernels.mixture.em_pass.Byproducts``), as wrong labels are, it is all that its label allows.

    Parameters
    ----------
    most_probable : (N,) int32, K for a row that is led by none.
    """
    offsets, active = lists.schedule.offsets, lists.schedule.active
    classes, soft = labels.label_classes, labels.soft_labels
    n_components = soft.shape[1] or len(classes)
    needed = np.zeros(len(active), dtype=bool)
    step = max(1, _PART // n_components)
    for first in range(0, lists.n_tiles, step):
        last = min(first + step, lists.n_tiles)
        begins = lists.begins[first : last + 1]
        rows = lists.schedule.order[begins[0] : begins[-1]]
        tile_of_row = np.repeat(np.arange(last - first), np.diff(begins))
        wanted = np.zeros((last - first, n_components + 1), dtype=bool)
        wanted[tile_of_row, most_probable[rows]] = True
        outside = most_probable[rows] == n_components
        if labels.labels.size:
            outside &= labels.labels[rows] >= 0
        for tile, row in zip(tile_of_row[outside], rows[outside], strict=True):
            allowed = soft[row] > 0 if soft.size else classes == labels.labels[row]
            if not allowed.all():
                wanted[tile, :n_components] |= allowed
        tiles = np.repeat(np.arange(last - first), np.diff(offsets[first : last + 1]))
        entries = slice(offsets[first], offsets[last])
        needed[entries] = wanted[tiles, active[entries]]
    return needed
