"""What the chapter on categorical random effects says must hold in numbers.

Printed numbers are those of Clark's *Mixed Models with R* (More Random Effects), to half a unit of
the last digit. The records are those of ``load_pupils()``, so with ``COURSE_DATA_DIR`` set the
same claims are tested on the originals.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from helpers import (
    DataError,
    compare_models,
    compound_symmetry,
    fit_mixed,
    fixed_effects,
    load_pupils,
    random_covariance,
    random_effect_correlations,
    random_effects,
    reparameterize,
    variance_components,
)

SCHOOL = "primary_school_id"
FORMULAS = {
    "model 1": f"achievement ~ ses + (1 + ses | {SCHOOL})",
    "model 2": f"achievement ~ ses + (0 + ses | {SCHOOL})",
    "model 3": f"achievement ~ ses + (1 | {SCHOOL}) + (1 | {SCHOOL}:ses)",
}
LEVELS = ["low", "mid", "high"]
EFFECTS = ["seslow", "sesmid", "seshigh"]
T = pd.DataFrame(
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]], index=EFFECTS, columns=["Intercept", "sesmid", "seshigh"]
)


@pytest.fixture(scope="module")
def pupils():
    return load_pupils()


@pytest.fixture(scope="module")
def counts(pupils):
    return pd.crosstab(pupils[SCHOOL], pupils["ses"])


@pytest.fixture(scope="module")
def models(pupils):
    return {name: fit_mixed(formula, pupils) for name, formula in FORMULAS.items()}


@pytest.fixture(scope="module")
def predictions(models, counts):
    cells = pd.MultiIndex.from_product([counts.index, LEVELS], names=[SCHOOL, "ses"])
    frame = cells.to_frame(index=False)
    return frame.assign(**{name: fit.predict(frame) for name, fit in models.items()})


@pytest.fixture(scope="module")
def gaps(predictions):
    gap = (predictions["model 3"] - predictions["model 2"]).abs()
    return gap.groupby(predictions["ses"]).agg(["mean", "max"])


def effects_of(fit, group):
    """Value and se of one group's random effects, by effect."""
    table = random_effects(fit)
    return table[table["cluster"].astype(str) == group].set_index("effect")


def test_two_categories_are_one_model_however_coded(pupils):
    above = np.where(pupils["ses"] == "low", "no", "yes")
    binary = pupils.assign(above=above, above01=(above == "yes").astype(int))
    word = fit_mixed(f"achievement ~ above + (1 + above | {SCHOOL})", binary)
    number = fit_mixed(f"achievement ~ above01 + (1 + above01 | {SCHOOL})", binary)
    assert word.criterion == pytest.approx(number.criterion, abs=1e-6)
    assert len(variance_components(word)) == 3 and not word.singular


def test_cells_and_the_two_schools_that_lack_high(counts):
    assert counts.size == 150 and (counts > 0).sum().sum() == 148
    lacking = counts[(counts == 0).any(axis=1)]
    assert len(lacking) == 2 and (lacking["high"] == 0).all()
    assert lacking[["low", "mid"]].gt(0).all(axis=None)


def test_high_pupils_are_few(counts):
    assert (counts["high"] <= counts["high"].median()).sum() >= 25
    assert counts["high"].median() < counts["low"].median() < counts["mid"].median()
    assert counts[["low", "mid"]].to_numpy().sum() > 0.8 * counts.to_numpy().sum()


@pytest.mark.parametrize(
    ("name", "correlations"),
    [
        ("model 1", {("Intercept", "sesmid"): -0.35, ("sesmid", "seshigh"): 0.91}),
        ("model 2", {("seslow", "sesmid"): 0.85, ("sesmid", "seshigh"): 0.97}),
    ],
)
def test_correlations_are_the_printed_ones(models, name, correlations):
    table = random_effect_correlations(models[name])
    for pair, printed in correlations.items():
        assert table.loc[pair] == pytest.approx(printed, abs=0.005)


def test_cells_take_next_to_nothing(models):
    share = variance_components(models["model 3"]).set_index("grouping_factor")["var_prop"]
    assert share[f"{SCHOOL}:ses"] == pytest.approx(0.02, abs=0.005)
    assert share[SCHOOL] == pytest.approx(0.24, abs=0.005)


