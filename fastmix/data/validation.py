"""Checking what users pass in. Messages name the argument, what was found and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastmix.data.frames import ColumnError, as_numbers, column_names
from fastmix.exceptions import warn_user

# How many numbers are looked at in one go, so that checking a memory map never holds much of it.
_CHUNK = 1 << 20

# Memory maps with fewer bytes as float64 are converted to it, whatever they hold but float32.
_SMALL = 64 * 1024**2
# So few numbers are looked at one by one: a sum would have to be guarded against overflow, which takes 4 us.
_FEW = 4096

_LARGEST = float(np.finfo(np.float64).max)

# What to do about rows that cannot be read.
_REMEDY = "Drop or fill such rows first"
BY_EM = "missing='em', which takes NaN for entries that are missing at random"

# What log-densities may be computed in.
DTYPES = ("float64", "float32")


def is_sparse(X: Any) -> bool:
    """Whether X is one of SciPy's sparse containers (asked without importing SciPy)."""
    return hasattr(X, "tocsr") and hasattr(X, "nnz")


def is_stream(X: Any) -> bool:
    """Whether X can only be asked for blocks of rows, by iterating: it is neither an array nor made of anything like one."""
    if isinstance(X, (np.ndarray, Sequence, Mapping, Set)):
        return False
    like_an_array = (
        "__array__", "__array_interface__", "__array_struct__", "__dataframe__", "__arrow_c_stream__", "__dlpack__", "shape"
    )  # fmt: skip
    return hasattr(type(X), "__iter__") and not any(hasattr(X, name) for name in like_an_array)


def feature_names(X: Any) -> np.ndarray | None:
    """Column names of a table, where all of them are strings; else None."""
    columns = column_names(X)
    if columns is None:
        return None
    names = np.asarray(columns, dtype=object)
    kinds = {isinstance(name, str) for name in names}
    if kinds == {True, False}:
        found = sorted({type(name).__name__ for name in names})
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{found} as feature name / column name types. Convert them all to strings, for example with "
            "X.columns = X.columns.astype(str), or pass an array."
        )
    return names if kinds == {True} else None


def as_rows(X: Any, name: str = "X", owner: str = "this estimator") -> np.ndarray:
    """``as_table``, converted as a whole to what kernels read."""
    return as_kernels_read(as_table(X, name, owner))


def as_table(
    X: Any, name: str = "X", owner: str = "this estimator", may_miss: bool | None = None, setting: str = BY_EM
) -> np.ndarray:
    """X as an array (N, D) of finite real numbers, of any type and layout.

    Parameters
    ----------
    may_miss : whether NaN may stand in it, and what data frames and masked arrays have for missing entries, which become NaN.
        None: no, and the owner has no way to allow it.
    setting : the owner's way to allow it, and what that does.

    Raises
    ------
    TypeError : sparse or non-numeric input.
    ValueError : wrong number of dimensions, no rows or features, complex numbers, NaN or infinity.
    """
    if may_miss:
        X = _with_nan(X)
    array = as_real_table(X, name, owner)
    remedy = f"{_REMEDY}, or set {setting}" if may_miss is False else _REMEDY
    check_finite(array, name, may_miss=bool(may_miss), remedy=remedy)
    return array


def _with_nan(X: Any) -> Any:
    """X with NaN for what masked arrays have for missing entries."""
    if np.ma.isMaskedArray(X) and np.ma.getmaskarray(X).any():
        return np.ma.filled(X.astype(np.float32 if X.dtype == np.float32 else np.float64), np.nan)
    return X


