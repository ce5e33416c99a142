"""What a fit reads: rows in memory or in a file, or a stream of blocks."""

from __future__ import annotations

from typing import Any

from fastmix.data.incomplete import IncompleteRows, check_all_observed
from fastmix.data.reading import make_rows
from fastmix.data.streams import Source, Streamed
from fastmix.data.validation import as_weights, is_stream
from fastmix.fitting.choice import check_options_for_stream, options_of


def source_to_fit(model: Any, X: Any, sample_weight: Any) -> Source:
    """X and weights as passes of a mixture's fit read them, checked; weights in units of the largest.

    Raises
    ------
    ValueError : bad input, fewer rows than components, or a stream where the mixture's engine cannot read one.
    """
    source: Source
    if is_stream(X):
        check_options_for_stream(options_of(model))
        source = as_streamed(model, X, sample_weight)
    else:
        rows = model._rows_to_fit(X)
        weights = as_weights(sample_weight, len(rows))
        source = make_rows(rows, None if weights is None else weights / weights.max())
        if model._may_miss():
            check_all_observed(source)
            source = IncompleteRows.of(source)
    if source.n_rows < model.n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {model.n_components}, n_samples = {source.n_rows} "
            f"({source.n_rows} sample): use at most {source.n_rows} components"
        )
    return source


def as_streamed(model: Any, X: Any, sample_weight: Any) -> Streamed:
    """The rows of a stream; ValueError where weights come beside it, or entries may be missing."""
    if model._may_miss():
        raise ValueError(
            f"missing={model.missing!r} sorts rows by what is missing, but X is a {type(X).__name__}, which yields blocks of "
            "rows in an order of its own: pass an array or a memory map, or set missing='error'"
        )
    if sample_weight is not None:
        raise ValueError(
            f"sample_weight goes with an array, but X is a {type(X).__name__}, which yields blocks of rows: let it yield pairs "
            "of rows and weights instead"
        )
    return Streamed(X, type(model).__name__)
