"""Kenward & Roger's correction of the fixed effects for few clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SmallSample:
    """Kenward & Roger's correction for few clusters; made by :func:`kenward_roger`.

    Attributes
    ----------
    fixed_covariance : ndarray, shape (p, p)
        Covariance matrix of the fixed effects, the uncertainty of the variances included.
    """

    fixed_covariance: np.ndarray
    plain_covariance: np.ndarray
    derivatives: np.ndarray
    variances_covariance: np.ndarray

    def degrees_of_freedom(self, weights) -> float:
        """Degrees of freedom of one linear combination of the fixed effects, weights (p,)."""
        weighted = self.plain_covariance @ weights
        gradient = weighted @ self.derivatives @ weighted
        variance = weights @ weighted
        return float(2 * variance**2 / (gradient @ self.variances_covariance @ gradient))


def kenward_roger(solution, fixed_design, random_design, clusters, blocks) -> SmallSample:
    """Correct the covariance matrix of the fixed effects for the variances being estimates.

    Parameters
    ----------
    solution : Estimates
        Its attributes covariance, sigma and fixed_covariance are used.
    fixed_design, random_design, clusters, blocks
        As :class:`helpers.models.likelihood.Likelihood` takes them.

    Returns
    -------
    SmallSample

    Notes
    -----
    Kenward & Roger (1997), equations 2-5, for variances that enter linearly. For a single linear
    combination their degrees of freedom reduce to Satterthwaite's (1946). Clusters enter through
    their cross-products, so that large ones cost no more than small ones.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from helpers.models.likelihood import Block
    >>> clusters, ones = np.repeat([0, 1, 2], 4), np.ones((12, 1))
    >>> solution = SimpleNamespace(
    ...     covariance=np.array([[8.917]]), sigma=0.577, fixed_covariance=np.array([[3.0]])
    ... )
    >>> small = kenward_roger(solution, ones, ones, clusters, [Block(1)])
    >>> round(small.degrees_of_freedom(np.ones(1)), 3)
    2.0
    """
    traces, first, second = _derivatives(solution, fixed_design, random_design, clusters, blocks)
    plain = solution.fixed_covariance
    curved = np.einsum("ipq,qr,jrs->ijps", first, plain, first)
    information = 0.5 * (traces + np.einsum("ijpq,qp->ij", curved - 2 * second, plain))
    variances = np.linalg.inv(information)
    excess = np.einsum("ij,ijpq->pq", variances, second - curved)
    return SmallSample(plain + 2 * plain @ excess @ plain, plain, first, variances)


def cross_products(left, right, clusters) -> np.ndarray:
    """Sum the products of two designs' columns over each cluster's rows.

    Parameters
    ----------
    left, right : ndarray, shape (n, a) and (n, b)
    clusters : ndarray of int, shape (n,)
        0 to n_clusters - 1, each occurring.

    Returns
    -------
    ndarray, shape (n_clusters, a, b)

    Examples
    --------
    >>> column = np.array([[1.0], [2.0], [3.0]])
    >>> cross_products(column, column, np.array([0, 0, 1])).ravel()
    array([5., 9.])
    """
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], np.arange(clusters.max() + 1))
    products = left[order][:, :, None] * right[order][:, None, :]
    return np.add.reduceat(products, starts, axis=0)


def gain(covariance, sigma, z_z) -> np.ndarray:
    """M of each cluster, with Cov(b, y) Var(y)^-1 = M Z' and Var(y)^-1 = (I - Z M Z') / sigma^2.

    Parameters
    ----------
    covariance : ndarray, shape (q, q)
        Covariance matrix of one cluster's random effects; it may be singular.
    sigma : float
    z_z : ndarray, shape (n_clusters, q, q)
        Z'Z.

    Returns
    -------
    ndarray, shape (n_clusters, q, q)

    Notes
    -----
    Woodbury's identity, with M = (sigma^2 I + Sigma Z'Z)^-1 Sigma.

    Examples
    --------
    >>> gain(np.eye(1), 1.0, np.array([[[4.0]]]))
    array([[[0.2]]])
    """
    return np.linalg.solve(sigma**2 * np.eye(len(covariance)) + covariance @ z_z, covariance)


def directions_of(blocks) -> np.ndarray:
    """Differentiate the random effects' covariance matrix by its free elements.

    Parameters
    ----------
    blocks : sequence of Block

    Returns
    -------
    ndarray, shape (m, q, q)
        In the order of the blocks, each by the rows of its lower triangle.

    Examples
    --------
    >>> from helpers.models.likelihood import Block
    >>> directions_of([Block(2), Block(3, identity=True)]).shape
    (4, 5, 5)
    """
    size, parts, column = sum(block.size for block in blocks), [], 0
    for block in blocks:
        own = np.zeros((block.n_parameters, size, size))
        if block.identity:
            inside = np.arange(column, column + block.size)
            own[0, inside, inside] = 1
        else:
            rows, columns = block.lower
            numbers = np.arange(len(rows))
            own[numbers, column + rows, column + columns] = 1
            own[numbers, column + columns, column + rows] = 1
        parts.append(own)
        column += block.size
    return np.concatenate(parts)


def _derivatives(solution, fixed_design, random_design, clusters, blocks):
    """Traces, P and Q of Kenward & Roger, the residual variance first, then the (co)variances.

    With V the covariance matrix of the response and V_i its derivatives: tr(V^-1 V_i V^-1 V_j),
    -X'V^-1 V_i V^-1 X and X'V^-1 V_i V^-1 V_j V^-1 X.
    """
    z_z = cross_products(random_design, random_design, clusters)
    z_x = cross_products(random_design, fixed_design, clusters)
    weights = gain(solution.covariance, solution.sigma, z_z)
    variance = solution.sigma**2
    # V^-1 Z = Z T, so powers of V^-1 beside Z are powers of T.
    turned = (np.eye(z_z.shape[1]) - weights @ z_z) / variance
    once = turned.mT @ z_x
    twice = turned.mT @ once
    along = directions_of(blocks)
    own = _residual_parts(fixed_design, z_z, z_x, weights, variance, once, twice)
    traces, first, second = _effect_parts(z_z @ turned, once, along)
    z_z_squared = turned.mT @ z_z @ turned
    mixed = np.einsum("kij,cji->k", along, z_z_squared)
    across = np.einsum("cap,kab,cbq->kpq", twice, along, once)
    return (
        np.block([[np.atleast_2d(own[0]), mixed[None]], [mixed[:, None], traces]]),
        np.concatenate([-own[1][None], first]),
        np.concatenate(
            [
                np.concatenate([own[2][None], across])[None],
                np.concatenate([across.transpose(0, 2, 1)[:, None], second], axis=1),
            ]
        ),
    )


def _residual_parts(fixed_design, z_z, z_x, weights, variance, once, twice):
    """tr(V^-2), X'V^-2 X and X'V^-3 X."""
    product = weights @ z_z
    trace = len(fixed_design) - 2 * np.einsum("cii->", product)
    trace += np.einsum("cij,cji->", product, product)
    fitted = np.einsum("cap,cab,cbq->pq", z_x, weights, z_x)
    power_1 = (fixed_design.T @ fixed_design - fitted) / variance
    power_2 = (power_1 - np.einsum("cap,cab,cbq->pq", once, weights, z_x)) / variance
    power_3 = (power_2 - np.einsum("cap,cab,cbq->pq", twice, weights, z_x)) / variance
    return trace / variance**2, power_2, power_3


def _effect_parts(precision, once, along):
    """Traces, P and Q by the random effects' (co)variances: `precision` is Z'V^-1 Z."""
    half = np.einsum("kij,cjl->ckil", along, precision)
    traces = np.einsum("ckil,cmli->km", half, half)
    right = np.einsum("kij,cjp->ckip", along, once)
    first = -np.einsum("cap,ckaq->kpq", once, right)
    second = np.einsum("ckap,cab,cmbq->kmpq", right, precision, right, optimize=True)
    return traces, first, second
