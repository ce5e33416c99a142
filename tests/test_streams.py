"""Streams of blocks: any cut gives the bits of the same rows in memory, faults are named, and no thread stays behind."""

import threading
import weakref

import naive
import numpy as np
import pytest
from draws import draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of, started_at
from naive import COVARIANCE_TYPES, relative_error

from fastmix import Batch, GaussianMixture, KMeans
from fastmix.engines import cell_pass
from fastmix.kernels.lanes import Lanes

N_ROWS, N_FEATURES = 5000, 3


class Stream:
    """Rows, in blocks of the lengths that are given over and over, and perhaps their weights."""

    def __init__(self, rows, lengths, weights=None, convert=np.asarray):
        self.rows, self.lengths, self.weights, self.convert = rows, lengths, weights, convert
        self.n_readings = 0

    def __iter__(self):
        self.n_readings += 1
        first, number = 0, 0
        while first < len(self.rows):
            part = slice(first, first + self.lengths[number % len(self.lengths)])
            block = self.convert(self.rows[part])
            yield block if self.weights is None else (block, self.weights[part])
            first, number = part.stop, number + 1


class Yielding:
    """What a function yields, which is told the number of the reading, from 0."""

    def __init__(self, blocks):
        self.blocks = blocks
        self.n_readings = 0

    def __iter__(self):
        self.n_readings += 1
        return iter(self.blocks(self.n_readings - 1))


@pytest.fixture
def small_cells(monkeypatch):
    """A pass over the rows of these tests takes several stretches."""
    monkeypatch.setattr(cell_pass, "_CELL_BYTES", 24 * 1000)


@pytest.fixture(autouse=True)
def _no_thread_stays():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.fixture
def rows(rng):
    return draw_rows(rng, random_mixture(rng, 3, N_FEATURES, "full", separation=4.0), N_ROWS)


@pytest.fixture
def weights(rng):
    drawn = 7.0 * rng.random(N_ROWS)
    drawn[rng.random(N_ROWS) < 0.1] = 0.0
    return drawn


def three(**parameters):
    return GaussianMixture(3, **{"random_state": 0} | parameters)


@pytest.mark.usefixtures("small_cells")
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("stored", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_a_stream_has_the_bits_of_memory(covariance_type, dtype, stored, weighted, rows, weights):
    rows, weights = rows.astype(stored), weights if weighted else None
    model = three(covariance_type=covariance_type, dtype=dtype)
    expected = bits(fit_quietly(model, rows, weights))
    assert bits(fit_quietly(model, Stream(rows, [617], weights))) == expected


@pytest.mark.usefixtures("small_cells")
@pytest.mark.parametrize("lengths", [[N_ROWS], [1, 0, 700, 33], [288], [999, 2]], ids=str)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_how_it_is_cut_does_not_matter(lengths, n_threads, rows, weights):
    expected = bits(three().fit(rows, sample_weight=weights))
    assert bits(three(n_threads=n_threads).fit(Stream(rows, lengths, weights))) == expected


def test_stretches_of_the_usual_size(rng):
    rows = rng.normal(size=(120_000, 40))
    model = GaussianMixture(2, covariance_type="diag", random_state=0, max_iter=2, init_params="random_from_data")
    assert bits(fit_quietly(model, Stream(rows, [50_000]))) == bits(fit_quietly(model, rows))


@pytest.mark.usefixtures("small_cells")
@pytest.mark.parametrize(
    "parameters",
    [
        {"init_params": "k-means++"},
        {"init_params": "random_from_data"},
        {"init_params": "random"},
        {"init_params": "responsibilities"},
        {"means_init": np.arange(9.0).reshape(3, 3)},
        {"n_init": 2},
    ],
    ids=str,
)
def test_every_start(parameters, rows, weights, rng):
    if parameters.get("init_params") == "responsibilities":
        parameters = {"init_params": rng.dirichlet(np.ones(3), N_ROWS)}
    expected = bits(fit_quietly(three(**parameters), rows, weights))
    assert bits(fit_quietly(three(**parameters), Stream(rows, [617], weights))) == expected


@pytest.mark.usefixtures("small_cells")
def test_an_iteration_agrees_with_the_naive_one(rng):
    mixture = random_mixture(rng, 3, N_FEATURES, "full")
    rows, weights = draw_rows(rng, mixture, 1500), rng.random(1500)
    found = mixture_of(fit_quietly(started_at(mixture, max_iter=1), Stream(rows, [77], weights)))
    expected = naive.em_step(rows, mixture, weights).mixture
    for name in ("weights", "means", "covariances"):
        assert relative_error(getattr(found, name), getattr(expected, name)) < 1e-12


def test_many_components_agree_within_rounding(rng):
    mixture = random_mixture(rng, 70, 2, "diag", separation=6.0)
    rows = draw_rows(rng, mixture, 7000)
    model = GaussianMixture(70, covariance_type="diag", algorithm="batch", random_state=0, max_iter=2)
    found, expected = (mixture_of(fit_quietly(model, X)) for X in (Stream(rows, [900]), rows))
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=1e-7)


