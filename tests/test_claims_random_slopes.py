"""What the random-slopes chapter says must hold in numbers, on the twin and on the originals.

``load_gpa()`` reads the originals if COURSE_DATA_DIR is set. Published numbers are those of
Clark, *Mixed Models with R*, chapter *More Random Effects*, at their printed precision.
"""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from helpers import (
    GPA_SETTINGS,
    compare_models,
    fit_by_cluster,
    fit_mixed,
    fit_pooled,
    fixed_effects,
    gpa_setting,
    load_gpa,
    random_covariance,
    random_effect_correlations,
    random_effects,
    reparameterize,
    shrinkage,
    summarize_fits,
    variance_components,
)
from helpers.controls.explorers import paired_densities

INTERCEPTS = "gpa ~ occasion + (1 | student)"
SLOPES = "gpa ~ occasion + (1 + occasion | student)"
UNCORRELATED = "gpa ~ occasion + (1 | student) + (0 + occasion | student)"
PRINTED = 5e-4


@pytest.fixture(scope="module")
def gpa():
    return load_gpa()


@pytest.fixture(scope="module")
def fits(gpa):
    return {formula: fit_mixed(formula, gpa) for formula in (INTERCEPTS, SLOPES, UNCORRELATED)}


@pytest.fixture(scope="module")
def table(fits):
    return shrinkage(fits[SLOPES])


@pytest.fixture(scope="module")
def settings():
    return {name: fit_mixed(SLOPES, gpa_setting(name)) for name in GPA_SETTINGS}


@pytest.fixture(scope="module")
def overview(settings):
    return summarize_fits(settings)


def slope_se(fit):
    return np.sqrt(fit.fixed_covariance.loc["occasion", "occasion"])


def test_published_fixed_effects(fits):
    shown = fixed_effects(fits[SLOPES]).set_index("term")
    published = pd.DataFrame(
        {"Intercept": [2.599, 0.018, 2.563, 2.635], "occasion": [0.106, 0.006, 0.095, 0.118]},
        index=["value", "se", "lower_2.5", "upper_97.5"],
    ).T
    assert (shown[published.columns] - published).abs().max().max() <= PRINTED


def test_published_variance_components(fits):
    shown = variance_components(fits[SLOPES])[["variance", "sd", "var_prop"]].to_numpy()
    published = [[0.045, 0.213, 0.491], [0.005, 0.067, 0.049], [0.042, 0.206, 0.46]]
    assert np.abs(shown - published).max() <= PRINTED
    correlation = random_effect_correlations(fits[SLOPES]).loc["Intercept", "occasion"]
    assert correlation == pytest.approx(-0.1, abs=0.05)


def test_chosen_students_are_six_and_do_what_is_said(gpa):
    wide = gpa.pivot(index="student", columns="occasion", values="gpa")
    rise, jumps = wide[5] - wide[0], wide.diff(axis="columns").std(axis="columns")
    rising, odd = rise.nlargest(2).index, jumps.nlargest(2).index
    flat = (rise.abs() + jumps).nsmallest(2).index
    assert len({*rising, *flat, *odd}) == 6
    assert rise[rising].min() > 1 and rise[flat].abs().max() < 0.3 and jumps[odd].min() > 0.5


def test_balanced_designs_give_every_method_the_same_fixed_part(gpa, fits):
    expected = fits[SLOPES].fixed
    separate = fit_by_cluster("gpa ~ occasion", gpa, "student")[["Intercept", "occasion"]]
    for other in (fits[INTERCEPTS].fixed, separate.mean(), fit_pooled("gpa ~ occasion", gpa).fixed):
        assert np.allclose(other, expected, atol=1e-8)
    unbalanced = gpa.drop(index=range(3, 60, 7))
    two = [fit_mixed(formula, unbalanced).fixed["occasion"] for formula in (INTERCEPTS, SLOPES)]
    assert abs(two[0] - two[1]) > 1e-5


