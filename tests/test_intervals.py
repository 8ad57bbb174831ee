"""Intervals of every parameter, against lme4's confint and by their laws."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import (
    SCENARIOS,
    RRandom,
    bootstrap,
    create_data,
    fit_mixed,
    fit_pooled,
    fixed_effects,
    intervals,
    load_gpa,
    load_pupils,
    load_sleepstudy,
    treatment_clusters,
)
from helpers.models import DataError

REFERENCE = Path(__file__).parent / "reference"
PROFILES = json.loads((REFERENCE / "profile_intervals.json").read_text(encoding="utf-8"))
TESTS = json.loads((REFERENCE / "fixed_effect_tests.json").read_text(encoding="utf-8"))


def exercise_3():
    """The data of the third exercises: 50 groups of three, R's seed 1234."""
    stream, group = RRandom(1234), np.repeat(np.arange(1, 51), 3)
    intercept, slope = 2 + stream.normal(50, sd=0.75), 0.5 + stream.normal(50, sd=0.25)
    residual, x = stream.normal(150, sd=0.25), stream.normal(150)
    y = intercept[group - 1] + slope[group - 1] * x + residual
    return pd.DataFrame({"y": y, "x": x, "group": group})


def data_of(name):
    for start, load in {
        "sleepstudy": load_sleepstudy,
        "gpa": load_gpa,
        "pupils": load_pupils,
        "exercise 3": exercise_3,
        "puzzle": lambda: treatment_clusters([2, 10, 10, 10, 2, 10, 10, 10], 824523),
    }.items():
        if name.startswith(start):
            return load()
    return create_data(**SCENARIOS[name.removeprefix("scenario: ")])


def named_as_lme4(row):
    """Name a row as lme4's confint does."""
    if row.kind == "fixed":
        return row.effect
    if row.grouping_factor == "Residual":
        return "sigma"
    if row.kind == "sd":
        return f"sd_{row.effect}|{row.grouping_factor}"
    one, other = row.effect.split(", ")
    return f"cor_{other}.{one}|{row.grouping_factor}"


@pytest.mark.parametrize("name", PROFILES)
def test_profile_limits_are_lme4_s(name):
    """Within .2 % of their width; lme4 interpolates between points of its profile."""
    entry = PROFILES[name]
    table = intervals(fit_mixed(entry["formula"], data_of(name)))
    table.index = [named_as_lme4(row) for row in table.itertuples()]
    expected = pd.DataFrame(
        {"lower_2.5": entry["lower"], "upper_97.5": entry["upper"]}, entry["parameter"]
    )
    # With three correlated effects lme4's own profile fails, so only variances are in the file.
    assert len(expected) == len(table) - (0 if "seconds" in entry else 3)
    found = table.loc[expected.index, expected.columns]
    width = (expected["upper_97.5"] - expected["lower_2.5"]).to_numpy()[:, None]
    assert (np.abs(found - expected) / width).max(axis=None) < 0.002


def test_the_exercise_has_its_source_s_intervals():
    fit = fit_mixed("y ~ x + (1 | group) + (0 + x | group)", exercise_3())
    sds = intervals(fit).query("kind == 'sd'")[["lower_2.5", "upper_97.5"]]
    published = [[0.53, 0.81], [0.165, 0.360], [0.225, 0.327]]
    np.testing.assert_allclose(sds, published, atol=0.005)


def test_a_reml_fit_keeps_its_estimates_and_the_profile_of_maximum_likelihood():
    data = load_sleepstudy()
    formula = "Reaction ~ Days + (Days | Subject)"
    reml, ml = (intervals(fit_mixed(formula, data, reml=way)) for way in (True, False))
    limits = ["lower_2.5", "upper_97.5"]
    np.testing.assert_allclose(reml[limits], ml[limits], rtol=1e-5)
    assert reml["value"][2] > ml["value"][2]


def test_edges_belong_to_the_intervals():
    table = intervals(fit_mixed("y ~ x + (x | cluster)", create_data(obs_per_cluster=3)))
    correlation = table[table["kind"] == "correlation"].iloc[0]
    assert (correlation["lower_2.5"], correlation["upper_97.5"]) == (-1, 1)
    slope = table[(table["kind"] == "sd") & (table["effect"] == "x")].iloc[0]
    assert slope["lower_2.5"] == 0


