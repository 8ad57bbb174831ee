"""Fits against R's lme4 (tests/reference/make_lme4_fits.R) and against statsmodels.

Tolerances: 1e-4 for a criterion, 1e-3 relative for everything that is estimated.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tools.sm_exceptions import ConvergenceWarning, SingularMatrixWarning

import helpers.models.fits
from helpers.data.datasets import load_pupils
from helpers.data.simulate import SCENARIOS, create_data
from helpers.models.as_statsmodels import ResultsError
from helpers.models.columns import DataError
from helpers.models.fits import (
    ConvergenceError,
    fit_by_cluster,
    fit_many,
    fit_mixed,
    fit_pooled,
)
from helpers.tables import (
    fixed_effects,
    random_effect_correlations,
    random_effects,
    variance_components,
)
from tests.random_data import draw

REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "lme4_fits.json").read_text(encoding="utf-8")
)["fits"]
REGULAR = [name for name, entry in REFERENCE.items() if not entry["singular"]]
every_fit = pytest.mark.parametrize("name", REFERENCE)


def close_sds(value, expected):
    """Assert sds equal to 1e-3 relative; one that lme4 puts at zero, to 1e-3 absolute."""
    expected = np.array(expected)
    tolerance = np.where(expected < 1e-4, 1e-3, 1e-3 * expected)
    assert (np.abs(value - expected) <= tolerance).all(), (value, expected)


def test_the_reference_covers_what_the_course_fits():
    recipes = [entry["data"].get("create_data") for entry in REFERENCE.values()]
    assert all(arguments in recipes for arguments in SCENARIOS.values())
    assert sum(entry["singular"] for entry in REFERENCE.values()) >= 10
    for word in ("boundary", "sleepstudy", "pastes", "pupils model 3", "gpa", "puzzle"):
        assert any(name.startswith(word) for name in REFERENCE)


@every_fit
def test_criterion_is_lme4_s(name, fit_of):
    fit, expected = fit_of(name), REFERENCE[name]
    assert fit.criterion == pytest.approx(expected["criterion"], abs=1e-4, rel=0)
    assert -2 * fit.results.llf == pytest.approx(expected["criterion"], abs=1e-4, rel=0)
    assert fit.converged is True
    assert fit.singular is expected["singular"]
    assert fit.reml is expected["reml"]
    assert fit.n_obs == expected["n_obs"]
    assert fit.n_groups == expected["n_groups"][fit.terms.group]


@every_fit
def test_fixed_effects_are_lme4_s(name, fit_of):
    table, expected = fixed_effects(fit_of(name), df="normal"), REFERENCE[name]["fixed"]
    assert table["term"].tolist() == expected["term"]
    for ours, theirs in [("value", "estimate"), ("se", "se"), ("t", "t")]:
        np.testing.assert_allclose(table[ours], expected[theirs], rtol=1e-3)


@every_fit
def test_standard_deviations_are_lme4_s(name, fit_of):
    expected = REFERENCE[name]["variance_components"]
    effects = [effect or "" for effect in expected["effect"]]
    rows = list(zip(expected["group"], effects, strict=True))
    table = variance_components(fit_of(name)).set_index(["grouping_factor", "effect"])
    assert sorted(table.index) == sorted(rows)
    close_sds(table.loc[rows, "sd"].to_numpy(), expected["sd"])
    assert fit_of(name).sigma == pytest.approx(REFERENCE[name]["sigma"], rel=1e-3)


@every_fit
def test_correlations_are_lme4_s(name, fit_of):
    table, expected = random_effect_correlations(fit_of(name)), REFERENCE[name]["correlations"]
    for one, other, value in zip(
        expected["effect_1"], expected["effect_2"], expected["value"], strict=True
    ):
        if value is None:
            assert np.isnan(table.loc[one, other])
        else:
            assert table.loc[one, other] == pytest.approx(value, abs=1e-3)


@every_fit
def test_conditional_modes_and_sds_are_lme4_s(name, fit_of):
    expected = pd.DataFrame(REFERENCE[name]["random_effects"])
    table = random_effects(fit_of(name)).astype({"cluster": str})
    both = expected.astype({"level": str}).merge(
        table,
        left_on=["group", "effect", "level"],
        right_on=["grouping_factor", "effect", "cluster"],
        suffixes=("_lme4", ""),
    )
    assert len(both) == len(expected) > 0
    # A mode can be as near to zero as it likes: its own conditional sd is the scale that matters.
    np.testing.assert_allclose(both["value"], both["value_lme4"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(both["se"], both["se_lme4"], rtol=1e-3, atol=1e-3)


@every_fit
def test_predictions_and_residuals_are_lme4_s(name, fit_of):
    fit, expected = fit_of(name), REFERENCE[name]
    rows = np.array(expected["rows"]["row"]) - 1
    np.testing.assert_allclose(fit.predict().iloc[rows], expected["rows"]["fitted"], rtol=1e-3)
    fixed_only = fit.predict(random_effects=False).iloc[rows]
    np.testing.assert_allclose(fixed_only, expected["rows"]["fixed_only"], rtol=1e-3)
    quantiles = fit.residuals().quantile([0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quantiles, expected["scaled_residuals"], rtol=1e-3, atol=1e-4)


# ---- statsmodels -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGULAR)
def test_the_statsmodels_call_reaches_the_same_criterion(name, fit_of, data_of):
    with warnings.catch_warnings():
        # statsmodels warns of points on its way; where it arrives is what counts here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", SingularMatrixWarning)
        results = eval(fit_of(name).statsmodels_call, {"smf": smf, "data": data_of(name)})
    assert -2 * results.llf == pytest.approx(REFERENCE[name]["criterion"], abs=1e-4, rel=0)


def test_statsmodels_results_have_the_same_estimates(fit_of):
    for name in ("baseline", "sleepstudy", "pupils model 3", "gpa, uncorrelated"):
        fit = fit_of(name)
        np.testing.assert_allclose(fit.results.fe_params, fit.fixed, rtol=1e-4)
        assert np.sqrt(fit.results.scale) == pytest.approx(fit.sigma, rel=1e-4)


def test_default_call_of_statsmodels_fails_on_the_baseline(data_of):
    """Point S16 of the course: why fit_mixed does not simply call statsmodels."""
    with pytest.warns(ConvergenceWarning):
        results = smf.mixedlm(
            "y ~ x", data_of("baseline"), groups="cluster", re_formula="1 + x"
        ).fit()
    assert not results.converged
    assert -2 * results.llf > 3090
    assert -2 * results.llf == pytest.approx(3093.77, abs=0.5)
    assert np.sqrt(results.cov_re.loc["x", "x"]) == pytest.approx(0.78, abs=0.01)


def test_fit_warns_of_nothing(data_of):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_mixed("y ~ x + (x | cluster)", data_of("baseline"))
        fit_mixed("y ~ x + (x | cluster)", data_of("boundary: both variances 0"))


# ---- what makes a fit trusted ----------------------------------------------------------------


def test_a_criterion_that_the_density_does_not_confirm_raises(monkeypatch, data_of):
    density = helpers.models.fits.density_criterion

    def wrong(*arrays, **options):
        criterion, largest = density(*arrays, **options)
        return criterion + 0.01, largest

    monkeypatch.setattr(helpers.models.fits, "density_criterion", wrong)
    with pytest.raises(ConvergenceError) as error:
        fit_mixed("y ~ x + (x | cluster)", data_of("baseline"))
    message = str(error.value)
    assert "y ~ x + (1 + x | cluster)" in message
    assert "3012.189508 by the profiled" in message
    assert "3012.199508 by the density" in message


def test_a_solution_that_is_not_stationary_raises(monkeypatch, data_of):
    """The search stops at its start."""

    def stay(likelihood, responses):
        factor = likelihood.moment_start(responses)
        return factor, likelihood.evaluate(factor, responses)

    monkeypatch.setattr("helpers.models.estimates.solve", stay)
    with pytest.raises(ConvergenceError, match="not flat"):
        fit_mixed("y ~ x + (x | cluster)", data_of("baseline"))


@pytest.mark.parametrize(
    ("arguments", "unit"),
    [
        ({"n_cluster": 10, "obs_per_cluster": 6, "sd_int": 0, "sd_slope": 0, "seed": 40}, 1),
        ({"n_cluster": 15, "obs_per_cluster": 6, "balanced": 0.8, "seed": 4596}, 1),
        ({"n_cluster": 15, "obs_per_cluster": 8, "seed": 1}, 0.30078125),
    ],
)
def test_statsmodels_shows_fits_at_the_boundary(arguments, unit):
    """From these its own lbfgs or bfgs would go on to an infinite likelihood."""
    data = create_data(**arguments).assign(u=lambda d: d["x"] / unit)
    fit = fit_mixed("y ~ x + (u | cluster)", data)
    assert fit.singular
    assert -2 * fit.results.llf == pytest.approx(fit.criterion, abs=1e-4)


def test_singular_fits_are_reported(fit_of):
    fit = fit_of("boundary: both variances 0")
    assert fit.singular
    assert variance_components(fit)["sd"].tolist()[:2] == [0, 0]


# ---- predictions -----------------------------------------------------------------------------


def test_new_clusters_have_random_effects_of_zero(baseline):
    new = pd.DataFrame({"x": [0.5, 0.5], "cluster": [101, 1]})
    fixed = baseline.fixed["Intercept"] + 0.5 * baseline.fixed["x"]
    prediction = baseline.predict(new)
    assert prediction[0] == pytest.approx(fixed, rel=1e-12)
    assert abs(prediction[1] - fixed) > 0.01


def test_new_levels_of_a_nested_term_have_random_effects_of_zero(fit_of):
    fit = fit_of("pastes")
    new = pd.DataFrame({"batch": ["A", "Z", "A"], "cask": ["z", "a", "a"]})
    effects = random_effects(fit).set_index(["grouping_factor", "cluster"])["value"]
    mean, batch = fit.fixed["Intercept"], effects["batch", "A"]
    expected = [mean + batch, mean, mean + batch + effects["batch:cask", "A:a"]]
    np.testing.assert_allclose(fit.predict(new), expected, rtol=1e-12)


def test_fixed_only_predictions_are_statsmodels(fit_of, data_of):
    for name in ("baseline", "pupils model 2", "puzzle"):
        ours = fit_of(name).predict(data_of(name), random_effects=False)
        # statsmodels' own fixed effects differ from ours in the ninth digit or so.
        np.testing.assert_allclose(ours, fit_of(name).results.predict(data_of(name)), rtol=1e-6)


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(lambda n: [f"row {i}" for i in range(n)], id="text"),
        pytest.param(lambda n: [i // 2 for i in range(n)], id="duplicates"),
        pytest.param(lambda n: list(range(n))[::-1], id="reversed"),
    ],
)
def test_rows_keep_their_index_and_order(index, baseline, data_of):
    data = data_of("baseline").set_axis(index(1000))
    fit = fit_mixed("y ~ x + (x | cluster)", data)
    assert fit.criterion == pytest.approx(baseline.criterion, abs=1e-9)
    for series, expected in [
        (fit.predict(), baseline.predict()),
        (fit.predict(data.iloc[::-1]).iloc[::-1], baseline.predict()),
        (fit.residuals(), baseline.residuals()),
    ]:
        assert series.index.equals(data.index)
        np.testing.assert_allclose(series, expected, rtol=1e-9)


def test_residuals_are_observed_minus_predicted(baseline, data_of):
    raw = data_of("baseline")["y"] - baseline.predict()
    np.testing.assert_allclose(baseline.residuals(scaled=False), raw, rtol=1e-12)
    np.testing.assert_allclose(baseline.residuals() * baseline.sigma, raw, rtol=1e-12)


def test_a_new_row_needs_no_response(baseline, data_of):
    new = data_of("baseline").drop(columns="y")
    np.testing.assert_array_equal(baseline.predict(new), baseline.predict())


def test_transformed_predictors_are_remembered(data_of):
    data = data_of("sleepstudy")
    fit = fit_mixed("Reaction ~ center(Days) + (1 | Subject)", data)
    np.testing.assert_allclose(fit.predict(data.head(3)), fit.predict().head(3), rtol=1e-12)


def test_a_fit_leaves_its_data_alone_and_keeps_its_own(data_of):
    data = data_of("pupils model 1").copy()
    data["ses"] = data["ses"].cat.add_categories("unused")
    before = data.copy(deep=True)
    fit = fit_mixed("achievement ~ ses + (1 | primary_school_id)", data)
    fit_pooled("achievement ~ ses", data)
    fit_by_cluster("achievement ~ ses", data, "primary_school_id")
    pd.testing.assert_frame_equal(data, before)
    predictions = fit.predict()
    data["primary_school_id"] = 1
    np.testing.assert_array_equal(fit.predict(), predictions)


# ---- units and designs -----------------------------------------------------------------------


def test_year_and_large_units_as_predictor(fit_of, data_of):
    """The criterion of a REML fit changes by 2 log of the unit, the fit by nothing else."""
    data = data_of("sleepstudy")
    fit = fit_mixed("Reaction ~ year + (year | Subject)", data.assign(year=data["Days"] + 2015))
    assert fit.criterion == pytest.approx(fit_of("sleepstudy").criterion, abs=1e-4)
    np.testing.assert_allclose(fit.predict(), fit_of("sleepstudy").predict(), rtol=1e-6)
    fit = fit_mixed("Reaction ~ ms + (ms | Subject)", data.assign(ms=data["Days"] * 1e3))
    shift = 2 * np.log(1e3)
    assert fit.criterion - shift == pytest.approx(fit_of("sleepstudy").criterion, abs=1e-4)


def test_several_uncorrelated_slopes_agree_with_statsmodels(data_of):
    data = data_of("baseline").assign(z=lambda d: np.arange(len(d)) % 7 - 3.0)
    fit = fit_mixed("y ~ x + (1 | cluster) + (0 + z | cluster) + (0 + x | cluster)", data)
    assert -2 * fit.results.llf == pytest.approx(fit.criterion, abs=1e-4)
    assert fit.random_design.names == ["Intercept", "z", "x"]
    # Without variance for z it is the reference's fit, so it cannot be worse.
    assert fit.criterion <= REFERENCE["baseline, uncorrelated"]["criterion"] + 1e-4


# ---- pooled and separate fits ----------------------------------------------------------------


def test_pooled_fit_is_least_squares(data_of):
    data = data_of("baseline")
    fit = fit_pooled("y ~ x", data)
    slope, intercept = np.polyfit(data["x"], data["y"], 1)
    np.testing.assert_allclose(fit.fixed, [intercept, slope], rtol=1e-10)
    np.testing.assert_allclose(fit.predict(), intercept + slope * data["x"], rtol=1e-10)
    assert fit.n_obs == 1000
    assert fit.degrees_of_freedom == 998


def test_each_cluster_has_its_own_least_squares(data_of):
    data = data_of("unbalanced")
    table = fit_by_cluster("y ~ x", data, "cluster")
    assert table.columns.tolist() == ["cluster", "n", "Intercept", "x", "status"]
    assert table["cluster"].is_monotonic_increasing
    assert table["n"].tolist() == data.groupby("cluster").size().tolist()
    for row in table.itertuples():
        own = data[data["cluster"] == row.cluster]
        np.testing.assert_allclose([row.x, row.Intercept], np.polyfit(own["x"], own["y"], 1))


@pytest.mark.parametrize("name", ["n", "status", "Intercept", "g"])
def test_clusters_and_predictors_may_have_any_name(name):
    data = pd.DataFrame({"y": [1.0, 3, 2, 5, 4, 4], "x": [0.0, 1, 2, 0, 1, 2], "g": list("aaabbb")})
    expected = fit_by_cluster("y ~ x", data, "g")
    clusters = fit_by_cluster("y ~ x", data.rename(columns={"g": name}), name)
    renamed = data.assign(cluster=data["g"]).drop(columns="g").rename(columns={"x": name})
    predictors = fit_by_cluster(f"y ~ {name}", renamed, "cluster")
    for table in (clusters, predictors):
        np.testing.assert_array_equal(table.to_numpy(), expected.to_numpy())
        assert table.columns.is_unique


def test_clusters_that_cannot_be_fitted_are_reported():
    data = pd.DataFrame(
        {
            "y": [1.0, 3, 2, 1, 4, 6],
            "x": [0.0, 1, 5, 2, 2, 2],
            "g": ["a", "a", "b", "c", "c", "c"],
        }
    )
    table = fit_by_cluster("y ~ x", data, "g")
    assert table["status"].tolist() == [
        "ok",
        "too few observations: 1 for 2 coefficients",
        "predictors do not vary enough within this cluster",
    ]
    assert table["x"].isna().tolist() == [False, True, True]
    assert table["n"].tolist() == [2, 1, 3]


def test_other_sizes_solve_without_help():
    """Sizes and seeds beyond the reference: statsmodels' likelihood must be the same at each."""
    for seed in range(1, 6):
        data = create_data(n_cluster=12, obs_per_cluster=6, sd_slope=0.1, seed=seed)
        fit = fit_mixed("y ~ x + (x | cluster)", data)
        assert fit.converged
        assert -2 * fit.results.llf == pytest.approx(fit.criterion, abs=1e-4)