def test_slopes_vary_a_lot_although_their_share_looks_small(fits):
    parts = variance_components(fits[SLOPES]).set_index("effect")
    slope, sd = fits[SLOPES].fixed["occasion"], parts.loc["occasion", "sd"]
    assert parts.loc["occasion", "var_prop"] < 0.06
    assert 0.5 < sd / slope < 0.7
    assert slope - 2 * sd < 0 and slope + 2 * sd > 2 * slope
    assert 0.85 < 2 * stats.norm.cdf(slope / sd) - 1 < 0.92
    assert fits[SLOPES].sigma < fits[INTERCEPTS].sigma
    assert slope_se(fits[SLOPES]) > 1.3 * slope_se(fits[INTERCEPTS])
    assert slope == pytest.approx(0.1, abs=0.01)  # "a tenth of a point"


def test_separate_regressions_are_one_interaction_model(gpa):
    separate = fit_by_cluster("gpa ~ occasion", gpa, "student")
    interaction = smf.ols("gpa ~ 0 + C(student) + C(student):occasion", gpa).fit()
    assert len(interaction.params) == 400
    expected = separate[["Intercept", "occasion"]].to_numpy().T.ravel()
    assert np.abs(interaction.params.to_numpy() - expected).max() < 1e-8


def test_mixed_model_has_six_parameters_and_four_hundred_effects(fits):
    row = compare_models({"slopes": fits[SLOPES]}).loc[0]
    assert row["K"] == 6 and row["n_random_effects"] == 400


def test_within_estimator_is_the_random_intercept_slope(gpa, fits):
    rows = gpa.assign(first=gpa.groupby("student")["gpa"].transform("first"))
    columns = ["gpa", "occasion", "first"]
    centered = rows[columns] - rows.groupby("student")[columns].transform("mean")
    within = smf.ols("gpa ~ 0 + occasion", centered).fit()
    assert within.params["occasion"] == pytest.approx(fits[INTERCEPTS].fixed["occasion"], abs=1e-8)
    se = within.bse["occasion"] * np.sqrt(1199 / 999)
    assert se == pytest.approx(slope_se(fits[INTERCEPTS]), rel=1e-5)
    assert centered["first"].abs().max() < 1e-8


def test_estimated_sds_lie_between_those_of_mixed_and_separate_estimates(table, fits):
    spread = table.groupby("effect")[["no_pooling", "partial_pooling"]].std()
    sd = variance_components(fits[SLOPES]).set_index("effect")["sd"].loc[spread.index]
    assert (spread["partial_pooling"] < sd).all() and (sd < spread["no_pooling"]).all()


def test_correlations_of_estimates_are_not_the_estimated_correlation(table, fits):
    def correlation(column):
        wide = table.pivot(index="cluster", columns="effect", values=column)
        return wide["Intercept"].corr(wide["occasion"])

    estimate = random_effect_correlations(fits[SLOPES]).loc["Intercept", "occasion"]
    assert correlation("no_pooling") < -0.3 < estimate < 0 < 0.1 < correlation("partial_pooling")


def test_random_effects_are_penalised_least_squares(gpa, fits):
    fit, rows = fits[SLOPES], gpa[gpa["student"] == 1]
    design = np.column_stack([np.ones(len(rows)), rows["occasion"]])
    surprise = rows["gpa"] - design @ fit.fixed.to_numpy()
    penalty = fit.sigma**2 * np.linalg.inv(random_covariance(fit))
    modes = np.linalg.solve(design.T @ design + penalty, design.T @ surprise)
    assert np.allclose(modes, random_effects(fit).query("cluster == 1")["value"], atol=1e-8)
    own = fit_by_cluster("gpa ~ occasion", gpa, "student").iloc[0]
    plain = np.linalg.solve(design.T @ design, design.T @ surprise) + fit.fixed.to_numpy()
    assert np.allclose(plain, own[["Intercept", "occasion"]].astype(float))