def test_a_singular_fit_has_intervals_that_start_at_zero():
    stream = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 5), "y": stream.normal(size=60)})
    data["y"] -= 0.9 * data.groupby("g")["y"].transform("mean")
    fit = fit_mixed("y ~ 1 + (1 | g)", data)
    assert fit.singular
    row = intervals(fit).query("grouping_factor == 'g'").iloc[0]
    assert row["value"] == row["lower_2.5"] == 0 < row["upper_97.5"]


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_limits_follow_the_units(factor):
    data = load_sleepstudy()
    plain = intervals(fit_mixed("Reaction ~ Days + (Days | Subject)", data))
    scaled = data.assign(Reaction=factor * data["Reaction"])
    other = intervals(fit_mixed("Reaction ~ Days + (Days | Subject)", scaled))
    limits = ["value", "lower_2.5", "upper_97.5"]
    units = np.where(plain["kind"] == "correlation", 1, factor)[:, None]
    np.testing.assert_allclose(other[limits], units * plain[limits], rtol=1e-4)


def test_a_higher_level_is_wider():
    fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    narrow, wide = intervals(fit, level=0.5), intervals(fit, level=0.99)
    assert list(wide.columns[-2:]) == ["lower_0.5", "upper_99.5"]
    assert (wide["lower_0.5"] < narrow["lower_25"]).all()
    assert (wide["upper_99.5"] > narrow["upper_75"]).all()


def test_wald_intervals_are_of_fixed_effects_only():
    fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    limits = intervals(fit, "wald")[["lower_2.5", "upper_97.5"]]
    np.testing.assert_allclose(limits[:2], fixed_effects(fit)[["lower_2.5", "upper_97.5"]])
    assert limits[2:].isna().all(axis=None)


def test_bootstrap_intervals_are_quantiles_of_the_draws():
    fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    draws = bootstrap(fit, n_datasets=500, seed=2, n_jobs=1)
    table = intervals(fit, "bootstrap", draws=draws, level=0.9)
    pd.testing.assert_frame_equal(
        table, intervals(fit, "bootstrap", n_datasets=500, seed=2, n_jobs=1, level=0.9)
    )
    np.testing.assert_allclose(table["upper_95"], np.nanquantile(draws, 0.95, axis=0))


def test_bad_input_is_refused():
    fit = fit_mixed("Reaction ~ Days + (1 | Subject)", load_sleepstudy())
    with pytest.raises(TypeError, match="fit_mixed"):
        intervals(fit_pooled("Reaction ~ Days", load_sleepstudy()))
    with pytest.raises(ValueError, match="profile, wald, bootstrap"):
        intervals(fit, "bayes")
    with pytest.raises(ValueError, match="level"):
        intervals(fit, level=95)
    with pytest.raises(TypeError, match="seed"):
        intervals(fit, seed=1)
    other = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    draws = bootstrap(other, n_datasets=2, n_jobs=1)
    with pytest.raises(ValueError, match="not of this fit"):
        intervals(fit, "bootstrap", draws=draws)


@pytest.mark.parametrize("name", TESTS)
def test_kenward_roger_is_lmer_test_s(name):
    """lmerTest with ddf = "Kenward-Roger", which asks pbkrtest."""
    entry = TESTS[name]
    table = fixed_effects(fit_mixed(entry["formula"], data_of(name)), df="kenward-roger")
    for column, key in (("value", "estimate"), ("se", "se"), ("df", "df"), ("p_value", "p_value")):
        np.testing.assert_allclose(table[column], entry[key], rtol=1e-4, err_msg=column)


def test_degrees_of_freedom_are_normal_or_corrected():
    data = load_sleepstudy()
    fit = fit_mixed("Reaction ~ Days + (Days | Subject)", data, reml=False)
    assert "df" not in fixed_effects(fit)
    with pytest.raises(DataError, match="reml=True"):
        fixed_effects(fit, df="kenward-roger")
    with pytest.raises(ValueError, match="satterthwaite"):
        fixed_effects(fit, df="satterthwaite")
    few = data[data["Subject"].isin(data["Subject"].unique()[:14])]
    fit = fit_mixed("Reaction ~ Days + (Days | Subject)", few)
    pd.testing.assert_frame_equal(fixed_effects(fit), fixed_effects(fit, df="kenward-roger"))
    pooled = fit_pooled("Reaction ~ Days", data)
    pd.testing.assert_frame_equal(fixed_effects(pooled), fixed_effects(pooled, df="kenward-roger"))
