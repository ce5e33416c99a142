"""One iteration beside the peers: the same rows, the same start, the same number of iterations, the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from benchmarks import contestants, referee, timing, workloads
from benchmarks.workloads import Size

SEPARATION = 4.0


@dataclass(kw_only=True)
class Measurement(timing.Comparison):
    """One line of a table: a model at a size, with the seconds of an iteration by contestant.

    ``objectives`` are those of the answers that were compared; ``operations`` those that one iteration needs.
    """

    objectives: dict[str, float]
    operations: float
    peak_target: float | None

    @property
    def gflops(self) -> float | None:
        """fastmix's rate, in GFLOP/s of counted operations."""
        return self.operations / self.seconds["fastmix"].best / 1e9 if "fastmix" in self.seconds else None


def measure(model: str, size: Size, separation: float = SEPARATION, *, peers: bool = True) -> Measurement:
    """Time the iterations of every contestant at one size, and check that they come to one answer.

    Parameters
    ----------
    model : a covariance type, or ``"kmeans"``.
    size : the size; also how many iterations and rounds. Peers take part where it gives them iterations.
    separation : of the components, see ``workloads.draw``.
    peers : whether any contestant but fastmix takes part.
    """
    X, means = workloads.draw(*size.shape, separation=separation)
    begin = workloads.start(means)
    peers = peers and size.peer_iterations > 0
    if model == "kmeans":
        fits = contestants.clusterings(begin.means, peers=peers)
    else:
        fits = contestants.mixtures(model, begin, peers=peers)
    iterations = {name: size.iterations if name == "fastmix" else size.peer_iterations for name in fits}
    compared = 1 + size.peer_iterations
    results: dict[str, contestants.Result] = {}

    def run(name: str, count: int) -> None:
        result = fits[name](X, count)
        referee.require_iterations(name, result.iterations, count)
        if count == compared:
            results[name] = result

    # An untimed first call loads or compiles code; fewer rows would leave singular covariances.
    few = X[: 8 * size.features * size.components]
    for fit in fits.values():
        fit(few, 1)
    seconds, peak = timing.of_iterations({name: partial(run, name) for name in fits}, iterations, size.rounds)
    timing.say_seconds(f"{model} {size.shape}", seconds)
    objectives = {}
    if len(fits) > 1:
        # Answers compare after as many iterations as the peers made, which fastmix may not have made yet.
        if "fastmix" not in results:
            run("fastmix", compared)
        objectives = {name: referee.objective(model, X, result) for name, result in results.items()}
        referee.require_agreement(f"{model} at {size.shape}", objectives)
    return Measurement(
        what=model,
        shape=size.shape,
        seconds=seconds,
        fma_peak_gflops=peak,
        targets=workloads.targets(model, size),
        objectives=objectives,
        operations=workloads.operations(model, size),
        peak_target=workloads.PEAK_TARGETS.get((model, size.shape)),
    )
