"""What the chapter on cluster weights says in words and numbers must hold.

Published numbers: Cross Validated, question 630190 (November 2023), as printed there. The huge and
the alike clusters are not printed; their numbers are lme4 1.1-31's,
``lmer(y ~ 0 + treatment + (1 | cluster))``, and R's ``lm``.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from helpers import (
    DataError,
    cluster_means,
    cluster_weights,
    explorers,
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


# The puzzle


def test_small_clusters_are_the_lowest_and_the_mixed_line_is_lower(puzzle):
    lowest = puzzle.clusters.groupby("treatment", observed=True)["observed"].idxmin()
    assert lowest.tolist() == [1, 5]
    assert (puzzle.mixed["mean"] < puzzle.lm["mean"]).all()


def test_small_clusters_shrink_most(puzzle):
    size = puzzle.clusters["moved"].abs().groupby(puzzle.clusters["n"])
    assert size.min()[2] > 3 * size.max()[10]


def test_cluster_8_moves_away_from_the_mean_of_the_observations(puzzle):
    row = puzzle.clusters.loc[8]
    assert row["partial_pooling"] < row["observed"] < row["complete_pooling"]
    assert puzzle.mixed.loc["intervention", "mean"] < row["partial_pooling"]


def test_published_cluster_means(puzzle):
    """The asker's table: observed, partially pooled, completely pooled, shrinkage."""
    partial = [
        -1.5512698,
        1.6728082,
        3.9254377,
        -0.2005281,
        -1.6663288,
        6.8387214,
        3.5356479,
        4.5270829,
    ]
    shrinkage = [
        0.111501716,
        -0.006311447,
        -0.026302204,
        0.010313308,
        0.220755812,
        -0.03132614,
        -0.002013311,
        -0.010811712,
    ]
    same(puzzle.clusters["partial_pooling"], partial, 5e-6)
    same(puzzle.clusters["moved"], shrinkage, 5e-6)
    same(puzzle.clusters["complete_pooling"], [1.589832] * 4 + [4.552558] * 4, 5e-7)
    assert puzzle.clusters["n"].tolist() == SIZES


def test_cluster_means_refuses_fits_without_one_mean_per_cluster(puzzle):
    with pytest.raises(TypeError, match="fit_mixed"):
        cluster_means(puzzle.pooled)
    data = puzzle.data.assign(x=np.arange(len(puzzle.data)) % 7)
    with pytest.raises(DataError, match="varies within clusters"):
        cluster_means(fit_mixed("y ~ x + (1 | cluster)", data))


def test_published_marginal_means(puzzle):
    same(puzzle.lm["mean"], [1.590, 4.553], 5e-4)
    same(puzzle.lm["se"], [0.391, 0.391], 5e-4)
    same(puzzle.mixed["mean"], [0.962, 3.309], 5e-4)
    same(puzzle.mixed["se"], [1.55, 1.55], 5e-3)
    same(puzzle.plain, [0.9393116, 3.2646297], 5e-8)
    assert puzzle.lm["df"].eq(62).all() and puzzle.mixed["df"].round().eq(6).all()


def test_mixed_model_is_far_nearer_to_the_plain_mean_than_lm(puzzle):
    to_plain = (puzzle.mixed["mean"] - puzzle.plain).abs()
    assert (to_plain < 0.05 * (puzzle.mixed["mean"] - puzzle.lm["mean"]).abs()).all()
    assert puzzle.icc == pytest.approx(0.9, abs=0.05)


def actual_se(case, column):
    """Standard error of a control mean with these weights under the fitted variances."""
    between, within = variance_components(case.fit)["variance"]
    control = case.weights.iloc[:4]
    return np.sqrt((control[column] ** 2 * (between + within / control["n"])).sum())


def test_lm_is_little_less_precise_but_claims_far_too_much(puzzle):
    actual = actual_se(puzzle, "observation_weight")
    mixed = actual_se(puzzle, "mixed_weight")
    assert mixed < actual < 1.1 * mixed
    assert mixed == pytest.approx(puzzle.mixed.loc["control", "se"], rel=1e-3)
    assert actual > 4 * puzzle.lm.loc["control", "se"]


def test_the_estimate_is_odd_in_the_errors():
    """Every deviation turned around: the same weights, the opposite error; so no bias."""
    data = treatment_clusters(SIZES, 31)
    truth = 5 * (data["treatment"] == "intervention")
    one, other = Case(data), Case(data.assign(y=2 * truth - data["y"]))
    same(one.weights["mixed_weight"], other.weights["mixed_weight"], 1e-6)
    for which in ("lm", "mixed"):
        errors = [getattr(case, which)["mean"] - [0, 5] for case in (one, other)]
        same(errors[0], -errors[1], 1e-6)


