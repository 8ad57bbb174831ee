"""Misuses of the public functions: each is refused, with a message that says what is wrong."""

import numpy as np
import pandas as pd
import pytest

import helpers
from helpers import (
    RRandom,
    cluster_weights,
    coefficients,
    compare_models,
    compound_symmetry,
    create_data,
    fit_by_cluster,
    fit_many,
    fit_mixed,
    fit_pooled,
    fixed_effects,
    load_gpa,
    load_pupils,
    marginal_means,
    random_covariance,
    random_effect_correlations,
    random_effects,
    reparameterize,
    shrinkage,
    summarize_fits,
    summarize_model,
    true_coefficients,
    variance_components,
)
from helpers.data.simulate import gpa_setting, treatment_clusters

SLOPES = "y ~ x + (x | cluster)"
INTERCEPTS = "y ~ x + (1 | cluster)"


def frame(**change):
    """20 clusters of 10 observations, with columns to misuse."""
    data = create_data(n_cluster=20)
    data["kind"] = pd.Categorical(np.array(list("abc"))[np.arange(200) % 3])
    data["half"] = np.arange(200) % 2
    return data.assign(**change)


def slopes():
    return fit_mixed(SLOPES, frame())


def intercepts():
    return fit_mixed(INTERCEPTS, frame())


def means():
    return fit_mixed("y ~ 1 + (1 | cluster)", frame())


def nested():
    return fit_mixed("y ~ x + (1 | cluster) + (1 | cluster:kind)", frame())


def by_kind():
    return fit_mixed("y ~ kind + (1 | cluster)", frame())


def pooled():
    return fit_pooled("y ~ x", frame())


def swap(name, position, value):
    """Column with one value replaced."""
    return frame()[name].mask(frame().index == position, value)


