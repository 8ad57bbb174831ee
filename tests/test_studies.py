"""What the simulation studies find, and what the chapters say of it."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from helpers import (
    SCENARIOS,
    create_data,
    fit_by_cluster,
    fit_mixed,
    fit_pooled,
    pooling_study,
    treatment_study,
    true_coefficients,
)
from helpers.studies import pooling
from helpers.studies import treatment as treatment_module

SIZES = [2, 10, 10, 10, 2, 10, 10, 10]
ICCS = [0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9]
PARTIAL = "partial pooling"


@pytest.fixture(scope="module")
def study():
    """The study of the chapter on cluster weights."""
    return treatment_study(SIZES, ICCS, n_datasets=10_000).set_index(["method", "icc"])


@pytest.fixture(scope="module")
def poolings():
    return {
        name: pooling_study(n_datasets=1000, **arguments).set_index(["effect", "pooling"])
        for name, arguments in SCENARIOS.items()
    }


# ---- a treatment of whole clusters -----------------------------------------------------------


def test_each_method_is_tried_at_each_correlation(study):
    assert len(study) == 4 * len(ICCS)


def test_neither_is_biased(study):
    assert (study["bias"].abs() < 3 * study["bias_error"]).all()
    assert (study["bias"].abs() < 0.02 * study["rmse"]).all()
    crossing = study["bias"].abs() < 2 * study["bias_error"]
    assert crossing.mean() > 0.8


def test_precision_is_the_same_while_clusters_are_alike(study):
    ratio = study.loc["mixed model, t"]["rmse"] / study.loc["regression"]["rmse"]
    assert (abs(ratio.loc[[0, 0.05, 0.1]] - 1) < 0.02).all()
    assert 0.9 < ratio.loc[0.9] < 0.95


def test_the_regression_s_intervals_are_far_too_short(study):
    coverage = study.loc["regression"]["coverage"]
    assert abs(coverage.loc[0] - 0.95) < 3 * study.loc[("regression", 0), "coverage_error"]
    assert coverage.is_monotonic_decreasing
    assert coverage.loc[0.1] < 0.86 and coverage.loc[0.9] < 0.45


def test_z_is_short_and_t_is_honest(study):
    z, t = (study.loc[f"mixed model, {name}"]["coverage"] for name in "zt")
    assert 0.88 < z.min() < 0.91
    assert abs(t.loc[0.9] - 0.95) < 3 * study.loc[("mixed model, t", 0.9), "coverage_error"]
    assert t.min() > 0.935
    assert t.loc[0] > 0.975
    # Chance is at most a percentage point.
    assert 2 * study["coverage_error"].max() < 0.0101


def test_robust_standard_errors_are_too_small_on_average_and_vary(study):
    """A simulation with the standard errors of statsmodels: coverage .90 with t(7)."""
    robust = study.loc["regression, robust"]
    assert (robust["rmse"] == study.loc["regression"]["rmse"]).all()
    assert (robust["se"] < 0.9 * robust["rmse"]).all()
    assert robust["coverage"].between(0.89, 0.92).all()
    assert (robust["se_sd"] / robust["se"]).loc[0.3:].between(0.3, 0.4).all()


def test_the_regression_s_error_is_the_theory_s(study):
    """Var = 2 (icc sum of squared weights of the clusters + (1 - icc) / 32)."""
    shares = np.array(SIZES[:4]) / 32
    icc = np.array(ICCS)
    expected = np.sqrt(2 * (icc * (shares**2).sum() + (1 - icc) / 32))
    row = study.loc["regression"]
    assert (abs(row["rmse"] - expected) < 3.5 * row["rmse_error"]).all()


def test_one_data_set_of_the_study_is_a_fit(monkeypatch):
    """The intervals are those of fit_pooled and fit_mixed."""
    kept = []

    def keep(design, icc, effect, n_datasets, stream):
        responses = original(design, icc, effect, n_datasets, stream)
        kept.append((design, responses))
        return responses

    original = treatment_module._treatment_responses
    monkeypatch.setattr(treatment_module, "_treatment_responses", keep)
    study = treatment_study(SIZES, [0.5], n_datasets=2).set_index("method")
    design, responses = kept[0]
    tables = [design.assign(y=responses[:, number]) for number in range(2)]
    effect = "treatment[T.intervention]"
    pooled = [fit_pooled("y ~ treatment", table).results.params[effect] for table in tables]
    mixed = [fit_mixed("y ~ treatment + (1 | cluster)", table).fixed.iloc[1] for table in tables]
    assert study.loc["regression", "bias"] == pytest.approx(np.mean(pooled) - 1, abs=1e-9)
    robust = [
        smf.ols("y ~ treatment", table).fit(
            cov_type="cluster", cov_kwds={"groups": table["cluster"]}
        )
        for table in tables
    ]
    errors = [each.bse[effect] for each in robust]
    assert study.loc["regression, robust", "se"] == pytest.approx(np.mean(errors), abs=1e-12)
    assert study.loc["regression, robust", "se_sd"] == pytest.approx(np.std(errors, ddof=1))
    assert study.loc["mixed model, z", "bias"] == pytest.approx(np.mean(mixed) - 1, abs=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iccs": []}, "must hold numbers from 0 to below 1"),
        ({"iccs": [1]}, "must hold numbers from 0 to below 1"),
        ({"iccs": [-0.1]}, "each of iccs"),
        ({"n_datasets": 1}, "n_datasets"),
        ({"sizes": [2, 10, 10]}, "number must be even"),
    ],
    ids=str,
)
def test_bad_treatment_studies_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        treatment_study(**{"sizes": SIZES, "iccs": [0.5], "n_datasets": 10, **change})


# ---- complete, no and partial pooling --------------------------------------------------------


def test_bias_is_traded_for_variance(poolings):
    for effect in ("Intercept", "x"):
        rows = poolings["baseline"].loc[effect]
        order = ["no pooling", PARTIAL, "complete pooling"]
        assert rows.loc[order, "squared_bias"].is_monotonic_increasing
        assert rows.loc[order, "variance"].is_monotonic_decreasing
        assert rows["rmse"].idxmin() == PARTIAL
    slopes = poolings["baseline"].loc["x"]
    assert slopes.loc["no pooling", "variance"] > 5 * slopes.loc[PARTIAL, "variance"]
    assert slopes.loc["complete pooling", "variance"] < 0.01 * slopes.loc["no pooling", "variance"]


def test_partial_pooling_is_best_but_for_one(poolings):
    best = {
        (name, effect): table.loc[effect]["rmse"].idxmin()
        for name, table in poolings.items()
        for effect in ("Intercept", "x")
    }
    exceptions = {key: pooling for key, pooling in best.items() if pooling != PARTIAL}
    assert exceptions == {("3 observations per cluster", "x"): "complete pooling"}
    few = poolings["3 observations per cluster"].loc["x"]
    gap = few.loc[PARTIAL, "rmse"] - few.loc["complete pooling", "rmse"]
    assert 0 < gap < 0.01
    assert gap > 3 * few["rmse_error"].loc[[PARTIAL, "complete pooling"]].max()
    assert few.loc["no pooling", "rmse"] > 5 * few.loc[PARTIAL, "rmse"]
    many = poolings["100 observations per cluster"].loc["Intercept"]
    assert 0 < many.loc["no pooling", "rmse"] - many.loc[PARTIAL, "rmse"] < 0.005


def test_bias_and_variance_add_up(poolings):
    for table in poolings.values():
        total = table["squared_bias"] + table["variance"]
        np.testing.assert_allclose(table["rmse"] ** 2, total, rtol=1e-2)


def test_one_data_set_of_the_study_is_three_fits():
    data = create_data(n_cluster=12)
    matrix = np.column_stack([np.ones(len(data)), data["x"]])
    clusters = data["cluster"].to_numpy() - 1
    estimates = pooling._three_estimates(data, matrix, clusters, data[["y"]].to_numpy())[:, 0]
    fit = fit_mixed("y ~ x + (x | cluster)", data)
    separate = fit_by_cluster("y ~ x", data, "cluster")[["Intercept", "x"]]
    expected = [
        np.tile(fit_pooled("y ~ x", data).fixed, (12, 1)),
        separate.to_numpy(),
        fit.fixed.to_numpy() + fit.solution.effects,
    ]
    np.testing.assert_allclose(estimates, expected, atol=1e-6)


def test_clusters_without_estimates_of_their_own_are_left_out():
    arguments = {"n_cluster": 30, "obs_per_cluster": 4, "balanced": 0.6}
    counts = create_data(**arguments)["cluster"].value_counts()
    assert (counts == 1).any()
    study = pooling_study(n_datasets=20, **arguments)
    assert np.isfinite(study[["squared_bias", "variance", "rmse"]]).all(axis=None)
    assert len(true_coefficients(**arguments)) == 30


def test_studies_repeat():
    one, two = (pooling_study(n_datasets=20, n_cluster=10) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
