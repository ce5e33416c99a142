"""What must hold of fits with missing entries: symmetries, weights, rows without anything, threads, kinds of tables."""

import numpy as np
import pandas
import pytest
from draws import draw_rows, random_mixture, random_problem
from fits import bits, fit_quietly, mixture_of, started_at
from incomplete import without
from naive import COVARIANCE_TYPES, relative_error
from test_properties import assert_same, permute_components, permute_features

import fastmix
from fastmix import Checkpoint, GaussianMixture, KMeans

ITERATIONS = 5
every_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


@pytest.fixture
def problem(covariance_type, rng):
    """Three clusters in four dimensions that overlap, a quarter of the entries missing; weights, and a start."""
    complete = random_problem(7, "ordinary", covariance_type, 300, 3, 4, np.float64, weighted=True)
    return complete._replace(rows=without(rng, complete.rows, 0.25))


def em(start, **parameters):
    return started_at(start, **({"missing": "em", "algorithm": "batch", "max_iter": ITERATIONS} | parameters))


def fitted(start, rows, sample_weight=None, **parameters):
    return fit_quietly(em(start, **parameters), rows, sample_weight)


@every_covariance_type
def test_the_order_of_rows_does_not_matter(problem, rng):
    order = rng.permutation(len(problem.rows))
    plain = fitted(problem.start, problem.rows, problem.sample_weight)
    other = fitted(problem.start, problem.rows[order], problem.sample_weight[order])
    assert_same(other, plain)
    np.testing.assert_array_equal(plain.predict_proba(problem.rows[order]), plain.predict_proba(problem.rows)[order])


@every_covariance_type
def test_permuted_features_and_components_permute_the_answer(problem):
    features, components = np.array([3, 1, 0, 2]), np.array([2, 0, 1])

    def permuted(mixture):
        return permute_components(permute_features(mixture, features), components)

    plain = fitted(problem.start, problem.rows)
    other = fitted(permuted(problem.start), problem.rows[:, features])
    for found, expected in zip(mixture_of(other)[:3], permuted(mixture_of(plain))[:3], strict=True):
        assert relative_error(found, expected) < 1e-11


@every_covariance_type
def test_shifted_rows_shift_the_means_and_nothing_else(problem):
    # Rows on a grid that survives the shift without rounding, so that the two problems are the same one.
    rows = np.round(problem.rows * 2**20) / 2**20
    shift = np.array([2.0**20, -(2.0**25), 3.0, 2.0**27])
    start = problem.start._replace(means=np.round(problem.start.means * 2**20) / 2**20)
    plain = fitted(start, rows)
    shifted = fitted(start._replace(means=start.means + shift), rows + shift)
    assert relative_error(shifted.weights_, plain.weights_) < 1e-7
    np.testing.assert_allclose(shifted.means_ - shift, plain.means_, atol=1e-7)
    assert relative_error(shifted.covariances_, plain.covariances_) < 1e-7
    np.testing.assert_allclose(shifted.lower_bounds_, plain.lower_bounds_, rtol=1e-8)


@every_covariance_type
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scaled_rows_scale_the_answer(problem, scale):
    plain = fitted(problem.start, problem.rows)
    start = problem.start._replace(means=problem.start.means * scale, covariances=problem.start.covariances * scale**2)
    scaled = fitted(start, problem.rows * scale)
    assert relative_error(scaled.weights_, plain.weights_) < 1e-11
    assert relative_error(scaled.means_ / scale, plain.means_) < 1e-11
    assert relative_error(scaled.covariances_ / scale**2, plain.covariances_) < 1e-11
    # A density has the unit of the entries that are observed.
    shift = np.isfinite(problem.rows).sum() / len(problem.rows) * np.log(scale)
    np.testing.assert_allclose(np.array(scaled.lower_bounds_) + shift, plain.lower_bounds_, rtol=1e-10)


@every_covariance_type
def test_a_weight_of_k_is_k_copies_and_of_0_none(problem, rng):
    copies = rng.integers(0, 4, size=len(problem.rows))
    assert np.isnan(problem.rows[copies == 0]).any()
    weighted = fitted(problem.start, problem.rows, copies.astype(float))
    repeated = np.repeat(problem.rows, copies, axis=0)
    copied = fitted(problem.start, repeated)
    assert_same(weighted, copied)
    for score in ("score", "bic", "aic"):
        ours = getattr(weighted, score)(problem.rows, sample_weight=copies)
        assert ours == pytest.approx(getattr(copied, score)(repeated), rel=1e-11)


