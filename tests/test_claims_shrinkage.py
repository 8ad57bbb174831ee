"""What the shrinkage chapter says in words must hold in numbers."""

import warnings

import numpy as np
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from helpers import (
    SCENARIOS,
    DataError,
    charts,
    create_data,
    estimation_errors,
    explorers,
    fit_mixed,
    fit_pooled,
    random_effects,
    shrinkage,
    summarize_fits,
    true_coefficients,
    variance_components,
)

FORMULA = "y ~ x + (x | cluster)"


@pytest.fixture(scope="module")
def fits():
    return {name: fit_mixed(FORMULA, create_data(**given)) for name, given in SCENARIOS.items()}


@pytest.fixture(scope="module")
def overview(fits):
    return summarize_fits(fits)


@pytest.fixture(scope="module")
def errors(fits):
    return {
        name: estimation_errors(fits[name], true_coefficients(**given)).set_index(
            ["effect", "pooling"]
        )
        for name, given in SCENARIOS.items()
    }


def test_shown_clusters_lie_between_complete_and_no_pooling(fits):
    table = shrinkage(fits["baseline"]).set_index("cluster").loc[[42, 67, 22, 64]]
    inner = table[["fixed_effect", "no_pooling"]]
    assert table["partial_pooling"].between(inner.min(axis=1), inner.max(axis=1)).all()


def test_baseline_pulls_slopes_more_than_intercepts(overview):
    row = overview.loc["baseline"]
    assert row["shrinkage x"] > 2 * row["shrinkage Intercept"]


def test_far_slopes_move_far(fits):
    slopes = shrinkage(fits["baseline"]).query("effect == 'x'")
    deviation = slopes["no_pooling"] - slopes["fixed_effect"]
    assert -1 < deviation.corr(slopes["moved"]) < -0.95


def test_small_clusters_give_up_more(fits):
    slopes = shrinkage(fits["unbalanced"]).query("effect == 'x'")
    by_size = slopes.groupby("n")["shrinkage_factor"].mean()
    assert by_size.loc[2] == by_size.max() > 3 * by_size.iloc[-1]


def test_baseline_trades_bias_for_variance(errors):
    table = errors["baseline"]
    for effect in ("Intercept", "x"):
        rows = table.loc[effect]
        assert rows["rmse"].idxmin() == "partial pooling"
        ordered = rows.loc[["no pooling", "partial pooling", "complete pooling"], "bias_to_center"]
        assert ordered.is_monotonic_increasing
    assert table.loc[("x", "no pooling"), "rmse"] > table.loc[("x", "complete pooling"), "rmse"]


@pytest.mark.parametrize(
    ("scenario", "weak", "strong"),
    [
        ("more cluster variance", ["Intercept", "x"], []),
        ("more slope variance", ["x"], ["Intercept"]),
        ("3 observations per cluster", [], ["Intercept", "x"]),
        ("100 observations per cluster", ["Intercept", "x"], []),
        ("unbalanced", ["Intercept", "x"], []),
    ],
)
def test_scenarios_shrink_as_told(overview, scenario, weak, strong):
    row = overview.loc[scenario]
    assert all(row[f"shrinkage {effect}"] < 0.15 for effect in weak)
    assert all(row[f"shrinkage {effect}"] > 0.5 for effect in strong)


@pytest.fixture
def view(fits):
    """The frame of the pictures of all six data sets."""
    base = fits["baseline"]
    sd = variance_components(base).set_index("effect")["sd"]
    return {
        term: (base.fixed[term] - 4 * sd[term], base.fixed[term] + 4 * sd[term])
        for term in base.fixed.index
    }


def test_no_cluster_with_100_observations_starts_outside(fits, view):
    outside = {name: charts.count_outside(shrinkage(fit), view) for name, fit in fits.items()}
    assert outside["100 observations per cluster"] == 0
    assert max(outside, key=outside.get) == "more cluster variance"


def test_the_explorer_has_a_wider_frame(view):
    for effect, (lower, upper) in view.items():
        explorer_lower, explorer_upper = explorers.SHRINKAGE_VIEW[effect]
        assert explorer_lower < lower < upper < explorer_upper


def test_normal_tails():
    # The source says "less than .001"; the exact value is 0.0027.
    assert 2 * stats.norm.sf(3) == pytest.approx(0.0027, abs=5e-5)
    assert 2 * stats.norm.sf(1) == pytest.approx(0.32, abs=5e-3)


