"""Tables: their columns, lme4's values, and what must hold of any data.

Values of lme4 come from tests/reference/make_lme4_fits.R; test_fit.py compares the rest of them.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from helpers.data.simulate import create_data, treatment_clusters
from helpers.models.design import DataError
from helpers.models.fits import fit_by_cluster, fit_mixed, fit_pooled
from helpers.tables import (
    cluster_weights,
    coefficients,
    compare_models,
    compound_symmetry,
    fixed_effects,
    marginal_means,
    random_covariance,
    random_effect_correlations,
    random_effects,
    reparameterize,
    shrinkage,
    summarize_model,
    variance_components,
)

SLOPES = "y ~ x + (x | cluster)"
INTERCEPTS = "y ~ x + (1 | cluster)"
few_designs = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 5_000)


@pytest.fixture(scope="module")
def pupils(fit_of):
    return {number: fit_of(f"pupils model {number}") for number in (1, 2, 3)}


# ---- columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (fixed_effects, "term value se t p_value lower_2.5 upper_97.5"),
        (variance_components, "group effect variance sd var_prop"),
        (random_effects, "group_var effect group value se lower_2.5 upper_97.5"),
        (
            shrinkage,
            "group n effect complete_pooling no_pooling partial_pooling moved shrinkage_factor",
        ),
        (coefficients, "cluster Intercept x"),
        (random_effect_correlations, "Intercept x"),
        (random_covariance, "Intercept x"),
        (lambda fit: compare_models({"a": fit}), "model K AICc delta_AICc n_random_effects"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_columns(table, columns, baseline):
    assert table(baseline).columns.tolist() == columns.split()
    assert isinstance(table(baseline), pd.DataFrame)


def test_columns_of_marginal_means_and_weights(fit_of):
    fit = fit_of("puzzle")
    means = marginal_means(fit, "treatment")
    assert means.columns.tolist() == ["level", "mean", "se", "df", "lower", "upper"]
    weights = ["group", "n", "mean", "lambda", "observation_weight", "mixed_weight"]
    assert cluster_weights(fit).columns.tolist() == weights


# ---- lme4's values ---------------------------------------------------------------------------


def test_variances_are_lme4_s_in_lme4_s_order(fit_of, lme4):
    for name in ("baseline", "pastes", "pupils model 3", "sleepstudy, uncorrelated"):
        table, expected = variance_components(fit_of(name)), lme4[name]["variance_components"]
        assert table["group"].tolist() == expected["group"]
        assert table["effect"].tolist() == [effect or "" for effect in expected["effect"]]
        np.testing.assert_allclose(table["variance"], expected["variance"], rtol=1e-3)
        np.testing.assert_allclose(table["sd"] ** 2, table["variance"])
        assert table["var_prop"].sum() == pytest.approx(1)
        shares = table["variance"] / np.sum(expected["variance"])
        np.testing.assert_allclose(table["var_prop"], shares, rtol=1e-3)


def test_intervals_of_mixed_fits_are_normal_those_of_pooled_fits_student_s(fit_of, data_of):
    table = fixed_effects(fit_of("puzzle"))
    np.testing.assert_allclose(
        table["upper_97.5"] - table["lower_2.5"], 2 * 1.959963984540054 * table["se"]
    )
    np.testing.assert_allclose(table["t"], table["value"] / table["se"])
    pooled = fit_pooled("y ~ treatment", data_of("puzzle"))
    table = fixed_effects(pooled)
    expected = pooled.results.conf_int().to_numpy()
    np.testing.assert_allclose(table[["lower_2.5", "upper_97.5"]], expected)
    np.testing.assert_allclose(table["p_value"], pooled.results.pvalues)


def test_correlations_are_missing_where_a_variance_is_zero(fit_of, pupils):
    table = random_effect_correlations(fit_of("boundary: both variances 0"))
    assert table.isna().all(axis=None)
    table = random_effect_correlations(pupils[1])
    assert table.index.tolist() == table.columns.tolist() == ["Intercept", "sesmid", "seshigh"]
    np.testing.assert_allclose(np.diag(table), 1)
    np.testing.assert_allclose(table, table.T)


def test_nested_random_effects_are_named_group_and_level(pupils):
    table = random_effects(pupils[3])
    nested = table[table["group_var"] == "primary_school_id:ses"]
    assert len(nested) == 148
    assert {"10:low", "10:mid", "10:high"} <= set(nested["group"])
    assert len(table) == 148 + 50


def test_random_effects_intervals(baseline):
    table = random_effects(baseline)
    margin = 1.959963984540054 * table["se"]
    np.testing.assert_allclose(table["lower_2.5"], table["value"] - margin)
    np.testing.assert_allclose(table["upper_97.5"], table["value"] + margin)


def test_coefficients_are_fixed_plus_random(baseline, fit_of):
    table = coefficients(baseline).set_index("cluster")
    effects = random_effects(baseline).pivot(index="group", columns="effect", values="value")
    np.testing.assert_allclose(table, effects[["Intercept", "x"]] + baseline.fixed)
    one = coefficients(fit_of("baseline, intercept only"))
    assert one["x"].nunique() == 1 < one["Intercept"].nunique()


def test_coefficients_of_effects_without_a_fixed_effect(pupils):
    table = coefficients(pupils[2])
    names = ["primary_school_id", "Intercept", "sesmid", "seshigh", "seslow"]
    assert table.columns.tolist() == names
    effects = random_effects(pupils[2]).pivot(index="group", columns="effect", values="value")
    np.testing.assert_allclose(table["seslow"], effects["seslow"])
    assert table["Intercept"].nunique() == 1


# ---- shrinkage -------------------------------------------------------------------------------


def test_shrinkage_holds_the_other_tables(baseline, data_of):
    table = shrinkage(baseline)
    wide = table.pivot(index="group", columns="effect", values="partial_pooling")
    np.testing.assert_allclose(wide, coefficients(baseline).set_index("cluster"))
    own = fit_by_cluster("y ~ x", data_of("baseline"), "cluster").set_index("cluster")
    wide = table.pivot(index="group", columns="effect", values="no_pooling")
    np.testing.assert_allclose(wide, own[["Intercept", "x"]], rtol=1e-8)
    for effect, rows in table.groupby("effect"):
        assert (rows["complete_pooling"] == baseline.fixed[effect]).all()
    np.testing.assert_allclose(
        table["moved"], table["partial_pooling"] - table["no_pooling"], rtol=1e-12
    )
    assert table.drop_duplicates("group")["n"].sum() == 1000


@few_designs
@given(seeds)
def test_partial_pooling_is_a_matrix_weighted_mean(seed):
    """partial = complete + W (own - complete), and the factor is the diagonal of I - W."""
    fit = fit_mixed(SLOPES, create_data(n_cluster=15, obs_per_cluster=6, balanced=0.8, seed=seed))
    table = shrinkage(fit)
    complete, own, partial, factor = (
        table[name].to_numpy().reshape(-1, 2)
        for name in ("complete_pooling", "no_pooling", "partial_pooling", "shrinkage_factor")
    )
    weights = fit.solution.shrinkage
    moved = (weights @ (own - complete)[:, :, None])[:, :, 0]
    determined = ~np.isnan(own).any(axis=1)
    np.testing.assert_allclose(
        partial[determined], (complete + moved)[determined], rtol=1e-6, atol=1e-8
    )
    np.testing.assert_allclose(factor, 1 - np.diagonal(weights, axis1=1, axis2=2))


@few_designs
@given(seeds, st.floats(0.1, 3))
def test_shrinkage_of_a_random_intercept_has_its_formula(seed, sd_int):
    """(sigma^2/n) / (tau^2 + sigma^2/n), Gelman & Hill (2006), equation 12.1."""
    data = create_data(
        n_cluster=15, obs_per_cluster=6, balanced=0.6, sd_int=sd_int, sd_slope=0, seed=seed
    )
    fit = fit_mixed(INTERCEPTS, data)
    table = shrinkage(fit)
    within = fit.sigma**2 / table["n"]
    expected = within / (fit.solution.covariance[0, 0] + within)
    np.testing.assert_allclose(table["shrinkage_factor"], expected, rtol=1e-8)
    assert table["shrinkage_factor"].between(0, 1).all()
    between = (table["partial_pooling"] - table["no_pooling"]) / (
        table["complete_pooling"] - table["no_pooling"]
    )
    np.testing.assert_allclose(between, expected, rtol=1e-5, atol=1e-8)
    # The more observations, the less an estimate moves.
    by_size = table.sort_values("n")["shrinkage_factor"]
    assert by_size.is_monotonic_decreasing


@few_designs
@given(seeds, st.floats(0.2, 2), st.floats(1.5, 4))
def test_shrinkage_falls_with_tau(seed, sd_int, times):
    """The same residuals and sizes, cluster means spread further: every factor falls."""
    data = treatment_clusters([3, 8, 5, 9] * 3, seed, sd_cluster=sd_int)
    means = data.groupby("cluster")["y"].transform("mean")
    overall = data["y"].mean()
    wider = data.assign(y=data["y"] + (times - 1) * (means - overall))
    narrow, wide = (
        shrinkage(fit_mixed("y ~ 1 + (1 | cluster)", frame))["shrinkage_factor"]
        for frame in (data, wider)
    )
    assert (wide <= narrow + 1e-8).all()
    if narrow.max() < 1:
        assert (wide < narrow).all()


def test_a_slope_from_few_or_noisy_rows_is_taken_back_more(baseline):
    """W = Sigma Z'Z / sigma^2 (I + Sigma Z'Z / sigma^2)^-1, for a cluster that nobody has seen."""
    kept = {}
    for n in (4, 40):
        for sigma in (1, 2):
            design = np.column_stack([np.ones(n), norm.ppf((np.arange(n) + 0.5) / n)])
            precision = baseline.solution.covariance @ design.T @ design / sigma**2
            kept[n, sigma] = (precision @ np.linalg.inv(np.eye(2) + precision))[1, 1]
    assert kept[40, 1] > kept[4, 1] and kept[40, 1] > kept[40, 2] and kept[4, 1] > kept[4, 2]


def test_clusters_too_small_for_an_own_estimate_have_none(data_of):
    data = data_of("baseline")
    small = data[(data["cluster"] > 1) | (data.groupby("cluster").cumcount() < 1)]
    table = shrinkage(fit_mixed(SLOPES, small)).query("group == 1")
    assert table["no_pooling"].isna().all()
    assert table["moved"].isna().all()
    assert table["partial_pooling"].notna().all()
    assert table["n"].tolist() == [1, 1]


# ---- summary ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["baseline", "baseline, ML", "pupils model 3"])
def test_summary_says_it_all(name, fit_of):
    fit = fit_of(name)
    summary = summarize_model(fit)
    numbers = [
        *fixed_effects(fit)[["value", "se"]].to_numpy().ravel(),
        *variance_components(fit)["sd"],
        fit.residuals().min(),
        fit.residuals().max(),
    ]
    if len(random_effect_correlations(fit)) > 1:
        numbers.append(random_effect_correlations(fit).iloc[0, 1])
    for text in (str(summary), summary._repr_html_()):
        assert all(f"{number:.4f}" in text for number in numbers)
        assert str(fit.terms) in text
        assert f"{'REML' if fit.reml else 'ML'} criterion {fit.criterion:.1f}" in text
        assert f"{fit.n_obs} observations, {fit.n_groups} clusters" in text
        assert "singular" not in text
    assert "<table" in summary._repr_html_()


def test_summary_reports_a_singular_fit(pupils):
    assert "singular" in str(summarize_model(pupils[1]))


# ---- comparing models ------------------------------------------------------------------------


def test_compare_models_is_sorted_and_counts(pupils):
    table = compare_models({str(number): fit for number, fit in pupils.items()})
    assert table["AICc"].is_monotonic_increasing
    assert table["delta_AICc"].iloc[0] == 0
    table = table.set_index("model")
    assert table["K"].to_dict() == {"1": 10, "2": 10, "3": 6}
    assert table["n_random_effects"].to_dict() == {"1": 150, "2": 150, "3": 198}
    expected = pupils[3].criterion + 2 * 6 + 2 * 6 * 7 / (1000 - 6 - 1)
    assert table.loc["3", "AICc"] == pytest.approx(expected)


def test_ml_fits_with_different_fixed_effects_may_be_compared(data_of):
    data = data_of("baseline")
    fits = {
        text: fit_mixed(f"{text} + (1 | cluster)", data, reml=False) for text in ("y ~ x", "y ~ 1")
    }
    assert compare_models(fits)["model"].tolist() == ["y ~ x", "y ~ 1"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda data: fit_mixed(INTERCEPTS, data.head(500)), "different data"),
        (lambda data: fit_mixed(INTERCEPTS, data.iloc[::-1]), "different data"),
        (lambda data: fit_mixed(INTERCEPTS, data, reml=False), "mix REML and ML"),
        (lambda data: fit_mixed("y ~ 1 + (1 | cluster)", data), "different fixed effects"),
    ],
)
def test_fits_that_may_not_be_compared(other, message, baseline, data_of):
    with pytest.raises(DataError, match=message):
        compare_models({"a": baseline, "b": other(data_of("baseline"))})


# ---- marginal means --------------------------------------------------------------------------


def test_marginal_means_of_one_factor_are_its_coefficients(fit_of):
    """Level means are the intercept and intercept + effect; df are near 8 clusters - 2 levels."""
    fit = fit_of("puzzle")
    table = marginal_means(fit, "treatment")
    assert table["level"].tolist() == ["control", "intervention"]
    intercept, effect = fit.fixed
    np.testing.assert_allclose(table["mean"], [intercept, intercept + effect])
    # Kenward and Roger's errors are a little larger: the variances are estimates.
    plain = fixed_effects(fit)["se"].iloc[0]
    assert plain < table["se"].iloc[0] < plain * 1.001
    np.testing.assert_allclose(table["df"], 6, atol=0.01)
    # qt(.975, 6) in R
    np.testing.assert_allclose(
        table["upper"] - table["mean"], 2.446911851144969 * table["se"], rtol=1e-3
    )


def test_marginal_means_average_over_the_other_predictors(data_of):
    """Other factors at equal weights, numbers at their mean, as R's emmeans does."""
    data = data_of("baseline").assign(
        a=lambda d: np.where(d.index % 3 == 0, "p", "q"), b=lambda d: np.where(d.x > 0.3, "u", "v")
    )
    fit = fit_mixed("y ~ a + b + x + (1 | cluster)", data)
    table = marginal_means(fit, "a").set_index("level")["mean"]
    expected = fit.fixed["Intercept"] + fit.fixed["bv"] / 2 + fit.fixed["x"] * data["x"].mean()
    assert table["p"] == pytest.approx(expected)
    assert table["q"] == pytest.approx(expected + fit.fixed["aq"])