MISUSES = {
    # formulas
    "formula: not text": (lambda: fit_mixed(None, frame()), TypeError, "must be a string"),
    "formula and data swapped": (lambda: fit_mixed(frame(), SLOPES), TypeError, "must be a string"),
    "formula: no tilde": (lambda: fit_mixed("x + (1 | g)", frame()), ValueError, "needs a resp"),
    "formula: nothing random": (lambda: fit_mixed("y ~ x", frame()), ValueError, "use fit_pooled"),
    "formula: crossed": (
        lambda: fit_mixed("y ~ x + (1 | cluster) + (1 | kind)", frame()),
        ValueError,
        "crossed random effects",
    ),
    "formula: double bar": (
        lambda: fit_mixed("y ~ x + (0 || cluster)", frame()),
        ValueError,
        "leaves nothing to vary",
    ),
    "formula: slash": (
        lambda: fit_mixed("y ~ x + (x | cluster/kind)", frame()),
        ValueError,
        "more than one nested intercept",
    ),
    "formula: effect twice": (
        lambda: fit_mixed("y ~ x + (x | cluster) + (0 + x | cluster)", frame()),
        ValueError,
        "vary twice",
    ),
    "formula: no bracket": (
        lambda: fit_mixed("y ~ x + (1 | cluster", frame()),
        ValueError,
        "unbalanced",
    ),
    "formula: a dot": (
        lambda: fit_mixed("y ~ . + (1 | cluster)", frame()),
        ValueError,
        "cannot be read",
    ),
    "formula: unknown function": (
        lambda: fit_mixed("y ~ logg(x) + (1 | cluster)", frame()),
        ValueError,
        "not known here: logg",
    ),
    # data
    "data: a list": (lambda: fit_mixed(SLOPES, [1, 2]), TypeError, "DataFrame, not list"),
    "data: empty": (lambda: fit_mixed(SLOPES, frame().head(0)), ValueError, "no rows"),
    "data: unknown predictor": (
        lambda: fit_mixed("y ~ z + (1 | cluster)", frame()),
        ValueError,
        "no column 'z'",
    ),
    "data: unknown group": (
        lambda: fit_mixed("y ~ x + (1 | school)", frame()),
        ValueError,
        "no column 'school'",
    ),
    "data: one cluster": (
        lambda: fit_mixed(INTERCEPTS, frame(cluster=1)),
        ValueError,
        "at least two",
    ),
    "data: missing predictor": (
        lambda: fit_mixed(SLOPES, frame(x=swap("x", 3, np.nan))),
        ValueError,
        "missing values: 1 in 'x'",
    ),
    "data: missing response": (
        lambda: fit_mixed(SLOPES, frame(y=swap("y", 3, np.nan))),
        ValueError,
        "missing values: 1 in 'y'",
    ),
    "data: missing cluster": (
        lambda: fit_mixed(SLOPES, frame(cluster=frame()["cluster"].where(frame().index > 1))),
        ValueError,
        "missing values: 2 in 'cluster'",
    ),
    "data: infinite": (
        lambda: fit_mixed(SLOPES, frame(x=swap("x", 3, np.inf))),
        ValueError,
        "'x' holds infinite",
    ),
    "data: text as response": (
        lambda: fit_mixed("kind ~ x + (1 | cluster)", frame()),
        ValueError,
        "must be one column of numbers",
    ),
    "data: numbers stored as text": (
        lambda: fit_mixed(SLOPES, frame(y=frame()["y"].astype(str))),
        ValueError,
        "must be one column of numbers",
    ),
    "data: constant response": (
        lambda: fit_mixed(SLOPES, frame(y=1.0)),
        ValueError,
        "nothing to explain",
    ),
    "data: constant predictor": (
        lambda: fit_mixed(SLOPES, frame(x=1.0)),
        ValueError,
        "'x' is constant",
    ),
    "data: redundant predictor": (
        lambda: fit_mixed("y ~ x + z + (1 | cluster)", frame(z=2 * frame()["x"])),
        ValueError,
        "'z' is redundant",
    ),
    "data: a cluster per row": (
        lambda: fit_mixed(INTERCEPTS, frame(cluster=range(200))),
        ValueError,
        "200 observations for 200 random effects",
    ),
    "data: two rows for two effects": (
        lambda: fit_mixed(SLOPES, frame().groupby("cluster").head(2)),
        ValueError,
        "40 observations for 40 random effects",
    ),
    "data: a perfect fit": (
        lambda: fit_mixed(INTERCEPTS, frame(y=frame()["x"] + frame()["cluster"])),
        ValueError,
        "perfectly",
    ),
    "data: response among the predictors": (
        lambda: fit_mixed("y ~ y + (1 | cluster)", frame()),
        ValueError,
        "perfectly",
    ),
    "data: mixed labels": (
        lambda: fit_mixed(INTERCEPTS, frame(cluster=["a", 1] * 100)),
        ValueError,
        "holds labels of the kinds int, str",
    ),
    # options and other fits
    "reml: text": (lambda: fit_mixed(SLOPES, frame(), reml="yes"), TypeError, "True or False"),
    "fit_many: reml": (
        lambda: fit_many(SLOPES, frame(), np.ones((200, 2)), reml="yes"),
        TypeError,
        "reml must be True or False",
    ),
    "fit_many: one data set as a column of the frame": (
        lambda: fit_many(SLOPES, frame(), frame()["y"]),
        ValueError,
        "must be (n_obs, n_datasets)",
    ),
    "fit_many: data sets in rows": (
        lambda: fit_many(SLOPES, frame(), np.ones((2, 200))),
        ValueError,
        "Put each data set into a column",
    ),
    "fit_many: text": (
        lambda: fit_many(SLOPES, frame(), frame()[["kind"]]),
        TypeError,
        "responses must be numbers",
    ),
    "fit_many: a number": (
        lambda: fit_many(SLOPES, frame(), 7),
        TypeError,
        "responses must be",
    ),
    "fit_pooled: random effects": (lambda: fit_pooled(SLOPES, frame()), ValueError, "fit_pooled"),
    "fit_pooled: a list": (lambda: fit_pooled("y ~ x", [1]), TypeError, "not list"),
    "fit_pooled: nothing to fit": (lambda: fit_pooled("y ~ 0", frame()), ValueError, "nothing to"),
    "fit_by_cluster: random effects": (
        lambda: fit_by_cluster(SLOPES, frame(), "cluster"),
        ValueError,
        "fit_by_cluster takes",
    ),
    "fit_by_cluster: unknown cluster": (
        lambda: fit_by_cluster("y ~ x", frame(), "school"),
        ValueError,
        "no column 'school'",
    ),
    "fit_by_cluster: several columns": (
        lambda: fit_by_cluster("y ~ x", frame(), ["cluster", "kind"]),
        TypeError,
        "name of one column",
    ),
    "fit_by_cluster: clusters by a predictor": (
        lambda: fit_by_cluster("y ~ half", frame(), "half"),
        ValueError,
        "cannot name the clusters",
    ),
    # predictions
    "predict: a list": (lambda: slopes().predict([1.0]), TypeError, "not list"),
    "predict: no cluster": (
        lambda: slopes().predict(pd.DataFrame({"x": [1.0]})),
        ValueError,
        "no column 'cluster'",
    ),
    "predict: missing value": (
        lambda: slopes().predict(pd.DataFrame({"x": [np.nan], "cluster": [1]})),
        ValueError,
        "missing values: 1 in 'x'",
    ),
    "predict: text for numbers": (
        lambda: pooled().predict(pd.DataFrame({"x": ["low"]})),
        ValueError,
        "'x' held numbers",
    ),
    "predict: unknown level": (
        lambda: by_kind().predict(pd.DataFrame({"kind": ["d"], "cluster": [1]})),
        ValueError,
        "do not fit the model",
    ),
    "predict: random_effects by position": (
        lambda: slopes().predict(frame(), False),
        TypeError,
        "positional",
    ),
    # tables
    "fixed_effects: data": (lambda: fixed_effects(frame()), TypeError, "fit_mixed or fit_pooled"),
    "variance_components: pooled": (lambda: variance_components(pooled()), TypeError, "fit_mixed"),
    "random_covariance: pooled": (lambda: random_covariance(pooled()), TypeError, "fit_mixed"),
    "correlations: pooled": (lambda: random_effect_correlations(pooled()), TypeError, "fit_mixed"),
    "random_effects: pooled": (lambda: random_effects(pooled()), TypeError, "fit_mixed"),
    "coefficients: statsmodels": (
        lambda: coefficients(slopes().results),
        TypeError,
        "not MixedLMResults",
    ),
    "summarize_model: pooled": (lambda: summarize_model(pooled()), TypeError, "fit_mixed"),
    "shrinkage: nested": (lambda: shrinkage(nested()), ValueError, "nested term"),
    "compare_models: a list": (lambda: compare_models([slopes()]), TypeError, "must be a dict"),
    "summarize_fits: a list": (lambda: summarize_fits([slopes()]), TypeError, "must be a dict"),
    "fit_mixed: two columns of one name": (
        lambda: fit_mixed(SLOPES, pd.concat([frame(), frame()[["x"]]], axis=1)),
        ValueError,
        "several columns named 'x'",
    ),
    "fit_mixed: numbers as objects": (
        lambda: fit_mixed(SLOPES, frame(x=frame()["x"].astype(object))),
        ValueError,
        "pd.to_numeric",
    ),
    "fit_pooled: numbers as objects": (
        lambda: fit_pooled("y ~ x", frame(x=frame()["x"].astype(object))),
        ValueError,
        "pd.to_numeric",
    ),
    "fit_mixed: dates": (
        lambda: fit_mixed(SLOPES, frame(x=pd.Timestamp("2026-01-01"))),
        ValueError,
        "holds dates",
    ),
    "fit_mixed: arguments swapped": (
        lambda: fit_mixed(frame(), SLOPES),
        TypeError,
        "must be a string like 'y ~ x + (x | g)', not DataFrame",
    ),
    "compare_models: nothing": (lambda: compare_models({}), ValueError, "at least one"),
    "compare_models: pooled": (lambda: compare_models({"a": pooled()}), TypeError, "fit_mixed"),
    "compare_models: other data": (
        lambda: compare_models({"a": slopes(), "b": fit_mixed(SLOPES, frame().head(150))}),
        ValueError,
        "different data",
    ),
    "compare_models: REML and ML": (
        lambda: compare_models({"a": slopes(), "b": fit_mixed(SLOPES, frame(), reml=False)}),
        ValueError,
        "mix REML and ML",
    ),
    "compare_models: REML, other fixed part": (
        lambda: compare_models({"a": intercepts(), "b": means()}),
        ValueError,
        "Refit both with reml=False",
    ),
    "marginal_means: unknown predictor": (
        lambda: marginal_means(slopes(), "ses"),
        ValueError,
        "not a predictor",
    ),
    "marginal_means: too many values": (
        lambda: marginal_means(slopes(), "x"),
        ValueError,
        "at most 12",
    ),
    "marginal_means: a number": (lambda: marginal_means(3, "x"), TypeError, "not int"),
    "cluster_weights: slopes": (
        lambda: cluster_weights(slopes()),
        ValueError,
        "random intercepts",
    ),
    "cluster_weights: predictor within clusters": (
        lambda: cluster_weights(intercepts()),
        ValueError,
        "varies within clusters",
    ),
    "reparameterize: an array": (
        lambda: reparameterize(slopes(), np.eye(2)),
        TypeError,
        "must be a DataFrame",
    ),
    "reparameterize: other columns": (
        lambda: reparameterize(slopes(), pd.DataFrame({"Intercept": [1], "z": [1]})),
        ValueError,
        "random effects are Intercept, x",
    ),
    "reparameterize: missing number": (
        lambda: reparameterize(slopes(), pd.DataFrame({"Intercept": [1], "x": [np.nan]})),
        ValueError,
        "finite numbers",
    ),
    "compound_symmetry: not nested": (
        lambda: compound_symmetry(slopes()),
        ValueError,
        "not of the form",
    ),
    # simulation and data sets
    "create_data: balanced": (lambda: create_data(balanced=1.5), ValueError, "balanced"),
    "create_data: no clusters": (lambda: create_data(n_cluster=0), ValueError, "n_cluster"),
    "create_data: half a cluster": (lambda: create_data(n_cluster=2.5), TypeError, "n_cluster"),
    "create_data: negative sd": (lambda: create_data(sd_int=-1), ValueError, "sd_int"),
    "create_data: covariance": (lambda: create_data(cor=0.3), ValueError, "covariance"),
    "create_data: seed": (lambda: create_data(seed=1.5), TypeError, "seed"),
    "true_coefficients: sigma": (lambda: true_coefficients(sigma=-1), ValueError, "sigma"),
    "treatment_clusters: odd": (lambda: treatment_clusters([2, 3, 4], 1), ValueError, "even"),
    "treatment_clusters: a number": (lambda: treatment_clusters(8, 1), TypeError, "list"),
    "gpa_setting: unknown": (lambda: gpa_setting("20 occasions"), ValueError, "settings are"),
    "RRandom: seed": (lambda: RRandom("888"), TypeError, "seed"),
    "RRandom: sample too large": (lambda: RRandom(1).sample(3, 4), ValueError, "size"),
    "load_gpa: source": (lambda: load_gpa("hox"), ValueError, "source is 'hox'"),
    "load_pupils: no folder": (
        lambda: load_pupils("original", folder="nowhere"),
        ValueError,
        "There is no file",
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_refused(name):
    misuse, kind, message = MISUSES[name]
    with pytest.raises(kind) as error:
        misuse()
    assert message in str(error.value)


def test_the_misuses_cover_simulation_and_fitting():
    used = {name for misuse, _, _ in MISUSES.values() for name in names_in(misuse.__code__)}
    fitting = {
        name
        for name in helpers.__all__
        if getattr(getattr(helpers, name), "__module__", "").removeprefix("helpers.")
        in ("fit", "simulate", "r_random")
        and callable(getattr(helpers, name))
        and not isinstance(getattr(helpers, name), type)
    }
    assert len(MISUSES) >= 40
    assert fitting <= used


def names_in(code):
    """Global names that a function and those inside it use."""
    inner = [part for part in code.co_consts if hasattr(part, "co_names")]
    return [*code.co_names, *(name for part in inner for name in names_in(part))]