def test_residual_share_differs_between_two_notations_of_one_model(models):
    share = {
        name: variance_components(models[name])["var_prop"].iloc[-1]
        for name in ("model 1", "model 2")
    }
    assert share["model 1"] > share["model 2"] + 0.1
    assert models["model 1"].sigma == pytest.approx(models["model 2"].sigma, abs=1e-5)


def test_free_models_are_less_certain_of_high(models):
    tables = {name: fixed_effects(fit).set_index("term") for name, fit in models.items()}
    for free in ("model 1", "model 2"):
        assert tables[free].loc["seshigh", "se"] > 1.2 * tables["model 3"].loc["seshigh", "se"]
    for table in tables.values():
        assert 0 < table.loc["sesmid", "value"] < table.loc["seshigh", "value"]
        assert table.loc["seshigh", "value"] == pytest.approx(0.53, abs=0.03)


def test_models_1_and_2_are_one_model(models, predictions):
    one, two = models["model 1"], models["model 2"]
    assert one.criterion == pytest.approx(two.criterion, abs=1e-6)
    np.testing.assert_allclose(one.fixed, two.fixed, atol=1e-6)
    gap = reparameterize(one, T) - random_covariance(two)
    assert gap.abs().max(axis=None) < 1e-6
    assert (predictions["model 1"] - predictions["model 2"]).abs().max() < 1e-6


def test_variance_of_high_is_that_of_a_sum(models):
    one, two = random_covariance(models["model 1"]), random_covariance(models["model 2"])
    total = one.loc["Intercept", "Intercept"] + one.loc["seshigh", "seshigh"]
    total += 2 * one.loc["Intercept", "seshigh"]
    assert two.loc["seshigh", "seshigh"] == pytest.approx(total, abs=1e-6)


def test_compound_symmetry_is_near_for_low_and_mid_and_far_off_for_high(models):
    free = np.diag(random_covariance(models["model 2"]))
    common = compound_symmetry(models["model 3"]).iloc[0, 0]
    assert (np.abs(free[:2] - common) < 0.05).all() and free[2] > 2 * common
    correlations = random_effect_correlations(models["model 2"])
    pairs = correlations.to_numpy()[np.triu_indices(3, 1)]
    assert pairs.min() == correlations.loc["seslow", "seshigh"]
    assert pairs.max() == correlations.loc["sesmid", "seshigh"]


def test_compound_symmetry_is_cells_on_top_of_schools(models):
    variance = variance_components(models["model 3"]).set_index("grouping_factor")["variance"]
    expected = variance[SCHOOL] + variance[f"{SCHOOL}:ses"] * np.eye(3)
    np.testing.assert_allclose(compound_symmetry(models["model 3"]), expected, atol=1e-12)


def test_lines_fan_out_in_model_2_and_run_parallel_in_model_3(pupils, predictions):
    spread = predictions.groupby("ses")[["model 2", "model 3"]].std()
    alone = pupils.groupby([SCHOOL, "ses"], observed=True)["achievement"].mean()
    alone = alone.groupby("ses", observed=True).std()
    assert spread.loc["high", "model 2"] > 1.5 * spread.loc["low", "model 2"]
    assert spread.loc["high", "model 3"] == pytest.approx(spread.loc["low", "model 3"], rel=0.05)
    assert spread.lt(alone, axis=0).all(axis=None)


def test_free_models_are_singular_with_no_variance_zero_and_no_correlation_one(models):
    assert [fit.singular for fit in models.values()] == [True, True, False]
    for name in ("model 1", "model 2"):
        matrix = random_covariance(models[name])
        eigenvalues = np.linalg.eigvalsh(matrix)
        assert abs(eigenvalues[0]) < 1e-6 < 0.05 < eigenvalues[1]
        assert np.diag(matrix).min() > 0.04
        pairs = random_effect_correlations(models[name]).to_numpy()[np.triu_indices(3, 1)]
        assert np.abs(pairs).max() < 0.98


def test_smallest_eigenvalue_of_model_3_is_the_variance_of_the_cells(models):
    variance = variance_components(models["model 3"]).set_index("grouping_factor")["variance"]
    eigenvalues = np.linalg.eigvalsh(compound_symmetry(models["model 3"]))
    assert eigenvalues[0] == pytest.approx(variance[f"{SCHOOL}:ses"])


