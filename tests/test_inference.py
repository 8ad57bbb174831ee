"""Small samples, profiles, bootstrap, predictions and tests of models: laws and closed forms."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from helpers import (
    bootstrap,
    create_data,
    fit_mixed,
    fit_pooled,
    likelihood_ratio_test,
    load_pupils,
    profile_curves,
)
from helpers.models import DataError, kenward_roger, prediction_intervals
from helpers.models.likelihood import Likelihood
from tests.designs import BLOCKS, every_design, unbalanced

REFERENCE = Path(__file__).parent / "reference"
SCHOOL = "primary_school_id"


@pytest.fixture(scope="module")
def small():
    """Twelve unequal clusters, with a nested level."""
    stream = np.random.default_rng(4)
    cluster = np.repeat(np.arange(12), stream.integers(4, 9, 12))
    data = pd.DataFrame({"cluster": cluster, "x": stream.normal(size=len(cluster))})
    data["part"] = stream.choice(list("abc"), len(data))
    cell = 2 * stream.normal(size=(12, 3))[cluster, data["part"].map("abc".index)]
    effects = stream.normal(size=(12, 2))[cluster]
    data["y"] = 1 + data["x"] + effects[:, 0] + effects[:, 1] * data["x"] + cell
    data["y"] += stream.normal(size=len(data))
    return data


@pytest.fixture(scope="module")
def nested(small):
    return fit_mixed("y ~ x + (1 | cluster) + (1 | cluster:part)", small)


@pytest.fixture(scope="module")
def slopes(small):
    return fit_mixed("y ~ x + (x | cluster)", small)


def dense(fit):
    """Covariance matrix of all rows, and the random effects' covariance with them, by cluster."""
    random = fit.random_design
    same = random.clusters[:, None] == random.clusters
    between = random.matrix @ fit.solution.covariance @ random.matrix.T
    return same * between + fit.sigma**2 * np.eye(len(same))


# ---- the likelihood with a given residual variance --------------------------------------------


@every_design
@pytest.mark.parametrize("reml", [True, False])
def test_derivatives_with_a_given_variance(blocks, reml):
    stream = np.random.default_rng(1)
    fixed, random, clusters = unbalanced(blocks, stream, n_clusters=12)
    design = Likelihood(fixed, random, clusters, blocks, reml=reml)
    responses = design.reduce(stream.normal(size=(len(clusters), 3)))
    theta = stream.normal(size=(design.n_parameters, 3))
    state = np.vstack([theta, 0.3 * stream.normal(size=3)])

    def at(state, **options):
        return design.evaluate(
            design.factor(state[:-1]), responses, variance=np.exp(state[-1]), **options
        )

    found, step = at(state, hessian=True), 1e-5
    for number in range(len(state)):
        change = np.zeros_like(state)
        change[number] = step
        above, below = at(state + change), at(state - change)
        slope = (above.criterion - below.criterion) / (2 * step)
        np.testing.assert_allclose(found.gradient[number], slope, rtol=1e-5, atol=1e-5)
        curve = (above.gradient - below.gradient) / (2 * step)
        np.testing.assert_allclose(found.hessian[number], curve, rtol=1e-5, atol=1e-4)


def test_at_its_own_variance_nothing_is_profiled_out():
    stream = np.random.default_rng(2)
    fixed, random, clusters = unbalanced(BLOCKS["intercept"], stream, n_clusters=9)
    design = Likelihood(fixed, random, clusters, BLOCKS["intercept"])
    responses = design.reduce(stream.normal(size=(len(clusters), 4)))
    factor = np.full((1, 1, 4), 0.7)
    free = design.evaluate(factor, responses)
    held = design.evaluate(factor, responses, variance=free.variance)
    np.testing.assert_allclose(held.criterion, free.criterion)
    np.testing.assert_allclose(held.gradient[-1], 0, atol=1e-9)


def test_a_design_without_fixed_effects_is_the_density_of_zero_mean():
    stream = np.random.default_rng(3)
    clusters, ones = np.repeat(np.arange(5), 4), np.ones((20, 1))
    design = Likelihood(np.empty((20, 0)), ones, clusters, BLOCKS["intercept"], reml=False)
    response = stream.normal(size=(20, 1))
    found = design.evaluate(np.full((1, 1, 1), 0.8), design.reduce(response))
    same = clusters[:, None] == clusters
    whole = found.variance[0] * (0.64 * design.whitening[0, 0] ** -2 * same + np.eye(20))
    expected = -2 * stats.multivariate_normal.logpdf(response[:, 0], cov=whole)
    assert found.criterion[0] == pytest.approx(expected, rel=1e-12)


