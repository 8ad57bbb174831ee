"""Kenward & Roger's correction against its formulas in full."""

import numpy as np
import pytest

from helpers.models.likelihood import Block
from helpers.models.reml import kenward_roger
from tests.test_estimates import dense_covariance, simulate, solve


def dense_kenward_roger(data, solution, parts):
    """Kenward & Roger (1997) with all rows at once; parts are dV by each variance, (n, n)."""
    _, x, z, clusters = data
    inverse = np.linalg.inv(dense_covariance(z, clusters, solution.covariance, solution.sigma))
    plain = np.linalg.inv(x.T @ inverse @ x)
    first = [-x.T @ inverse @ part @ inverse @ x for part in parts]
    size = range(len(parts))
    excess, information = np.zeros((*[len(parts)] * 2, *plain.shape)), np.zeros([len(parts)] * 2)
    for i in size:
        for j in size:
            second = x.T @ inverse @ parts[i] @ inverse @ parts[j] @ inverse @ x
            excess[i, j] = second - first[i] @ plain @ first[j]
            information[i, j] = 0.5 * (
                np.trace(inverse @ parts[i] @ inverse @ parts[j])
                - 2 * np.trace(plain @ second)
                + np.trace(plain @ first[i] @ plain @ first[j])
            )
    variances = np.linalg.inv(information)
    bias = sum(variances[i, j] * excess[i, j] for i in size for j in size)
    weights = np.array([1.0, 0.5, 0])
    gradient = np.array([weights @ plain @ part @ plain @ weights for part in first])
    df = 2 * (weights @ plain @ weights) ** 2 / (gradient @ variances @ gradient)
    return plain + 2 * plain @ bias @ plain, df


def test_kenward_roger_in_full():
    blocks = [Block(2), Block(3, identity=True)]
    data = simulate(blocks, n_clusters=9, seed=4)
    solution = solve(data, blocks)
    _, _, z, clusters = data
    same = clusters[:, None] == clusters
    cross = np.outer(z[:, 1], z[:, 0])
    parts = [
        np.eye(len(z)),
        same * np.outer(z[:, 0], z[:, 0]),
        same * (cross + cross.T),
        same * np.outer(z[:, 1], z[:, 1]),
        same * (z[:, 2:] @ z[:, 2:].T),
    ]
    expected, df = dense_kenward_roger(data, solution, parts)
    small = kenward_roger(solution, *data[1:], blocks)
    np.testing.assert_allclose(small.fixed_covariance, expected, rtol=1e-7, atol=1e-10)
    assert small.degrees_of_freedom(np.array([1.0, 0.5, 0])) == pytest.approx(df, rel=1e-7)
    assert (np.diag(small.fixed_covariance) > np.diag(solution.fixed_covariance)).all()


def test_kenward_roger_is_exact_in_a_balanced_design():
    """Slopes of 18 subjects with the same days: the t test of 18 slopes, 17 degrees of freedom."""
    stream = np.random.default_rng(3)
    clusters = np.repeat(np.arange(18), 10)
    design = np.column_stack([np.ones(180), np.tile(np.arange(10.0), 18)])
    effects = stream.normal(size=(18, 2))
    response = (design * effects[clusters]).sum(axis=1) + stream.normal(size=180)
    solution = solve((response, design, design, clusters), [Block(2)])
    small = kenward_roger(solution, design, design, clusters, [Block(2)])
    np.testing.assert_allclose(small.fixed_covariance, solution.fixed_covariance, rtol=1e-8)
    for weights in np.eye(2):
        assert small.degrees_of_freedom(weights) == pytest.approx(17, rel=1e-8)