@every_covariance_type
@pytest.mark.parametrize("factor", [1e-300, 0.3, 1e300])
def test_only_ratios_of_weights_matter(problem, factor):
    plain = fitted(problem.start, problem.rows, problem.sample_weight)
    assert_same(fitted(problem.start, problem.rows, problem.sample_weight * factor), plain)


@every_covariance_type
def test_nothing_observed_says_nothing(problem):
    rows = problem.rows[: 2 * len(problem.rows) // 3]
    model = fitted(problem.start, rows, tol=1e-13, max_iter=3000)
    assert model.converged_
    nothing = np.full((100, 4), np.nan)
    np.testing.assert_allclose(model.predict_proba(nothing), np.tile(model.weights_, (100, 1)), rtol=1e-14)
    np.testing.assert_allclose(model.score_samples(nothing), 0.0, atol=1e-14)
    assert (model.predict(nothing) == np.argmax(model.weights_)).all()
    # A row of which nothing is observed is what the model expects of it: fixed points stay where they are.
    before = mixture_of(model)
    longer = fit_quietly(model.set_params(warm_start=True, max_iter=1), np.concatenate([rows, nothing]))
    for found, expected in zip(mixture_of(longer)[:3], before[:3], strict=True):
        assert relative_error(found, expected) < 1e-6
    assert longer.lower_bound_ * (len(rows) + 100) == pytest.approx(longer.score(rows) * len(rows), rel=1e-11)


@pytest.mark.parametrize("algorithm", ["batch", "incremental", "sparse"])
def test_any_number_of_threads_gives_the_same_bits(algorithm):
    rng = np.random.default_rng(0)
    rows = without(rng, draw_rows(rng, random_mixture(rng, 4, 3, "full"), 20_000), 0.1)
    one, two = (
        fit_quietly(
            GaussianMixture(4, algorithm=algorithm, missing="em", max_iter=5, random_state=0, n_threads=n), rows
        )
        for n in (1, 2)
    )
    assert bits(one) == bits(two)
    assert one.lower_bounds_ == two.lower_bounds_
    np.testing.assert_array_equal(one.predict_proba(rows), two.predict_proba(rows))


def table_kinds(rows, folder):
    """The same numbers and gaps in every container that people bring."""
    np.save(folder / "rows.npy", rows)
    np.save(folder / "single.npy", rows.astype(np.float32))
    wide = np.zeros((2 * len(rows), 6))
    wide[::2, ::2] = rows
    read_only = rows.copy()
    read_only.flags.writeable = False
    frame = pandas.DataFrame(rows, columns=["a", "b", "c"])
    return {
        "float32": rows.astype(np.float32),
        "float16": rows.astype(np.float16),
        "big-endian": rows.astype(">f8"),
        "Fortran order": np.asfortranarray(rows),
        "strided": wide[::2, ::2],
        "read-only": read_only,
        "memmap": np.load(folder / "rows.npy", mmap_mode="r"),
        "float32 memmap": np.load(folder / "single.npy", mmap_mode="r"),
        "object": rows.astype(object),
        "list": rows.tolist(),
        "list with None": [[None if np.isnan(x) else x for x in row] for row in rows.tolist()],
        "masked array": np.ma.masked_invalid(rows),
        "data frame": frame,
        "data frame with NA": frame.convert_dtypes(),
    }


def test_every_container_gives_the_same_answer(rng, tmp_path):
    rows = np.round(4 * without(rng, draw_rows(rng, random_mixture(rng, 2, 3, "full"), 60), 0.2))

    def fit(table):
        return fit_quietly(GaussianMixture(2, missing="em", random_state=0, max_iter=5, reg_covar=1e-2), table)

    expected = fit(rows)
    for name, table in table_kinds(rows, tmp_path).items():
        model = fit(table)
        for found, wanted in zip(mixture_of(model)[:3], mixture_of(expected)[:3], strict=True):
            # A start fills gaps with numbers of the table's own type, so float32 starts elsewhere.
            assert relative_error(found, wanted) < (1e-9 if "float32" in name else 1e-12), name
        np.testing.assert_allclose(model.score_samples(table), expected.score_samples(rows), rtol=1e-9, err_msg=name)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), rows)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@every_covariance_type
def test_every_start_takes_rows_with_missing_entries(covariance_type, init_params):
    rng = np.random.default_rng(2)
    mixture = random_mixture(rng, 3, 4, covariance_type, separation=12.0)
    rows = without(rng, draw_rows(rng, mixture, 600), 0.2)
    model = GaussianMixture(
        3,
        covariance_type=covariance_type,
        missing="em",
        init_params=init_params,
        n_init=5,
        random_state=0,
        max_iter=2000,
    ).fit(rows)
    best = fitted(mixture, rows, max_iter=2000, tol=1e-6)
    # Random responsibilities hardly tell components apart, and may lead to any maximum.
    assert model.score(rows) >= best.score(rows) - (2.0 if init_params == "random" else 0.01)


