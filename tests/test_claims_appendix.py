"""What the appendix says in words must hold: statsmodels beside the helpers, data, glossary."""

import json
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from helpers import (
    DataError,
    coefficients,
    compare_models,
    fit_mixed,
    fixed_effects,
    load_gpa,
    load_pupils,
    load_sleepstudy,
    marginal_means,
    random_covariance,
    random_effects,
)
from helpers.data.datasets import DATA_FOLDER, DataFileError

ROOT = Path(__file__).resolve().parents[1]
APPENDIX = ROOT / "chapters" / "appendix"
FORMULA = "Reaction ~ Days + (Days | Subject)"
TERMS = {
    "cluster", "random effect", "fixed effect", "complete pooling", "no pooling",
    "partial pooling", "shrinkage", "conditional sd", "REML criterion", "random slope",
    "singular fit", "variance component", "compound symmetry", "marginal mean",
    "intraclass correlation", "BLUP", "design matrix", "residual", "singleton",
    "borrowing strength", "balanced design",
}  # fmt: skip


def statsmodels_fit(reml=True):
    model = smf.mixedlm(
        "Reaction ~ Days", load_sleepstudy(), groups="Subject", re_formula="1 + Days"
    )
    return model.fit(reml=reml)


@pytest.fixture(scope="module")
def results():
    return statsmodels_fit()


@pytest.fixture(scope="module")
def fit():
    return fit_mixed(FORMULA, load_sleepstudy())


@pytest.fixture(scope="module")
def lme4():
    entries = json.loads((ROOT / "tests" / "reference" / "lme4_fits.json").read_text())
    return entries["fits"]["sleepstudy"]


# ---- phrase book --------------------------------------------------------------------------


def test_all_three_have_one_criterion(results, fit, lme4):
    assert -2 * results.llf == pytest.approx(lme4["criterion"], abs=1e-4)
    assert fit.criterion == pytest.approx(lme4["criterion"], abs=1e-4)


def test_statsmodels_default_fit_converges_on_sleepstudy():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert statsmodels_fit().converged


def test_fixed_effects_agree(results, fit):
    np.testing.assert_allclose(results.fe_params, fit.fixed, rtol=1e-5)
    assert len(results.params) > len(results.fe_params)


def test_params_holds_variances_divided_by_the_residual_variance(results):
    relative = results.cov_re.loc["Subject", "Subject"] / results.scale
    assert results.params["Subject Var"] == pytest.approx(relative)


def test_random_effects_and_their_conditional_sds_agree(results, fit):
    table = random_effects(fit).pivot_table(
        index="cluster", columns="effect", values=["value", "se"]
    )
    theirs = pd.DataFrame(results.random_effects).T.rename(columns={"Subject": "Intercept"})
    sds = {g: np.sqrt(np.diag(c)) for g, c in results.random_effects_cov.items()}
    sds = pd.DataFrame(sds, index=["Intercept", "Days"]).T
    for name, ours in [("value", theirs), ("se", sds)]:
        np.testing.assert_allclose(
            ours[["Intercept", "Days"]], table[name][["Intercept", "Days"]], atol=1e-3
        )


def test_coefficients_are_fixed_plus_random_and_need_the_rename(results, fit):
    own = pd.DataFrame(results.random_effects).T
    renamed = own.rename(columns={"Subject": "Intercept"}) + results.fe_params
    ours = coefficients(fit).set_index("Subject")
    np.testing.assert_allclose(renamed[["Intercept", "Days"]], ours, atol=1e-3)
    assert (own + results.fe_params)["Intercept"].isna().all()


def test_variances_agree(results, fit):
    np.testing.assert_allclose(results.cov_re, random_covariance(fit), rtol=1e-3, atol=0.01)
    assert results.scale**0.5 == pytest.approx(fit.sigma, rel=1e-5)
    assert (results.model.n_groups, results.nobs) == (fit.n_groups, fit.n_obs) == (18, 180)