# ---- anybody's names, units and formulas -----------------------------------------------------

ODD_NAMES = [
    "Treatment",
    "Sum",
    "C",
    "I",
    "Q",
    "Intercept",
    "scale",
    "center",
    "poly",
    "bs",
    "class",
]
ODD_NAMES += ["lambda", "np", "True", "my x", "a.b", "x:y", "y|x", "1", "Größe", "log", "contr"]


def lines(**change):
    """Twelve clusters of six rows, with lines of their own."""
    stream = np.random.default_rng(0)
    g, x = np.repeat(np.arange(12), 6), np.tile(np.arange(6.0), 12)
    own = stream.normal(size=(12, 2)) * [1, 0.4]
    y = x + own[g, 0] + own[g, 1] * x + stream.normal(size=72)
    return pd.DataFrame({"g": g, "x": x, "y": y, "h": x % 2}).assign(**change)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_column_may_have_any_name(name):
    plain = fit_mixed("y ~ x + (x | g)", lines())
    data = (
        lines().rename(columns={"x": name}).assign(Q=1, C=2)
        if name not in "QC"
        else lines(**{name: lines()["x"]})
    )
    for text in (f"`{name}`", f"Q('{name}')"):
        fit = fit_mixed(f"y ~ {text} + ({text} | g)", data)
        assert fit.criterion == pytest.approx(plain.criterion, abs=1e-8)
        np.testing.assert_allclose(fit.predict(data.head(3)), plain.predict().head(3))
    assert fit_pooled(f"y ~ `{name}`", data).fixed.iloc[1] == pytest.approx(
        fit_pooled("y ~ x", lines()).fixed["x"]
    )
    if name != "Intercept":
        assert -2 * fit.results.llf == pytest.approx(plain.criterion, abs=1e-4)


