"""Estimates against the multivariate normal density itself, and their invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from scipy.stats import multivariate_normal

from helpers.models.density import density_criterion
from helpers.models.estimates import PerfectFitError, estimate
from helpers.models.likelihood import Block, Likelihood
from helpers.models.optimum import is_optimum, search, theta_of
from tests.designs import BLOCKS, both_criteria, every_design, unbalanced


def simulate(blocks, *, n_clusters=7, most=9, seed=1, effect_sd=1.0):
    """Unbalanced data: response, X (intercept and two predictors), Z, clusters."""
    stream = np.random.default_rng(seed)
    fixed_design, random_design, clusters = unbalanced(
        blocks, stream, n_clusters=n_clusters, most=most
    )
    effects = stream.normal(0, effect_sd, (n_clusters, random_design.shape[1]))
    noise = stream.normal(size=len(clusters))
    response = 3 + (random_design * effects[clusters]).sum(axis=1) + noise
    return response, fixed_design, random_design, clusters


def shuffled(seed, *arrays):
    order = np.random.default_rng(seed).permutation(len(arrays[0]))
    return [array[order] for array in arrays]


class Model:
    """The criterion of one data set as a function of theta."""

    def __init__(self, data, blocks, *, reml=True):
        response, *design = data
        self.likelihood = Likelihood(*design, blocks, reml=reml)
        self.responses = self.likelihood.reduce(response[:, None])

    def profile(self, theta):
        factor = self.likelihood.factor(np.asarray(theta, float)[:, None])
        return factor, self.likelihood.evaluate(factor, self.responses)

    def criterion(self, theta):
        return self.profile(theta)[1].criterion[0]

    def variances(self, theta):
        """Covariance matrix and sigma that theta stands for, in the units of the data."""
        factor, profile = self.profile(theta)
        half = self.likelihood.to_effects @ factor[:, :, 0]
        return profile.variance[0] * half @ half.T, np.sqrt(profile.variance[0])

    def search(self, theta):
        """Theta and criterion of a slow search from theta."""
        start = self.likelihood.factor(np.asarray(theta, float)[:, None])
        found = theta_of(self.likelihood, search(self.likelihood, self.responses, start))[:, 0]
        return found, self.criterion(found)


def solve(data, blocks, *, reml=True):
    response, *design = data
    likelihood = Likelihood(*design, blocks, reml=reml)
    return estimate(likelihood, response[:, None], effects=True)[0]


def some_theta(model, seed):
    return np.random.default_rng(seed).normal(0.6, 0.5, model.likelihood.n_parameters)


def dense_covariance(random_design, clusters, covariance, sigma):
    """V of all rows: block Z_c cov Z_c' + sigma^2 I for each cluster."""
    same = clusters[:, None] == clusters
    return same * (random_design @ covariance @ random_design.T) + sigma**2 * np.eye(len(clusters))


def dense_criterion(data, covariance, sigma, *, reml):
    """-2 log-likelihood of one set of variances, by the density of y itself.

    REML is the density of A'y, with A an orthonormal basis of the complement of X. Harville (1974)
    has |X'X| in it as a constant; lme4 has not, so it is taken out again here.
    """
    response, fixed_design, random_design, clusters = data
    whole = dense_covariance(random_design, clusters, covariance, sigma)
    if not reml:
        weighted = np.linalg.solve(whole, fixed_design)
        beta = np.linalg.solve(fixed_design.T @ weighted, weighted.T @ response)
        return -2 * multivariate_normal.logpdf(response, fixed_design @ beta, whole)
    contrasts = linalg.null_space(fixed_design.T)
    density = multivariate_normal.logpdf(
        contrasts.T @ response, cov=contrasts.T @ whole @ contrasts
    )
    return -2 * density + np.linalg.slogdet(fixed_design.T @ fixed_design)[1]


