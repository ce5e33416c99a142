"""Every family of the package, found by its estimator: densities, steps, rising likelihoods, engines, sources, files."""

import zlib

import naive_families as naive
import numpy as np
import pytest
from registry import as_entries, own_estimators
from scipy.integrate import quad
from tiers import thorough

from fastmix import Batch, Checkpoint, CollapsedError, Incremental, Mixture, Online, Sparse, load
from fastmix.data.entries import ENTRIES
from fastmix.data.levels import Levels
from fastmix.data.mixed_columns import MixedColumns
from fastmix.estimators.family_mixture import FamilyMixture
from fastmix.families.mixed import Mixed

N_FEATURES, N_COMPONENTS = 3, 2
MODELS = {
    type(each).__name__: each
    for each in own_estimators()
    if isinstance(each, FamilyMixture) and type(each) is not Mixture
}
every = pytest.mark.parametrize("name", list(MODELS))
rough = pytest.mark.filterwarnings("ignore::fastmix.ConvergenceWarning")
LEVELS = [[0, 1], [0, 1, 2], [0, 1, 2]]
KINDS = {0: "gaussian", 1: "counts", 2: "binary", 3: "categories"}


def parameters_of(family, rng):
    """Random arrays, as the domains of the family have them."""
    K, D = N_COMPONENTS, N_FEATURES
    drawn = {
        "weights": rng.dirichlet(np.full(K, 5.0)),
        "rates": rng.uniform(0.5, 12, (K, D)),
        "scales": rng.uniform(0.5, 4, (K, D)),
        "shapes": rng.uniform(0.8, 6, (K, D)),
        "sizes": rng.uniform(0.8, 12, (K, D)),
        "means": rng.uniform(1, 15, (K, D)),
        "probabilities": rng.uniform(0.1, 0.9, (K, D)),
        "dof": np.full(K, 4.0),
    }
    if "scale_matrices" in family.domains:
        half = rng.normal(size=(K, D, D))
        drawn["scale_matrices"] = half @ np.swapaxes(half, 1, 2) + np.eye(D)
    if "gaussian_means" in family.domains:
        return {"weights": drawn["weights"]} | {
            "gaussian_means": drawn["means"][:, :1],
            "gaussian_variances": drawn["scales"][:, :1],
            "counts_rates": drawn["rates"][:, :1],
            "binary_probabilities": drawn["probabilities"][:, :1],
            "categories_probabilities": np.array([[[0.2, 0.3, 0.5]], [[0.6, 0.3, 0.1]]]),
        }
    if "n_levels" in family.settings():
        p = rng.uniform(0.2, 1, (K, D, 3)) * (np.arange(3) < np.array([len(each) for each in LEVELS])[:, None])
        drawn["probabilities"] = p / p.sum(axis=2, keepdims=True)
    return {each: drawn[each] for each in family.domains}


def made(name, arrays):
    """A fitted model of the arrays."""
    cls = type(MODELS[name])
    if name == "MixedMixture":
        model = cls(missing="em", columns=KINDS)
        model._columns = MixedColumns(list(KINDS.values()), Levels([[0.0, 1.0, 2.0]]))
        return model._taken_from(model._family(), arrays)
    first = (LEVELS,) if name == "CategoricalMixture" else ()
    return cls.from_parameters(*first, **arrays)