def test_a_grouping_column_may_have_any_name():
    plain = fit_mixed("y ~ x + (1 | g/h)", lines())
    data = lines().rename(columns={"g": "if", "h": "my h"})
    fit = fit_mixed("y ~ x + (1 | if/`my h`)", data)
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-8)
    assert -2 * fit.results.llf == pytest.approx(plain.criterion, abs=1e-4)


def test_columns_that_the_formula_does_not_use_may_have_any_name():
    names = dict.fromkeys(["C", "I", "Q", "np", "center", "Treatment", "Intercept"], 1.0)
    formula = "y ~ C(h, Treatment(1.0)) + center(x) + I(x**2) + np.exp(-x) + (1 | g/h)"
    with pytest.raises(DataError, match="cannot be told|is redundant|identified"):
        fit_mixed(f"{formula} + (1 | nope)".replace(" + (1 | nope)", " + x"), lines())
    plain, other = fit_mixed(formula, lines()), fit_mixed(formula, lines(**names))
    assert other.criterion == plain.criterion


def test_a_level_and_a_column_that_print_alike_keep_apart():
    data = lines(a=np.tile(["b", "z"], 36), az=np.random.default_rng(1).normal(size=72))
    assert fit_mixed("y ~ a + az + (1 | g)", data).fixed.index.tolist() == [
        "Intercept",
        "a[z]",
        "az",
    ]


