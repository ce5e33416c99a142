"""A fitted model as one file of arrays with a JSON header (``arrayfile``).

Format version 1. The header holds ``format_version``, ``fastmix_version``, ``class``, ``parameters`` (what the
constructor was given, as ``files/plain.py`` writes it, arrays beside it; null where that cannot be written, such as a
function or a random generator, and then named in ``not_stored``), ``seed`` (``random_state`` if that was an int,
else null), ``arrays`` (dtype and shape of each array) and whatever else the class wants to keep.

What the numbers mean (weights that sum to 1, positive definite covariances) is checked by the class that reads them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fastmix._version import __version__
from fastmix.files.arrayfile import ArrayFileError, read_arrays, write_arrays
from fastmix.files.plain import as_plain, from_plain
from fastmix.files.registry import Registry
from fastmix.fitting.checkpoint import CHECKPOINT

__all__ = ["FORMAT_VERSION", "ModelFileError", "load", "read_model", "write_model"]

FORMAT_VERSION = 1

# The classes that a file may name.
MODELS = Registry("model")


def name_of(cls: type) -> str:
    """The name under which a model of this class, or of a subclass that is not known by itself, is stored."""
    return next(each.__name__ for each in cls.__mro__ if each in MODELS)


_RESERVED_KEYS = frozenset({"format_version", "fastmix_version", "arrays", "not_stored"})

_OF_PARAMETERS = "parameters."  # what names of arrays begin with that constructors were given
_REMEDY = "save the model again"
_DAMAGED = f"the file is damaged or was not written by fastmix; {_REMEDY}"


class ModelFileError(ValueError):
    """A file is not a fastmix model, is damaged, or was written by a newer fastmix."""


def write_model(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a model file atomically: on any failure the old file is still there, whole.

    Parameters
    ----------
    path : str or path-like
        The file to write, used exactly as given (no suffix is added).
    header : mapping
        ``class`` and ``parameters`` are required; further keys must hold what JSON can. Parameters that a file cannot
        hold (functions, generators) become null and are listed under ``not_stored``. ``seed`` is taken from the
        parameter ``random_state`` unless given.
    arrays : mapping of str to ndarray
        float64, float32, int64, int32 or uint8, of at most eight dimensions.

    Raises
    ------
    ValueError
        If `header` or `arrays` hold what :func:`read_model` would refuse.
    OSError
        If the file cannot be written.
    """
    of_parameters: dict[str, NDArray[Any]] = {}
    write_arrays(path, _complete_header(header, of_parameters), {**arrays, **of_parameters})


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a model file, checking everything that can be checked without knowing the class.

    Parameters
    ----------
    path : str or path-like
        A file written by :func:`write_model`.

    Returns
    -------
    header : dict
        As described in this module's docstring.
    arrays : dict of str to ndarray
        Writable, C-ordered, native byte order.

    Raises
    ------
    ModelFileError
        If the file is truncated or damaged, holds anything unexpected, or has a newer format. Takes memory in
        proportion to the file's real size, whatever sizes it claims.
    OSError
        If the file cannot be opened.
    """
    try:
        header, arrays = read_arrays(path, _complaint)
    except ArrayFileError as error:
        raise ModelFileError(f"{error}; {_REMEDY}" if error.damaged else str(error)) from error
    of_parameters = {name: arrays.pop(name) for name in list(arrays) if name.startswith(_OF_PARAMETERS)}
    try:
        parameters = {name: from_plain(each, of_parameters) for name, each in header["parameters"].items()}
    except (ValueError, TypeError, KeyError) as error:
        raise ModelFileError(f"{os.fspath(path)!r} holds no valid {header['class']}: {error}; {_DAMAGED}") from error
    return {**header, "parameters": parameters}, arrays


def load(path: str | os.PathLike[str]) -> Any:
    """Load a model written by ``model.save(path)``.

    Nothing in the file is executed, whoever wrote it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    GaussianMixture, KMeans, SoftKMeans or Mixture
        Fitted, equal in every number to the model saved. Constructor arguments that a file cannot hold (functions, random
        generators, open files) have their defaults; ``save`` warned of those that another fit would need.

    Raises
    ------
    ModelFileError
        If the file is damaged, not a model, of a newer format, or holds parameters that no model can have.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import fastmix, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.fastmix")
    >>> fastmix.GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]]).save(path)
    >>> fastmix.load(path).means_
    array([[0.]])
    """
    header, arrays = read_model(path)
    model_class: Any = MODELS.named(header["class"])
    try:
        return model_class._from_model_file(header, arrays)
    except (ValueError, KeyError, TypeError) as error:
        found = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
        raise ModelFileError(f"{os.fspath(path)!r} holds no valid {header['class']}: {found}; {_DAMAGED}") from error


def _complete_header(header: Mapping[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The header with what is added to each; ``arrays`` of parameters go out."""
    if header.get("class") not in tuple(MODELS):
        raise ValueError(f"header['class'] is {header.get('class')!r}; load() knows {', '.join(MODELS)}")
    if clash := _RESERVED_KEYS & header.keys():
        raise ValueError(f"header holds {sorted(clash)}, which write_model adds itself; leave them out")
    given = header["parameters"]
    parameters = {name: as_plain(value, arrays, f"{_OF_PARAMETERS}{name}") for name, value in given.items()}
    random_state = parameters.get("random_state")
    return {
        "seed": random_state if isinstance(random_state, int) else None,
        **header,
        "format_version": FORMAT_VERSION,
        "fastmix_version": __version__,
        "parameters": parameters,
        "not_stored": [name for name, value in parameters.items() if value is None and given[name] is not None],
    }


def _complaint(header: dict[str, Any]) -> str | None:
    """What keeps a header from being that of a model, and what to do."""
    version = header.get("format_version")
    if type(version) is not int or version < 1:
        return f"its header has format_version {version!r} where an int from 1 belongs; {_DAMAGED}"
    if header.get("class") == CHECKPOINT:
        return (
            "it holds a checkpoint of a fit, not a model; give it to GaussianMixture(checkpoint=fastmix.Checkpoint(path, "
            "resume=True))"
        )
    if version > FORMAT_VERSION:
        return (
            f"it has format version {version}, written by fastmix {header.get('fastmix_version')}; "
            f"this fastmix reads versions up to {FORMAT_VERSION}: upgrade fastmix"
        )
    if header.get("class") not in tuple(MODELS):
        return f"it holds a {header.get('class')!r}, not one of {', '.join(MODELS)}; {_DAMAGED}"
    for key, kind in (("parameters", dict), ("not_stored", list)):
        if not isinstance(header.get(key), kind):
            return f"its header has no {kind.__name__} {key!r}; {_DAMAGED}"
    return None