def as_real_table(X: Any, name: str, owner: str, least_rows: int = 1) -> np.ndarray:
    """``as_table`` without a look at the numbers: they may be NaN or infinite."""
    if is_stream(X):
        raise ValueError(
            f"{name} is a {type(X).__name__}, which yields blocks of rows, but {owner} needs an array here: pass one block at a "
            "time, or all rows together"
        )
    if is_sparse(X):
        raise TypeError(
            f"{name} is a sparse container, but {owner} needs dense data: pass {name}.toarray() if it fits in memory"
        )
    try:
        array = X if isinstance(X, np.ndarray) else np.asarray(as_numbers(X, name))
    except ColumnError:
        raise
    except ValueError as error:
        raise ValueError(
            f"{name} is not a table: its rows differ in length ({error}). Pass rows of equal length"
        ) from error
    if np.ma.isMaskedArray(array):
        if np.ma.getmaskarray(array).any():
            raise ValueError(f"{name} has masked entries; fill them or drop their rows")
        array = np.ma.getdata(array)
    array = _as_real(array, name)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead: {name} has shape {array.shape}. Reshape your data using "
            "array.reshape(-1, 1) if it has a single feature or array.reshape(1, -1) if it is a single sample."
        )
    n_rows, n_features = array.shape
    if n_rows < least_rows:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required by {owner}: {name} is empty"
        )
    if n_features == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required by {owner}: "
            f"{name} has no columns"
        )
    return array


def as_array(value: Any, name: str) -> np.ndarray:
    """``value`` as an array of any type; ValueError where its rows differ in length."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} has rows that differ in length ({error}); pass rows of equal length") from None


def _as_real(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}. Pass its real part")
    if array.dtype.kind in "OSUV":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise (TypeError if array.dtype.kind == "O" and isinstance(error, TypeError) else ValueError)(
                f"{name} has dtype {array.dtype} with entries that are not numbers ({error}). Argument must be a string or "
                "a number that float() takes; encode categories as numbers first"
            ) from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}; pass real numbers")
    return array


def kernels_read(array: np.ndarray) -> bool:
    """Whether kernels read the array (N, D) as it is: float64 or float32 in C order.

    A large memory map may hold any native real type, since kernels convert what they load; others are converted first, because
    each type is one more set of kernels to compile (23 s for 120 rows of int32).
    """
    if not array.flags.c_contiguous or not array.dtype.isnative:
        return False
    is_map = (
        8 * array.size >= _SMALL
        and isinstance(array, np.memmap)
        and array.dtype.itemsize <= 8
        and array.dtype != np.float16
    )
    return is_map or array.dtype in (np.float64, np.float32)


def as_kernels_read(array: np.ndarray) -> np.ndarray:
    """The array itself where ``kernels_read`` it, else a copy in float64 (float32 for float32)."""
    if kernels_read(array):
        return array
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)


def check_finite(
    array: np.ndarray, name: str, first_row: int = 0, may_miss: bool = False, remedy: str = _REMEDY
) -> None:
    """ValueError with the first row (and column) that is NaN or infinite; the array's own first is called ``first_row``.

    Where entries ``may_miss`` only infinity is looked for.
    """
    if array.dtype.kind != "f" or (array.size <= _FEW and array.itemsize <= 8 and np.isfinite(array).all()):
        return
    n_columns = array.shape[1] if array.ndim == 2 else 1
    step = max(1, _CHUNK // n_columns)
    for first in range(0, array.shape[0], step):
        chunk = array[first : first + step]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(chunk.sum(dtype=np.float64)):
                continue
            used = chunk.astype(np.float64)  # as it will be used: a long double may be too large
            bad = np.isinf(used) if may_miss else ~np.isfinite(used)
        if bad.any():
            where = np.argwhere(bad)[0]
            value = chunk[tuple(where)]
            place = f"row {first_row + first + where[0]}" + (f", column {where[1]}" if array.ndim == 2 else "")
            found, remedy = ("NaN", remedy) if np.isnan(value) else ("infinity (inf)", _REMEDY)
            raise ValueError(f"Input {name} contains {found}: the first is at {place} (counting from 0). {remedy}")


def as_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """sample_weight as float64 (N,), or None for no weights.

    Raises
    ------
    ValueError : wrong shape, negative, NaN or infinite weights, or all of them zero.
    """
    if sample_weight is None:
        return None
    weights = as_some_weights(sample_weight, n_rows)
    check_any_weight(weights.any())
    return weights


def as_some_weights(sample_weight: Any, n_rows: int, first_row: int = 0) -> np.ndarray:
    """The weights of some of the rows, from ``first_row`` on, as float64 (N,); they may all be zero. Else as ``as_weights``."""
    if isinstance(sample_weight, Real):
        weights = np.full(n_rows, float(sample_weight))
    else:
        weights = np.ascontiguousarray(
            _as_real(as_array(sample_weight, "sample_weight"), "sample_weight"), dtype=np.float64
        )
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar: sample_weight has shape {weights.shape}")
    if weights.shape[0] != n_rows:
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n_rows,)}: give one weight for each row of X"
        )
    check_finite(weights, "sample_weight", first_row)
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise ValueError(
            f"sample_weight is negative ({weights[row]:g}) at row {first_row + row}; weights must be at least 0"
        )
    return weights


def check_any_weight(any_positive: bool | np.bool_) -> None:
    """ValueError unless some weight is positive."""
    if not any_positive:
        raise ValueError("sample_weight is zero for every row; at least one weight must be positive")


def check_integer(value: Any, name: str, least: int) -> int:
    """ValueError unless ``value`` is an integer of at least ``least``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}; got {value!r}")
    return int(value)


