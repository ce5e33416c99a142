"""Options that belong together are objects: they check themselves, compare, and go wherever parameters go."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import numpy as np
import pytest
from fits import bits, fit_quietly
from interruptions import draw, interrupted, mixture, resuming
from sklearn.base import clone

import fastmix
from fastmix import Batch, Checkpoint, GaussianMixture, Incremental, ModelFileError, Online, Sparse
from fastmix.estimators.modelfile import read_model
from fastmix.files.arrayfile import write_arrays
from fastmix.files.plain import as_plain, from_plain, storable

EXAMPLES = [
    (Batch(), "Batch()"),
    (Batch(grow_sample=True), "Batch(grow_sample=True)"),
    (Sparse(), "Sparse()"),
    (Sparse(1e-3, 5, 40, 2), "Sparse(active_threshold=0.001, refresh_interval=5, max_active=40, n_blocks=2)"),
    (Incremental(), "Incremental()"),
    (Incremental(4, grow_sample=True), "Incremental(n_blocks=4, grow_sample=True)"),
    (Online(batch_size=1000), "Online(batch_size=1000)"),
    (Checkpoint("file"), "Checkpoint(path='file')"),
    (Checkpoint("file", every=5, resume=True), "Checkpoint(path='file', every=5.0, resume=True)"),
]
every_example = pytest.mark.parametrize(("options", "shown"), EXAMPLES, ids=[shown for _, shown in EXAMPLES])


@pytest.fixture(scope="module")
def rows():
    return draw(400)


@every_example
def test_they_show_what_differs_and_are_equal_where_they_say_the_same(options, shown):
    assert repr(options) == shown
    assert eval(shown) == options
    assert [each for each, _ in EXAMPLES if each == options] == [options]
    for again in (pickle.loads(pickle.dumps(options)), copy.deepcopy(options), from_plain(as_plain(options))):
        assert again == options
        assert hash(again) == hash(options)


def test_they_stay_as_they_are():
    with pytest.raises(FrozenInstanceError):
        Sparse().n_blocks = 3


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Sparse(active_threshold=1.0), r"active_threshold of Sparse must be a number in \[0, 1\); got 1\.0"),
        (lambda: Sparse(n_blocks=0), "n_blocks of Sparse must be an integer of at least 1; got 0"),
        (lambda: Sparse(n_blocks=None), "n_blocks of Sparse must be an integer of at least 1; got None"),
        (
            lambda: Incremental("many"),
            "n_blocks of Incremental, if not 'auto', must be an integer of at least 1; got 'many'",
        ),
        (lambda: Incremental(2.5), "n_blocks of Incremental.*got 2.5"),
        (lambda: Batch(grow_sample="yes"), "grow_sample of Batch must be True or False; got 'yes'"),
        (lambda: Incremental(grow_sample=1), "grow_sample of Incremental must be True or False; got 1"),
        (lambda: Checkpoint(None), "path of a Checkpoint must be a path; got None"),
        (lambda: Checkpoint("file", every=-1.0), "every of a Checkpoint must be a finite number of at least 0"),
        (lambda: Checkpoint("file", every="often"), "every of a Checkpoint .*got 'often'"),
        (lambda: Checkpoint("file", resume="maybe"), "resume of Checkpoint must be True or False; got 'maybe'"),
    ],
)
def test_they_check_themselves(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_a_class_in_place_of_an_object_is_refused_with_the_remedy(rows):
    with pytest.raises(ValueError, match=r"got <class .*Sparse'>; write Sparse\(\)"):
        GaussianMixture(2, algorithm=Sparse).fit(rows)


@pytest.mark.parametrize("algorithm", ["batch", "sparse", "incremental", "online"])
def test_a_name_is_the_object_with_its_defaults(algorithm, rows):
    kind = {"batch": Batch, "sparse": Sparse, "incremental": Incremental, "online": Online}[algorithm]
    named, told = (
        fit_quietly(GaussianMixture(3, random_state=0, algorithm=each), rows) for each in (algorithm, kind())
    )
    assert named.algorithm_ == told.algorithm_ == algorithm
    assert bits(named) == bits(told)


def test_estimators_keep_them_as_they_were_given():
    model = GaussianMixture(3, algorithm=Sparse(max_active=8), checkpoint=Checkpoint("file"))
    assert (
        repr(model)
        == "GaussianMixture(n_components=3, algorithm=Sparse(max_active=8), checkpoint=Checkpoint(path='file'))"
    )
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert model.set_params(algorithm=Batch()).algorithm == Batch()


@pytest.mark.parametrize("algorithm", [Sparse(1e-3, max_active=5), Incremental(np.int64(3)), Batch(True), Online(100)])
def test_a_model_file_has_them(algorithm, rows, tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit", every=2, resume=True)
    model = fit_quietly(GaussianMixture(3, random_state=0, algorithm=algorithm, checkpoint=checkpoint), rows)
    model.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.algorithm == algorithm
    assert loaded.checkpoint == Checkpoint(str(tmp_path / "fit"), every=2, resume=True)
    assert bits(loaded) == bits(model)


@pytest.mark.parametrize(
    "forged",
    [
        {"Sparse": {"n_blocks": 0}},
        {"Sparse": {"depth": 3}},
        {"Sparse": 3},
        {"Popen": {"args": "ls"}},
        {"Batch": {}, "Sparse": {}},
        {},
    ],
)
def test_what_no_option_can_be_is_refused(forged, rows, tmp_path):
    path = tmp_path / "model"
    fit_quietly(GaussianMixture(2, random_state=0), rows).save(path)
    header, arrays = read_model(path)
    del header["arrays"]
    header["parameters"]["algorithm"] = forged
    write_arrays(path, header, arrays)
    with pytest.raises(ModelFileError, match="holds no valid GaussianMixture"):
        fastmix.load(path)


def test_a_checkpoint_knows_names_and_objects_apart_only_where_they_differ(rows, tmp_path):
    path = tmp_path / "fit"
    assert interrupted(mixture(algorithm="incremental", checkpoint=path), rows, 3)
    with pytest.raises(ValueError, match=r"algorithm is 'Incremental\(n_blocks=3\)', there it is 'incremental'"):
        resuming(mixture(algorithm=Incremental(3), checkpoint=path)).fit(rows)
    whole = fit_quietly(mixture(algorithm="incremental"), rows)
    resumed = fit_quietly(resuming(mixture(algorithm=Incremental(), checkpoint=Path(path))), rows)
    assert bits(resumed) == bits(whole)


def test_a_class_that_is_defined_again_takes_the_place_of_what_it_was():
    @storable
    @dataclass(frozen=True)
    class Twice:
        value: int = 0

    first = Twice

    @storable
    @dataclass(frozen=True)
    class Twice:
        value: int = 1

    assert from_plain(as_plain(Twice(3))) == Twice(3)
    assert as_plain(first(3)) is None
