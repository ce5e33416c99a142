"""Known parameters: they stay to the bit in every engine, and the free ones are the best that there are beside them."""

import numpy as np
import pytest
from draws import draw_rows, random_mixture
from fits import bits, fit_quietly, mixture_of, precisions_of, started_at
from naive import Mixture, free_parameters, log_likelihood, m_step, responsibilities
from sklearn.base import clone

from fastmix import Batch, Checkpoint, GaussianMixture, Incremental, Prior, Sparse, load

TYPES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")
ENGINES = (
    {"algorithm": "batch"},
    {"algorithm": "batch", "accelerate": "anderson"},
    {"algorithm": "batch", "accelerate": "squarem"},
    {"algorithm": "batch", "dtype": "float32"},
    {"algorithm": Batch(grow_sample=True)},
    {"algorithm": Incremental(4)},
    {"algorithm": "sparse"},
    {"algorithm": Sparse(n_blocks=2), "accelerate": None},
    {"algorithm": "online"},
)
SOME = {
    "weights": np.array([True, False, False, False]),
    "means": np.array([False, True, False, True]),
    "covariances": np.array([True, True, False, False]),
}


def crowded(rng, covariance_type="full", n_rows=600):
    """Rows of four overlapping components, and a start some way off."""
    truth = random_mixture(rng, 4, 2, covariance_type, separation=2.0)
    return draw_rows(rng, truth, n_rows), random_mixture(rng, 4, 2, covariance_type, separation=2.0)


def known_bits(model, masks):
    """The known parameters of a fitted model."""
    found = {"weights": model.weights_, "means": model.means_, "covariances": model.covariances_}
    return [found[name][mask].tobytes() for name, mask in masks.items()]


def started_values(start, **more):
    """What the fit begins with: precisions are inverted, so the covariances are those of a fit without a step."""
    return fit_quietly(started_at(start, max_iter=0, **more), np.zeros((len(start.weights), start.means.shape[1])))


