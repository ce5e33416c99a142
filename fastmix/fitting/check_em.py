"""``fastmix.check_em``: whether the functions of a user's own model belong together, before a long fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastmix.data.validation import check_integer
from fastmix.engines.user_model import UserCoordinates, UserEM
from fastmix.exceptions import ModelError
from fastmix.fitting.parameter_tree import Arrays, ParameterTree
from fastmix.fitting.user_functions import user_model
from fastmix.starts.seeding import generators, seed_sequence

_SPREAD = 0.3  # of the points around a start, relative to the size of its numbers


def check_em(
    data: Any,
    start: Any,
    e_step: Callable[[Any, Any], Any] | None = None,
    m_step: Callable[[Any, Any, Any], Any] | None = None,
    *,
    log_joint: Callable[..., Any] | None = None,
    nodes: tuple[Any, Any] | None = None,
    sample_weight: Any = None,
    log_prior: Callable[[Any], Any] | None = None,
    complete_log_likelihood: Callable[[Any, Any, Any], Any] | None = None,
    entropy: Callable[[Any, Any], Any] | None = None,
    domains: Any = None,
    n_points: int = 10,
    random_state: Any = None,
) -> None:
    """Try a model of one's own at random parameters: an iteration of EM at each, and the E-step that follows.

    Parameters
    ----------
    data, e_step, m_step, log_joint, nodes, sample_weight, log_prior, complete_log_likelihood, entropy : see em
        Without ``log_joint``, or both of the last two, all that can be seen is whether the log-likelihood falls.
    start : parameters, or a function of a ``numpy.random.Generator`` that makes them
        A function makes every point; of parameters the first point is they themselves, and others lie around them.
    domains : see em
        What the parameters may be; needed for points around ``start`` where that is no function.
    n_points : int, default 10
        How many parameters are tried.
    random_state : see GaussianMixture

    Raises
    ------
    ModelError : a step does what EM cannot do; says which function is wrong, with the numbers and the parameters.
    ValueError : arguments that do not go together, or functions that return something else than they should.

    Examples
    --------
    >>> import fastmix
    >>> import numpy as np
    >>> def log_joint(heads, p):
    ...     return np.log(0.5) + heads[:, None] * np.log(p) + (10 - heads[:, None]) * np.log1p(-p)
    >>> def m_step(heads, r, p):
    ...     return (r * heads[:, None]).sum(axis=0) / (10 * r.sum(axis=0))
    >>> def tails(heads, r, p):
    ...     return 1 - m_step(heads, r, p)
    >>> heads = np.array([5.0, 9.0, 8.0, 4.0, 7.0])
    >>> try:
    ...     fastmix.check_em(heads, lambda generator: generator.uniform(0.1, 0.9, 2), log_joint=log_joint, m_step=tails)
    ... except fastmix.ModelError as error:
    ...     print(error.function)
    m_step
    """
    n_points = check_integer(n_points, "n_points", 1)
    streams = generators(seed_sequence(random_state), n_points)
    tree = ParameterTree(start(streams[0]) if callable(start) else start)
    coordinates = None if domains is None else UserCoordinates(tree.domains(domains))
    if not callable(start) and coordinates is None and n_points > 1:
        raise ValueError(
            "points around start need domains, such as domains='real'; or make start a function of a random generator, or "
            "n_points 1"
        )
    model = user_model(
        data,
        tree,
        e_step,
        m_step,
        log_joint=log_joint,
        nodes=nodes,
        sample_weight=sample_weight,
        log_prior=log_prior,
        complete_log_likelihood=complete_log_likelihood,
        entropy=entropy,
        coordinates=coordinates,
    )
    engine = UserEM(model, tol=0.0)
    for arrays in _points(tree, start, coordinates, streams):
        try:
            after = engine.step(engine.step(engine.init(arrays)))
            if not np.isfinite(after.objective):
                raise ModelError("log_likelihood", f"with the log-prior it is {after.objective} after an iteration")
        except ModelError as error:
            raise ModelError(error.function, f"{error.description} (parameters: {tree.built(arrays)!r})") from None


def _points(
    tree: ParameterTree, start: Any, coordinates: UserCoordinates | None, streams: list[np.random.Generator]
) -> Iterator[Arrays]:
    if callable(start):
        yield tree.arrays(tree.example, "start")
        yield from (tree.arrays(start(stream), "start") for stream in streams[1:])
        return
    first = tree.arrays(start, "start")
    yield first
    if coordinates is not None:
        n = coordinates.coordinates(first, first).size
        for stream in streams[1:]:
            yield coordinates.from_coordinates(_SPREAD * stream.standard_normal(n), first)