def test_mid_follows_from_low_and_high(models):
    empty = np.linalg.eigh(random_covariance(models["model 2"])).eigenvectors[:, 0]
    weights = -empty / empty[1]
    effects = random_effects(models["model 2"]).pivot(
        index="cluster", columns="effect", values="value"
    )
    rule = weights[0] * effects["seslow"] + weights[2] * effects["seshigh"]
    np.testing.assert_allclose(rule, effects["sesmid"], atol=1e-6)
    assert weights[0] > 0 and weights[2] > 0


def test_aicc_is_the_printed_one(models):
    table = compare_models(models).set_index("model")
    printed = {"model 1": (10, 2352.67, 150), "model 2": (10, 2352.67, 150),
               "model 3": (6, 2359.561, 198)}  # fmt: skip
    for name, (parameters, aicc, n_effects) in printed.items():
        assert table.loc[name, "K"] == parameters
        assert table.loc[name, "AICc"] == pytest.approx(aicc, abs=0.0005)
        assert table.loc[name, "n_random_effects"] == n_effects
    assert table.loc["model 3", "delta_AICc"] == pytest.approx(6.892, abs=0.0005)


def test_model_3_saves_less_penalty_than_its_criterion_is_higher(models):
    def penalty(parameters):
        return 2 * parameters + 2 * parameters * (parameters + 1) / (1000 - parameters - 1)

    saved = penalty(10) - penalty(6)
    higher = models["model 3"].criterion - models["model 2"].criterion
    delta = compare_models(models).set_index("model").loc["model 3", "delta_AICc"]
    assert higher > saved and higher - saved == pytest.approx(delta)


def test_likelihood_gives_the_same_verdict(pupils, models):
    likelihood = {name: fit_mixed(fit.formula, pupils, reml=False) for name, fit in models.items()}
    delta = compare_models(likelihood).set_index("model")["delta_AICc"]
    assert delta["model 2"] < 1e-4 and 6 < delta["model 3"] < 7


def test_reml_fits_with_other_fixed_effects_are_refused(pupils, models):
    without = fit_mixed(f"achievement ~ 1 + (1 | {SCHOOL})", pupils)
    with pytest.raises(DataError, match="different fixed effects"):
        compare_models({"with ses": models["model 3"], "without ses": without})


def test_school_10_reads_across(models):
    one, two = effects_of(models["model 1"], "10"), effects_of(models["model 2"], "10")
    assert one.loc["Intercept", "value"] == pytest.approx(0.144, abs=0.0005)
    assert one.loc["sesmid", "value"] == pytest.approx(-0.025, abs=0.0005)
    assert two.loc["sesmid", "value"] == pytest.approx(0.119, abs=0.0005)
    np.testing.assert_allclose(T @ one["value"], two.loc[EFFECTS, "value"], atol=1e-6)


def test_conditional_sds_do_not_add(models):
    one, two = effects_of(models["model 1"], "10"), effects_of(models["model 2"], "10")
    independent = np.hypot(one.loc["Intercept", "se"], one.loc["sesmid", "se"])
    assert two.loc["sesmid", "se"] < 0.6 * independent
    assert two.loc["sesmid", "se"] == pytest.approx(0.139, abs=0.0005)


def test_uncertainty_of_school_10_follows_its_pupils(models, counts):
    se = effects_of(models["model 2"], "10")["se"]
    assert counts.loc[10].tolist() == [10, 13, 2]
    assert se["sesmid"] < se["seslow"] < se["seshigh"]


def test_school_10_may_be_an_average_school(models):
    for fit in models.values():
        table = random_effects(fit)
        own = table[table["cluster"].astype(str).str.partition(":")[0] == "10"]
        assert len(own) in (3, 4)
        assert ((own["lower_2.5"] < 0) & (own["upper_97.5"] > 0)).all()


def test_in_model_3_nearly_all_of_it_is_the_school_s(models):
    value = random_effects(models["model 3"]).set_index("cluster")["value"]
    for level in LEVELS:
        assert abs(value[f"10:{level}"]) < 0.1 * abs(value[10])