@pytest.mark.parametrize("how", ENGINES, ids=lambda how: "-".join(map(str, how.values())))
def test_what_is_known_stays_to_the_bit(rng, how):
    rows, start = crowded(rng)
    seen = []
    model = started_at(start, fixed=SOME, max_iter=25, callback=lambda state: seen.append(state.parameters), **how)
    fit_quietly(model, rows)
    begun = started_values(start)
    wanted = known_bits(begun, SOME)
    assert known_bits(model, SOME) == wanted
    assert len(seen) > 5
    for parameters in seen:
        assert parameters.weights[0].tobytes() == begun.weights_[0].tobytes()
        assert parameters.means[SOME["means"]].tobytes() == wanted[1]
        assert parameters.covariances[SOME["covariances"]].tobytes() == wanted[2]
        assert parameters.weights.sum() == pytest.approx(1.0, abs=1e-15)
    for name, mask in SOME.items():
        free = getattr(model, f"{name}_")[~mask]
        assert (free != getattr(begun, f"{name}_")[~mask]).any()
    if how["algorithm"] not in ("online", Batch(grow_sample=True)) and "dtype" not in how:
        bounds = np.array(model.lower_bounds_)
        assert (np.diff(bounds) >= -1e-12 * (1 + np.abs(bounds[1:]))).all()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_free_parameters_of_a_step_are_the_best_beside_the_known_ones(rng, covariance_type):
    rows, start = crowded(rng, covariance_type, 200)
    sample_weight = rng.uniform(0.5, 2.0, len(rows))
    fixed = {"weights": [True, False, True, False], "means": [False, True, False, False]}
    model = fit_quietly(started_at(start, fixed=fixed, max_iter=1), rows, sample_weight)
    shares = np.asarray(responsibilities(rows, start), dtype=float)
    plain = m_step(rows, shares, covariance_type, sample_weight)
    counts = sample_weight @ shares
    free = 1.0 - start.weights[0] - start.weights[2]
    weights = np.array([start.weights[0], 0.0, start.weights[2], 0.0])
    weights[[1, 3]] = free * counts[[1, 3]] / counts[[1, 3]].sum()
    means = plain.means.astype(float)
    means[1] = start.means[1]
    # Covariances about the means as they are now, component by component.
    scatters = np.array(
        [((sample_weight * shares[:, k])[:, None] * (rows - means[k])).T @ (rows - means[k]) for k in range(4)]
    )
    of_each, of_all = scatters / counts[:, None, None], scatters.sum(axis=0) / counts.sum()
    covariances = {
        "full": of_each,
        "tied": of_all,
        "diag": np.diagonal(of_each, axis1=1, axis2=2),
        "spherical": np.trace(of_each, axis1=1, axis2=2) / 2,
        "tied_diag": np.diagonal(of_all),
        "tied_spherical": np.trace(of_all) / 2,
    }[covariance_type]
    for found, wanted in zip(mixture_of(model)[:3], (weights, means, covariances), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied_spherical"])
def test_known_covariances_leave_weights_and_means_as_they_would_be(rng, covariance_type):
    rows, start = crowded(rng, covariance_type, 200)
    known = fit_quietly(started_at(start, fixed={"covariances"}, max_iter=1), rows)
    plain = fit_quietly(started_at(start, max_iter=1), rows)
    np.testing.assert_allclose(known.means_, plain.means_, rtol=1e-14)
    assert known.weights_.tobytes() == plain.weights_.tobytes()
    np.testing.assert_allclose(known.covariances_, start.covariances, rtol=1e-14)


def test_the_simplest_mixture_of_the_textbooks(rng):
    """Two components of equal weight and known variance 1 in one dimension: only means are to be found."""
    rows = np.concatenate([rng.normal(-1.0, 1.0, 150), rng.normal(1.5, 1.0, 150)])[:, None]
    start = Mixture(np.full(2, 0.5), np.array([[-0.5], [0.5]]), np.array(1.0), "tied_spherical")
    model = started_at(start, fixed={"weights", "covariances"}, tol=1e-13, max_iter=500).fit(rows)
    low, high = -0.5, 0.5
    for _ in range(model.n_iter_):
        # p(second | x) is logistic in x: 1 / (1 + exp(-(high - low) (x - (low + high) / 2)))
        second = 1.0 / (1.0 + np.exp(-(high - low) * (rows[:, 0] - (low + high) / 2)))
        low, high = ((1 - second) @ rows[:, 0]) / (1 - second).sum(), (second @ rows[:, 0]) / second.sum()
    np.testing.assert_allclose(model.means_[:, 0], [low, high], rtol=1e-9)
    second = 1.0 / (1.0 + np.exp(-(high - low) * (rows[:, 0] - (low + high) / 2)))
    np.testing.assert_allclose(model.predict_proba(rows)[:, 1], second, rtol=1e-7)
    assert (model.weights_ == 0.5).all()
    assert model.covariances_ == 1.0


@pytest.mark.parametrize("covariance_type", TYPES)
def test_known_parameters_are_not_counted(rng, covariance_type):
    rows, start = crowded(rng, covariance_type, 100)
    everything = free_parameters(4, 2, covariance_type)
    of_covariances = everything - 3 - 8
    known = {
        "weights": (3, {"weights"}),
        "one weight": (1, {"weights": [True, False, False, False]}),
        "three weights": (3, {"weights": [True, True, True, False]}),
        "two means": (4, {"means": [True, False, False, True]}),
        "covariances": (of_covariances, {"covariances"}),
        "nothing": (0, {"means": np.zeros(4, bool)}),
        "everything": (everything, ("weights", "means", "covariances")),
    }
    for n_known, fixed in known.values():
        model = fit_quietly(started_at(start, fixed=fixed, max_iter=2), rows)
        found = model.likelihoods(rows)
        n_free = (found["bic"] + 2 * found["log_likelihood"]) / np.log(len(rows))
        assert n_free == pytest.approx(everything - n_known)
    model.set_params(fixed=None)  # of the next fit
    assert model.aic(rows) == pytest.approx(-2 * found["log_likelihood"])


def test_sparse_em_moves_no_component_of_which_something_is_known(rng):
    """Without it a component out of reach of all rows is put to use elsewhere."""
    truth = random_mixture(rng, 16, 2, "diag", separation=12.0)
    rows = draw_rows(rng, truth, 3000)
    start = truth._replace(means=np.concatenate([[[1e4, 1e4]], truth.means[1:]]))
    how = {"algorithm": "sparse", "max_iter": 40}
    known = fit_quietly(started_at(start, fixed={"means": np.arange(16) == 0}, **how), rows)
    assert (known.means_[0] == 1e4).all()
    assert (fit_quietly(started_at(start, **how), rows).means_[0] < 100).all()


def test_known_means_of_a_stream(rng):
    rows, start = crowded(rng, "full", 200)

    class Blocks:
        def __iter__(self):
            yield from np.array_split(rows, 3)

    settings = {"fixed": {"means": SOME["means"]}, "max_iter": 5, "algorithm": "batch"}
    streamed = fit_quietly(started_at(start, **settings), Blocks())
    assert bits(streamed) == bits(fit_quietly(started_at(start, **settings), rows))


def test_with_everything_known_nothing_moves(rng):
    rows, start = crowded(rng, "full", 100)
    model = started_at(start, fixed=["weights", "means", "covariances"], tol=1e-3).fit(rows)
    assert bits(model) == bits(started_values(start))
    assert model.lower_bound_ == pytest.approx(float(log_likelihood(rows, start)) / 100, rel=1e-12)


def test_masks_of_nothing_are_a_plain_fit(rng):
    rows, start = crowded(rng, "diag", 100)
    plain = fit_quietly(started_at(start, max_iter=10), rows)
    for fixed in ((), {}, {"means": False}, {"weights": np.zeros(4, bool)}):
        assert bits(fit_quietly(started_at(start, fixed=fixed, max_iter=10), rows)) == bits(plain)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_starts_go_around_what_is_known(rng, init_params):
    rows, start = crowded(rng)
    model = GaussianMixture(
        4,
        covariance_type="full",
        fixed={"weights", "covariances"},
        weights_init=start.weights,
        precisions_init=precisions_of(start),
        init_params=init_params,
        reg_covar=0.0,
        n_init=2,
        random_state=0,
    )
    fit_quietly(model, rows)
    everything = dict.fromkeys(("weights", "covariances"), np.ones(4, bool))
    assert known_bits(model, everything) == known_bits(started_values(start), everything)
    assert len(np.unique(model.means_.round(6), axis=0)) == 4


def test_a_component_with_a_known_covariance_may_sit_on_one_row(rng):
    rows = np.concatenate([rng.normal(size=(100, 2)), [[50.0, 50.0]]])
    start = {
        "means_init": [[0.0, 0.0], [50.0, 50.0]],
        "weights_init": [0.9, 0.1],
        "precisions_init": [1.0, 1e20],
        "covariance_type": "spherical",
        "reg_covar": 0.0,
    }
    with pytest.raises(ValueError, match="component 1"):
        GaussianMixture(2, **start).fit(rows)
    model = GaussianMixture(2, fixed={"covariances": [False, True]}, **start).fit(rows)
    assert model.n_collapsed_components_ == 0
    assert model.weights_[1] == pytest.approx(1 / 101)


def test_known_means_far_from_the_origin_in_float32(rng):
    rows = np.concatenate([rng.normal(1e3, 1.0, (200, 1)), rng.normal(1e3 + 6, 1.0, (200, 1))])
    start = Mixture(np.full(2, 0.5), np.array([[1e3 + 0.1], [1e3 + 5.9]]), np.ones((2, 1, 1)), "full")
    fixed = {"means": [True, False]}
    single = fit_quietly(started_at(start, fixed=fixed, dtype="float32", max_iter=30), rows)
    double = fit_quietly(started_at(start, fixed=fixed, max_iter=30), rows)
    assert single.means_[0, 0] == 1e3 + 0.1
    np.testing.assert_allclose(single.covariances_, double.covariances_, rtol=1e-4)


def test_known_parameters_beside_a_prior(rng):
    rows, start = crowded(rng, "diag", 200)
    prior = Prior(weight_concentration=3.0, mean=0.5, mean_precision=2.0, degrees_of_freedom=4.0, scale=1.5)
    fixed = {"weights": [True, False, False, False], "means": [False, True, False, False]}
    model = fit_quietly(started_at(start, fixed=fixed, prior=prior, max_iter=1), rows)
    shares = np.asarray(responsibilities(rows, start), dtype=float)
    counts = shares.sum(axis=0)
    assert model.weights_[0] == start.weights[0]
    np.testing.assert_allclose(
        model.weights_[1:], (1 - start.weights[0]) * (counts[1:] + 2) / (counts[1:] + 2).sum(), rtol=1e-12
    )
    # The density of a known mean, given the covariance, still says something about the covariance.
    gaps = ((rows - start.means[1]) ** 2 * shares[:, 1:2]).sum(axis=0) + 2.0 * (start.means[1] - 0.5) ** 2
    np.testing.assert_allclose(model.covariances_[1], (gaps + 1.5) / (counts[1] + 4 + 3), rtol=1e-12)
    bounds = np.array(fit_quietly(started_at(start, fixed=fixed, prior=prior, max_iter=40), rows).lower_bounds_)
    assert (np.diff(bounds) >= -1e-12 * (1 + np.abs(bounds[1:]))).all()


def test_a_warm_start_knows_the_parameters_of_the_fit_before(rng, tmp_path):
    rows, start = crowded(rng, "diag", 200)
    model = fit_quietly(started_at(start, max_iter=5), rows)
    begun = bits(model)
    model.set_params(warm_start=True, fixed={"means"}, weights_init=None, means_init=None, precisions_init=None)
    path = tmp_path / "fit"
    fit_quietly(model.set_params(checkpoint=Checkpoint(path, every=0.0), max_iter=3), rows)
    assert bits(model)[1] == begun[1]
    assert bits(model)[0] != begun[0]
    # Another process, which does not have the fit before, goes on from the checkpoint.
    elsewhere = clone(model).set_params(checkpoint=Checkpoint(path, resume=True), max_iter=6)
    fit_quietly(elsewhere, rows)
    assert bits(elsewhere)[1] == begun[1]
    assert elsewhere.n_iter_ == 6


def test_what_is_fixed_is_part_of_what_a_checkpoint_is_of_and_counted_in_model_files(rng, tmp_path):
    rows, start = crowded(rng, "diag", 200)
    path = tmp_path / "fit"
    settings = {"checkpoint": Checkpoint(path, every=0.0, resume=True)}
    straight = fit_quietly(started_at(start, fixed={"weights", "means"}, max_iter=6), rows)
    fit_quietly(started_at(start, fixed={"weights", "means"}, max_iter=3, **settings), rows)
    resumed = fit_quietly(started_at(start, fixed={"means", "weights"}, max_iter=6, **settings), rows)
    assert bits(resumed) == bits(straight)
    with pytest.raises(ValueError, match=r"fixed is \['means'\], there it is \['means', 'weights'\]"):
        started_at(start, fixed={"means"}, max_iter=6, **settings).fit(rows)
    resumed.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.bic(rows) == resumed.bic(rows)
    assert again.fixed == {"means", "weights"}
    assert "fixed={'means'}" in repr(GaussianMixture(2, fixed={"means"}))


@pytest.mark.parametrize(
    ("fixed", "covariance_type", "message"),
    [
        ("means", "full", r"write fixed=\{'means'\}"),
        (3, "full", "fixed must be a collection"),
        ({"mean"}, "full", "it names 'mean'"),
        ([["means"]], "full", r"it names \['means'\]"),
        ({"means": [0, 1]}, "full", r"shape \(4,\) and dtype bool.*dtype int64"),
        ({"means": [[True, False], [True]]}, "full", r"fixed\['means'\] has rows that differ in length"),
        ({"means": [True, False]}, "full", r"shape \(4,\) and dtype bool.*got shape \(2,\)"),
        (
            {"covariances": [True, True, False, False]},
            "tied",
            "names 2 of 4 components, but with covariance_type 'tied'",
        ),
        ({"weights"}, "full", "fixed names 'weights', but weights_init is None"),
        ({"means": [True, False, False, False]}, "full", "fixed names 'means', but means_init is None"),
        ({"covariances"}, "tied_diag", "fixed names 'covariances', but precisions_init is None"),
    ],
)
def test_what_cannot_be_fixed(rng, fixed, covariance_type, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(4, covariance_type=covariance_type, fixed=fixed).fit(rng.normal(size=(30, 2)))


def test_known_weights_that_cannot_be(rng):
    rows = rng.normal(size=(30, 2))
    with pytest.raises(ValueError, match=r"weights_init must sum to 1; the sum is 0\.8"):
        GaussianMixture(2, fixed={"weights"}, weights_init=[0.3, 0.5]).fit(rows)
    with pytest.raises(ValueError, match="known weight of component 1 is 0"):
        GaussianMixture(2, fixed={"weights"}, weights_init=[1.0, 0.0], prior=Prior(2.0)).fit(rows)
    with pytest.raises(ValueError, match="partial_fit estimates all parameters"):
        GaussianMixture(2, fixed={"weights"}, weights_init=[0.5, 0.5]).partial_fit(rows)