@pytest.mark.parametrize(
    "convert",
    [np.ndarray.tolist, np.asfortranarray, lambda block: block.astype(np.int16), lambda block: block.astype(">f8")],
    ids=["list", "fortran", "int16", "big-endian"],
)
def test_blocks_of_any_kind(convert, rows):
    rows = np.round(rows)
    assert bits(three().fit(Stream(rows, [800], convert=convert))) == bits(three().fit(rows))


def test_float32_beside_float64_is_float64(rows):
    blocks = [rows[:1000].astype(np.float32), rows[1000:]]
    together = np.concatenate([block.astype(np.float64) for block in blocks])
    assert bits(three().fit(Yielding(lambda _: blocks))) == bits(three().fit(together))


def test_weights_too_small_for_their_unit_count_as_none(rows):
    weights = np.where(np.arange(N_ROWS) % 2, 1e300, 1e-300)
    expected = bits(three().fit(rows, sample_weight=weights))
    assert bits(three().fit(Stream(rows, [640], weights))) == expected


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_scores(weighted, rows, weights):
    weights = weights if weighted else None
    model, stream = three().fit(rows), Stream(rows, [617], weights)
    assert model.score(stream) == pytest.approx(model.score(rows, sample_weight=weights), rel=1e-14)
    assert model.likelihoods(stream) == pytest.approx(model.likelihoods(rows, weights), rel=1e-14)
    assert model.bic(stream) == pytest.approx(model.bic(rows, weights), rel=1e-14)
    assert model.aic(stream) == pytest.approx(model.aic(rows, weights), rel=1e-14)


def test_a_constant_feature_is_found(rows, weights):
    rows[:, 1] = np.where(weights > 0, 2.5, rows[:, 1])
    fails(Stream(rows, [617], weights), "feature 1 of X is constant", reg_covar=0.0)


def test_readings_are_counted(rows):
    stream = Stream(rows, [617])
    model = fit_quietly(three(tol=0.0, max_iter=5), stream)
    assert model.n_iter_ == 5
    assert stream.n_readings == 1 + 2 + 5  # a check, the scale of things and a subsample, iterations


@pytest.mark.usefixtures("small_cells")
def test_the_whole_stream_is_never_held(rows):
    blocks, most = [], 0

    def fresh(block):
        nonlocal most
        fresh_block = block.copy()
        blocks.append(weakref.ref(fresh_block))
        most = max(most, sum(block() is not None for block in blocks))
        return fresh_block

    fit_quietly(three(), Stream(rows, [100], convert=fresh))
    assert most <= 3


# Faults


def fails(X, match, **parameters):
    with pytest.raises(ValueError, match=match):
        three(**parameters).fit(X)


def test_what_can_be_read_only_once_is_refused(rows):
    fails((block for block in [rows]), "generator, which can be read only once.*partial_fit")
    fails(map(np.asarray, [rows]), "map, which can be read only once")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_is_named_by_its_row_of_all(bad, rows):
    rows[3210, 2] = bad
    fails(Stream(rows, [617]), "X contains (NaN|infinity).*row 3210, column 2")


