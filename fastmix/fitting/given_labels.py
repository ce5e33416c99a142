"""What a user says about the components of rows: checked, and as passes read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from fastmix.data.rows import NO_LABELS
from fastmix.data.source import Source
from fastmix.data.validation import as_array, check_finite
from fastmix.families.label_noise import LabelNoise
from fastmix.families.labelled import Labelled
from fastmix.kernels.mixture.label_terms import LEAST_SHARE
from fastmix.kernels.mixture.normalise import LOG_ZERO
from fastmix.kernels.mixture.tiles import Labels

ESTIMATE = "estimate"
# The share of wrong labels that the estimation of a confusion matrix begins with.
_FIRST_NOISE = 0.1
_CHUNK_ENTRIES = 1 << 20
# Of sums of probabilities: those that are off by no more are left to the bit, so that a saved model comes back.
_ROUNDING = 1e-12
# Classes are numbers from 0 to below this, or to below the number of components where that is more: what is counted by class, and
# confusion matrices, have room for all of them, and passes in float32 have to tell them from one another.
_MOST_CLASSES = 1000


@dataclass(frozen=True, eq=False)
class LabelMeaning:
    """What labels of classes say about components.

    Attributes
    ----------
    classes : (K,) int64, the class of each component; -1: of none.
    noise : None where labels are right; the share of wrong ones; the confusion matrix; or "estimate".
    """

    classes: np.ndarray
    noise: Any

    @classmethod
    def of(cls, component_labels: Any, label_noise: Any, n_components: int) -> LabelMeaning:
        """What the arguments of these names say; ValueError where one of them cannot be."""
        is_number = isinstance(label_noise, np.ndarray) and label_noise.ndim == 0
        meaning = cls(classes_of(component_labels, n_components), label_noise.item() if is_number else label_noise)
        _ = meaning.confusion()
        return meaning

    @property
    def n_classes(self) -> int:
        return int(self.classes.max()) + 1

    @property
    def is_estimated(self) -> bool:
        return isinstance(self.noise, str)

    def confusion(self) -> np.ndarray | None:
        """The (C, C) confusion matrix, or where its estimation begins; None where labels are right."""
        return _confusion(self.noise, self.n_classes)


@dataclass(frozen=True, eq=False)
class GivenLabels:
    """What is known about the components of a fit's rows.

    Attributes
    ----------
    labels : as passes read it.
    noise : the confusion matrix, as it is given or as its estimation begins; None where labels are right, soft or not there.
    estimated : whether the fit estimates it.
    classes : those that rows are said to be of, ascending.
    """

    labels: Labels = NO_LABELS
    noise: LabelNoise | None = None
    estimated: bool = False
    classes: tuple[int, ...] = ()

    def attached(self, rows: Source) -> Source:
        """The rows with what is known about them."""
        in_any_order = rows.in_any_order
        return rows if self.labels is NO_LABELS or in_any_order is None else in_any_order.with_labels(self.labels)

    def leaves_nothing_open(self, rows: Source) -> bool:
        """Whether the component of every row of ``rows``, which are complete, is known."""
        terms, in_any_order = self.labels.label_terms, rows.in_any_order
        if in_any_order is None or not rows.is_complete or not terms.size or (terms[:, 1] > LOG_ZERO).any():
            return False
        known, weights = self.labels.labels >= 0, in_any_order.weights
        one_a_class = np.bincount(self.labels.label_classes[self.labels.label_classes >= 0]).max() == 1
        return bool(one_a_class and (known.all() or (weights.size and not weights[~known].any())))

    def started(self, parameters: Any) -> Any:
        """The parameters that a run begins with, with the confusion matrix where that is estimated.

        Raises
        ------
        ValueError : where rows have a label that only components of weight 0 could have.
        """
        row = self.unexplained_row(parameters.weights > 0)
        if row is not None:
            raise ValueError(
                f"labels say that row {row} is of class {self.labels.labels[row]}, but the fit begins with weight 0 for all "
                "components that could have this label; raise weights_init there"
            )
        return Labelled(parameters, self.noise) if self.estimated and self.noise is not None else parameters

    def unexplained_row(self, alive: np.ndarray) -> int | None:
        """A row whose label none of the components could have that are ``alive`` (K,) bool; None where there is none."""
        of_alive = (
            np.unique(self.labels.label_classes[alive & (self.labels.label_classes >= 0)]) if self.classes else ()
        )
        for label in self.classes:
            explained = label in of_alive if self.noise is None else self.noise.confusion[of_alive, label].any()
            if not explained:
                return int(np.argmax(self.labels.labels == label))
        return None

    def noise_after(self, noise: LabelNoise | None) -> LabelNoise | None:
        """The confusion matrix of a fit that estimated ``noise``, if it did; None where there is none."""
        return self.noise if noise is None else noise


NOTHING_KNOWN = GivenLabels()


def given_labels(
    labels: Any, rows: Source, meaning: LabelMeaning, n_components: int, estimated_before: Any = None
) -> GivenLabels:
    """``labels`` as users give them for these rows, checked.

    Parameters
    ----------
    labels : (N,) classes or (N, K) soft labels.
    estimated_before : the confusion matrix that its estimation goes on from, where it is one of so many classes.

    Raises
    ------
    ValueError : labels of the wrong shape or type, or that cannot be.
    """
    if labels is None:
        return NOTHING_KNOWN
    if rows.in_any_order is None:
        raise ValueError(
            "labels go with an array, but X is a stream of blocks: give rows and labels as arrays (X may be a memory map)"
        )
    if np.ma.isMaskedArray(labels) and np.ma.getmaskarray(labels).any():
        raise ValueError("labels have masked entries; write -1 where the class is unknown")
    array = as_array(labels, "labels")
    if array.ndim == 2:
        return _soft(array, rows, meaning, n_components)
    return _hard(array, rows, meaning, estimated_before)


def _hard(labels: np.ndarray, rows: Source, meaning: LabelMeaning, estimated_before: Any) -> GivenLabels:
    classes, n_classes = meaning.classes, meaning.n_classes
    given = _whole_numbers(labels, rows.n_rows, n_classes)
    parts = (given[first : first + _CHUNK_ENTRIES] for first in range(0, len(given), _CHUNK_ENTRIES))
    found = tuple(sorted({int(label) for part in parts for label in np.unique(part)} - {-1}))
    if not found:
        return NOTHING_KNOWN
    missing = sorted(set(found) - set(classes.tolist()))
    if missing:
        row = int(np.argmax(given == missing[0]))
        raise ValueError(
            f"labels say that row {row} is of class {missing[0]}, but component_labels give no component to this class; give it "
            "one, or write -1 for the row"
        )
    confusion = meaning.confusion()
    noise = None if confusion is None else LabelNoise(classes, confusion)
    if meaning.is_estimated:
        assert noise is not None
        if np.shape(estimated_before) == noise.confusion.shape:
            noise = replace(noise, confusion=estimated_before)
    labels_read = NO_LABELS._replace(labels=given, label_classes=classes)
    if noise is None or isinstance(meaning.noise, Real):
        labels_read = labels_read._replace(label_terms=_terms(classes, float(meaning.noise or 0.0), n_classes))
    else:
        labels_read = labels_read._replace(label_table=noise.log_table())
    known = GivenLabels(labels_read, noise, meaning.is_estimated, found)
    unexplained = known.unexplained_row(np.ones(len(classes), dtype=bool))
    if unexplained is not None:
        raise ValueError(
            f"labels say that row {unexplained} is of class {given[unexplained]}, but label_noise has 0 for this label in the "
            "rows of all classes that have components; raise one of them"
        )
    return known


def _terms(classes: np.ndarray, share: float, n_classes: int) -> np.ndarray:
    """See ``Labels.label_terms``, where so large a share of labels is wrong, and all wrong ones are alike."""
    terms = np.full((len(classes), 2), LOG_ZERO)
    terms[classes >= 0, 0] = np.log1p(-share) if n_classes > 1 else 0.0
    if share > 0 and n_classes > 1:
        terms[classes >= 0, 1] = np.log(share / (n_classes - 1))
    return terms


def _soft(soft: np.ndarray, rows: Source, meaning: LabelMeaning, n_components: int) -> GivenLabels:
    shape = rows.n_rows, n_components
    if soft.shape != shape:
        raise ValueError(
            f"labels have shape {soft.shape}: soft labels must have shape {shape}, a column for each component, and labels of "
            f"classes shape {shape[:1]}"
        )
    if meaning.noise is not None:
        raise ValueError(
            "label_noise is for labels of classes (N,), and labels are soft; put the doubt into the soft labels, and set "
            "label_noise=None"
        )
    if soft.dtype.kind not in "fiub":
        raise ValueError(f"labels have dtype {soft.dtype}; soft labels must be real numbers of at least 0")
    check_finite(soft, "labels")
    if soft.dtype not in (np.float64, np.float32) or not soft.flags.c_contiguous or not soft.dtype.isnative:
        soft = np.ascontiguousarray(soft, dtype=np.float64)
    step = max(1, _CHUNK_ENTRIES // soft.shape[1])
    for first in range(0, len(soft), step):
        part = soft[first : first + step]
        if part.min() < 0:
            row, column = np.argwhere(part < 0)[0]
            raise ValueError(
                f"labels have {part[row, column]:g} at row {first + row}, column {column}; soft labels must be at least 0"
            )
        empty = part.max(axis=1) < LEAST_SHARE
        if empty.any():
            raise ValueError(
                f"labels are 0 in the whole of row {first + int(np.argmax(empty))}, so that no component could have made it; "
                "write ones where nothing is known"
            )
    return GivenLabels(NO_LABELS._replace(soft_labels=soft))


def _whole_numbers(labels: np.ndarray, n_rows: int, n_classes: int) -> np.ndarray:
    """Labels of classes as int64 (N,), without a copy where they are."""
    if labels.shape != (n_rows,):
        raise ValueError(
            f"labels have shape {labels.shape}, expected {(n_rows,)}: give one class for each row of X, -1 where it is unknown"
        )
    if labels.dtype.kind == "O":
        try:
            labels = labels.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"labels hold what is no number ({error}); write classes as 0, 1, ..., and -1 where it is unknown"
            ) from error
    if labels.dtype.kind not in "fiu":
        raise ValueError(
            f"labels have dtype {labels.dtype}; write classes as whole numbers 0, 1, ..., and -1 where it is unknown"
        )
    bad = _no_classes(labels, n_classes)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"labels have {labels[row]} at row {row}; they must be whole numbers from -1 (unknown) to {n_classes - 1}, the "
            "largest class of a component: see component_labels, or raise n_components"
        )
    return np.ascontiguousarray(labels, dtype=np.int64)


def _no_classes(numbers: np.ndarray, n_classes: int) -> np.ndarray:
    """Which of the numbers are neither a class nor -1."""
    bad = ~((numbers >= -1) & (numbers < n_classes))  # this way round NaN is bad, too
    return bad | (numbers != np.floor(numbers)) if numbers.dtype.kind == "f" else bad


def classes_of(component_labels: Any, n_components: int) -> np.ndarray:
    """The class of each component, (K,) int64; -1: of none. ValueError where ``component_labels`` cannot be."""
    if component_labels is None:
        return np.arange(n_components)
    array = as_array(component_labels, "component_labels")
    if array.shape != (n_components,) or array.dtype.kind not in "fiu":
        raise ValueError(
            f"component_labels must hold the class of each of the {n_components} components; got shape {array.shape} and dtype "
            f"{array.dtype}"
        )
    most = max(_MOST_CLASSES, n_components)
    bad = _no_classes(array, most)
    if bad.any():
        k = int(np.argmax(bad))
        raise ValueError(
            f"component_labels have {array[k]} for component {k}; classes are whole numbers 0, 1, ... below {most} (number them "
            "with numpy.unique(..., return_inverse=True)), and -1 is a component of no class"
        )
    if (array < 0).all():
        raise ValueError("component_labels are all -1; give at least one component a class, or use None")
    return array.astype(np.int64)


def _confusion(noise: Any, n_classes: int) -> np.ndarray | None:
    """The (C, C) confusion matrix, or where its estimation begins; None where labels are right."""
    if noise is None:
        return None
    if isinstance(noise, str):
        if noise != ESTIMATE:
            raise ValueError(f"label_noise must be None, a number, a matrix or {ESTIMATE!r}; got {noise!r}")
        return _evenly(_FIRST_NOISE, n_classes)
    if isinstance(noise, Real) and not isinstance(noise, bool):
        share = float(noise)
        if not 0 <= share < 1:
            raise ValueError(f"label_noise is the share of wrong labels, at least 0 and below 1; got {noise!r}")
        return _evenly(share, n_classes)
    matrix = as_array(noise, "label_noise")
    if matrix.shape != (n_classes, n_classes) or matrix.dtype.kind not in "fiu":
        raise ValueError(
            f"label_noise must be None, a number, {ESTIMATE!r} or a confusion matrix of shape {(n_classes, n_classes)}, true "
            f"classes in rows and labels in columns; got shape {matrix.shape} and dtype {matrix.dtype}"
        )
    return check_confusion(matrix, "label_noise")


def check_confusion(matrix: np.ndarray, name: str) -> np.ndarray:
    """A square matrix of probabilities whose rows sum to 1, as float64; else ValueError."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix; it has shape {matrix.shape}")
    matrix = matrix.astype(np.float64)
    bad = ~((matrix >= 0) & (matrix <= 1 + 1e-6))
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise ValueError(f"{name} has {matrix[i, j]:g} at row {i}, column {j}; its entries must be probabilities")
    sums = matrix.sum(axis=1)
    if (np.abs(sums - 1.0) > 1e-6).any():
        i = int(np.argmax(np.abs(sums - 1.0) > 1e-6))
        raise ValueError(
            f"row {i} of {name} sums to {sums[i]:g}; each row must sum to 1, over the labels that rows of a class may get"
        )
    return matrix if (np.abs(sums - 1.0) <= _ROUNDING).all() else matrix / sums[:, None]


def _evenly(share: float, n_classes: int) -> np.ndarray:
    """The confusion matrix in which so large a share of labels is wrong, spread over the other classes."""
    if n_classes == 1:
        return np.ones((1, 1))
    matrix = np.full((n_classes, n_classes), share / (n_classes - 1))
    np.fill_diagonal(matrix, 1.0 - share)
    return matrix
