"""Feeding models batch by batch, and all that they learned from it."""

from itertools import pairwise

from fits import bits

from fastmix import KMeans


def feed(model, rows, cuts, sample_weight=None):
    """partial_fit with the rows between the cuts, one batch after the other."""
    for first, last in pairwise(cuts):
        part = slice(first, last)
        model.partial_fit(rows[part], sample_weight=None if sample_weight is None else sample_weight[part])
    return model


def every(n, rows):
    return [*range(0, len(rows), n), len(rows)]


def numbers(model):
    """Everything that is learned, to the last bit."""
    if isinstance(model, KMeans):
        return model.cluster_centers_.tobytes(), model.labels_.tobytes(), model.inertia_, model.n_steps_
    return *bits(model), model.lower_bound_, model.n_steps_, model.n_samples_seen_, model.stop_reason_