def test_aic_is_missing_for_reml_and_equal_for_ml(results):
    ml, fit_ml = statsmodels_fit(reml=False), fit_mixed(FORMULA, load_sleepstudy(), reml=False)
    n_parameters = compare_models({"ml": fit_ml})["K"].iloc[0]
    assert np.isnan(results.aic)
    assert n_parameters == 6
    assert ml.aic == pytest.approx(fit_ml.criterion + 2 * n_parameters, abs=1e-3)


def test_wald_intervals_agree_nearly_but_not_exactly(results, fit):
    table = fixed_effects(fit)[["lower_2.5", "upper_97.5"]]
    theirs = results.conf_int().loc[results.fe_params.index]
    np.testing.assert_allclose(theirs, table, rtol=1e-4)
    assert not np.allclose(theirs, table, rtol=1e-9)


def test_statsmodels_predict_is_fixed_only_without_a_warning(results, fit):
    sleep = load_sleepstudy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = results.predict(sleep)
    np.testing.assert_allclose(theirs, fit.predict(random_effects=False), rtol=1e-5)
    assert not np.allclose(theirs, results.fittedvalues, atol=1)


def test_fitted_values_include_the_random_effects(results, fit):
    np.testing.assert_allclose(results.fittedvalues, fit.predict(), atol=1e-3)
    np.testing.assert_allclose(results.resid, fit.residuals(scaled=False), atol=1e-3)


def test_a_new_cluster_gets_the_fixed_part_and_a_known_one_its_own(results, fit):
    new = pd.DataFrame({"Days": [10, 10], "Subject": [308, 999]})
    known, unknown = fit.predict(new)
    effects = results.random_effects[308]
    by_hand = results.predict(new).iloc[0] + effects["Subject"] + effects["Days"] * 10
    assert known == pytest.approx(by_hand, abs=1e-3)
    assert unknown == pytest.approx(results.predict(new).iloc[1], abs=1e-3)


def test_pupils_slopes_are_singular_and_statsmodels_stops_beside_the_boundary():
    pupils = load_pupils("synthetic")
    call = smf.mixedlm(
        "achievement ~ ses", pupils, groups="primary_school_id", re_formula="1 + ses"
    )
    smallest, *_, largest = np.linalg.eigvalsh(call.fit(method="lbfgs").cov_re)
    fit = fit_mixed("achievement ~ ses + (ses | primary_school_id)", pupils)
    assert 0 < smallest < 0.01 * largest
    assert fit.singular
    assert np.linalg.eigvalsh(random_covariance(fit))[0] == pytest.approx(0, abs=1e-8)
    assert np.isfinite(random_effects(fit)["value"]).all()


def test_likelihood_ratio_by_hand_equals_the_difference_of_criteria():
    sleep = load_sleepstudy()
    uncorrelated = "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"
    fits = {f: fit_mixed(f, sleep, reml=False) for f in (uncorrelated, FORMULA)}
    independent = smf.mixedlm(
        "Reaction ~ Days", sleep, groups="Subject", re_formula="1", vc_formula={"Days": "0 + Days"}
    ).fit(reml=False)
    theirs = 2 * (statsmodels_fit(reml=False).llf - independent.llf)
    ours = fits[uncorrelated].criterion - fits[FORMULA].criterion
    assert theirs == pytest.approx(ours, abs=1e-4)
    # lme4 1.1-31: anova(m0, m) gives Chisq 0.0639, Pr(>Chisq) 0.8004.
    assert ours == pytest.approx(0.0639, abs=5e-5)
    assert stats.chi2.sf(ours, 1) == pytest.approx(0.8004, abs=5e-5)


def test_reml_fits_with_different_fixed_effects_are_refused(fit):
    other = fit_mixed("Reaction ~ 1 + (Days | Subject)", load_sleepstudy())
    with pytest.raises(DataError, match="reml=False"):
        compare_models({"with": fit, "without": other})


