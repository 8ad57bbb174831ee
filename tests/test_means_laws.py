"""Means and weights of clusters: laws, and numbers of R's.

The huge and the alike clusters are two more data sets of the thread (Cross Validated,
question 630190); their numbers are those of lme4 1.1-31,
``lmer(y ~ 0 + treatment + (1 | cluster))``, and of R's ``lm``.
"""

import numpy as np
import pandas as pd
import pytest

from helpers import (
    DataError,
    cluster_means,
    cluster_weights,
    fit_mixed,
    fit_pooled,
    marginal_means,
    treatment_clusters,
    variance_components,
)

SIZES = [2, 10, 10, 10, 2, 10, 10, 10]


class Case:
    """Both fits to one data set, and the tables the chapter makes of them."""

    def __init__(self, data):
        self.data = data
        self.fit = fit_mixed("y ~ treatment + (1 | cluster)", data)
        self.pooled = fit_pooled("y ~ treatment", data)
        self.lm = marginal_means(self.pooled, "treatment").set_index("level")
        self.mixed = marginal_means(self.fit, "treatment").set_index("level")
        table = cluster_means(self.fit).merge(cluster_weights(self.fit)[["cluster", "lambda"]])
        distance = self.fit.predict(table, random_effects=False) - table["observed"]
        table = table.assign(distance=distance, share=1 - table["lambda"])
        self.clusters = table.set_index("cluster")
        self.weights = cluster_weights(self.fit).set_index("cluster")
        self.plain = table.groupby("treatment", observed=True)["observed"].mean()
        self.icc = variance_components(self.fit)["var_prop"].iloc[0]


@pytest.fixture(scope="module")
def puzzle():
    return Case(treatment_clusters(SIZES, 824523))


@pytest.fixture(scope="module")
def off():
    data = treatment_clusters([100, 10, 10, 10] * 2, 888, sd_cluster=1)
    return Case(data.assign(y=data["y"] + 6 * (data["cluster"] == 1)))


@pytest.fixture(scope="module")
def huge():
    return Case(treatment_clusters([2, 10, 10, 10, 2, 10, 10, 100], 1324523))


@pytest.fixture(scope="module")
def alike():
    return Case(treatment_clusters(SIZES, 1324523, sd_cluster=1, effect=1))


@pytest.fixture(scope="module")
def sized():
    data = treatment_clusters([2, 10, 10, 10] * 250, 888, sd_cluster=0.5)
    small = data.groupby("cluster")["y"].transform("size") == 2
    return Case(data.assign(y=data["y"] + 3 * small))


def same(values, expected, tolerance):
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance)


def group_weights(n, icc):
    """The chapter's function."""
    weight = 1 / (icc + (1 - icc) / n)
    return weight / weight.sum()


def test_cluster_means_refuses_fits_without_one_mean_per_cluster(puzzle):
    with pytest.raises(TypeError, match="fit_mixed"):
        cluster_means(puzzle.pooled)
    data = puzzle.data.assign(x=np.arange(len(puzzle.data)) % 7)
    with pytest.raises(DataError, match="varies within clusters"):
        cluster_means(fit_mixed("y ~ x + (1 | cluster)", data))


def test_the_estimate_is_odd_in_the_errors():
    """Every deviation turned around: the same weights, the opposite error; so no bias."""
    data = treatment_clusters(SIZES, 31)
    truth = 5 * (data["treatment"] == "intervention")
    one, other = Case(data), Case(data.assign(y=2 * truth - data["y"]))
    same(one.weights["mixed_weight"], other.weights["mixed_weight"], 1e-6)
    for which in ("lm", "mixed"):
        errors = [getattr(case, which)["mean"] - [0, 5] for case in (one, other)]
        same(errors[0], -errors[1], 1e-6)


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike", "sized"])
def test_a_small_cluster_never_weighs_more_than_a_larger_one(name, request):
    case = request.getfixturevalue(name)
    groups = case.weights.assign(treatment=case.clusters["treatment"])
    for _, group in groups.groupby("treatment", observed=True):
        ordered = group.sort_values("n")["mixed_weight"]
        assert (ordered.diff().dropna() > -1e-12).all()


def test_weights_go_from_sizes_to_equal():
    sizes = pd.Series([2, 10, 10, 10])
    same(group_weights(sizes, 0), sizes / 32, 1e-12)
    same(group_weights(sizes, 1), 0.25, 1e-12)
    small = [group_weights(sizes, icc)[0] for icc in np.linspace(0, 1, 21)]
    assert np.all(np.diff(small) > 0)


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike"])
def test_weights_at_the_fitted_icc_give_the_mixed_means(name, request):
    case = request.getfixturevalue(name)
    for level, rows in case.clusters.groupby("treatment", observed=True):
        mean = (group_weights(rows["n"], case.icc) * rows["observed"]).sum()
        assert mean == pytest.approx(case.mixed.loc[level, "mean"], abs=1e-8)


def test_no_between_variance_makes_the_mixed_model_the_regression():
    """Clusters made equal to their group: tau is 0, weights go by size."""
    data = treatment_clusters(SIZES, 4, sd_cluster=0)
    centered = data["y"] - data.groupby("cluster")["y"].transform("mean")
    case = Case(data.assign(y=centered + 5 * (data["treatment"] == "intervention")))
    assert case.fit.singular
    same(case.weights["mixed_weight"], case.weights["observation_weight"], 1e-6)


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike", "sized"])
def test_fixed_effects_are_lm_of_the_shrunken_means(name, request):
    case = request.getfixturevalue(name)
    again = fit_pooled("partial_pooling ~ treatment", case.clusters)
    same(again.fixed, case.fit.fixed, 1e-8)
    shrunken = case.clusters.groupby("treatment", observed=True)["partial_pooling"].mean()
    same(shrunken, case.mixed["mean"], 1e-8)


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike"])
def test_shrinkage_is_share_times_distance(name, request):
    clusters = request.getfixturevalue(name).clusters
    same(clusters["moved"], clusters["share"] * clusters["distance"], 1e-10)


def test_huge_cluster_against_r(huge):
    same(huge.lm["mean"], [-1.21913767, 3.82711536], 1e-8)
    same(huge.lm["se"], [0.328416976, 0.168197939], 1e-8)
    same(huge.mixed["mean"], [-1.32466141, 5.64009743], 1e-6)
    # lme4's own standard errors; Kenward & Roger's differ little here.
    same(huge.mixed["se"], [1.43978492, 1.43786748], 1e-3)
    partial = [
        -1.74675637,
        0.90636492,
        -0.30674511,
        -4.15150908,
        9.30830084,
        2.20482893,
        7.53869790,
        3.50856204,
    ]
    same(huge.clusters["partial_pooling"], partial, 1e-6)


def test_alike_clusters_against_r(alike):
    same(alike.lm["mean"], [-0.471532354, 0.710400412], 1e-8)
    same(alike.mixed["mean"], [-0.592372160, 0.635337796], 1e-6)
    same(np.sqrt(np.diag(alike.fit.fixed_covariance))[0], 0.402827322, 1e-6)
    same(variance_components(alike.fit)["variance"], [0.475828233, 1.051179012], 1e-6)


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike"])
def test_some_of_the_distance_is_always_given_up_and_less_by_larger_clusters(name, request):
    """Question 2: a large far cluster moves; one on its group's mean has nothing to give up."""
    share = request.getfixturevalue(name).clusters.groupby("n")["share"].mean()
    assert (share > 0).all() and share.is_monotonic_decreasing