def test_settings_shrink_as_told(overview, settings):
    slopes, levels = overview["shrinkage occasion"], overview["shrinkage Intercept"]
    assert slopes.idxmax() == "4 occasions" and slopes["4 occasions"] > 2 * slopes["as is"]
    assert abs(levels["4 occasions"] - levels["as is"]) < 0.03
    assert slopes.idxmin() == "many occasions" and slopes["many occasions"] < 0.02
    assert levels["many occasions"] > 0.1
    assert (
        overview.loc["strong clusters", ["shrinkage Intercept", "shrinkage occasion"]].max() < 0.05
    )
    assert slopes["10 occasions with dropout"] > slopes["as is"] + 0.05
    assert settings["10 occasions with dropout"].n_obs == pytest.approx(1200, rel=0.05)


def test_early_leavers_give_up_their_slope_and_make_the_tails(settings):
    table = shrinkage(settings["10 occasions with dropout"]).query("effect == 'occasion'")
    by_stay = table.groupby("n")["shrinkage_factor"].mean()
    assert by_stay.is_monotonic_decreasing and by_stay.loc[2] > 0.9 and by_stay.loc[10] < 0.1
    deviation = (table["no_pooling"] - table["fixed_effect"]).abs()
    assert table.loc[deviation.nlargest(10).index, "n"].le(3).mean() >= 0.9


def test_strong_groups_leave_the_average_less_certain(settings, overview):
    se = pd.Series({name: slope_se(fit) for name, fit in settings.items()})
    floor = overview["sd occasion"] / np.sqrt(200)
    assert (se > floor).all()
    assert se.idxmax() == "strong clusters" and se["strong clusters"] > 1.5 * se["as is"]
    assert se["many occasions"] < 1.05 * floor["many occasions"]
    assert se["many occasions"] > 0.75 * se["as is"]


def test_one_line_for_all_misjudges_its_certainty_both_ways(settings):
    ratio = {
        name: fit_pooled("gpa ~ occasion", fit.data).results.bse["occasion"] / slope_se(fit)
        for name, fit in settings.items()
    }
    assert ratio["many occasions"] < 0.5 and ratio["4 occasions"] > 1.2


def test_negative_trends(table, fits):
    slopes = table[table["effect"] == "occasion"].round(8)
    assert (slopes["partial_pooling"] < 0).sum() == 3
    assert (slopes["complete_pooling"] < 0).sum() == 0
    own = (slopes["no_pooling"] < 0).sum()
    assert own > 5 * 3
    assert (slopes["no_pooling"] == 0).sum() == 2
    sd = variance_components(fits[SLOPES]).set_index("effect").loc["occasion", "sd"]
    expected = 200 * stats.norm.cdf(-fits[SLOPES].fixed["occasion"] / sd)
    assert 3 < expected < own


def test_statsmodels_names_hold_what_the_chapter_says(gpa, fits):
    fit = fits[SLOPES]
    results = fit.results
    table = random_effects(fit).query("cluster == 1")
    variance = results.params["student Var"] * results.scale
    assert variance == pytest.approx(results.cov_re.loc["student", "student"])
    assert np.allclose(results.fe_params, fit.fixed, atol=1e-6)
    assert np.allclose(results.random_effects[1], table["value"], atol=1e-5)
    conditional = np.sqrt(np.diag(results.random_effects_cov[1]))
    assert np.allclose(conditional, table["se"], atol=1e-5)
    assert np.allclose(results.fittedvalues, fit.predict(), atol=1e-5)
    assert np.allclose(results.predict(), fit.predict(random_effects=False), atol=1e-5)


def test_the_intercept_is_implied(gpa, fits):
    implied = fit_mixed("gpa ~ occasion + (occasion | student)", gpa)
    assert implied.criterion == pytest.approx(fits[SLOPES].criterion, abs=1e-8)


def test_aicc_wants_slopes_and_hardly_cares_for_the_correlation(fits):
    aicc = compare_models(fits).set_index("model")["AICc"]
    assert aicc[INTERCEPTS] - aicc[SLOPES] > 100
    assert 0 < aicc[SLOPES] - aicc[UNCORRELATED] < 2


def test_the_correlation_belongs_to_a_zero(gpa, fits):
    for zero in (2.5, 5):
        shifted = gpa.assign(occasion=gpa["occasion"] - zero)
        free = fit_mixed(SLOPES, shifted)
        assert free.criterion == pytest.approx(fits[SLOPES].criterion, abs=1e-4)
        assert random_effect_correlations(free).loc["Intercept", "occasion"] > 0.5
        assert fit_mixed(UNCORRELATED, shifted).criterion > free.criterion + 40