@pytest.mark.parametrize(
    ("blocks", "match"),
    [
        ([], "yielded no rows"),
        ([np.ones((0, 3))], "yielded no rows"),
        ([np.ones((9, 3)), np.ones((9, 2))], "block 1 of X has 2 features, but block 0 has 3"),
        ([np.ones((9, 0))], "0 feature"),
        ([np.ones(9)], "Expected 2D array.*block 0 of X"),
        ([[["a", "b"]]], "block 0 of X.*not numbers"),
        ([np.ones((9, 3)), (np.ones((9, 3)), np.ones(9))], "block 1 of X comes with weights, unlike block 0"),
        ([(np.ones((9, 3)), np.ones(9)), np.ones((9, 3))], "block 1 of X comes without weights"),
        ([(np.ones((9, 3)), np.ones(8))], r"sample_weight.shape == \(8,\), expected \(9,\)"),
        ([(np.ones((9, 3)), np.ones(9)), (np.ones((9, 3)), -np.ones(9))], "sample_weight is negative.*row 9"),
        ([(np.ones((9, 3)), np.full(9, np.nan))], "sample_weight contains NaN"),
        ([(np.ones((9, 3)), np.zeros(9))], "zero for every row"),
        ([np.ones((2, 3))], "n_components = 3, n_samples = 2"),
    ],
)
def test_bad_blocks_are_named(blocks, match):
    fails(Yielding(lambda _: blocks), match)


@pytest.mark.parametrize(
    ("later", "match"),
    [
        (lambda rows: [rows[:-1]], "yielded 4999 rows, but 5000"),
        (lambda rows: [rows, rows], "yielded at least 10000 rows, but 5000"),
        (lambda rows: [rows[:, :2]], "block of 2 features"),
        (lambda rows: [(rows, np.ones(N_ROWS))], "with weights"),
        (lambda rows: [rows.astype(np.float64)], "float64.*did not"),
    ],
)
@pytest.mark.parametrize("reading", [1, 4])
def test_rows_must_stay_the_same(later, match, reading, rows):
    rows = rows.astype(np.float32)
    fails(Yielding(lambda n: later(rows) if n >= reading else [rows]), match)


@pytest.mark.usefixtures("small_cells")
@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt()], ids=["OSError", "Ctrl-C"])
@pytest.mark.parametrize("reading", [0, 1, 5])
def test_errors_of_the_stream_reach_the_caller(error, reading, rows):
    def blocks(n):
        yield rows[:3000]
        if n == reading:
            raise error
        yield rows[3000:]

    with pytest.raises(type(error)):
        fit_quietly(three(tol=0.0, max_iter=20), Yielding(blocks))


@pytest.mark.usefixtures("small_cells")
def test_an_interrupt_ends_the_reading_and_keeps_the_best(rows, monkeypatch):
    sound, calls = Lanes.work, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 200:
            raise KeyboardInterrupt
        sound(*arguments)

    model = three(init_params="random_from_data", tol=0.0)
    monkeypatch.setattr(Lanes, "work", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(Stream(rows, [100]))
    assert model.n_iter_ > 0


@pytest.mark.usefixtures("small_cells")
@pytest.mark.parametrize("accelerate", ["squarem", "anderson", "auto"])
def test_accelerated_fits(accelerate, rows, weights):
    model = three(accelerate=accelerate, tol=1e-9, max_iter=30)
    expected = bits(fit_quietly(model, rows, weights))
    assert bits(fit_quietly(model, Stream(rows, [617], weights))) == expected


def test_what_streams_cannot_be_used_for(rows, weights):
    stream = Stream(rows, [617])
    for parameters in (
        {"algorithm": "sparse"},
        {"algorithm": "incremental"},
        {"algorithm": "online"},
        {"algorithm": Batch(grow_sample=True)},
    ):
        fails(stream, "use algorithm='batch'.*partial_fit", **parameters)
    fails(stream, "init_params is a function", init_params=lambda X, n, generator: X[:n])
    model = three()
    for use in (model.fit, model.score, model.likelihoods):
        if use != model.fit:
            model.fit(rows)
        with pytest.raises(ValueError, match="yield pairs of rows and weights"):
            use(stream, sample_weight=weights)
    for use in (model.predict, model.predict_proba, model.score_samples, KMeans(3).fit):
        with pytest.raises(ValueError, match="pass one block at a time"):
            use(stream)
    with pytest.raises(ValueError, match="predict block by block"):
        model.fit_predict(stream)
    with pytest.raises(ValueError, match=r"X has 2 features.*expecting 3"):
        model.score(Stream(rows[:, :2], [617]))


def test_what_is_like_an_array_is_no_stream(rows):
    class LikeAnArray:
        def __iter__(self):
            raise AssertionError("not a stream")

        def __array__(self, dtype=None, copy=None):
            return rows

    for X in (LikeAnArray(), rows.tolist(), tuple(map(tuple, rows))):
        assert bits(three().fit(X)) == bits(three().fit(rows))
