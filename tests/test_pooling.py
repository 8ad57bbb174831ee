"""Shrinkage of any data, and of any names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from helpers.data.simulate import create_data, treatment_clusters
from helpers.models.fits import fit_by_cluster, fit_mixed, fit_pooled
from helpers.tables import coefficients, shrinkage

SLOPES = "y ~ x + (x | cluster)"
INTERCEPTS = "y ~ x + (1 | cluster)"
few_designs = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 5_000)


@pytest.fixture(scope="module")
def pupils(fit_of):
    return fit_of("pupils model 1")


def test_shrinkage_holds_the_other_tables(baseline, data_of):
    table = shrinkage(baseline)
    wide = table.pivot(index="cluster", columns="effect", values="partial_pooling")
    np.testing.assert_allclose(wide, coefficients(baseline).set_index("cluster"))
    own = fit_by_cluster("y ~ x", data_of("baseline"), "cluster").set_index("cluster")
    wide = table.pivot(index="cluster", columns="effect", values="no_pooling")
    np.testing.assert_allclose(wide, own[["Intercept", "x"]], rtol=1e-8)
    for effect, rows in table.groupby("effect"):
        assert (rows["fixed_effect"] == baseline.fixed[effect]).all()
    np.testing.assert_allclose(
        table["moved"], table["partial_pooling"] - table["no_pooling"], rtol=1e-12
    )
    assert table.drop_duplicates("cluster")["n"].sum() == 1000


@few_designs
@given(seeds)
def test_partial_pooling_is_a_matrix_weighted_mean(seed):
    """partial = fixed + W (own - fixed), and the factor is the diagonal of I - W."""
    fit = fit_mixed(SLOPES, create_data(n_cluster=15, obs_per_cluster=6, balanced=0.8, seed=seed))
    table = shrinkage(fit)
    fixed, own, partial, factor = (
        table[name].to_numpy().reshape(-1, 2)
        for name in ("fixed_effect", "no_pooling", "partial_pooling", "shrinkage_factor")
    )
    weights = fit.solution.shrinkage
    moved = (weights @ (own - fixed)[:, :, None])[:, :, 0]
    determined = ~np.isnan(own).any(axis=1)
    np.testing.assert_allclose(
        partial[determined], (fixed + moved)[determined], rtol=1e-6, atol=1e-8
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
        table["fixed_effect"] - table["no_pooling"]
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


def test_complete_pooling_is_least_squares_on_all_rows(baseline):
    table = shrinkage(baseline).groupby("effect")["complete_pooling"]
    assert table.nunique().tolist() == [1, 1]
    pooled = fit_pooled("y ~ x", baseline.data).fixed
    np.testing.assert_allclose(table.first()[pooled.index], pooled)
    one = shrinkage(fit_mixed("y ~ 1 + (0 + x | cluster)", baseline.data))
    assert (one[["complete_pooling", "fixed_effect"]] == 0).all(axis=None)


def test_a_factor_may_leave_0_to_1_and_an_estimate_the_way_to_its_fixed_effect(baseline, pupils):
    """Both follow from correlated effects; the docstring says so."""
    table = shrinkage(baseline)
    distance = table["no_pooling"] - table["fixed_effect"]
    share = -table["moved"] / distance
    assert (~share.between(0, 1)).sum() == 23
    hundred = table[(table["cluster"] == 100) & (table["effect"] == "Intercept")].iloc[0]
    assert hundred["fixed_effect"] < hundred["no_pooling"] < hundred["partial_pooling"]
    assert shrinkage(pupils)["shrinkage_factor"].max() > 1


def test_clusters_too_small_for_an_own_estimate_have_none(data_of):
    data = data_of("baseline")
    small = data[(data["cluster"] > 1) | (data.groupby("cluster").cumcount() < 1)]
    table = shrinkage(fit_mixed(SLOPES, small)).query("cluster == 1")
    assert table["no_pooling"].isna().all()
    assert table["moved"].isna().all()
    assert table["partial_pooling"].notna().all()
    assert table["n"].tolist() == [1, 1]
