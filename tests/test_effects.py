"""Tables of effects and variances: columns, lme4's values, and what must hold of any data.

Values of lme4 come from tests/reference/make_lme4_fits.R; test_fit.py compares the rest of them.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.simulate import create_data
from helpers.models.fits import fit_mixed, fit_pooled
from helpers.tables import (
    cluster_means,
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
    summarize_fits,
    variance_components,
)
from helpers.tables.means import MEAN_COLUMNS

SLOPES = "y ~ x + (x | cluster)"
few_designs = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 5_000)


@pytest.fixture(scope="module")
def pupils(fit_of):
    return {number: fit_of(f"pupils model {number}") for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (fixed_effects, "term value se t p_value lower_2.5 upper_97.5"),
        (variance_components, "grouping_factor effect variance sd var_prop"),
        (random_effects, "grouping_factor effect cluster value se lower_2.5 upper_97.5"),
        (
            shrinkage,
            "cluster n effect complete_pooling no_pooling partial_pooling fixed_effect moved "
            "shrinkage_factor",
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


def test_variances_are_lme4_s_in_lme4_s_order(fit_of, lme4):
    for name in ("baseline", "pastes", "pupils model 3", "sleepstudy, uncorrelated"):
        table, expected = variance_components(fit_of(name)), lme4[name]["variance_components"]
        assert table["grouping_factor"].tolist() == expected["group"]
        assert table["effect"].tolist() == [effect or "" for effect in expected["effect"]]
        np.testing.assert_allclose(table["variance"], expected["variance"], rtol=1e-3)
        np.testing.assert_allclose(table["sd"] ** 2, table["variance"])
        assert table["var_prop"].sum() == pytest.approx(1)
        shares = table["variance"] / np.sum(expected["variance"])
        np.testing.assert_allclose(table["var_prop"], shares, rtol=1e-3)


def test_intervals_of_mixed_fits_are_normal_those_of_pooled_fits_student_s(fit_of, data_of):
    table = fixed_effects(fit_of("puzzle"), df="normal")
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
    nested = table[table["grouping_factor"] == "primary_school_id:ses"]
    assert len(nested) == 148
    assert {"10:low", "10:mid", "10:high"} <= set(nested["cluster"])
    assert len(table) == 148 + 50


def test_random_effects_intervals(baseline):
    table = random_effects(baseline)
    margin = 1.959963984540054 * table["se"]
    np.testing.assert_allclose(table["lower_2.5"], table["value"] - margin)
    np.testing.assert_allclose(table["upper_97.5"], table["value"] + margin)


def test_coefficients_are_fixed_plus_random(baseline, fit_of):
    table = coefficients(baseline).set_index("cluster")
    effects = random_effects(baseline).pivot(index="cluster", columns="effect", values="value")
    np.testing.assert_allclose(table, effects[["Intercept", "x"]] + baseline.fixed)
    one = coefficients(fit_of("baseline, intercept only"))
    assert one["x"].nunique() == 1 < one["Intercept"].nunique()


def test_coefficients_of_effects_without_a_fixed_effect(pupils):
    table = coefficients(pupils[2])
    names = ["primary_school_id", "Intercept", "sesmid", "seshigh", "seslow"]
    assert table.columns.tolist() == names
    effects = random_effects(pupils[2]).pivot(index="cluster", columns="effect", values="value")
    np.testing.assert_allclose(table["seslow"], effects["seslow"])
    assert table["Intercept"].nunique() == 1


NAMES = (
    "cluster group grouping_factor n observed effect value status shrinkage level mean moved term "
    "Residual variance se t pooling partial_pooling fixed_effect model index level_0"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_no_table_breaks_on_a_name(name):
    """A predictor, a grouping factor, a response or a cluster-level predictor may be called so."""
    stream = np.random.default_rng(5)
    data = pd.DataFrame({"id": np.arange(90) % 15, "z": stream.normal(size=90)})
    data["out"] = stream.normal(size=15)[data["id"]] * (1 + data["z"]) + stream.normal(size=90)
    expected = all_tables(fit_mixed("out ~ z + (z | id)", data))
    for old, formula in {
        "z": f"out ~ {name} + ({name} | id)",
        "id": f"out ~ z + (z | {name})",
        "out": f"{name} ~ z + (z | id)",
    }.items():
        found = all_tables(fit_mixed(formula, data.rename(columns={old: name})))
        for table, frame in found.items():
            assert frame.columns.is_unique
            numbers = frame.select_dtypes("float").to_numpy()
            np.testing.assert_allclose(
                numbers, expected[table].select_dtypes("float"), rtol=1e-6, atol=1e-9
            )
    constant = data.assign(**{name: (data["id"] % 2).map({0: "even", 1: "odd"})})
    fit = fit_mixed(f"out ~ {name} + (1 | id)", constant)
    means = cluster_means(fit)
    assert means.columns.is_unique and len(means) == 15
    own = means[f"{name}_" if name in MEAN_COLUMNS else name]
    assert own.tolist() == ["even", "odd"] * 7 + ["even"]
    assert marginal_means(fit, name)["level"].tolist() == ["even", "odd"]
    summary = summarize_fits({name: fit})
    assert summary.loc[name, "sd Residual"] == fit.sigma


def test_an_effect_called_residual_has_its_own_sd():
    stream = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.arange(90) % 15, "Residual": stream.normal(size=90)})
    data["y"] = stream.normal(size=15)[data["g"]] * data["Residual"] + stream.normal(size=90)
    fit = fit_mixed("y ~ Residual + (Residual | g)", data)
    row = summarize_fits({"a": fit}).loc["a"]
    assert row["sd Residual"] == fit.sigma
    assert row["sd Residual_"] == np.sqrt(random_covariance(fit).loc["Residual", "Residual"])


LABELS = {
    "integers": lambda ids: ids * 7,
    "text": lambda ids: ids.map("c{:02d}".format),
    "categories": lambda ids: pd.Categorical(ids.map(str), [str(n) for n in range(20)]),
    "intervals": lambda ids: pd.cut(ids, np.arange(-1, 15)),
    "nullable": lambda ids: ids.astype("Int64"),
    "dates": lambda ids: pd.Timestamp("2026-01-01") + pd.to_timedelta(ids, unit="D"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_stand_in_the_tables(kind):
    stream = np.random.default_rng(6)
    ids = pd.Series(np.arange(90) % 15)
    data = pd.DataFrame({"g": LABELS[kind](ids), "x": stream.normal(size=90)})
    data["y"] = stream.normal(size=15)[ids] * (1 + data["x"]) + stream.normal(size=90)
    labels = list(pd.Series(LABELS[kind](pd.Series(range(15)))))
    fit = fit_mixed("y ~ x + (x | g)", data)
    assert list(coefficients(fit)["g"]) == labels
    assert list(shrinkage(fit)["cluster"])[::2] == labels
    assert list(random_effects(fit)["cluster"])[:15] == labels
    assert list(cluster_means(fit_mixed("y ~ 1 + (1 | g)", data))["cluster"]) == labels


def test_a_term_called_like_the_grouping_column_gets_an_underscore():
    stream = np.random.default_rng(7)
    data = pd.DataFrame({"g": np.arange(60) % 12, "y": stream.normal(size=60)})
    data["y"] += data["g"] + stream.normal(size=12)[data["g"]]
    fit = fit_mixed("y ~ g + (1 | g)", data)
    table = coefficients(fit)
    assert table.columns.tolist() == ["g", "Intercept", "g_"]
    assert table["g"].tolist() == list(range(12))
    assert table["g_"].nunique() == 1 and table["g_"].iloc[0] == fit.fixed["g"]


def all_tables(fit):
    """Every table of a fit, in an order that labels and rows do not decide."""
    tables = {
        "fixed": fixed_effects(fit),
        "variances": variance_components(fit).drop(columns="grouping_factor"),
        "random": random_effects(fit).sort_values(["effect", "cluster"]),
        "coefficients": coefficients(fit).sort_values(fit.terms.group),
        "covariance": random_covariance(fit),
    }
    if not fit.terms.nested:
        tables["shrinkage"] = shrinkage(fit).sort_values(["effect", "cluster"])
    if len(fit.fixed) == 1 and fit.random_design.names == ["Intercept"] and not fit.terms.nested:
        tables["weights"] = cluster_weights(fit).sort_values("cluster")
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
        for column in {"cluster"} & set(table.columns):
            table = table.assign(**{column: [relabel(value, back) for value in table[column]]})
        order = [column for column in ("effect", "cluster") if column in table.columns]
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
    sd = variance_components(pupils[3]).set_index("grouping_factor")["variance"]
    school, cell = sd["primary_school_id"], sd["primary_school_id:ses"]
    assert matrix.index.tolist() == matrix.columns.tolist() == ["low", "mid", "high"]
    np.testing.assert_allclose(matrix, school + cell * np.eye(3))