# ---- the identity of chapter 4 ---------------------------------------------------------------


sizes = st.lists(st.integers(1, 30), min_size=6, max_size=12).filter(
    lambda sizes: len(sizes) % 2 == 0 and sum(sizes) > 2 * len(sizes)
)


@few_designs
@given(sizes, seeds, st.floats(0.1, 4))
def test_both_estimates_are_weighted_means_of_cluster_means(sizes, seed, sd_cluster):
    data = treatment_clusters(sizes, seed, sd_cluster=sd_cluster)
    mixed = fit_mixed("y ~ treatment + (1 | cluster)", data)
    pooled = fit_pooled("y ~ treatment", data)
    table = cluster_weights(mixed).assign(
        treatment=["control"] * (len(sizes) // 2) + ["intervention"] * (len(sizes) // 2)
    )
    assert table["n"].tolist() == sizes
    np.testing.assert_allclose(table["mean"], data.groupby("cluster")["y"].mean())
    for fit, weight in [(mixed, "mixed_weight"), (pooled, "observation_weight")]:
        groups = table.groupby("treatment")
        np.testing.assert_allclose(groups[weight].sum(), 1)
        means = table[weight].mul(table["mean"]).groupby(table["treatment"]).sum()
        np.testing.assert_allclose(means, marginal_means(fit, "treatment")["mean"], atol=1e-8)
    between, within = mixed.solution.covariance[0, 0], mixed.sigma**2
    factor = shrinkage(mixed).set_index("group")["shrinkage_factor"].to_numpy()
    np.testing.assert_allclose(table["lambda"], between / (between + within / table["n"]))
    np.testing.assert_allclose(table["lambda"], 1 - factor, atol=1e-8)


# ---- invariances -----------------------------------------------------------------------------


def all_tables(fit):
    """Every table of a fit, in an order that labels and rows do not decide."""
    tables = {
        "fixed": fixed_effects(fit),
        "variances": variance_components(fit).drop(columns="group"),
        "random": random_effects(fit).sort_values(["effect", "group"]),
        "coefficients": coefficients(fit).sort_values(fit.terms.group),
        "covariance": random_covariance(fit),
    }
    if not fit.terms.nested:
        tables["shrinkage"] = shrinkage(fit).sort_values(["effect", "group"])
    if len(fit.fixed) == 1 and fit.random_design.names == ["Intercept"] and not fit.terms.nested:
        tables["weights"] = cluster_weights(fit).sort_values("group")
    return tables


@few_designs
@given(
    seeds,
    st.sampled_from(
        [
            SLOPES,
            "y ~ x + (1 | cluster) + (0 + x | cluster)",
            "y ~ x + (1 | cluster) + (1 | cluster:kind)",
            "y ~ 1 + (1 | cluster)",
        ]
    ),
)
def test_tables_do_not_depend_on_labels_or_row_order(seed, formula):
    data = create_data(n_cluster=12, obs_per_cluster=8, sd_int=1, sd_slope=0.8, seed=seed)
    data["kind"] = np.arange(len(data)) % 3
    stream = np.random.default_rng(seed)
    label = pd.Series(stream.permutation(12) + 100, index=range(1, 13))
    other = data.assign(cluster=data["cluster"].map(label)).iloc[stream.permutation(len(data))]
    one = all_tables(fit_mixed(formula, data))
    two = all_tables(fit_mixed(formula, other))
    back = {new: old for old, new in label.items()}
    for name, table in two.items():
        for column in {"group", "cluster"} & set(table.columns):
            table = table.assign(**{column: [relabel(value, back) for value in table[column]]})
        order = [column for column in ("effect", "group", "cluster") if column in table.columns]
        if name not in ("fixed", "variances", "covariance"):
            table = table.sort_values(order)
            one[name] = one[name].sort_values(order)
        pd.testing.assert_frame_equal(
            table.reset_index(drop=True),
            one[name].reset_index(drop=True),
            check_dtype=False,
            rtol=1e-3,
            atol=1e-4,
        )


def relabel(value, back):
    """Translate a cluster, or the cluster in a label such as ``103:2``."""
    if isinstance(value, str):
        cluster, level = value.split(":")
        return f"{back[int(cluster)]}:{level}"
    return back[value]


# ---- the map of chapter 3 --------------------------------------------------------------------

TO_LEVELS = pd.DataFrame(
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]],
    index=["seslow", "sesmid", "seshigh"],
    columns=["Intercept", "sesmid", "seshigh"],
)


