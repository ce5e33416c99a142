"""``fastmix.em`` after kill -9: a fit in another process goes on from its checkpoint to the same bits."""

import os
import signal
import sys

import pytest
from processes import environment, run_python, started

# Scripts: a checkpoint knows functions by module and name, so that the process that goes on has to be started as the other was.
CENSORED = """
import numpy as np

LIMIT = 2.0
LIFETIMES = np.minimum(np.random.default_rng(1).exponential(1.5, 200), LIMIT)
ARGUMENTS = {"data": LIFETIMES, "start": 0.1, "tol": 1e-12}


def e_step(lifetimes, mean):
    censored = lifetimes >= LIMIT
    log_likelihood = -lifetimes.sum() / mean - (~censored).sum() * np.log(mean)
    return np.where(censored, lifetimes + mean, lifetimes), float(log_likelihood)


def m_step(lifetimes, expected, mean):
    return float(expected.mean())


FUNCTIONS = {"e_step": e_step, "m_step": m_step}
"""

MIXTURE = """
import numpy as np

RNG = np.random.default_rng(2)
ROWS = np.concatenate([RNG.normal(0.0, 1.0, 150), RNG.normal(2.5, 1.0, 100)])
START = {"weights": np.array([0.5, 0.5]), "means": np.array([0.0, 1.0])}
ARGUMENTS = {"data": ROWS, "start": START, "tol": 1e-10}


def log_joint(rows, parameters):
    deviations = rows[:, None] - parameters["means"]
    return np.log(parameters["weights"]) - 0.5 * deviations**2 - 0.5 * np.log(2 * np.pi)


def m_step(rows, r, parameters):
    return {"weights": r.mean(axis=0), "means": rows @ r / r.sum(axis=0)}


FUNCTIONS = {"log_joint": log_joint, "m_step": m_step}
"""

FIT = """
import os
import time

from fastmix import Checkpoint, em


def watched(state):
    if "STOPS_AT" in os.environ and state.iteration == int(os.environ["STOPS_AT"]):
        print("here", flush=True)
        time.sleep(600)  # until it is killed
    first.append(state.iteration)


first = []
checkpoint = Checkpoint("fit.checkpoint", every=0, resume=True) if "KEPT" in os.environ else None
result = em(**ARGUMENTS, **FUNCTIONS, callback=watched, checkpoint=checkpoint)
leaves = result.parameters.values() if isinstance(result.parameters, dict) else [result.parameters]
print(first[0], result.n_iter, result.stop_reason.name)
print(*(np.asarray(each).tobytes().hex() for each in leaves), np.array(result.log_likelihoods).tobytes().hex())
"""


@pytest.mark.parametrize("model", [CENSORED, MIXTURE], ids=["censored", "mixture"])
def test_a_killed_fit_goes_on_to_the_same_bits(model, tmp_path):
    code = model + FIT
    whole = run_python(code, tmp_path).split("\n")
    command = [sys.executable, "-c", code]
    with started(command, env=environment(KEPT="1", STOPS_AT="6"), cwd=tmp_path) as process:
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    resumed = run_python(code, tmp_path, KEPT="1").split("\n")
    assert resumed[1:] == whole[1:]
    assert whole[0].split()[0] == "1"
    assert resumed[0].split()[0] == "7"
    assert resumed[0].split()[1:] == whole[0].split()[1:]