@both_criteria
@every_design
def test_criterion_is_the_normal_density(blocks, reml):
    data = simulate(blocks)
    model = Model(data, blocks, reml=reml)
    for seed in range(3):
        theta = some_theta(model, seed)
        covariance, sigma = model.variances(theta)
        expected = dense_criterion(data, covariance, sigma, reml=reml)
        assert model.criterion(theta) == pytest.approx(expected, abs=1e-8)
        # Profiled: no other sigma does better with the same relative covariance.
        for other in (0.97, 1.03):
            worse = dense_criterion(data, covariance * other**2, sigma * other, reml=reml)
            assert worse > expected


@both_criteria
@every_design
def test_optimum_is_the_density_s(blocks, reml):
    """A search over the dense density, started at the solution, finds nothing better."""
    data = simulate(blocks, seed=3)
    model = Model(data, blocks, reml=reml)
    solution = solve(data, blocks, reml=reml)
    assert solution.converged
    stream = np.random.default_rng(0)
    for _ in range(40):
        theta = solution.theta + stream.normal(0, 0.05, len(solution.theta))
        moved, sigma = model.variances(theta)
        assert dense_criterion(data, moved, sigma, reml=reml) >= solution.criterion - 1e-8


@both_criteria
@every_design
def test_estimates_are_those_of_the_dense_model(blocks, reml):
    """Henderson's formulas with V in full: beta, its covariance, modes, conditional covariance."""
    data = simulate(blocks, seed=2)
    response, fixed_design, random_design, clusters = data
    solution = solve(data, blocks, reml=reml)
    covariance = solution.covariance
    whole = dense_covariance(random_design, clusters, covariance, solution.sigma)
    inverse = np.linalg.inv(whole)
    information = fixed_design.T @ inverse @ fixed_design
    beta = np.linalg.solve(information, fixed_design.T @ inverse @ response)
    np.testing.assert_allclose(solution.fixed, beta, rtol=1e-8)
    np.testing.assert_allclose(
        solution.fixed_covariance, np.linalg.inv(information), rtol=1e-7, atol=1e-12
    )
    for cluster in range(clusters.max() + 1):
        rows = clusters == cluster
        local = random_design[rows]
        gain = covariance @ local.T @ np.linalg.inv(whole[np.ix_(rows, rows)])
        modes = gain @ (response - fixed_design @ beta)[rows]
        np.testing.assert_allclose(solution.effects[cluster], modes, atol=1e-8)
        conditional = covariance - gain @ local @ covariance
        np.testing.assert_allclose(solution.effects_covariance[cluster], conditional, atol=1e-8)
        np.testing.assert_allclose(solution.shrinkage[cluster], gain @ local, atol=1e-8)


@both_criteria
@every_design
def test_the_density_cluster_by_cluster_is_the_dense_one(blocks, reml):
    """Clusters of 4 to 230 rows: the short ones as they are, the long ones turned."""
    data = simulate(blocks, n_clusters=9, most=230)
    model = Model(data, blocks, reml=reml)
    theta = some_theta(model, 1)
    factor, profile = model.profile(theta)
    likelihood = model.likelihood
    fixed = likelihood.to_fixed @ (model.responses.projection + profile.coefficients)
    found, _ = density_criterion(
        *data,
        fixed=fixed[:, 0],
        root=likelihood.to_effects @ factor[:, :, 0],
        sigma=np.sqrt(profile.variance[0]),
        reml=reml,
    )
    assert found == pytest.approx(
        dense_criterion(data, *model.variances(theta), reml=reml), abs=1e-6
    )


def test_the_density_without_random_effects_is_that_of_independent_rows():
    response, design, random_design, clusters = simulate([Block(1)])
    found, _ = density_criterion(
        response,
        design,
        random_design,
        clusters,
        fixed=np.ones(3),
        root=np.zeros((1, 1)),
        sigma=2.0,
        reml=False,
    )
    expected = multivariate_normal.logpdf(response, design.sum(axis=1), 4 * np.eye(len(response)))
    assert found == pytest.approx(-2 * expected, rel=1e-12)


# ---- invariances -----------------------------------------------------------------------------


def solve_slopes(response, x, clusters, *, reml=True):
    design = np.column_stack([np.ones(len(x)), x])
    return solve((response, design, design, clusters), [Block(2)], reml=reml)


def line_data(seed=4, **options):
    response, fixed_design, _, clusters = simulate([Block(2)], seed=seed, **options)
    return response, fixed_design[:, 1], clusters