# Weights


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike", "sized"])
def test_a_small_cluster_never_weighs_more_than_a_larger_one(name, request):
    case = request.getfixturevalue(name)
    groups = case.weights.assign(treatment=case.clusters["treatment"])
    for _, group in groups.groupby("treatment", observed=True):
        ordered = group.sort_values("n")["mixed_weight"]
        assert (ordered.diff().dropna() > -1e-12).all()


def test_weights_are_lambda_over_the_between_variance(puzzle):
    scaled = puzzle.weights["lambda"] / puzzle.weights["lambda"].groupby(
        puzzle.clusters["treatment"], observed=True
    ).transform("sum")
    same(puzzle.weights["mixed_weight"], scaled, 1e-12)


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


# The identity and the misreadings


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike", "sized"])
def test_fixed_effects_are_lm_of_the_shrunken_means(name, request):
    case = request.getfixturevalue(name)
    again = fit_pooled("partial_pooling ~ treatment", case.clusters)
    same(again.fixed, case.fit.fixed, 1e-8)
    shrunken = case.clusters.groupby("treatment", observed=True)["partial_pooling"].mean()
    same(shrunken, case.mixed["mean"], 1e-8)


def test_raw_means_and_weights_are_enough(puzzle):
    product = puzzle.weights["mean"] * puzzle.weights["mixed_weight"]
    same(
        product.groupby(puzzle.clusters["treatment"], observed=True).sum(),
        puzzle.mixed["mean"],
        1e-8,
    )


def test_shrinking_first_is_something_else(puzzle):
    moved = puzzle.data["cluster"].map(puzzle.clusters["moved"])
    after = Case(puzzle.data.assign(y=puzzle.data["y"] + moved))
    assert (after.mixed["mean"] - puzzle.mixed["mean"]).abs().min() > 0.02
    # n_j (1 - lambda_j) is proportional to w_j, so the observations' mean stays.
    same(after.lm["mean"], puzzle.lm["mean"], 1e-8)


def test_fixed_effects_plus_residuals_collapse(puzzle):
    fit = puzzle.fit
    wrong = fit.predict(random_effects=False) + fit.residuals(scaled=False)
    wrong = wrong.groupby(puzzle.data["cluster"]).mean()
    group_mean = puzzle.clusters["observed"] + puzzle.clusters["distance"]
    same(wrong, group_mean - puzzle.clusters["moved"], 1e-8)
    right = fit.predict().groupby(puzzle.data["cluster"]).mean()
    same(right, puzzle.clusters["partial_pooling"], 1e-12)
    assert np.ptp(wrong.loc[1:4]) < 0.05 * np.ptp(right.loc[1:4])


# Distance


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike"])
def test_shrinkage_is_share_times_distance(name, request):
    clusters = request.getfixturevalue(name).clusters
    same(clusters["moved"], clusters["share"] * clusters["distance"], 1e-10)


def test_cluster_5_is_twice_as_far_out_as_cluster_1(puzzle):
    distance, shrinkage = puzzle.clusters["distance"], puzzle.clusters["moved"]
    assert distance[5] / distance[1] == pytest.approx(2, abs=0.05)
    assert shrinkage[5] / shrinkage[1] == pytest.approx(2, abs=0.05)


def test_a_large_cluster_far_out_leads_lm_to_the_wrong_sign(off):
    lm, mixed = (
        case.loc["intervention", "mean"] - case.loc["control", "mean"]
        for case in (off.lm, off.mixed)
    )
    assert lm < 0 < mixed < 5
    rows = off.clusters.loc[1]
    assert abs(off.lm.loc["control", "mean"] - rows["observed"]) < 1.5 < abs(rows["distance"])
    assert off.weights.loc[1, "mixed_weight"] == pytest.approx(0.25, abs=0.01)


def test_large_cluster_moves_more_than_a_near_small_one(off):
    move, share = off.clusters["moved"].abs(), off.clusters["share"]
    assert move[4] < move[1] < move[2]
    assert share[1] < share[4] == share[2]


# A huge cluster, and clusters that are alike


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


def test_huge_cluster_rules_lm_and_is_one_of_four_in_the_mixed_model(huge):
    assert abs(huge.lm.loc["intervention", "mean"] - huge.clusters.loc[8, "observed"]) < 0.4
    assert huge.weights.loc[8, "observation_weight"] > 0.8
    same(huge.weights.loc[[5, 8], "mixed_weight"], 0.25, 0.01)
    assert huge.mixed.loc["intervention", "mean"] == pytest.approx(
        huge.plain["intervention"], abs=0.06
    )


def test_each_model_is_nearer_the_truth_once(huge):
    lm, mixed = ((case["mean"] - [0, 5]).abs() for case in (huge.lm, huge.mixed))
    assert mixed["intervention"] < lm["intervention"] and lm["control"] < mixed["control"]


