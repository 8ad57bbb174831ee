"""Derivatives of the profiled criterion, and many data sets against one at a time.

That the criterion is the normal density is shown in tests/test_estimates.py.
"""

import numpy as np
import pytest

from helpers.models.likelihood import Block, Likelihood
from tests.designs import both_criteria, every_design, unbalanced


def arrays(blocks, seed=1):
    """Fixed and random design matrices, clusters, and five responses."""
    stream = np.random.default_rng(seed)
    fixed, random, clusters = unbalanced(blocks, stream, n_clusters=9)
    return fixed, random, clusters, stream.normal(size=(len(clusters), 5))


def some_design(blocks, *, reml=True):
    fixed, random, clusters, responses = arrays(blocks)
    design = Likelihood(fixed, random, clusters, blocks, reml=reml)
    theta = np.random.default_rng(0).normal(0.6, 0.5, (design.n_parameters, 5))
    return design, design.reduce(responses), theta


def central_difference(function, position, step=1e-5):
    """Derivative of function(theta) by each element of theta, along a new first axis."""
    moves = step * np.eye(len(position))[:, :, None]
    values = [(function(position + move), function(position - move)) for move in moves]
    return np.array([(above - below) / (2 * step) for above, below in values])


@both_criteria
@every_design
def test_gradient_is_that_of_finite_differences(blocks, reml):
    design, responses, theta = some_design(blocks, reml=reml)

    def criterion(theta):
        return design.evaluate(design.factor(theta), responses).criterion

    gradient = design.evaluate(design.factor(theta), responses).gradient
    np.testing.assert_allclose(gradient, central_difference(criterion, theta), rtol=1e-7, atol=1e-6)


@both_criteria
@every_design
def test_hessian_is_that_of_finite_differences(blocks, reml):
    design, responses, theta = some_design(blocks, reml=reml)

    def gradient(theta):
        return design.evaluate(design.factor(theta), responses).gradient

    hessian = design.evaluate(design.factor(theta), responses, hessian=True).hessian
    np.testing.assert_allclose(hessian, central_difference(gradient, theta), rtol=1e-6, atol=1e-5)


@every_design
def test_derivatives_along_any_directions(blocks):
    """From a factor that is no triangle, along directions that differ between data sets."""
    design, responses, _ = some_design(blocks)
    stream = np.random.default_rng(2)
    factor = stream.normal(size=(design.n_effects, design.n_effects, 5))
    directions = stream.normal(size=(2, *factor.shape))

    def at(coordinates):
        moved = factor + np.einsum("kijd,kd->ijd", directions, coordinates)
        return design.evaluate(moved, responses, directions, hessian=True)

    here, middle = at(np.zeros((2, 5))), np.zeros((2, 5))
    numeric = central_difference(lambda point: at(point).criterion, middle)
    np.testing.assert_allclose(here.gradient, numeric, rtol=1e-6, atol=1e-5)
    numeric = central_difference(lambda point: at(point).gradient, middle)
    np.testing.assert_allclose(here.hessian, numeric, rtol=1e-6, atol=1e-4)


def test_a_rotated_factor_is_the_same_covariance():
    design, responses, theta = some_design([Block(3)])
    factor = design.factor(theta)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turned = np.einsum("ijd,jk->ikd", factor, turn)
    one, other = design.evaluate(factor, responses), design.evaluate(turned, responses)
    np.testing.assert_allclose(other.criterion, one.criterion, rtol=1e-13)
    np.testing.assert_allclose(other.slope, one.slope, atol=1e-10)


@every_design
def test_many_data_sets_are_each_one_alone(blocks, monkeypatch):
    design, responses, theta = some_design(blocks)
    factor = design.factor(theta)
    together = design.evaluate(factor, responses, hessian=True)
    # A chunk of two data sets, then one data set at a time.
    monkeypatch.setattr("helpers.models.likelihood.CHUNK", 2 * design.n_clusters)
    in_chunks = design.evaluate(factor, responses, hessian=True)
    for number in range(5):
        alone = design.evaluate(factor[:, :, [number]], responses.take([number]), hessian=True)
        for name in ("criterion", "gradient", "hessian", "coefficients", "root"):
            expected = getattr(alone, name)[..., 0]
            for several in (together, in_chunks):
                np.testing.assert_allclose(
                    getattr(several, name)[..., number], expected, rtol=1e-11, atol=1e-11
                )


def test_the_start_knows_which_effects_vary():
    """Moments of 400 clusters: standard deviations 2 and .5, sizes that the residual's is 1."""
    stream = np.random.default_rng(5)
    clusters = np.repeat(np.arange(400), 8)
    matrix = np.column_stack([np.ones(3200), stream.normal(size=3200)])
    effects = stream.normal(size=(400, 2)) * [2, 0.5]
    response = (matrix * effects[clusters]).sum(axis=1) + stream.normal(size=3200)
    design = Likelihood(matrix, matrix, clusters, [Block(2)])
    start = design.moment_start(design.reduce(response[:, None]))[:, :, 0]
    sds = np.abs(np.diag(design.to_effects @ start))
    np.testing.assert_allclose(sds, [2, 0.5], rtol=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fixed_design": np.ones(60)}, "fixed-effects design has shape (60,)"),
        ({"fixed_design": np.ones((60, 2))}, "fixed-effects design matrix is rank deficient"),
        ({"random_design": np.ones((60, 2))}, "random-effects design matrix is rank deficient"),
        ({"random_design": np.full((60, 2), np.nan)}, "random-effects design matrix is not finite"),
        ({"random_design": np.ones((59, 2))}, "must have the same length"),
        ({"clusters": np.zeros(60, int)}, "one cluster only"),
        ({"clusters": np.arange(60) % 5 + 1}, "without a gap"),
        ({"clusters": np.arange(60) % 5 - 1}, "integers from 0"),
        ({"clusters": np.arange(60) / 2}, "integers from 0"),
        ({"clusters": np.arange(60) // 2}, "60 observations for 60 random effects"),
        ({"blocks": [Block(1)]}, "cover the columns"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_designs_that_cannot_be_fitted_are_refused(change, message):
    x = np.random.default_rng(0).normal(size=60)
    matrix = np.column_stack([np.ones(60), x])
    arguments = {
        "fixed_design": matrix,
        "random_design": matrix,
        "clusters": np.repeat(np.arange(10), 6),
        "blocks": [Block(2)],
    }
    with pytest.raises(ValueError) as error:
        Likelihood(**{**arguments, **change})
    assert message in str(error.value)