@both_criteria
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 7.0, 1e6])
def test_scale_of_the_predictor(scale, reml):
    response, x, clusters = line_data()
    plain = solve_slopes(response, x, clusters, reml=reml)
    scaled = solve_slopes(response, x * scale, clusters, reml=reml)
    # REML counts log|X'X|: twice the log of the unit. ML does not know the unit.
    change = 2 * np.log(scale) if reml else 0
    assert scaled.converged
    assert scaled.criterion == pytest.approx(plain.criterion + change, abs=1e-6)
    unit = np.array([1, 1 / scale])
    np.testing.assert_allclose(scaled.fixed, plain.fixed * unit, rtol=1e-5)
    np.testing.assert_allclose(
        scaled.covariance, plain.covariance * np.outer(unit, unit), rtol=1e-4
    )


@pytest.mark.parametrize("offset", [-3.0, 2017.0, 1e5])
def test_offset_of_the_predictor(offset):
    response, x, clusters = line_data()
    plain, moved = (solve_slopes(response, x + shift, clusters) for shift in (0, offset))
    back = np.array([[1, offset], [0, 1]])
    assert moved.converged
    assert moved.criterion == pytest.approx(plain.criterion, abs=1e-6)
    assert moved.fixed[1] == pytest.approx(plain.fixed[1], rel=1e-5)
    np.testing.assert_allclose(back @ moved.covariance @ back.T, plain.covariance, atol=1e-3)


def test_calendar_years():
    """Years 2015 to 2020: intercept and slope nearly collinear as they come."""
    clusters = np.repeat(np.arange(30), 6)
    year = np.tile(np.arange(2015.0, 2021.0), 30)
    stream = np.random.default_rng(6)
    lines = stream.normal(size=(30, 2)) * [1, 0.4]
    response = (lines[clusters] * np.column_stack([np.ones(180), year - 2017])).sum(axis=1)
    response += stream.normal(0, 0.5, 180)
    from_zero, calendar = (solve_slopes(response, year - start, clusters) for start in (2015, 0))
    assert calendar.converged
    assert calendar.criterion == pytest.approx(from_zero.criterion, abs=1e-5)
    assert calendar.covariance[1, 1] == pytest.approx(from_zero.covariance[1, 1], rel=1e-4)


def test_units_of_the_response():
    response, x, clusters = line_data()
    plain, scaled = (solve_slopes(response * unit, x, clusters) for unit in (1, 1e6))
    change = 2 * (len(x) - 2) * np.log(1e6)
    assert scaled.criterion == pytest.approx(plain.criterion + change, rel=1e-12)
    np.testing.assert_allclose(scaled.fixed, plain.fixed * 1e6, rtol=1e-5)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from(list(BLOCKS)))
def test_order_of_rows_and_labels_of_clusters_do_not_matter(seed, name):
    data = simulate(BLOCKS[name], seed=seed)
    relabel = np.random.default_rng(seed).permutation(7)
    response, fixed_design, random_design, clusters = shuffled(seed, *data)
    plain = solve(data, BLOCKS[name])
    other = solve((response, fixed_design, random_design, relabel[clusters]), BLOCKS[name])
    assert other.criterion == pytest.approx(plain.criterion, abs=1e-6)
    np.testing.assert_allclose(other.fixed, plain.fixed, atol=1e-4)
    np.testing.assert_allclose(other.effects[relabel], plain.effects, atol=2e-3)
    assert other.converged and plain.converged


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0, 3))
def test_no_perturbation_beats_the_optimum(seed, effect_sd):
    data = simulate([Block(2)], seed=seed, effect_sd=effect_sd)
    model, solution = Model(data, [Block(2)]), solve(data, [Block(2)])
    assert solution.converged
    stream = np.random.default_rng(seed)
    for size in (3, 1, 0.3, 0.1, 0.01):
        for _ in range(5):
            other = solution.theta + stream.normal(0, size, len(solution.theta))
            assert model.criterion(other) >= solution.criterion - 1e-7


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0.3, 3))
def test_shrinkage_matrices_are_between_none_and_all(seed, effect_sd):
    """Eigenvalues of W = G Z'H^-1 Z, and of the conditional over the prior variance."""
    data = simulate([Block(2)], seed=seed, effect_sd=effect_sd)
    solution = solve(data, [Block(2)])
    eigenvalues = np.linalg.eigvals(solution.shrinkage)
    assert np.abs(eigenvalues.imag).max() < 1e-8
    assert eigenvalues.real.min() > -1e-8
    assert eigenvalues.real.max() < 1 + 1e-8
    gap = solution.covariance - solution.effects_covariance
    assert np.linalg.eigvalsh(gap).min() > -1e-8