def test_models_1_and_2_are_one_model(pupils):
    """Sigma_2 = T Sigma_1 T', equal criteria, equal predictions."""
    assert pupils[1].criterion == pytest.approx(pupils[2].criterion, abs=1e-6)
    mapped = reparameterize(pupils[1], TO_LEVELS)
    np.testing.assert_allclose(mapped, random_covariance(pupils[2]), atol=1e-5)
    assert mapped.index.tolist() == mapped.columns.tolist() == list(TO_LEVELS.index)
    np.testing.assert_allclose(pupils[1].predict(), pupils[2].predict(), atol=1e-4)
    shuffled = TO_LEVELS[["seshigh", "Intercept", "sesmid"]]
    pd.testing.assert_frame_equal(reparameterize(pupils[1], shuffled), mapped)


@few_designs
@given(seeds, st.floats(-3, 3), st.floats(0.3, 3))
def test_criterion_does_not_change_under_a_map_of_the_effects(seed, shift, scale):
    """Effects of Z T^-1 instead of Z: with u = (x - shift) / scale the fit is the same."""
    data = create_data(n_cluster=15, obs_per_cluster=8, seed=seed)
    data["u"] = (data["x"] - shift) / scale
    one, two = (fit_mixed(f"y ~ x + ({name} | cluster)", data) for name in ("x", "u"))
    assert two.criterion == pytest.approx(one.criterion, abs=1e-5)
    to_u = pd.DataFrame({"Intercept": [1, 0], "x": [shift, scale]}, index=["Intercept", "u"])
    np.testing.assert_allclose(reparameterize(one, to_u), random_covariance(two), atol=5e-3)


def test_compound_symmetry_of_model_3(pupils):
    matrix = compound_symmetry(pupils[3])
    sd = variance_components(pupils[3]).set_index("group")["variance"]
    school, cell = sd["primary_school_id"], sd["primary_school_id:ses"]
    assert matrix.index.tolist() == matrix.columns.tolist() == ["low", "mid", "high"]
    np.testing.assert_allclose(matrix, school + cell * np.eye(3))
