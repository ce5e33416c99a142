"""The guard against regressions of speed, on made-up numbers: nothing is timed here."""

import pytest

from benchmarks import guard

MACHINE = {"processor": "a processor", "cores": 2, "fma_peak_gflops": 200.0}
SHAPES = ([1000, 2, 3], [1000, 8, 16], [1000, 32, 32])


def entry(factors=(1.0, 1.0, 1.0), peaks=(200.0, 200.0, 200.0), noise=0.02, machine=MACHINE):
    """A section as a run records it: by line, a time that is so many times the usual, at so many GFLOP/s."""
    lines = []
    for shape, usual, factor, peak in zip(SHAPES, (0.001, 0.02, 0.3), factors, peaks, strict=True):
        best = usual * factor
        seconds = {
            "fastmix": {"best": best, "median": best * (1 + noise)},
            "scikit-learn": {"best": 50 * usual, "median": 50 * usual},
        }
        lines.append({"what": "full", "shape": shape, "seconds": seconds, "fma_peak_gflops": peak})
    return {"machine": machine, "measured": lines}


def judged(before, now, same_machine=True):
    """By number of features, what became of it."""
    verdicts = guard.judge(guard.figures("full", before), guard.figures("full", now), same_machine=same_machine)
    return {verdict.name: verdict.judged for verdict in verdicts}


NAMES = [f"full: full {tuple(shape)} fastmix" for shape in SHAPES]


def test_figures_are_fastmixs_only_and_have_cost_and_noise():
    figures = guard.figures("full", entry())
    assert list(figures) == NAMES
    first = figures[NAMES[0]]
    assert first.seconds == 0.001
    assert first.cost == pytest.approx(0.2)
    assert first.noise == pytest.approx(0.02)
    assert not first.disturbed


def test_the_same_code_is_the_same():
    assert set(judged(entry(), entry()).values()) == {"same"}


@pytest.mark.parametrize("line", range(3))
@pytest.mark.parametrize(("factor", "expected"), [(1.3, "slower"), (1.1, "same"), (0.9, "same"), (0.7, "faster")])
def test_a_line_that_changed_is_named_and_no_other(line, factor, expected):
    factors = [1.0, 1.0, 1.0]
    factors[line] = factor
    found = judged(entry(), entry(factors))
    assert found.pop(NAMES[line]) == expected
    assert set(found.values()) == {"same"}


def test_a_machine_that_drifts_is_no_regression():
    slow = entry(factors=(1.2, 1.2, 1.2), peaks=(200 / 1.2,) * 3)
    assert set(judged(entry(), slow).values()) == {"same"}


def test_a_regression_is_seen_on_a_machine_that_sped_up():
    fast = entry(factors=(1.0, 0.7, 0.7), peaks=(200 / 0.7,) * 3)
    assert judged(entry(), fast) == {NAMES[0]: "slower", NAMES[1]: "same", NAMES[2]: "same"}


def test_recorded_noise_widens_the_margin():
    assert judged(entry(), entry(factors=(1.3, 1, 1)))[NAMES[0]] == "slower"
    assert judged(entry(noise=0.15), entry(factors=(1.3, 1, 1), noise=0.1))[NAMES[0]] == "same"


def test_a_busy_machine_is_not_judged():
    busy = entry(factors=(2.5, 1, 1), peaks=(120.0, 200.0, 200.0))
    assert judged(entry(), busy) == {NAMES[0]: "disturbed", NAMES[1]: "same", NAMES[2]: "same"}
    assert judged(busy, entry())[NAMES[0]] == "disturbed"


def test_a_machine_busy_throughout_is_seen_by_the_peak_of_its_description():
    assert set(judged(entry(), entry(peaks=(120.0,) * 3)).values()) == {"disturbed"}


def test_a_run_disturbed_all_through_is_seen_by_a_peak_known_from_another():
    busy = entry(peaks=(90.0,) * 3, machine={**MACHINE, "fma_peak_gflops": 95.0})
    assert not any(figure.disturbed for figure in guard.figures("full", busy).values())
    assert all(figure.disturbed for figure in guard.figures("full", busy, guard.best_peak(entry())).values())


def test_rounds_that_differ_widely_are_not_judged():
    assert set(judged(entry(), entry(factors=(3, 3, 3), noise=0.6)).values()) == {"disturbed"}
    assert set(judged(entry(), entry(factors=(3, 3, 3), noise=0.4)).values()) == {"slower"}


def test_another_machine_shows_only_what_fell_behind_the_rest():
    # Kernels bound by memory or by division do not follow the peak from machine to machine.
    other = entry(factors=(1.6, 1.6, 2.4))
    assert set(judged(entry(), other).values()) == {"slower"}
    found = judged(entry(), other, same_machine=False)
    assert found == {NAMES[0]: "same", NAMES[1]: "same", NAMES[2]: "slower"}


@pytest.mark.parametrize(("key", "value"), [("processor", "another"), ("cores", 4)])
def test_what_makes_a_machine_another(key, value):
    assert guard.same_machine(MACHINE, {**MACHINE, "fma_peak_gflops": 150.0})
    assert not guard.same_machine(MACHINE, {**MACHINE, key: value})


def test_what_one_run_lacks_is_not_compared():
    fewer = entry()
    del fewer["measured"][1:]
    assert list(judged(fewer, entry())) == NAMES[:1]
    assert list(judged(entry(), fewer)) == NAMES[:1]
    assert judged({"machine": MACHINE, "measured": []}, entry(), same_machine=False) == {}


def test_the_worst_comes_first():
    names = list(judged(entry(), entry(factors=(1.5, 1.0, 2.5))))
    assert names == [NAMES[2], NAMES[0], NAMES[1]]


def test_measuring_twice_keeps_the_better_figure():
    once = guard.figures("full", entry(factors=(1.5, 1.0, 1.0)))
    again = guard.figures("full", entry(factors=(1.0, 1.4, 1.0)))
    assert guard.better(once, again) == guard.figures("full", entry())
    assert guard.better({}, once) == once


def test_a_cheap_figure_from_a_busy_moment_does_not_count():
    quiet = guard.Figure(seconds=1.0, cost=200.0, noise=0.0)
    busy = guard.Figure(seconds=1.2, cost=120.0, noise=0.0, disturbed=True)
    assert guard.better({"it": quiet}, {"it": busy}) == guard.better({"it": busy}, {"it": quiet}) == {"it": quiet}


def test_processes_are_measured_by_the_import_of_numba():
    def startup(scale, cold=8.0, unrest=1.0):
        seconds = {"import numba": 0.2, "import fastmix": 0.3, "import scikit-learn": 1.0}
        seconds |= {"first fit cold": cold, "first fit cached": 0.7, "first fit scikit-learn": 1.2}
        best = {name: {"best": scale * value, "median": scale * value} for name, value in seconds.items()}
        best["import numba"]["median"] *= unrest
        return guard.figures("startup", {"machine": MACHINE, "measured": best})

    names = ["startup: import fastmix", "startup: first fit cold", "startup: first fit cached"]
    assert list(startup(1.0)) == names
    verdicts = guard.judge(startup(1.0), startup(1.5, cold=10.0), same_machine=True)
    assert guard.named(verdicts, "slower") == ["startup: first fit cold"]
    assert guard.named(verdicts, "same") == ["startup: import fastmix", "startup: first fit cached"]
    verdicts = guard.judge(startup(1.0), startup(1.0, unrest=1.5), same_machine=True)
    assert guard.named(verdicts, "disturbed") == names