def test_a_power_is_a_power(data_of):
    """sleepstudy, lme4 1.1-31: lmer(Reaction ~ I(Days^2) + (1 | Subject))."""
    data = data_of("sleepstudy")
    for days in (data["Days"].astype(int), data["Days"].astype(float)):
        fit = fit_mixed("Reaction ~ I(Days^2) + (1 | Subject)", data.assign(Days=days))
        assert fit.criterion == pytest.approx(1795.988591, abs=1e-4)


def test_powers_in_every_function():
    data, square = lines(x=lines()["x"].astype(int)), lines()["x"] ** 2
    expected = np.polyfit(square, data["y"], 1)[0]
    assert fit_pooled("y ~ I(x^2)", data).fixed.iloc[1] == pytest.approx(expected)
    own = fit_by_cluster("y ~ I(x^2)", data, "g")
    first = np.polyfit(square[:6], data["y"][:6], 1)[0]
    assert own.iloc[0, 3] == pytest.approx(first)
    one = fit_mixed("y ~ I(x^2) + (I(x^2) | g)", data)
    other = fit_mixed("y ~ z + (z | g)", data.assign(z=square))
    assert one.criterion == pytest.approx(other.criterion, abs=1e-8)
    many = fit_many("y ~ I(x^2) + (I(x^2) | g)", data, data[["y"]])
    assert many.criterion[0] == pytest.approx(one.criterion, abs=1e-8)


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ center(x) + (center(x) | g)",
        "y ~ scale(x) + (1 | g) + (0 + scale(x) | g)",
        "y ~ standardize(x) + (1 | g)",
        "y ~ poly(x, 2) + (poly(x, 2) || g)",
        "y ~ bs(x, df=4) + (1 | g)",
        "y ~ np.log(x + 1) + (1 | g) + (0 + np.log(x + 1) | g)",
        "y ~ I(x + 1) + I(h + 1) + (I(x + 1) + I(h + 1) | g)",
        "y ~ np.where(x > 2, x, 0) + (1 | g)",
    ],
)
def test_functions_keep_the_state_of_the_fit(formula):
    fit = fit_mixed(formula, lines())
    np.testing.assert_allclose(fit.predict(lines().iloc[[3]]), fit.predict().iloc[[3]], rtol=1e-9)


