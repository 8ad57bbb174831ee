"""ICC, R² and the model without random effects, against formulas computed in R."""

import numpy as np
import pandas as pd
import pytest

from helpers.models.fits import fit_mixed, fit_pooled
from helpers.tables import (
    compare_with_pooled,
    intraclass_correlation,
    r_squared,
    random_covariance,
    variance_components,
)


@pytest.mark.parametrize("name", ["intercepts", "slopes", "nested"])
def test_r_squared_is_r_s(name, table_values, table_data):
    """tests/reference/make_table_values.R writes the two formulas out."""
    expected = table_values["r_squared"][name]
    table = r_squared(fit_mixed(expected["formula"], table_data)).set_index("kind")
    assert table.loc["marginal", "r_squared"] == pytest.approx(expected["marginal"], rel=1e-4)
    assert table.loc["conditional", "r_squared"] == pytest.approx(expected["conditional"], rel=1e-4)
    np.testing.assert_allclose(table["explained"] / table["total"], table["r_squared"])


@pytest.mark.parametrize("name", ["REML", "ML", "slopes"])
def test_the_model_without_random_effects_is_lm_s(name, table_values, table_data):
    expected = table_values["without"][name]
    fit = fit_mixed(expected["formula"], table_data, reml=expected["reml"])
    table = compare_with_pooled(fit)
    assert table["criterion"].tolist() == pytest.approx(
        [expected["without"], expected["criterion"]], abs=1e-4
    )
    assert table["K"].tolist() == ([3, 6] if name == "slopes" else [3, 4])
    assert table.loc[1, "statistic"] == pytest.approx(
        expected["without"] - expected["criterion"], abs=1e-4
    )


def test_one_variance_is_tested_against_half_of_chi_square(fit_of):
    """pchisq(3.841459, 1) is .95, so half of it leaves .025; at the boundary p is 1."""
    zero = fit_of("boundary: both variances 0")
    assert compare_with_pooled(zero).loc[1, "statistic"] == pytest.approx(0, abs=1e-6)
    stream = np.random.default_rng(3)
    data = pd.DataFrame({"y": stream.normal(size=60), "g": np.arange(60) % 12})
    pulled = data["y"] - data.groupby("g")["y"].transform("mean")
    alike = compare_with_pooled(fit_mixed("y ~ 1 + (1 | g)", data.assign(y=pulled)))
    assert alike.loc[1, "p_value"] == 1 and alike.loc[1, "statistic"] == pytest.approx(0, abs=1e-6)
    apart = compare_with_pooled(fit_mixed("y ~ 1 + (1 | g)", data.assign(y=pulled + data["g"] / 3)))
    assert 0 < apart.loc[1, "p_value"] < 0.001


def test_icc_of_an_intercept_is_its_share_of_the_variances(fit_of):
    fit = fit_of("puzzle")
    table = intraclass_correlation(fit)
    assert table.columns.tolist() == ["between", "within", "icc"]
    assert table["icc"].tolist() == pytest.approx([variance_components(fit)["var_prop"].iloc[0]])


def test_icc_by_occasion_is_the_correlation_of_two_rows(baseline):
    table = intraclass_correlation(baseline, at=pd.DataFrame({"x": [-1.0, 0, 2]}))
    matrix = random_covariance(baseline)
    tau, slope, both = matrix.iloc[0, 0], matrix.iloc[1, 1], matrix.iloc[0, 1]
    between = tau + 2 * table["x"] * both + table["x"] ** 2 * slope
    np.testing.assert_allclose(table["between"], between)
    np.testing.assert_allclose(table["icc"], between / (between + baseline.sigma**2))
    usual = intraclass_correlation(baseline)
    assert len(usual) == 5 and usual["x"].is_monotonic_increasing


def test_icc_of_a_nested_model_has_both_correlations(fit_of):
    fit = fit_of("pupils model 3")
    shares = variance_components(fit).set_index("grouping_factor")["var_prop"]
    table = intraclass_correlation(fit)
    assert table["icc"].iloc[0] == pytest.approx(shares["primary_school_id"])
    both = shares["primary_school_id"] + shares["primary_school_id:ses"]
    assert table["icc_nested"].iloc[0] == pytest.approx(both)


def test_icc_by_category_has_a_row_for_each(fit_of):
    table = intraclass_correlation(fit_of("pupils model 2"))
    assert table["ses"].tolist() == ["low", "mid", "high"]
    variances = variance_components(fit_of("pupils model 2")).set_index("effect")["variance"]
    np.testing.assert_allclose(table["between"], variances[["seslow", "sesmid", "seshigh"]])


def test_a_column_called_icc_gets_an_underscore(baseline):
    fit = fit_mixed("y ~ icc + (icc | cluster)", baseline.data.rename(columns={"x": "icc"}))
    table = intraclass_correlation(fit, at=pd.DataFrame({"icc": [0.0]}))
    assert table.columns.tolist() == ["icc_", "between", "within", "icc"]


@pytest.mark.parametrize("table", [intraclass_correlation, r_squared, compare_with_pooled])
def test_pooled_fits_are_refused(table, baseline):
    with pytest.raises(TypeError, match="fit_mixed"):
        table(fit_pooled("y ~ x", baseline.data))


def test_settings_without_a_column_are_refused(baseline):
    with pytest.raises(ValueError, match="no column 'x'"):
        intraclass_correlation(baseline, at=pd.DataFrame({"z": [1.0]}))