def check_real(value: Any, name: str) -> float:
    """ValueError unless ``value`` is a finite number of at least 0."""
    # Compared before it is converted: an int may be too large for a float.
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= _LARGEST:  # type: ignore[operator]
        raise ValueError(f"{name} must be a finite number of at least 0; got {value!r}")
    return float(value)


def check_flag(value: Any, name: str) -> bool:
    """ValueError unless ``value`` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def check_dtype(value: Any, name: str) -> str:
    """The name of a type that log-densities may be computed in, given by that name, as a NumPy type or as a dtype."""
    if not isinstance(value, str) and value in (np.float32, np.float64):
        value = np.dtype(value).name
    return check_choice(value, name, DTYPES)


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """ValueError unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    return value


def as_parameter_array(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """``value`` as a float64 copy of the given shape, finite; else ValueError."""
    array = np.array(_as_real(as_array(value, name), name), dtype=np.float64, order="C")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be finite; the first bad entry is at {tuple(map(int, np.argwhere(~np.isfinite(array))[0]))}"
        )
    return array


def check_weights(weights: np.ndarray, name: str) -> np.ndarray:
    """The weights of a mixture, which must be non-negative and sum to 1 (within 1e-6); else ValueError.

    A sum that is off by more than rounding is divided out; others are left to the bit, so that a saved model comes back.
    """
    if (weights < 0).any():
        raise ValueError(f"{name} must be at least 0; got {weights.min():g} for component {int(weights.argmin())}")
    if abs(weights.sum() - 1.0) > 1e-6:
        raise ValueError(f"{name} must sum to 1; the sum is {weights.sum():g}. Divide by it")
    rounding = 4 * weights.size * np.finfo(np.float64).eps
    return weights if abs(weights.sum() - 1.0) <= rounding else weights / weights.sum()


def warn_about_names(fitted: np.ndarray | None, given: np.ndarray | None, owner: str) -> None:
    """Compare the feature names of a fit with those of later data, as scikit-learn does."""
    if fitted is None and given is None:
        return
    if fitted is None:
        warn_user(f"X has feature names, but {owner} was fitted without feature names", UserWarning)
    elif given is None:
        warn_user(f"X does not have valid feature names, but {owner} was fitted with feature names", UserWarning)
    elif len(fitted) != len(given) or (fitted != given).any():
        message = "The feature names should match those that were passed during fit.\n"
        unexpected, missing = sorted(set(given) - set(fitted)), sorted(set(fitted) - set(given))
        if unexpected:
            message += "Feature names unseen at fit time:\n" + "".join(f"- {name}\n" for name in unexpected[:5])
        if missing:
            message += "Feature names seen at fit time, yet now missing:\n" + "".join(
                f"- {name}\n" for name in missing[:5]
            )
        if not unexpected and not missing:
            message += "Feature names must be in the same order as they were in fit.\n"
        raise ValueError(message)