def case(name, seed=0, n_rows=400):
    """(Arrays, the model of them, rows that it drew)."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    model = made(name, parameters_of(_family(name), rng))
    model._sampling = rng
    rows = np.asarray(model.sample(n_rows)[0], dtype=np.float64)
    return {each: getattr(model, f"{each}_") for each in model._fitted_family.domains}, model, rows


def _family(name):
    if name == "CategoricalMixture":
        from fastmix.families.categorical import Categorical

        return Categorical(tuple(len(each) for each in LEVELS))
    if name == "MixedMixture":
        return Mixed(1, 1, 1, (3,))
    return MODELS[name]._family()


def holed(rows, seed=1):
    rows = rows.copy()
    rows[np.random.default_rng(seed).random(rows.shape) < 0.2] = np.nan
    rows[np.isnan(rows).all(axis=1), 0] = 1.0
    return rows


def settings_of(name):
    """What a fit is asked for so that it is plain EM."""
    if name == "MixedMixture":
        return {"columns": KINDS, "reg_covar": 0.0}
    return (
        {"categories": LEVELS}
        if name == "CategoricalMixture"
        else {"reg_covar": 0.0}
        if name == "StudentTMixture"
        else {}
    )


@every
@pytest.mark.parametrize("missing", ["error", "em"])
def test_densities_are_the_oracle_s(name, missing):
    arrays, model, rows = case(name)
    model.missing = missing
    rows = rows if missing == "error" else holed(rows)
    family = model._fitted_family.name
    joint = naive.log_joints(family, arrays, rows)
    expected = naive.log_density(family, arrays, rows)
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(model.predict_proba(rows), np.exp(joint - expected[:, None]), atol=1e-12)


@every
def test_densities_sum_to_one(name):
    _, model, _ = case(name)
    kind = ENTRIES[model._fitted_family.entries]
    model.missing = "em"

    def density(x):  # of the first feature
        row = np.full((np.size(x), model.n_features_in_), np.nan)
        row[:, 0] = x
        return np.exp(model.score_samples(row))

    if kind.is_whole:
        n = {"binary": 2, "codes": len(LEVELS[0])}.get(model._fitted_family.entries, 2000)
        assert density(np.arange(n, dtype=float)).sum() == pytest.approx(1.0, abs=1e-10)
    else:
        # x = tan(t): the tails of Student t are long
        low = -np.pi / 2 if kind.takes_negative else 0.0
        total, _ = quad(lambda t: density(np.tan(t))[0] / np.cos(t) ** 2, low + 1e-9, np.pi / 2 - 1e-9, limit=400)
        assert total == pytest.approx(1.0, abs=1e-6)


@every
@rough
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("missing", ["error", "em"])
def test_one_step_is_the_oracle_s(name, missing, weighted):
    _arrays, model, rows = case(name, n_rows=200)
    rows = rows if missing == "error" else holed(rows)
    weights = np.random.default_rng(2).uniform(0.1, 3, len(rows)) if weighted else np.ones(len(rows))
    start = {each: np.asarray(value) for each, value in case(name, seed=5)[0].items()}
    how = settings_of(name) | {"missing": missing, "max_iter": 1, "tol": 0.0, "parameters_init": start}
    found = type(model)(N_COMPONENTS, **how).fit(rows, sample_weight=weights)
    expected = naive.step(model._fitted_family.name, start, rows, weights)
    for each, value in expected.items():
        error = np.abs(getattr(found, f"{each}_") - value).max() / np.abs(value).max()
        assert error < (1e-12 if each != "sizes" else 1e-11), each


@every
@rough
@pytest.mark.parametrize("missing", ["error", "em"])
@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=thorough) for seed in range(3, 100))])
def test_the_likelihood_never_falls(name, missing, seed):
    rows = case(name, seed, n_rows=60)[2]
    rows = rows if missing == "error" else holed(rows, seed)
    how = settings_of(name) | {
        "missing": missing,
        "tol": 0.0,
        "max_iter": 40,
        "random_state": seed,
        "init_params": "random",
    }
    try:
        model = type(MODELS[name])(3, **how).fit(rows)
    except CollapsedError:  # without a floor a scale may go to 0
        assert {"scale_matrices", "scales", "gaussian_variances"} & set(_family(name).domains)
        return
    bounds = np.array(model.lower_bounds_)
    assert (np.diff(bounds) >= -1e-12 * (1.0 + np.abs(bounds[1:]))).all()


ENGINES = {
    "batch": {},
    "incremental": {"algorithm": Incremental(n_blocks=4)},
    "growing": {"algorithm": Batch(grow_sample=True)},
    "squarem": {"accelerate": "squarem"},
    "anderson": {"accelerate": "anderson"},
    "sparse": {"algorithm": Sparse(active_threshold=0)},
    "online": {"algorithm": Online()},
}
# Of a stream rows come in its own order.
WAYS = [
    (engine, source)
    for source in ("memory", "map", "stream")
    for engine in ENGINES
    if source != "stream" or engine in ("batch", "squarem", "anderson")
]
# In the first tier each family is fitted by one engine from one source; the second has the product.
PAIRS = [
    pytest.param(name, *way, marks=() if n_way == (5 * n + 1) % len(WAYS) else (thorough,))
    for n, name in enumerate(MODELS)
    for n_way, way in enumerate(WAYS)
    if name != "MixedMixture" or way[1] != "stream"  # which looks at whole columns
]


class Blocks:
    def __init__(self, *arrays):
        self.arrays = arrays

    def __iter__(self):
        for first in range(0, len(self.arrays[0]), 700):
            parts = tuple(each[first : first + 700] for each in self.arrays)
            yield parts if len(parts) > 1 else parts[0]


@rough
@pytest.mark.parametrize(("name", "engine", "source"), PAIRS)
def test_every_engine_and_source(name, engine, source, tmp_path):
    arrays, _, rows = case(name, n_rows=3000)
    weights = np.random.default_rng(3).uniform(0.5, 1.5, len(rows))
    how = settings_of(name) | ENGINES[engine]
    how |= {"max_iter": 60, "tol": 1e-7, "random_state": 0, "parameters_init": arrays}
    given = {"sample_weight": weights}
    table = rows
    if source == "map":
        np.save(tmp_path / "rows.npy", rows)
        table = np.load(tmp_path / "rows.npy", mmap_mode="r")
    elif source == "stream":
        table, given = Blocks(rows, weights), {}
    path = tmp_path / "checkpoint"
    model = type(MODELS[name])(N_COMPONENTS, checkpoint=Checkpoint(path, every=0.0), **how).fit(table, **given)
    start = made(name, arrays).score(rows, sample_weight=weights)
    assert model.score(rows, sample_weight=weights) > start - (5e-3 if engine == "online" else 1e-9)
    reference = type(MODELS[name])(
        N_COMPONENTS, **(how | ENGINES["batch"] | {"algorithm": "batch", "accelerate": None})
    )
    best = reference.fit(rows, sample_weight=weights).score(rows, sample_weight=weights)
    assert model.score(rows, sample_weight=weights) > best - (2e-2 if engine == "online" else 1e-4)


@every
@rough
def test_labels_threads_files_and_checkpoints(name, tmp_path):
    arrays, _, rows = case(name, n_rows=1000)
    truth = naive.log_joints(_family(name).name, arrays, rows).argmax(axis=1)
    labels = np.where(np.arange(len(rows)) % 2, truth, -1)
    how = settings_of(name) | {"max_iter": 10, "tol": 0.0, "random_state": 0, "n_components": N_COMPONENTS}
    models = [type(MODELS[name])(n_threads=n, **how).fit(rows, labels=labels) for n in (1, 2)]
    for each in arrays:
        assert getattr(models[0], f"{each}_").tobytes() == getattr(models[1], f"{each}_").tobytes()
    shares = models[0].predict_proba(rows)
    assert shares[np.arange(len(rows)), truth].mean() > 0.5  # components are those that labels name
    models[0].save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(rows), models[0].score_samples(rows))
    assert again.bic(rows) == models[0].bic(rows)
    assert np.isfinite([models[0].aic(rows), models[0].icl(rows)]).all()

    def stop(state):
        return state.iteration == 4

    path = tmp_path / "checkpoint"
    type(MODELS[name])(**how, checkpoint=Checkpoint(path, every=0.0), callback=stop).fit(rows)
    resumed = type(MODELS[name])(**how, checkpoint=Checkpoint(path, resume=True)).fit(rows)
    whole = type(MODELS[name])(**how).fit(rows)
    for each in arrays:
        assert getattr(resumed, f"{each}_").tobytes() == getattr(whole, f"{each}_").tobytes()


@every
@rough
def test_rows_that_repeat_count_as_often_as_they_are_there(name):
    """Whole numbers are put together; the fit is that of all rows."""
    rows = case(name, n_rows=50)[2]
    arrays = case(name, seed=5)[0]
    how = settings_of(name) | {"max_iter": 5, "tol": 0.0, "parameters_init": arrays}
    every_one = type(MODELS[name])(N_COMPONENTS, **how).fit(np.repeat(rows, 9, axis=0))
    weighted = type(MODELS[name])(N_COMPONENTS, **how).fit(rows, sample_weight=np.full(50, 9.0))
    for each in arrays:
        np.testing.assert_allclose(getattr(every_one, f"{each}_"), getattr(weighted, f"{each}_"), rtol=1e-10)
    assert every_one._n_fitted == 450


@every
@rough
def test_another_order_of_components(name):
    rows = case(name, n_rows=300)[2]
    model = type(MODELS[name])(3, component_order="weights", random_state=0, **settings_of(name) | {"max_iter": 5})
    assert (np.diff(model.fit(rows).weights_) <= 0).all()


@every
def test_what_is_no_entry_is_named(name):
    kind = ENTRIES[MODELS[name]._family().entries]
    if kind.takes_negative:
        return
    rows = as_entries(MODELS[name], np.random.default_rng(0).normal(size=(30, 2)) * 3)
    rows[7, 1] = -1.0
    if name == "CategoricalMixture":  # any value is a level, until it is fitted
        model = type(MODELS[name])(2, random_state=0).fit(np.abs(rows))
        with pytest.raises(ValueError, match=r"column 1 of X has the level -1.0 at row 7"):
            model.predict(rows)
        return
    with pytest.raises(ValueError, match=r"column 1 of X must hold .* got -1 at row 7"):
        type(MODELS[name])(2).fit(rows)
    if kind.is_whole:
        rows[7, 1] = 0.5
        with pytest.raises(ValueError, match=r"column 1 of X must hold .* got 0.5 at row 7"):
            type(MODELS[name])(2).fit(rows)


@every
def test_a_column_without_any_entry_is_named(name):
    rows = case(name, n_rows=40)[2]
    rows[:, 2] = np.nan
    with pytest.raises(ValueError, match=r"column 2.*Leave such columns out"):
        type(MODELS[name])(2, missing="em").fit(rows)