def test_predictions_of_school_10_are_the_printed_ones(predictions):
    own = predictions[predictions[SCHOOL] == 10].set_index("ses")
    printed = {"low": (6.293, 6.293, 6.289), "mid": (6.52, 6.52, 6.548),
               "high": (6.839, 6.839, 6.787)}  # fmt: skip
    for level, values in printed.items():
        np.testing.assert_allclose(own.loc[level, list(FORMULAS)].astype(float), values, atol=5e-4)


def test_predictions_differ_most_for_high(gaps):
    assert (gaps.loc["high"] > 2 * gaps.drop("high").max()).all()


def test_model_3_pulls_high_more_and_follows_low_and_mid(predictions):
    slope = {
        level: np.polyfit(part["model 2"], part["model 3"], 1)[0]
        for level, part in predictions.groupby("ses")
    }
    assert slope["high"] < 0.75
    assert 0.95 < slope["low"] < 1.15 and 0.95 < slope["mid"] < 1.15


def test_schools_without_high_borrow_from_their_other_pupils(models, counts):
    two = random_effects(models["model 2"]).query("effect == 'seshigh'").set_index("cluster")
    lacking = counts.index[counts["high"] == 0]
    sd = np.sqrt(random_covariance(models["model 2"]).loc["seshigh", "seshigh"])
    assert (two.loc[lacking, "value"].abs() > 0.05).all()
    assert two["se"].drop(lacking).median() < two.loc[lacking, "se"].min()
    assert two.loc[lacking, "se"].max() < 0.7 * sd
    cells = set(random_effects(models["model 3"])["cluster"].astype(str))
    assert not cells & {f"{name}:high" for name in lacking}
    # What to notice in the explorer, of the first of them.
    school, pupils = lacking[0], counts.sum(axis=1)
    own = random_effects(models["model 2"]).query("cluster == @school").set_index("effect")["se"]
    assert own.idxmax() == "seshigh"
    wider = two.index[two["se"] > own["seshigh"]]
    assert 0 < len(wider) < 0.25 * len(two) and pupils[wider].max() < pupils[school]


def test_statsmodels_defaults_fail_on_model_3(pupils, models):
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        default = smf.mixedlm(
            "achievement ~ ses", pupils, groups=SCHOOL, re_formula="1",
            vc_formula={f"{SCHOOL}:ses": "0 + C(ses)"},
        ).fit()  # fmt: skip
    assert complaints and not default.converged
    assert -2 * default.llf > models["model 3"].criterion + 4
    assert default.vcomp[0] > 4 * variance_components(models["model 3"])["variance"][0]


def test_schools_alone_lie_between_model_3_and_the_free_matrix(pupils, models):
    only = fit_mixed(f"achievement ~ ses + (1 | {SCHOOL})", pupils)
    aicc = compare_models({**models, "only": only}).set_index("model")["AICc"]
    assert aicc["model 2"] + 5 < aicc["only"] < aicc["model 3"]


def test_schools_differ_most_in_high(models):
    components = variance_components(models["model 1"]).set_index("effect")["variance"]
    assert components["seshigh"] > 3 * components["sesmid"]
    assert np.argmax(np.diag(random_covariance(models["model 2"]))) == 2


def test_another_reference_changes_correlations_but_no_prediction(pupils, models):
    # The first category in sorting order is the reference.
    other = pupils.assign(ses=pupils["ses"].astype(str).replace("mid", "a mid"))
    fit = fit_mixed(FORMULAS["model 1"], other)
    assert fit.criterion == pytest.approx(models["model 1"].criterion, abs=1e-5)
    np.testing.assert_allclose(fit.predict(), models["model 1"].predict(), atol=1e-3)
    before = random_effect_correlations(models["model 1"]).loc["sesmid", "seshigh"]
    after = random_effect_correlations(fit).loc["seshigh", "seslow"]
    assert before > 0.9 and after < -0.5 and fit.singular


def test_a_lacking_level_has_the_widest_interval_and_no_cell(models, counts):
    lacking = counts.index[(counts == 0).any(axis=1)]
    own = random_effects(models["model 2"]).pivot(index="cluster", columns="effect", values="se")
    assert (own.loc[lacking, "seshigh"] == own.loc[lacking].max(axis=1)).all()
    assert (own.loc[lacking, "seshigh"] > own["seshigh"].median()).all()
    cells = set(random_effects(models["model 3"])["cluster"].astype(str))
    assert not {f"{school}:high" for school in lacking} & cells
