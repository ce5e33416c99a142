"""What partial_fit takes care of: every row counts once, and neither copies of a model nor failures change it."""

import copy
import pickle
import sys

import numpy as np
import pytest
from batches import every, feed, numbers
from draws import draw_rows, random_mixture
from tiers import first_tier

from fastmix import GaussianMixture, KMeans
from fastmix.estimators import fitting, kmeans, mixture_model
from fastmix.fitting import clusters, course


@pytest.fixture(scope="module")
def rows():
    return draw_rows(
        np.random.default_rng(6), random_mixture(np.random.default_rng(5), 4, 3, "full", separation=6.0), 140_000
    )


def weight_of(model):
    """The weight of all rows that the centres have taken in, as a model file has it."""
    return model._to_model_file()[1]["counts"].sum()


@pytest.mark.parametrize("init", ["k-means++", "given"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "cuts", [[0, 500], [0, 40_000], [0, 70_000], [0, 2, 40_000], [0, 3000, 73_000], [0, 9, 99, 999]]
)
def test_centres_take_in_every_row_once(cuts, weighted, init, rows, rng):
    weights = rng.uniform(0.0, 3.0, size=cuts[-1]) if weighted else None
    model = KMeans(4, init=rows[-4:] if init == "given" else init, random_state=0)
    feed(model, rows, cuts, weights)
    assert weight_of(model) == pytest.approx(cuts[-1] if weights is None else weights.sum(), rel=1e-12)


@pytest.mark.parametrize("cuts", [[0, 40_000, 80_000], [0, 70_000, 80_000], every(2000, range(80_000))], ids=len)
def test_centres_are_means_of_all_rows_in_any_cut(cuts, rng):
    """The first half lies elsewhere, so that centres tell how much each row counted; no row is between two clusters."""
    clusters = rng.integers(0, 3, size=80_000)
    rows = rng.normal(size=(80_000, 2)) + 100.0 * clusters[:, None]
    rows[:40_000] += 3.0
    model = feed(KMeans(3, random_state=0), rows, cuts)
    expected = np.stack([rows[clusters == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(np.sort(model.cluster_centers_, axis=0), expected, rtol=1e-10)


@pytest.mark.parametrize("estimator", [GaussianMixture(3, random_state=0), KMeans(3, random_state=0)], ids=repr)
def test_names_are_those_of_the_first_batch_however_few_its_rows(estimator, rows):
    pandas = pytest.importorskip("pandas")
    model = copy.deepcopy(estimator).partial_fit(pandas.DataFrame(rows[:2], columns=["a", "b", "c"]))
    with pytest.warns(UserWarning, match="valid feature names"):
        model.partial_fit(rows[2:100])
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    model = copy.deepcopy(estimator).partial_fit(rows[:2])
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        model.partial_fit(pandas.DataFrame(rows[2:100], columns=["a", "b", "c"]))
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("weighted", [(False, False), (True, True), (False, True)], ids=repr)
@pytest.mark.parametrize("estimator", [GaussianMixture(3, random_state=0), KMeans(3, random_state=0)], ids=repr)
def test_copies_that_still_keep_rows_do_not_disturb_each_other(estimator, weighted, rows):
    def part(model, first, last, with_weights):
        return model.partial_fit(
            rows[first:last], sample_weight=np.linspace(1, 2, last - first) if with_weights else None
        )

    def continued(model, first):
        return part(part(model, first, first + 10, weighted[1]), first + 10, first + 40, weighted[1])

    model = part(copy.deepcopy(estimator), 0, 20, weighted[0])
    other = copy.copy(model)
    other_alone, model_alone = copy.deepcopy(model), copy.deepcopy(model)
    part(model, 20, 30, weighted[1])
    part(other, 60, 70, weighted[1])
    part(model, 30, 60, weighted[1])
    part(other, 70, 100, weighted[1])
    assert numbers(model) == numbers(continued(model_alone, 20))
    assert numbers(other) == numbers(continued(other_alone, 60))


@pytest.mark.parametrize("n", [600, 40_000])
def test_the_sum_of_weights_may_overflow(n, rows):
    heavy = GaussianMixture(3, random_state=0).partial_fit(rows[:n], sample_weight=np.full(n, 1e307))
    light = GaussianMixture(3, random_state=0).partial_fit(rows[:n], sample_weight=np.full(n, 1.0))
    for model, weight in ((heavy, 5e306), (light, 0.5)):
        model.partial_fit(rows[n : 2 * n], sample_weight=np.full(n, weight))
    np.testing.assert_allclose(heavy.weights_, light.weights_, rtol=1e-10)
    np.testing.assert_allclose(heavy.means_, light.means_, rtol=1e-10)


def test_clusters_refuse_weights_whose_sum_overflows(rows):
    model = KMeans(3, random_state=0)
    with pytest.raises(ValueError, match=r"sample_weight.*divide all weights"):
        model.partial_fit(rows[:600], sample_weight=np.full(600, 1e307))
    model.partial_fit(rows[:2], sample_weight=np.full(2, 6e307))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"sample_weight.*divide all weights"):
            model.partial_fit(rows[2:4], sample_weight=np.full(2, 6e307))
    model.partial_fit(rows[2:600])
    with pytest.raises(ValueError, match=r"sample_weight.*divide all weights"):
        model.partial_fit(rows[2:4], sample_weight=np.full(2, 6e307))
    assert np.isfinite(model.cluster_centers_).all()
    assert weight_of(model) == pytest.approx(1.2e308)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_a_batch_that_fails_draws_no_random_numbers(make, rows):
    random_state, twin = make(3), make(3)
    failing = [
        (GaussianMixture(3, random_state=random_state, means_init=np.zeros((3, 2))), rows[:1000]),
        (GaussianMixture(2, random_state=random_state, reg_covar=0.0), np.zeros((100_000, 3))),
        (GaussianMixture(2, random_state=random_state), rows[0]),
        (KMeans(3, random_state=random_state, init=np.zeros((3, 2))), rows[:1000]),
    ]
    for model, batch in failing:
        with pytest.raises(ValueError, match=r"shape|is constant|1D array"):
            model.partial_fit(batch)
    assert random_state.random() == twin.random()
    KMeans(3, random_state=random_state).partial_fit(rows[:1])
    assert random_state.random() != twin.random()


def test_the_global_random_state_serves_too(rows):
    np.random.seed(3)  # noqa: NPY002
    model = GaussianMixture(2, random_state=np.random).partial_fit(rows[:500])
    again = GaussianMixture(2, random_state=np.random.RandomState(3)).partial_fit(rows[:500])
    assert numbers(model) == numbers(again)


LEARNING = {module.__file__ for module in (fitting, mixture_model, kmeans, course, clusters)}


class Interrupted:
    """Ctrl-C before the line ``n`` that is run of the modules in which partial_fit learns and remembers."""

    def __init__(self, n):
        self.left = n

    def __enter__(self):
        self._tracer = sys.gettrace()
        sys.settrace(self._call)

    def __exit__(self, *_):
        sys.settrace(self._tracer)

    def _call(self, frame, event, argument):
        return self._line if frame.f_code.co_filename in LEARNING else None

    def _line(self, frame, event, argument):
        if event == "line":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self._line


@pytest.mark.parametrize("n_before", first_tier([0, 100, 30_000], 100))
@pytest.mark.parametrize("estimator", [GaussianMixture(2, random_state=0), KMeans(2, random_state=0)], ids=repr)
def test_an_interrupted_batch_is_taken_in_or_not(estimator, n_before, rows):
    model = copy.deepcopy(estimator)
    if n_before:
        model.partial_fit(rows[:n_before])
    stored = pickle.dumps(model)

    def after(*batches):
        found = pickle.loads(stored)
        for first, last in batches:
            found.partial_fit(rows[first:last])
        return numbers(found)

    batch, following = (n_before, n_before + 50), (n_before + 50, n_before + 90)
    possible = {"with": repr(after(batch, following)), "without": repr(after(following))}
    found = []
    for n in range(10_000):
        interrupted = pickle.loads(stored)
        try:
            with Interrupted(n):
                interrupted.partial_fit(rows[slice(*batch)])
        except KeyboardInterrupt:
            before = repr(numbers(interrupted.partial_fit(rows[slice(*following)])))
            found.append(next((name for name, each in possible.items() if each == before), "half"))
        else:
            break
    assert len(found) > 20
    assert "half" not in found
    assert found == sorted(found, reverse=True), "once it is taken in it stays so"