# ---- Kenward & Roger -------------------------------------------------------------------------


def corrected(fit):
    random = fit.random_design
    return kenward_roger(
        fit.solution, fit.fixed_design.matrix, random.matrix, random.clusters, random.blocks
    )


def dense_kenward_roger(fit, parts, weights):
    """Kenward & Roger (1997) with all rows at once; parts are dV by each variance, (n, n)."""
    x, inverse = fit.fixed_design.matrix, np.linalg.inv(dense(fit))
    plain = np.linalg.inv(x.T @ inverse @ x)
    first = [-x.T @ inverse @ part @ inverse @ x for part in parts]
    excess = np.zeros((*[len(parts)] * 2, *plain.shape))
    information = np.zeros([len(parts)] * 2)
    for i, one in enumerate(parts):
        for j, other in enumerate(parts):
            second = x.T @ inverse @ one @ inverse @ other @ inverse @ x
            excess[i, j] = second - first[i] @ plain @ first[j]
            information[i, j] = 0.5 * (
                np.trace(inverse @ one @ inverse @ other)
                - 2 * np.trace(plain @ second)
                + np.trace(plain @ first[i] @ plain @ first[j])
            )
    variances = np.linalg.inv(information)
    bias = np.einsum("ij,ijpq->pq", variances, excess)
    gradient = np.array([weights @ plain @ part @ plain @ weights for part in first])
    df = 2 * (weights @ plain @ weights) ** 2 / (gradient @ variances @ gradient)
    return plain + 2 * plain @ bias @ plain, df


def test_kenward_roger_in_full(slopes):
    z, clusters = slopes.random_design.matrix, slopes.random_design.clusters
    same, cross = clusters[:, None] == clusters, np.outer(z[:, 1], z[:, 0])
    parts = [
        np.eye(len(z)),
        same * np.outer(z[:, 0], z[:, 0]),
        same * (cross + cross.T),
        same * np.outer(z[:, 1], z[:, 1]),
    ]
    weights = np.array([1.0, 0.5])
    expected, df = dense_kenward_roger(slopes, parts, weights)
    found = corrected(slopes)
    np.testing.assert_allclose(found.fixed_covariance, expected, rtol=1e-7, atol=1e-10)
    assert found.degrees_of_freedom(weights) == pytest.approx(df, rel=1e-7)


def test_kenward_roger_of_nested_levels(nested, small):
    clusters, part = nested.random_design.clusters, small["part"].to_numpy()
    same = clusters[:, None] == clusters
    parts = [np.eye(len(part)), 1.0 * same, 1.0 * (same & (part[:, None] == part))]
    weights = np.array([0.0, 1])
    expected, df = dense_kenward_roger(nested, parts, weights)
    found = corrected(nested)
    np.testing.assert_allclose(found.fixed_covariance, expected, rtol=1e-7, atol=1e-10)
    assert found.degrees_of_freedom(weights) == pytest.approx(df, rel=1e-7)


def test_kenward_roger_is_exact_in_a_balanced_design():
    """Slopes of 18 subjects with the same days: the t test of 18 slopes, 17 degrees of freedom."""
    stream = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(18), 10), "x": np.tile(np.arange(10.0), 18)})
    effects = stream.normal(size=(18, 2))[data["g"]]
    data["y"] = effects[:, 0] + effects[:, 1] * data["x"] + stream.normal(size=180)
    fit = fit_mixed("y ~ x + (x | g)", data)
    found = corrected(fit)
    np.testing.assert_allclose(found.fixed_covariance, fit.fixed_covariance, rtol=1e-6)
    for weights in np.eye(2):
        assert found.degrees_of_freedom(weights) == pytest.approx(17, rel=1e-6)


def test_kenward_roger_needs_no_matrix_of_all_rows(monkeypatch):
    """Two clusters of 3,000 rows: an array of 3,000 by 3,000 would have nine million elements."""
    stream = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat([0, 1], 3000), "x": stream.normal(size=6000)})
    data["y"] = data["x"] + data["g"] + stream.normal(size=6000)
    fit = fit_mixed("y ~ x + (1 | g)", data)
    largest = []
    kept = np.einsum

    def watched(*arguments, **options):
        result = kept(*arguments, **options)
        largest.append(np.size(result))
        return result

    monkeypatch.setattr(np, "einsum", watched)
    found = corrected(fit)
    assert max(largest) < 100
    # A slope within two large clusters: as many degrees of freedom as rows less three.
    assert found.degrees_of_freedom(np.array([0.0, 1])) == pytest.approx(5997, rel=1e-3)