# ---- boundaries ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["intercept", "intercept and slope", "uncorrelated", "nested", "slope and nested"]
)
def test_a_start_at_zero_variance_is_left(name):
    """In theta the gradient at zero vanishes; the solver must see through it."""
    blocks = BLOCKS[name]
    data = simulate(blocks, n_clusters=20, seed=5)
    model, best = Model(data, blocks), solve(data, blocks)
    nothing = np.zeros(model.likelihood.n_parameters)
    factor, profile = model.profile(nothing)
    np.testing.assert_allclose(profile.gradient, 0, atol=1e-12)
    assert not is_optimum(model.likelihood, factor, profile)[0]
    assert best.criterion < profile.criterion[0] - 1
    assert model.search(nothing)[1] == pytest.approx(best.criterion, abs=1e-6)


def test_a_start_with_one_variance_at_zero_is_left():
    data = simulate([Block(2)], n_clusters=20, seed=5)
    model, best = Model(data, [Block(2)]), solve(data, [Block(2)])
    for start in ([0.8, 0, 0], [0, 0, 0.8]):
        assert model.search(start)[1] == pytest.approx(best.criterion, abs=1e-6)


def test_a_variance_at_zero_is_zero_and_singular():
    """Cluster means that vary less than chance: the estimate is 0 (closed form, balanced)."""
    response = np.tile([1.0, 2, 3, 4], 6)
    ones = np.ones((24, 1))
    solution = solve((response, ones, ones, np.repeat(np.arange(6), 4)), [Block(1)])
    assert solution.covariance[0, 0] == 0
    assert solution.singular and solution.converged
    assert solution.sigma == pytest.approx(response.std(ddof=1), rel=1e-12)


def test_balanced_random_intercept_has_its_closed_form():
    """REML of a balanced one-way layout is the analysis of variance (Searle et al. 1992)."""
    stream = np.random.default_rng(8)
    clusters = np.repeat(np.arange(15), 6)
    response = stream.normal(0, 2, 15)[clusters] + stream.normal(size=90)
    ones = np.ones((90, 1))
    solution = solve((response, ones, ones, clusters), [Block(1)])
    means = response.reshape(15, 6).mean(axis=1)
    within = ((response.reshape(15, 6) - means[:, None]) ** 2).sum() / (90 - 15)
    assert solution.sigma**2 == pytest.approx(within, rel=1e-6)
    assert solution.covariance[0, 0] == pytest.approx(means.var(ddof=1) - within / 6, rel=1e-6)


def test_cost_does_not_grow_with_rows():
    """One evaluation works on cluster cross-products: their shape has no n in it."""
    few, many = (
        Model(simulate([Block(2)], most=most), [Block(2)]).responses.products.shape
        for most in (5, 500)
    )
    assert few == many == (2, 7, 1)


# ---- far from one ----------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1e3, 1e6])
@pytest.mark.parametrize("blocks", [[Block(1)], [Block(2)]], ids=["intercept", "slope"])
def test_variances_far_above_the_residual(ratio, blocks):
    """Balanced, so sigma is that of the clusters' own lines, whatever varies between them."""
    stream = np.random.default_rng(3)
    clusters, size = np.repeat(np.arange(12), 6), blocks[0].size
    design = np.column_stack([np.ones(72), np.tile(np.arange(6.0), 12)])[:, :size]
    response = (design * stream.normal(size=(12, size))[clusters]).sum(axis=1) * ratio
    response += stream.normal(size=72)
    own = [np.linalg.lstsq(design[:6], part, rcond=None)[1][0] for part in response.reshape(12, 6)]
    solution = solve((response, design, design, clusters), blocks)
    assert solution.converged
    assert solution.sigma == pytest.approx(np.sqrt(sum(own) / (72 - 12 * size)), rel=1e-5)
    means = np.linalg.lstsq(design[:6], response.reshape(12, 6).T, rcond=None)[0]
    np.testing.assert_allclose(solution.fixed, means.mean(axis=1), rtol=1e-7)
    covariance = np.cov(means).reshape(size, size)
    np.testing.assert_allclose(solution.covariance, covariance, rtol=1e-3)