def test_singletons_inform_the_intercept_and_hardly_the_slope():
    data = create_data()
    thinned = data[(data["cluster"] > 20) | ~data["cluster"].duplicated()]
    fit = fit_mixed(FORMULA, thinned)
    effects = random_effects(fit)
    single = effects[effects["cluster"] <= 20].groupby("effect")["se"].mean()
    prior = variance_components(fit).set_index("effect")["sd"]
    assert single["Intercept"] < 0.9 * prior["Intercept"]
    assert single["x"] > 0.97 * prior["x"]


def test_what_one_or_two_rows_per_cluster_allow():
    data = create_data()
    rows = {n: data[data.groupby("cluster").cumcount() < n] for n in (1, 2)}
    for n, formula in [(1, "y ~ x + (1 | cluster)"), (2, FORMULA)]:
        with pytest.raises(DataError, match="cannot be told from the residuals"):
            fit_mixed(formula, rows[n])
    assert not fit_mixed("y ~ x + (1 | cluster)", rows[2]).singular


def test_pooled_line_is_near_the_fixed_effects(fits):
    pooled = fit_pooled("y ~ x", create_data()).fixed
    assert np.abs(pooled - fits["baseline"].fixed).max() < 0.02


def test_two_clusters_with_one_slope_question():
    """The same deviation is taken back more from 4 rows than from 40, and more with more noise."""
    fit = fit_mixed(FORMULA, create_data())
    relative = fit.solution.covariance
    kept = {}
    for n in (4, 40):
        for sigma in (1, 2):
            design = np.column_stack([np.ones(n), stats.norm.ppf((np.arange(n) + 0.5) / n)])
            precision = design.T @ design / sigma**2
            kept[n, sigma] = (
                relative @ precision @ np.linalg.inv(np.eye(2) + relative @ precision)
            )[1, 1]
    assert kept[40, 1] > kept[4, 1] and kept[40, 1] > kept[40, 2] and kept[4, 1] > kept[4, 2]


def test_the_trap():
    """statsmodels' default call on the baseline: warns, and stops far from the optimum."""
    data = create_data()
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        default = smf.mixedlm("y ~ x", data, groups="cluster", re_formula="1 + x").fit()
    fit = fit_mixed(FORMULA, data)
    assert complaints and not default.converged
    assert -2 * default.llf == pytest.approx(3093.77, abs=0.005)
    assert np.sqrt(default.cov_re.loc["x", "x"]) == pytest.approx(0.78, abs=0.005)
    assert np.abs(default.fe_params.to_numpy() - fit.fixed.to_numpy()).max() < 0.02
    # "With method="lbfgs" this data set is fine."
    lbfgs = smf.mixedlm("y ~ x", data, groups="cluster", re_formula="1 + x").fit(method="lbfgs")
    assert lbfgs.converged and -2 * lbfgs.llf == pytest.approx(fit.criterion, abs=1e-4)


def test_other_data_want_other_optimisers():
    """The pupils' nested model, by statsmodels' default: 13 above the optimum."""
    from helpers import load_pupils

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


def test_what_to_notice_in_the_explorer():
    from helpers.controls.explorers import shrinkage_sample

    baseline = shrinkage_sample()
    more_rows = shrinkage_sample(observations_per_cluster=100)
    more_variance = shrinkage_sample(sd_of_slopes=1)
    share = [frame["shrinkage_x"].iloc[0] for frame in (baseline, more_rows, more_variance)]
    # "nearly the same to the shrinkage of the slopes and something else to the picture"
    assert share[1] == pytest.approx(share[2], abs=0.03) and share[0] > 4 * max(share[1:])
    assert more_rows["no_x"].std() < baseline["no_x"].std() < more_variance["no_x"].std()
    # "of the intercepts too", "the intercepts give up about as much as before"
    given_up = [f["shrinkage_Intercept"].iloc[0] for f in (baseline, more_rows, more_variance)]
    assert given_up[1] < 0.2 * given_up[0] and given_up[2] == pytest.approx(given_up[0], abs=0.03)
    # "the slopes' scatter is chance for the most part, and most of it is taken back"
    alike = shrinkage_sample(observations_per_cluster=3, sd_of_intercepts=0.25)
    assert alike["no_x"].var() > 10 * 0.25**2 and alike["shrinkage_x"].iloc[0] > 0.8


def test_a_slope_keeps_more_where_x_spreads(fits):
    spread = create_data().groupby("cluster")["x"].std()
    slopes = shrinkage(fits["baseline"]).query("effect == 'x'").set_index("cluster")
    assert np.corrcoef(spread, slopes["shrinkage_factor"])[0, 1] < -0.95
    misfit = slopes["no_pooling"].sub(slopes["partial_pooling"]).abs()
    assert misfit.corr(slopes["no_pooling"].sub(slopes["fixed_effect"]).abs()) > 0.8