# ---- profiles --------------------------------------------------------------------------------


def test_zeta_rises_through_zero_at_the_estimate(slopes):
    curves = profile_curves(slopes, n_points=21)
    for _, curve in curves.groupby(["kind", "grouping_factor", "effect"], sort=False):
        assert (np.diff(curve["value"]) > 0).all()
        assert (np.diff(curve["zeta"]) > -1e-6).all()
        assert (curve["zeta"] == 0).any()
        np.testing.assert_allclose(curve["deviance"], curve["zeta"] ** 2)


def test_the_residual_sd_of_fixed_means_has_a_closed_profile():
    """Balanced one-way data whose variance between clusters stays away from zero.

    The deviance splits: N-k degrees of freedom of the residual, k of the means, so at the given
    residual variance s the best total variance of a mean stays what it is, and only the first
    part, (N - k)(log s + S / s), is left of the profile.
    """
    stream = np.random.default_rng(6)
    k, n = 15, 6
    data = pd.DataFrame({"g": np.repeat(np.arange(k), n)})
    data["y"] = 5 * stream.normal(size=k)[data["g"]] + stream.normal(size=k * n)
    fit = fit_mixed("y ~ 1 + (1 | g)", data, reml=False)
    curve = profile_curves(fit, n_points=15).query("grouping_factor == 'Residual'")
    within = data["y"] - data.groupby("g")["y"].transform("mean")
    freedom, estimate = k * (n - 1), (within**2).sum() / (k * (n - 1))
    ratio = estimate / curve["value"] ** 2
    np.testing.assert_allclose(curve["deviance"], freedom * (ratio - 1 - np.log(ratio)), atol=1e-6)


def test_a_mean_of_balanced_clusters_has_a_closed_profile():
    """(k log of the mean square of the cluster means about a value): a t distribution's shape."""
    stream = np.random.default_rng(6)
    k, n = 15, 6
    data = pd.DataFrame({"g": np.repeat(np.arange(k), n)})
    data["y"] = 5 * stream.normal(size=k)[data["g"]] + stream.normal(size=k * n)
    curve = profile_curves(fit_mixed("y ~ 1 + (1 | g)", data), n_points=15).query("kind == 'fixed'")
    means = data.groupby("g")["y"].mean().to_numpy()
    spread = ((means[:, None] - curve["value"].to_numpy()) ** 2).mean(axis=0)
    np.testing.assert_allclose(curve["deviance"], k * np.log(spread / means.var()), atol=1e-6)


@pytest.mark.parametrize("n_points", [2, 5.0])
def test_too_few_points_are_refused(slopes, n_points):
    with pytest.raises(ValueError, match="3 or more"):
        profile_curves(slopes, n_points=n_points)


# ---- bootstrap -------------------------------------------------------------------------------


def test_draws_do_not_depend_on_the_processes(slopes):
    alone = bootstrap(slopes, n_datasets=1100, seed=3, n_jobs=1)
    pd.testing.assert_frame_equal(alone, bootstrap(slopes, n_datasets=1100, seed=3, n_jobs=2))
    assert not alone.equals(bootstrap(slopes, n_datasets=1100, seed=4, n_jobs=1))


def test_draws_have_the_moments_of_the_fit(slopes):
    draws = bootstrap(slopes, n_datasets=4000, n_jobs=1)
    fixed = draws[[("fixed", "", name) for name in slopes.fixed.index]].to_numpy()
    error = np.sqrt(np.diag(slopes.fixed_covariance))
    # REML fixed effects are unbiased; four Monte Carlo standard errors.
    assert (abs(fixed.mean(axis=0) - slopes.fixed) < 4 * error / np.sqrt(4000)).all()
    np.testing.assert_allclose(fixed.std(axis=0), error, rtol=0.1)
    variance = (draws["sd", "Residual", ""] ** 2).mean()
    assert variance == pytest.approx(slopes.sigma**2, rel=0.03)


