"""Comparing times: contestants take turns, and the best of several rounds counts.

So a disturbance, or a drift of the machine, meets all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# A task's turn goes on for so many seconds: short tasks get more chances of an undisturbed run, at little cost.
_TURN = 0.02


@dataclass(frozen=True, eq=False)
class Effort:
    """How long to measure: rounds go on for so many seconds, and for so many rounds at least."""

    seconds: float
    least_rounds: int


FULL, QUICK = Effort(seconds=3.0, least_rounds=3), Effort(seconds=0.5, least_rounds=2)


def best_times(tasks: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, float]:
    """The least seconds of each task; they take turns, in the opposite order every other round."""
    best = dict.fromkeys(tasks, float("inf"))
    finish = time.perf_counter() + effort.seconds
    n_rounds = 0
    while n_rounds < effort.least_rounds or time.perf_counter() < finish:
        for name in list(tasks) if n_rounds % 2 == 0 else list(tasks)[::-1]:
            begin = end = time.perf_counter()
            while end - begin < _TURN:
                previous = end
                tasks[name]()
                end = time.perf_counter()
                best[name] = min(best[name], end - previous)
        n_rounds += 1
    return best


def core_share(task: Callable[[], object], effort: Effort) -> float:
    """The share of a core that a task of one thread gets: less than 1 where others use the machine, too."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(effort.least_rounds):
        task()
    # At most 1: threads that wait for the next parallel kernel may take time of their own.
    return min(1.0, (time.process_time() - processor) / (time.perf_counter() - wall))
