"""Means of clusters and levels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.simulate import treatment_clusters
from helpers.models.fits import fit_mixed, fit_pooled
from helpers.tables import cluster_weights, fixed_effects, marginal_means, shrinkage

few_designs = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 5_000)


def test_columns_of_marginal_means_and_weights(fit_of):
    fit = fit_of("puzzle")
    means = marginal_means(fit, "treatment")
    assert means.columns.tolist() == ["level", "mean", "se", "df", "lower", "upper"]
    weights = ["cluster", "n", "mean", "lambda", "observation_weight", "mixed_weight"]
    assert cluster_weights(fit).columns.tolist() == weights


def test_marginal_means_of_one_factor_are_its_coefficients(fit_of):
    """Level means are the intercept and intercept + effect; df are near 8 clusters - 2 levels."""
    fit = fit_of("puzzle")
    table = marginal_means(fit, "treatment")
    assert table["level"].tolist() == ["control", "intervention"]
    intercept, effect = fit.fixed
    np.testing.assert_allclose(table["mean"], [intercept, intercept + effect])
    # Kenward and Roger's errors are a little larger: the variances are estimates.
    plain = fixed_effects(fit, df="normal")["se"].iloc[0]
    assert plain < table["se"].iloc[0] < plain * 1.001
    np.testing.assert_allclose(table["df"], 6, atol=0.01)
    # qt(.975, 6) in R
    np.testing.assert_allclose(
        table["upper"] - table["mean"], 2.446911851144969 * table["se"], rtol=1e-3
    )


MEANS = [
    "a factor of clusters",
    "two values of a number",
    "a number's two values",
    "a boolean",
    "numbers as categories, averaged",
    "numbers as categories",
    "a logarithm",
    "slopes vary",
    "an interaction",
    "an interaction with a number",
    "an interaction apart",
    "given values",
]
WARNED = {"an interaction", "an interaction with a number"}


@pytest.mark.parametrize("name", MEANS)
def test_marginal_means_are_those_of_emmeans(name, table_values, table_data, recwarn):
    """With Kenward & Roger's errors; emmeans also warns of what `at` fixes, we do not."""
    expected = table_values["means"][name]
    at = {"sex": "m", "dose": 2} if name == "given values" else None
    fit = fit_mixed(expected["formula"], table_data)
    table = marginal_means(fit, expected["predictor"], at=at)
    assert table["level"].tolist() == expected["level"]
    for column in ("mean", "se", "df", "lower", "upper"):
        np.testing.assert_allclose(table[column], expected[column], rtol=2e-4, atol=1e-5)
    misleading = [str(warning.message) for warning in recwarn if "mislead" in str(warning.message)]
    assert bool(misleading) == (name in WARNED)


def test_levels_keep_their_type_and_order(table_data):
    data = table_data.assign(
        band=pd.cut(table_data["dose"], [0, 3, 6, 9]),
        size=pd.Categorical(table_data["sex"].map({"f": "small", "m": "big"}), ["small", "big"]),
        whole=table_data["period"].astype("Int64"),
    )
    fit = fit_mixed("y ~ band + size + whole + old + (1 | cluster)", data)
    assert marginal_means(fit, "band")["level"].tolist() == data["band"].cat.categories.tolist()
    assert marginal_means(fit, "size")["level"].tolist() == ["small", "big"]
    assert marginal_means(fit, "whole")["level"].tolist() == [1, 2, 3]
    one = marginal_means(fit, "size", at={"band": pd.Interval(0, 3), "old": True})
    fixed = fit.fixed
    expected = fixed["Intercept"] + fixed["oldTrue"] + fixed["whole"] * data["whole"].mean()
    assert one.loc[0, "mean"] == pytest.approx(expected)


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
    factor = shrinkage(mixed).set_index("cluster")["shrinkage_factor"].to_numpy()
    np.testing.assert_allclose(table["lambda"], between / (between + within / table["n"]))
    np.testing.assert_allclose(table["lambda"], 1 - factor, atol=1e-8)