def test_marginal_means_equal_contrasts_by_hand():
    pupils = load_pupils("synthetic")
    results = smf.mixedlm("achievement ~ ses", pupils, groups="primary_school_id").fit()
    table = results.t_test(np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]])).summary_frame()
    means = marginal_means(fit_mixed("achievement ~ ses + (1 | primary_school_id)", pupils), "ses")
    np.testing.assert_allclose(table["coef"], means["mean"], atol=1e-4)
    np.testing.assert_allclose(table["std err"], means["se"], rtol=1e-3)


# ---- data ---------------------------------------------------------------------------------


def spreads(gpa, pupils):
    by_occasion = gpa.groupby("occasion")["gpa"].std()
    return {
        "growth of sd": by_occasion[5] - by_occasion[0],
        "school sizes": pupils.groupby("primary_school_id").size().std(),
        "skewness": abs(pupils["achievement"].skew()),
        "kurtosis": abs(pupils["achievement"].kurt()),
    }


def test_codebooks_name_the_columns_of_the_files():
    page = (APPENDIX / "data.md").read_text()
    frames = [load_gpa("synthetic"), load_pupils("synthetic"), load_sleepstudy()]
    tables = re.findall(r"\| variable \| type \| meaning \|\n\|[-|]+\n((?:\|.*\n)+)", page)
    named = [re.findall(r"^\| `(\w+)`", table, flags=re.M) for table in tables]
    assert named == [list(frame.columns) for frame in frames]


def test_codebooks_state_the_values():
    gpa, pupils, sleep = load_gpa("synthetic"), load_pupils("synthetic"), load_sleepstudy()
    assert set(gpa["occasion"]) == set(range(6)) and set(sleep["Days"]) == set(range(10))
    for measured in (gpa["gpa"], pupils["achievement"]):
        np.testing.assert_allclose(measured * 10, (measured * 10).round(), atol=1e-9)
    assert list(pupils["ses"].cat.categories) == ["low", "mid", "high"]
    assert (gpa.groupby("student")["occasion"].nunique() == 6).all()
    assert (sleep.groupby("Subject")["Days"].nunique() == 10).all()


def test_two_schools_lack_a_level_and_the_one_shown_beside_them_does_not():
    pupils = load_pupils("synthetic")
    cells = pd.crosstab(pupils["primary_school_id"], pupils["ses"])
    assert (cells == 0).any(axis=1).sum() == 2
    assert (cells.loc[10] > 0).all()


def test_gpa_spreads_more_over_time_in_the_twins():
    assert spreads(load_gpa("synthetic"), load_pupils("synthetic"))["growth of sd"] > 0


def test_the_twin_is_refused_as_an_original():
    with pytest.raises(DataFileError, match="synthetic twin"):
        load_gpa(folder=DATA_FOLDER)


@pytest.mark.skipif("COURSE_DATA_DIR" not in os.environ, reason="needs the original records")
def test_twins_differ_from_the_originals_as_the_page_says():
    twins = spreads(load_gpa("synthetic"), load_pupils("synthetic"))
    originals = spreads(load_gpa("original"), load_pupils("original"))
    assert 0 < originals["growth of sd"] < twins["growth of sd"]
    assert originals["school sizes"] < twins["school sizes"]
    assert originals["skewness"] > twins["skewness"]
    assert originals["kurtosis"] > twins["kurtosis"]


# ---- glossary -----------------------------------------------------------------------------


def defined_terms():
    page = (APPENDIX / "glossary.md").read_text()
    body = re.search(r"```\{glossary\}\n(.*?)```", page, flags=re.S).group(1)
    return [line for line in body.splitlines() if line and not line.startswith(" ")]


def test_glossary_defines_each_term_once_in_order():
    terms = defined_terms()
    assert set(terms) == TERMS
    assert terms == sorted(terms, key=str.lower)


def test_every_term_linked_from_a_page_is_defined():
    for page in (ROOT / "chapters").rglob("*.md"):
        for target in re.findall(r"\{term\}`([^`]+)`", page.read_text()):
            assert re.sub(r"^.*<(.+)>$", r"\1", target) in TERMS, (page.name, target)