@pytest.mark.parametrize("formula", [SLOPES, UNCORRELATED])
def test_correlation_at_the_last_occasion_is_strong_either_way(fits, formula):
    at = pd.DataFrame({"Intercept": [1, 0], "occasion": [5, 1]}, index=["last", "slope"])
    covariance = reparameterize(fits[formula], at).to_numpy()
    assert 0.8 < covariance[0, 1] / np.sqrt(covariance.diagonal().prod()) < 0.9


def test_a_zero_far_before_the_data_makes_the_correlation_nearly_minus_one(fits):
    at = pd.DataFrame({"Intercept": [1, 0], "occasion": [-60, 1]}, index=["before", "slope"])
    covariance = reparameterize(fits[SLOPES], at).to_numpy()
    assert covariance[0, 1] / np.sqrt(covariance.diagonal().prod()) < -0.95


def test_random_slopes_predict_the_last_semester_best(gpa):
    early, last = gpa[gpa["occasion"] < 5], gpa[gpa["occasion"] == 5]
    alone = fit_by_cluster("gpa ~ occasion", early, "student")
    predictions = pd.DataFrame(
        {
            "one line for all": fit_pooled("gpa ~ occasion", early).predict(last),
            "separate lines": (alone["Intercept"] + 5 * alone["occasion"]).set_axis(last.index),
            "random intercepts": fit_mixed(INTERCEPTS, early).predict(last),
            "random slopes": fit_mixed(SLOPES, early).predict(last),
        }
    )
    errors = (predictions.sub(last["gpa"], axis=0) ** 2).mean()
    assert errors.idxmin() == "random slopes" and errors.idxmax() == "one line for all"


def test_few_students_end_lower_than_they_began(gpa):
    grades = gpa.pivot(index="student", columns="occasion", values="gpa")
    rise = grades[5] - grades[0]
    assert (rise < 0).mean() < 0.2
    monotone = (grades.diff(axis=1).iloc[:, 1:] >= 0).all(axis=1)
    assert monotone.mean() < 0.5


def test_the_mixed_curve_is_the_narrower_in_every_setting(settings):
    for fit in settings.values():
        spread = shrinkage(fit).groupby("effect")[["no_pooling", "partial_pooling"]].std()
        assert (spread["partial_pooling"] < spread["no_pooling"]).all()


def test_most_students_whose_own_line_falls_rise_in_the_mixed_model(table):
    slopes = table.query("effect == 'occasion'")
    falls = slopes["no_pooling"].round(8) < 0
    assert (slopes.loc[falls, "partial_pooling"] > 0).mean() > 0.8
    both = slopes["partial_pooling"] < 0
    assert both.sum() >= 1 and falls[both].all()


def test_where_the_two_curves_part(settings):
    """What to notice in the explorer: half the area between the two curves, by setting."""
    curves_in = paired_densities({name: shrinkage(fit) for name, fit in settings.items()})
    apart = {}
    for name in settings:
        for effect, curves in curves_in(name).groupby("effect"):
            pair = curves.pivot(index="value", columns="kind", values="density")
            assert pair["partial pooling"].max() > pair["no pooling"].max()
            gap = pair.diff(axis=1).iloc[:, -1].abs()
            apart[effect, name] = np.trapezoid(gap, gap.index) / 2
    slopes, intercepts = (pd.Series(apart)[effect] for effect in ("occasion", "Intercept"))
    assert (
        slopes.idxmax() == "4 occasions" and slopes.max() > 1.5 * slopes.drop("4 occasions").max()
    )
    alike = ["as is", "4 occasions", "10 occasions with dropout"]
    assert np.ptp(intercepts[alike]) < 0.03 and intercepts[alike].min() > 0.15
    assert slopes["many occasions"] < 0.02 < 0.08 < intercepts["many occasions"] < 0.1
    assert max(slopes["strong clusters"], intercepts["strong clusters"]) < 0.02
