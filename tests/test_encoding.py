"""What a checkpoint holds comes back to the last bit, and nothing else comes back."""

import json
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastmix.files.encoding import Vocabulary


@dataclass(frozen=True)
class State:
    name: str
    values: Any

    @cached_property
    def doubled(self):
        return 2 * self.values


class Pair(NamedTuple):
    first: Any
    second: Any


class Colour(Enum):
    RED = "r"


CONSTANT = Pair(1, 2)
VOCABULARY = Vocabulary((State, Pair, Colour), {"constant": CONSTANT})


def round_trip(value):
    tree, arrays = VOCABULARY.encode(value)
    return VOCABULARY.decode(json.loads(json.dumps(tree)), arrays)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        1 << 100,
        0.1,
        -0.0,
        5e-324,
        np.inf,
        -np.inf,
        "text",
        (),
        [],
        (0.5, np.inf, -0.0),
        [1, 2.0, None, (True, "x")],
        {"a": 1, "b": [2]},
        Pair(1, (2, 3)),
        State("s", (1.5, 2)),
        Colour.RED,
    ],
)
def test_values(value):
    found = round_trip(value)
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_nan_and_numbers_of_numpy():
    assert np.isnan(round_trip(np.nan))
    found = round_trip([np.float64(0.1), np.int64(3), np.bool_(True), np.float64(np.inf)])
    assert repr(found) == "[0.1, 3, True, inf]"


@pytest.mark.parametrize(
    "array",
    [
        np.array(1.5),
        np.empty((0, 3), np.int32),
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.array([[np.nan, -0.0], [np.inf, 5e-324]]),
        np.array([True, False]),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0, dtype=np.float32).reshape(2, 3, 4).transpose(1, 2, 0),
        np.arange(10.0)[::2],
        np.arange(3, dtype=np.uint8),
    ],
)
def test_arrays_with_their_order_in_memory(array):
    found = round_trip(array)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert np.argsort(found.strides).tolist() == np.argsort(array.strides).tolist()
    assert found.flags.writeable


def test_what_is_the_same_object_stays_the_same_object():
    array, state = np.arange(3.0), State("s", np.zeros(2))
    found = round_trip([array, state, Pair(array, state), CONSTANT, [CONSTANT]])
    assert found[2].first is found[0]
    assert found[2].second is found[1]
    assert found[3] is CONSTANT
    assert found[4][0] is CONSTANT


def test_cached_properties_come_along():
    state = State("s", np.arange(2.0))
    vars(state)["doubled"] = np.array([7.0, 7.0])  # not what would be computed
    assert round_trip(state).doubled.tolist() == [7.0, 7.0]
    assert "doubled" not in vars(round_trip(State("s", 1)))


@pytest.mark.parametrize("value", [object(), print, 1j, {1: 2}, {"a": {1, 2}}, [np.random.default_rng(0)], b"x"])
def test_other_things_are_not_written(value):
    with pytest.raises(TypeError, match="cannot be written to a checkpoint"):
        VOCABULARY.encode(value)


@pytest.mark.parametrize(
    "objects",
    [
        [{"class": "Unknown", "values": {}}],
        [{"class": "State", "values": {"name": "s"}}],
        [{"class": "State", "values": {"name": "s", "values": 1, "extra": 2}}],
        [{"class": "State", "values": {"name": "s", "values": 1, "__class__": 2}}],
        [{"class": "Colour", "values": {}}],
        [{"class": "Pair", "items": [1]}],
        [{"class": "State", "items": [1, 2]}],
        [{"member": ["Colour", "BLUE"]}],
        [{"member": ["State", "name"]}],
        [{"list": [{"object": 0}]}],
        [{"list": [{"object": -1}]}],
        [{"list": [{"constant": "other"}]}],
        [{"list": [{"call": "print"}]}],
        [{"set": [1]}],
        [{"array": "missing", "axes": [0]}],
        [{"array": "a", "axes": [0, 1]}],
        [{"numbers": "a", "kind": "set"}],
        [{}],
        [[]],
        [None],
    ],
)
def test_trees_that_were_not_encoded_are_refused(objects):
    with pytest.raises((ValueError, KeyError, TypeError, IndexError, AttributeError)):
        VOCABULARY.decode({"objects": objects, "root": {"object": 0}}, {"a": np.zeros(2)})