def test_a_far_cluster_of_ten_moves_further_than_a_near_cluster_of_two(huge):
    clusters = huge.clusters
    assert clusters.loc[[1, 4], "n"].tolist() == [2, 10]
    assert abs(clusters.loc[4, "moved"]) > abs(clusters.loc[1, "moved"])
    assert abs(clusters.loc[4, "distance"]) > 5 * abs(clusters.loc[1, "distance"])


def test_alike_clusters_against_r(alike):
    same(alike.lm["mean"], [-0.471532354, 0.710400412], 1e-8)
    same(alike.mixed["mean"], [-0.592372160, 0.635337796], 1e-6)
    same(np.sqrt(np.diag(alike.fit.fixed_covariance))[0], 0.402827322, 1e-6)
    same(variance_components(alike.fit)["variance"], [0.475828233, 1.051179012], 1e-6)


def test_alike_lines_are_closer_and_small_clusters_shrink_more(alike, puzzle):
    gap = {
        name: (case.lm["mean"] - case.mixed["mean"]).abs()
        for name, case in {"alike": alike, "puzzle": puzzle}.items()
    }
    assert (gap["alike"] < gap["puzzle"] / 4).all()
    assert alike.clusters.loc[1, "share"] > 10 * puzzle.clusters.loc[1, "share"]
    small = [1, 5]
    assert (
        alike.clusters.loc[small, "moved"].abs() > puzzle.clusters.loc[small, "moved"].abs()
    ).all()


def test_alike_means_lie_between_lm_and_the_plain_mean(alike):
    for level in ("control", "intervention"):
        ends = sorted([alike.lm.loc[level, "mean"], alike.plain[level]])
        assert ends[0] < alike.mixed.loc[level, "mean"] < ends[1]
    assert alike.icc < 0.5
    assert alike.weights.loc[1, "mixed_weight"] < 0.6 * alike.weights.loc[2, "mixed_weight"]


# Practice and questions


def test_informative_size_separates_people_from_clusters(sized):
    people, clusters = pd.Series([3 / 16, 5 + 3 / 16]), pd.Series([0.75, 5.75])
    rows = len(sized.data)
    assert (sized.weights["n"] == 2).sum() * 2 / rows == 1 / 16
    same(sized.lm["mean"], people, 0.06)
    same(sized.plain, clusters, 0.06)
    mixed = sized.mixed["mean"].to_numpy()
    assert (np.minimum(mixed - people, clusters - mixed) > 0.09).all()


def test_cluster_robust_error_is_larger_but_short(puzzle):
    model = smf.ols("y ~ treatment", puzzle.data)
    robust = model.fit(cov_type="cluster", cov_kwds={"groups": puzzle.data["cluster"]}).bse.iloc[1]
    actual = np.sqrt(2) * actual_se(puzzle, "observation_weight")
    assert 2 * puzzle.pooled.results.bse.iloc[1] < robust < 0.7 * actual


@pytest.mark.parametrize("name", ["puzzle", "off", "huge", "alike"])
def test_some_of_the_distance_is_always_given_up_and_less_by_larger_clusters(name, request):
    """Question 2: a large far cluster moves; one on its group's mean has nothing to give up."""
    share = request.getfixturevalue(name).clusters.groupby("n")["share"].mean()
    assert (share > 0).all() and share.is_monotonic_decreasing


def test_what_the_explorer_of_weights_shows(puzzle):
    at = explorers.weights_at(puzzle.clusters.reset_index())

    def means(*settings):
        return at(*settings)["mean_partial"].iloc[[0, -1]]

    less_alike = (means(0.5, 2, 10) - means(0.9, 2, 10)).abs()
    smaller = (means(0.9, 1, 10) - means(0.9, 2, 10)).abs()
    assert (less_alike > smaller).all()
    offered = explorers.WEIGHT_CONTROLS["intraclass_correlation"]
    last = [at(icc, 2, 100)["weight_partial"].iloc[-1] for icc in offered]
    assert offered[:3] == [0, 0.05, 0.1]
    assert [weight > 0.5 for weight in last] == [True, True] + 19 * [False]
    assert last[offered.index(0.2)] == pytest.approx(1 / 3, abs=0.03)
    assert at(0.2, 2, 10)["weight_partial"].iloc[0] > 0.5 * 0.25
    assert 0.45 * 0.25 < at(0.2, 2, 100)["weight_partial"].iloc[4] < 0.5 * 0.25
    for setting in itertools.product(*explorers.WEIGHT_CONTROLS.values()):
        frame = at(*setting)
        ordered = frame[frame["treatment"] == "intervention"].sort_values("n")
        more = ordered["weight_partial"].pct_change().dropna()
        assert (more >= -1e-12).all()
        assert (more <= ordered["n"].pct_change().dropna() + 1e-12).all()