def test_no_fixed_effect_at_all():
    fit = fit_mixed("y ~ 0 + (1 | g)", lines())
    assert fit.fixed.empty and fit.fixed_covariance.shape == (0, 0)
    assert fit.predict(pd.DataFrame({"g": [0, 99]})).iloc[1] == 0
    assert -2 * fit.results.llf == pytest.approx(fit.criterion, abs=1e-4)


def test_independent_terms_of_several_effects():
    """lme4's (f || g) for a factor has 1 + 3 + 6 + 1 parameters here."""
    data = lines(f=np.tile(["a", "b", "c"], 24))
    fit = fit_mixed("y ~ f + (f || g)", data)
    assert [block.size for block in fit.random_design.blocks] == [1, 3]
    with pytest.raises(ResultsError, match="one term with several correlated effects"):
        fit.results  # noqa: B018
    assert "no such model" in fit.statsmodels_call


UNITS = {
    "age": (15.0, 40.0),
    "year": (6.0, 2010.0),
    "income": (3e4, 5e4),
    "seconds since 1970": (1e5, 1.7e9),
    "hertz": (5e3, 1e4),
    "microns": (1e-6, 3e-6),
}


@pytest.mark.parametrize(("unit", "offset"), UNITS.values(), ids=UNITS.keys())
@pytest.mark.parametrize("slope_sd", [0, 0.4], ids=["boundary", "inside"])
@pytest.mark.parametrize("seed", range(3))
def test_units_of_a_predictor_do_not_matter(unit, offset, slope_sd, seed):
    data = create_data(n_cluster=12, obs_per_cluster=6, sd_slope=slope_sd, seed=seed)
    moved = data.assign(x=offset + unit * data["x"])
    for formula, start in [
        ("y ~ x + (x | cluster)", moved),
        ("y ~ x + (x || cluster)", data.assign(x=unit * data["x"])),
    ]:
        plain, other = fit_mixed(formula, data), fit_mixed(formula, start)
        shift = 2 * np.log(unit)
        assert other.criterion - shift == pytest.approx(plain.criterion, abs=1e-4)
        np.testing.assert_allclose(other.predict(), plain.predict(), atol=1e-3)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(0, 10_000),
    st.floats(-9, 9),
    st.floats(-1e4, 1e4),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.booleans(),
)
def test_a_linear_change_of_a_predictor_changes_nothing_else(seed, power, offset, sd, reml):
    """x becomes 10^power (x + offset): the criterion moves by the log of the unit, the fit not."""
    data = create_data(n_cluster=10, obs_per_cluster=5, sd_slope=sd, seed=seed)
    unit = 10.0**power
    moved = data.assign(x=unit * (data["x"] + offset))
    plain = fit_mixed("y ~ x + (x | cluster)", data, reml)
    other = fit_mixed("y ~ x + (x | cluster)", moved, reml)
    shift = 2 * np.log(unit) if reml else 0
    assert other.criterion - shift == pytest.approx(plain.criterion, abs=1e-4)
    np.testing.assert_allclose(other.predict(), plain.predict(), atol=2e-3)
    new = fit_mixed("y ~ x + (x | cluster)", moved, reml).predict(moved.head(3))
    np.testing.assert_allclose(new, other.predict().head(3), atol=1e-6)


