"""Two ways to the optimum end in one place, also where variances are zero."""

import numpy as np
import pytest

from helpers.models.likelihood import Block, Likelihood
from helpers.models.optimum import is_optimum, is_singular, newton, search, snap, solve, theta_of
from tests.designs import every_design, unbalanced

sizes_of_effects = pytest.mark.parametrize("effect_sd", [0, 0.3, 1, 5])


def simulate(blocks, effect_sd, n_datasets, *, reml=True):
    stream = np.random.default_rng(4)
    fixed, random, clusters = unbalanced(blocks, stream, n_clusters=12)
    effects = stream.normal(0, effect_sd, (12, random.shape[1], n_datasets))
    responses = np.einsum("nq,nqd->nd", random, effects[clusters])
    responses += stream.normal(size=(len(clusters), n_datasets))
    design = Likelihood(fixed, random, clusters, blocks, reml=reml)
    return design, design.reduce(responses)


@sizes_of_effects
@every_design
def test_newton_leaves_no_data_set(blocks, effect_sd):
    design, responses = simulate(blocks, effect_sd, 200)
    factor, left = newton(design, responses)
    assert not left.size
    factor = snap(design, factor, responses)
    assert is_optimum(design, factor, design.evaluate(factor, responses)).all()


def test_effects_a_thousand_times_the_residual():
    design, responses = simulate([Block(2)], 1000, 50)
    factor, left = newton(design, responses)
    assert not left.size
    assert is_optimum(design, factor, design.evaluate(factor, responses)).all()


@sizes_of_effects
@every_design
def test_newton_and_the_search_agree(blocks, effect_sd):
    """L-BFGS on theta, from the identity, knows nothing of Newton's second derivatives."""
    design, responses = simulate(blocks, effect_sd, 10)
    factor, profile = solve(design, responses)
    start = np.eye(design.n_effects)[:, :, None]
    for number in range(10):
        one = responses.take([number])
        found = search(design, one, start)
        value = design.evaluate(found, one).criterion[0]
        assert value == pytest.approx(profile.criterion[number], abs=1e-7)
        assert is_singular(design, found)[0] == is_singular(design, factor[:, :, [number]])[0]


def test_what_newton_leaves_is_searched_for(monkeypatch):
    design, responses = simulate([Block(2)], 0.3, 20)
    expected = solve(design, responses)[1].criterion
    monkeypatch.setattr("helpers.models.optimum.MOST_EVALUATIONS", 2)
    assert newton(design, responses)[1].size == 20
    criterion = solve(design, responses)[1].criterion
    np.testing.assert_allclose(criterion, expected, atol=1e-7)


def test_a_false_optimum_is_none():
    """At zero variance every derivative by theta vanishes; by the covariance it does not."""
    design, responses = simulate([Block(2)], 1, 20)
    nothing = np.zeros((2, 2, 20))
    profile = design.evaluate(nothing, responses)
    np.testing.assert_allclose(profile.gradient, 0, atol=1e-12)
    assert not is_optimum(design, nothing, profile).any()


def test_small_variances_become_zero_only_if_that_costs_nothing():
    design, responses = simulate([Block(2)], 1, 20)
    good, _ = solve(design, responses)
    tiny = good.copy()
    tiny[1] = [[0.0], [9e-5]]
    snapped = snap(design, tiny, responses)
    before, after = (design.evaluate(each, responses).criterion for each in (tiny, snapped))
    assert (after <= before + 1e-7).all()
    assert is_singular(design, snapped).all()
    assert not is_singular(design, good).all()


def test_factors_are_triangles_with_non_negative_diagonals():
    design, responses = simulate([Block(2), Block(3, identity=True)], 0.5, 50)
    factor, _ = solve(design, responses)
    np.testing.assert_array_equal(factor[0, 1], 0)
    assert (np.einsum("iid->id", factor) >= 0).all()
    np.testing.assert_array_equal(design.factor(theta_of(design, factor)), factor)