def test_means_alone_are_a_start(rng):
    rows = draw_rows(rng, random_mixture(rng, 2, 3, "full", separation=9.0), 300)
    means = np.array([rows[:150].mean(axis=0), rows[150:].mean(axis=0)])
    incomplete = without(rng, rows, 0.2)
    model = fit_quietly(GaussianMixture(2, missing="em", means_init=means, max_iter=0, reg_covar=0.0), incomplete)
    np.testing.assert_array_equal(model.means_, means)
    np.testing.assert_allclose(model.predict_proba(incomplete).sum(axis=1), 1.0, rtol=1e-12)


def test_a_fit_repeats_to_the_last_bit_and_leaves_the_rows_alone(rng):
    rows = without(rng, draw_rows(rng, random_mixture(rng, 3, 3, "full"), 500), 0.2)
    before = rows.tobytes()
    first, second = (fit_quietly(GaussianMixture(3, missing="em", random_state=4), rows) for _ in range(2))
    assert bits(first) == bits(second)
    assert rows.tobytes() == before


def test_a_checkpoint_goes_on_to_the_same_bits_and_a_model_file_keeps_the_choice(rng, tmp_path):
    rows = without(rng, draw_rows(rng, random_mixture(rng, 3, 3, "full"), 500), 0.2)
    settings = {"missing": "em", "random_state": 4, "tol": 0.0}
    expected = fit_quietly(GaussianMixture(3, max_iter=8, **settings), rows)
    checkpoint = {"checkpoint": Checkpoint(tmp_path / "fit", every=0.0, resume=True)}
    fit_quietly(GaussianMixture(3, max_iter=3, **settings, **checkpoint), rows)
    resumed = fit_quietly(GaussianMixture(3, max_iter=8, **settings, **checkpoint), rows)
    assert bits(resumed) == bits(expected)
    other = np.where(np.isnan(rows), rows[::-1], rows)
    with pytest.raises(ValueError, match="is of another fit: X differs"):
        GaussianMixture(3, max_iter=9, **settings, **checkpoint).fit(other)
    expected.save(tmp_path / "model")
    loaded = fastmix.load(tmp_path / "model")
    assert loaded.missing == "em"
    np.testing.assert_array_equal(loaded.predict_proba(rows), expected.predict_proba(rows))


def two_far_clusters(rng, n_rows=14_000):
    """Rows (N, 3) of two clusters far apart, and which cluster each is of."""
    cluster = rng.integers(2, size=n_rows)
    return 20.0 * cluster[:, None] + rng.normal(size=(n_rows, 3)), cluster


def test_a_cluster_without_complete_rows_is_found(rng):
    # So many complete rows that a start would look at no others.
    rows, cluster = two_far_clusters(rng)
    rows[cluster == 1, 2] = np.nan
    rows[np.flatnonzero(cluster == 1)[0], 2] = 20.0
    model = GaussianMixture(2, missing="em", random_state=0).fit(rows)
    np.testing.assert_array_equal(model.predict(rows) == model.predict(rows[:1]), cluster == cluster[0])
    assert KMeans(2, missing="partial", random_state=0).fit(rows).inertia_ < 3.2 * len(rows)


def test_labels_beside_many_complete_rows(rng):
    rows, cluster = two_far_clusters(rng)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    labels = np.where(rng.random(len(rows)) < 0.2, cluster, -1)
    model = GaussianMixture(2, missing="em", random_state=0).fit(rows, labels=labels)
    observed = ~np.isnan(rows).all(axis=1)
    np.testing.assert_array_equal(model.predict(rows)[observed], cluster[observed])


def test_statistics_of_rows_that_lack_a_feature_add_up(rng):
    problem = random_problem(7, "ordinary", "full", 300, 3, 4, np.float64, weighted=False)
    parameters = fastmix.backend.gaussian(*problem.start[:3], "full")
    rows = without(rng, problem.rows, 0.25)
    rows[:150, 0] = np.nan
    whole, *halves = (fastmix.backend.em_pass(parameters, X, missing="em") for X in (rows, rows[:150], rows[150:]))
    together = halves[0] + halves[1]
    np.testing.assert_allclose(together.components, whole.components, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(together.log_likelihood, whole.log_likelihood, rtol=1e-13)