@pytest.mark.parametrize("wrong", [{"n_datasets": 1}, {"n_datasets": 2.5}, {"seed": -1}])
def test_impossible_counts_are_refused(slopes, wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        bootstrap(slopes, **wrong)


# ---- predictions -----------------------------------------------------------------------------


def dense_errors(fit, data):
    """Sds of x'beta + z'b less its prediction, by the definition of the best linear predictor."""
    x, z = fit.fixed_design.matrix, fit.random_design.matrix
    new_x = fit.fixed_design.rows(data)
    new_z, new_clusters = fit.random_design.rows(data)
    inverse = np.linalg.inv(dense(fit))
    covariance = fit.solution.covariance
    found = []
    for row, effects, cluster in zip(new_x, new_z, new_clusters, strict=True):
        shared = (fit.random_design.clusters == cluster) * (z @ covariance @ effects)
        # The predictor is a' y with X'a = x; its squared error in terms of V alone.
        beta = np.linalg.solve(x.T @ inverse @ x, row - x.T @ inverse @ shared)
        weights = inverse @ (shared + x @ beta)
        total = weights @ dense(fit) @ weights - 2 * weights @ shared
        found.append(total + effects @ covariance @ effects)
    return np.sqrt(found)


@pytest.mark.parametrize("which", ["slopes", "nested"])
def test_known_clusters_are_as_sure_as_the_best_linear_predictor(which, request, small):
    fit = request.getfixturevalue(which)
    table = fit.predict(small.head(20), interval="cluster")
    np.testing.assert_allclose(table["se"], dense_errors(fit, small.head(20)), rtol=1e-8)
    np.testing.assert_allclose(table["prediction"], fit.predict(small.head(20)))
    margin = special.ndtri(0.975) * table["se"]
    np.testing.assert_allclose(table["upper"], table["prediction"] + margin)


def test_balanced_cluster_means_have_a_closed_form():
    """Searle, Casella & McCulloch (1992), section 7.2: lambda sigma^2/n and the mean's share."""
    stream = np.random.default_rng(8)
    k, n = 8, 10
    data = pd.DataFrame({"g": np.repeat(np.arange(k), n)})
    data["y"] = stream.normal(size=k)[data["g"]] + stream.normal(size=k * n)
    fit = fit_mixed("y ~ 1 + (1 | g)", data)
    between, within = fit.solution.covariance[0, 0], fit.sigma**2 / n
    share = between / (between + within)
    known = share * within + (1 - share) ** 2 * (between + within) / k
    new = between + (between + within) / k
    rows = pd.DataFrame({"g": [0, 99]})
    se = {each: fit.predict(rows, interval=each)["se"] for each in ("mean", "cluster")}
    np.testing.assert_allclose(se["cluster"] ** 2, [known, new], rtol=1e-9)
    np.testing.assert_allclose(se["mean"] ** 2, (between + within) / k, rtol=1e-9)
    observed = fit.predict(rows, interval="observation")["se"]
    np.testing.assert_allclose(observed**2, [known + fit.sigma**2, new + fit.sigma**2], rtol=1e-9)


def test_a_singular_fit_predicts_with_its_mean_s_uncertainty():
    data = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "y": np.tile([0.0, 1, 2, 4], 6)})
    fit = fit_mixed("y ~ 1 + (1 | g)", data)
    assert fit.singular
    rows = pd.DataFrame({"g": [0, 99]})
    mean, cluster = (fit.predict(rows, interval=each) for each in ("mean", "cluster"))
    np.testing.assert_allclose(cluster["se"], mean["se"], rtol=1e-6)
    assert (mean["se"] > 0).all()


def test_a_new_nested_level_adds_its_variance(nested):
    rows = pd.DataFrame({"x": 0.0, "cluster": [0, 0, 99], "part": ["a", "new", "a"]})
    known, level, cluster = nested.predict(rows, interval="cluster")["se"] ** 2
    plain, part = nested.solution.covariance[0, 0], nested.solution.covariance[-1, -1]
    fixed = nested.predict(rows, interval="mean")["se"][2] ** 2
    assert cluster == pytest.approx(fixed + plain + part)
    assert known < level < cluster


def test_predictions_refuse_what_they_do_not_know(slopes):
    with pytest.raises(ValueError, match="mean, cluster, observation"):
        prediction_intervals(slopes, interval="prediction")
    with pytest.raises(ValueError, match="level"):
        prediction_intervals(slopes, interval="mean", level=95)
    with pytest.raises(DataError, match="'x'"):
        slopes.predict(pd.DataFrame({"cluster": [0]}), interval="mean")


# ---- likelihood-ratio tests ------------------------------------------------------------------


def test_one_variance_has_half_of_chi_square(small):
    smaller, larger = fit_pooled("y ~ x", small), fit_mixed("y ~ x + (1 | cluster)", small)
    row = likelihood_ratio_test(smaller, larger).iloc[0]
    assert row["reference"] == "0.5 chi-square(0) + 0.5 chi-square(1)"
    assert row["p_value"] == pytest.approx(0.5 * stats.chi2.sf(row["statistic"], 1))
    by_likelihood = fit_mixed("y ~ x + (1 | cluster)", small, reml=False)
    row = likelihood_ratio_test(smaller, by_likelihood).iloc[0]
    assert row["statistic"] == pytest.approx(
        -2 * smaller.results.llf - by_likelihood.criterion, rel=1e-8
    )