def test_calendar_dates_and_squares_of_years_are_no_copies():
    stream = np.random.default_rng(1)
    year = 2000 + stream.integers(0, 20, 72)
    data = lines(year=year, day=20_240_000 + 100 * stream.integers(1, 13, 72))
    fit_mixed("y ~ year + I(year**2) + (1 | g)", data)
    fit_mixed("y ~ day + (1 | g)", data)
    near = data["year"] + 1e-9 * stream.normal(size=72)
    with pytest.raises(DataError, match=r"'z' is redundant \(all but a copy of year\)"):
        fit_mixed("y ~ x + year + z + (1 | g)", data.assign(z=near))


def test_variances_a_million_times_apart():
    data = lines()
    data["y"] = 1e6 * np.random.default_rng(2).normal(size=12)[data["g"]] + data["y"]
    fit = fit_mixed("y ~ x + (1 | g)", data)
    within = fit_pooled("y ~ 0 + x + C(g)", data)
    assert fit.sigma == pytest.approx(within.sigma, rel=1e-4)
    assert fit.fixed["x"] == pytest.approx(within.fixed["x"], rel=1e-6)


NOT_IDENTIFIED = {
    "fixed and random": ("y ~ x + C(g) + (1 | g)", {}, "'g' is both fixed and random"),
    "text": ("y ~ g + (x | g)", {"g": lines()["g"].astype(str)}, "'g' is both fixed and random"),
    "nested and fixed": ("y ~ C(h):C(g) + (1 | g/h)", {}, "both fixed and random"),
    "one level each": ("y ~ (1 | g) + (1 | g:h)", {"h": lines()["g"] % 3}, "only the sum"),
    "one level each, unique": ("y ~ (1 | g/h)", {"h": lines()["g"] + 50}, "only the sum"),
    "one row each": ("y ~ x + (1 | g)", {"g": range(72)}, "72 observations for 72 random"),
    "two rows each": ("y ~ x + (x | g)", {"g": np.arange(72) // 2}, "lme4 refuses as well"),
}


@pytest.mark.parametrize(
    ("formula", "change", "message"), NOT_IDENTIFIED.values(), ids=NOT_IDENTIFIED.keys()
)
def test_what_is_not_identified_is_refused_by_name(formula, change, message):
    with pytest.raises(DataError, match=message):
        fit_mixed(formula, lines(**change))


def test_the_pasted_call_reaches_the_criterion_or_says_by_how_much_not():
    fit = fit_mixed("y ~ x + (1 | g/h)", lines())
    call, _, comment = fit.statsmodels_call.partition("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = eval(call, {"smf": smf, "data": lines()})
    gap = abs(-2 * results.llf - fit.criterion)
    assert bool(gap < 1e-3) is (comment == "")
    poly = fit_mixed("y ~ poly(x, 2) + (1 | g)", lines())
    assert "breaks off" in poly.statsmodels_call
    with pytest.raises(ResultsError, match="poly.*The fit stands"):
        poly.results  # noqa: B018


# ---- what a model and an optimiser can do ----------------------------------------------------


def test_what_one_or_two_rows_per_cluster_allow():
    data = create_data()
    rows = {n: data[data.groupby("cluster").cumcount() < n] for n in (1, 2)}
    for n, formula in [(1, "y ~ x + (1 | cluster)"), (2, "y ~ x + (x | cluster)")]:
        with pytest.raises(DataError, match="cannot be told from the residuals"):
            fit_mixed(formula, rows[n])
    assert not fit_mixed("y ~ x + (1 | cluster)", rows[2]).singular


def test_the_default_optimiser_of_statsmodels_misses_the_pupils_optimum():
    pupils = load_pupils(source="synthetic")
    school = "primary_school_id"
    fit = fit_mixed(f"achievement ~ ses + (1 | {school}) + (1 | {school}:ses)", pupils)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        default = smf.mixedlm(
            "achievement ~ ses",
            pupils,
            groups=school,
            re_formula="1",
            vc_formula={"cell": "0 + C(ses)"},
        ).fit()
    assert -2 * default.llf > fit.criterion + 5


# ---- random data sets (tests/random_data.py, tests/reference/make_random_fits.R) -------------

RANDOM = json.loads(
    (Path(__file__).parent / "reference" / "random_fits.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("seed", RANDOM)
def test_random_data_sets_are_never_above_lme4_s_best(seed):
    formula, data, reml, _ = draw(int(seed))
    best = RANDOM[seed]
    fit = fit_mixed(formula, data, reml)
    assert fit.criterion == pytest.approx(best, abs=1e-4, rel=0)
    rows = data.head(4)
    np.testing.assert_allclose(
        fit.predict(rows).astype(float), fit.predict().head(4).astype(float), atol=1e-6 * fit.sigma
    )


def test_clusters_of_two_columns_are_their_pairs():
    data = create_data().rename(columns={"cluster": "id"})
    data = data.assign(**{"my school": data["id"] // 10, "class": data["id"] % 10})
    fit = fit_mixed("y ~ x + (x | `my school`:class)", data)
    alone = fit_mixed("y ~ x + (x | id)", data)
    assert fit.criterion == pytest.approx(alone.criterion, abs=1e-8)
    assert variance_components(fit)["grouping_factor"][0] == "my school:class"
    rows = data.iloc[::50]
    np.testing.assert_allclose(fit.predict(rows), alone.predict(rows))
    results = eval(fit.statsmodels_call, {"smf": smf, "data": data})
    assert -2 * results.llf == pytest.approx(fit.criterion, abs=1e-3)