@pytest.mark.parametrize("ratio", [1e3, 1e6])
def test_a_line_within_clusters_far_apart(ratio):
    """The slope is that within the clusters: the large variance tells nothing of it."""
    stream = np.random.default_rng(3)
    clusters, x = np.repeat(np.arange(12), 6), stream.normal(size=72)
    response = 2 * x + ratio * stream.normal(size=12)[clusters] + stream.normal(size=72)
    within = [values - np.bincount(clusters, values)[clusters] / 6 for values in (x, response)]
    slope = within[0] @ within[1] / (within[0] @ within[0])
    design, ones = np.column_stack([np.ones(72), x]), np.ones((72, 1))
    solution = solve((response, design, ones, clusters), [Block(1)])
    assert solution.fixed[1] == pytest.approx(slope, rel=1e-4)
    residual = ((within[1] - slope * within[0]) ** 2).sum()
    assert solution.sigma == pytest.approx(np.sqrt(residual / (72 - 13)), rel=1e-4)


def test_a_perfect_fit_is_one_and_a_near_one_is_not():
    ones, clusters = np.ones((24, 1)), np.repeat(np.arange(6), 4)
    response = np.repeat(np.arange(6.0), 4)
    with pytest.raises(PerfectFitError):
        solve((response, ones, ones, clusters), [Block(1)])
    near = response + 1e-9 * np.random.default_rng(0).normal(size=24)
    assert 0 < solve((near, ones, ones, clusters), [Block(1)]).sigma < 1e-8


def test_many_random_effects_take_the_same_way(monkeypatch):
    """Beyond WIDE effects LAPACK decomposes; the numbers are the same."""
    data = simulate([Block(2), Block(6, identity=True)], n_clusters=12, most=14)
    blocks = [Block(2), Block(6, identity=True)]
    plain = solve(data, blocks)
    monkeypatch.setattr("helpers.models.likelihood.WIDE", 3)
    wide = solve(data, blocks)
    assert wide.criterion == pytest.approx(plain.criterion, abs=1e-9)
    np.testing.assert_allclose(wide.effects, plain.effects, atol=1e-6)


@both_criteria
def test_no_fixed_effect_at_all(reml):
    response, _, random_design, clusters = simulate([Block(2)])
    data = (response, np.empty((len(response), 0)), random_design, clusters)
    solution = solve(data, [Block(2)], reml=reml)
    whole = dense_covariance(random_design, clusters, solution.covariance, solution.sigma)
    expected = -2 * multivariate_normal.logpdf(response, cov=whole)
    assert solution.converged
    assert solution.criterion == pytest.approx(expected, abs=1e-8)


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response": np.ones(3)}, "here \\(60, any number\\)"),
        ({"blocks": [Block(1)]}, "cover the columns"),
        ({"fixed_design": np.ones((60, 2))}, "fixed-effects design matrix is rank deficient"),
        ({"random_design": np.ones((60, 2))}, "random-effects design matrix is rank deficient"),
    ],
)
def test_bad_shapes_are_refused(change, message):
    stream = np.random.default_rng(0)
    design = np.column_stack([np.ones(60), stream.normal(size=60)])
    arguments = {
        "response": stream.normal(size=60),
        "fixed_design": design,
        "random_design": design,
        "clusters": np.repeat(np.arange(10), 6),
        "blocks": [Block(2)],
    }
    arguments |= change
    with pytest.raises(ValueError, match=message):
        solve([arguments.pop("response"), *list(arguments.values())[:3]], arguments["blocks"])