def test_a_random_slope_has_a_mixture(small, slopes):
    row = likelihood_ratio_test(fit_mixed("y ~ x + (1 | cluster)", small), slopes).iloc[0]
    tails = stats.chi2.sf(row["statistic"], [1, 2])
    assert row["reference"] == "0.5 chi-square(1) + 0.5 chi-square(2)"
    assert row["p_value"] == pytest.approx(tails.mean())


@pytest.fixture(scope="module")
def pupils_models():
    data = load_pupils()
    parts = {
        "free": f"(0 + ses | {SCHOOL})",
        "same": f"(1 + ses | {SCHOOL})",
        "compound": f"(1 | {SCHOOL}) + (1 | {SCHOOL}:ses)",
        "schools": f"(1 | {SCHOOL})",
    }
    return {name: fit_mixed(f"achievement ~ ses + {part}", data) for name, part in parts.items()}


def test_compound_symmetry_lies_inside_the_free_matrix(pupils_models):
    """Six parameters against two, and nothing at the boundary: four degrees of freedom."""
    row = likelihood_ratio_test(pupils_models["compound"], pupils_models["free"]).iloc[0]
    assert (row["parameters"], row["reference"]) == (4, "chi-square(4)")
    row = likelihood_ratio_test(pupils_models["schools"], pupils_models["compound"]).iloc[0]
    assert row["reference"] == "0.5 chi-square(0) + 0.5 chi-square(1)"


def test_bootstrap_and_mixture_agree_where_both_are_right(small):
    """A correlated slope, at a p value that is neither tiny nor one."""
    data = create_data(n_cluster=60, sd_slope=0.15, seed=5)
    smaller = fit_mixed("y ~ x + (1 | cluster)", data)
    larger = fit_mixed("y ~ x + (x | cluster)", data)
    known = likelihood_ratio_test(smaller, larger).iloc[0]
    drawn = likelihood_ratio_test(smaller, larger, method="bootstrap", n_datasets=4000).iloc[0]
    assert drawn["statistic"] == known["statistic"]
    assert drawn["p_value"] == pytest.approx(known["p_value"], abs=4 * drawn["p_error"] + 0.02)


def test_bootstrap_of_one_variance_is_half_of_chi_square():
    data = create_data(n_cluster=150, obs_per_cluster=4)
    noise = data.assign(y=np.random.default_rng(38).normal(size=len(data)))
    smaller, larger = fit_pooled("y ~ x", noise), fit_mixed("y ~ x + (1 | cluster)", noise)
    drawn = likelihood_ratio_test(smaller, larger, method="bootstrap", n_datasets=4000).iloc[0]
    known = likelihood_ratio_test(smaller, larger).iloc[0]
    assert 0.01 < known["p_value"] < 0.5
    assert drawn["p_value"] == pytest.approx(known["p_value"], abs=0.04)


def test_incomparable_fits_are_refused(small, slopes, pupils_models):
    by_likelihood = fit_mixed("y ~ x + (1 | cluster)", small, reml=False)
    other_mean = fit_mixed("y ~ 1 + (1 | cluster)", small)
    for smaller, larger, words in (
        (by_likelihood, slopes, "REML"),
        (other_mean, slopes, "reml=False"),
        (slopes, fit_mixed("y ~ x + (1 | cluster)", small), "not contained"),
        (slopes, slopes, "one model"),
        (pupils_models["same"], pupils_models["free"], "one model"),
        (slopes, pupils_models["free"], "different data"),
        (fit_pooled("y ~ x", small), slopes, "bootstrap"),
    ):
        with pytest.raises(DataError, match=words):
            likelihood_ratio_test(smaller, larger)
    with pytest.raises(TypeError, match="fit_mixed"):
        likelihood_ratio_test(fit_pooled("y ~ 1", small), fit_pooled("y ~ x", small))
    with pytest.raises(ValueError, match="asymptotic, bootstrap"):
        likelihood_ratio_test(other_mean, slopes, method="wald")


def test_fixed_effects_are_tested_by_likelihood(small):
    smaller = fit_mixed("y ~ 1 + (1 | cluster)", small, reml=False)
    larger = fit_mixed("y ~ x + (1 | cluster)", small, reml=False)
    row = likelihood_ratio_test(smaller, larger).iloc[0]
    assert row["reference"] == "chi-square(1)"
    assert row["p_value"] == pytest.approx(stats.chi2.sf(smaller.criterion - larger.criterion, 1))
