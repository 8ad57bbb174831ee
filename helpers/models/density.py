"""The normal density of the data from its definition: a check that shares nothing with the search.

The search knows clusters by their turned cross-products and profiles beta and sigma out
(:mod:`helpers.models.likelihood`). Here the covariance matrix of each cluster's rows is written
down and decomposed, at the estimates as they are reported.
"""

from __future__ import annotations

import numpy as np

from helpers.models.likelihood import centre, cholesky, forward_solve, sort_by_cluster

# Numbers in one array of covariance matrices.
CHUNK = 100_000
# So many sizes are taken one by one; of more, similar ones are filled up to one size.
FEW_SIZES = 12
# Longer clusters are turned first, so that all but q of their rows are independent.
LONG = 200


def density_criterion(response, fixed_design, random_design, clusters, *, fixed, root, sigma, reml):
    r"""-2 log-likelihood of y ~ N(X beta, sigma^2 V), V = blocks of Z_c (root root') Z_c' + I.

    Parameters
    ----------
    response : ndarray, shape (n,)
    fixed_design, random_design : ndarray, shapes (n, p) and (n, q)
    clusters : ndarray of int, shape (n,)
    fixed : ndarray, shape (p,)
    root : ndarray, shape (q, q)
        Of the relative covariance matrix of the random effects, in their own units.
    sigma : float
    reml : bool

    Returns
    -------
    criterion : float
        With REML that of Bates et al. (2015), equation 41: :math:`\log|X'V^{-1}X|` is added.
    largest : float
        Largest element of V: so much larger than a residual variance numbers have to be told apart.

    Examples
    --------
    >>> ones = np.ones((2, 1))
    >>> round(density_criterion(np.array([1.0, -1]), ones, ones, np.array([0, 1]),
    ...     fixed=np.zeros(1), root=np.zeros((1, 1)), sigma=1.0, reml=False)[0], 4)
    5.6758
    """
    n, p = fixed_design.shape
    centred, centring = centre(random_design)
    half = centred @ np.linalg.solve(centring, root)
    right = np.column_stack([fixed_design, (response - fixed_design @ fixed) / sigma])
    determinant, turned = 0.0, []
    for rows in _equal_clusters(clusters):
        logs, solved = _whiten_rows(*_padded(rows, half, right))
        determinant += logs
        turned.append(solved)
    whitened = np.vstack(turned)
    criterion = (n - reml * p) * np.log(2 * np.pi * sigma**2) + determinant
    criterion += whitened[:, -1] @ whitened[:, -1]
    if reml:
        triangle = np.linalg.qr(whitened[:, :p], mode="r")
        criterion += 2 * np.log(np.abs(np.diag(triangle))).sum()
    return float(criterion), float(np.einsum("nk,nk->n", half, half).max()) + 1


def _equal_clusters(clusters):
    """Yield row numbers, (size, n_clusters), of clusters of about one size; -1 fills them up."""
    order, starts, counts = sort_by_cluster(clusters)
    sizes = counts
    if len(np.unique(counts)) > FEW_SIZES:
        sizes = np.where(counts <= 4, counts, np.where(counts <= 40, -(-counts // 4) * 4, counts))
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        within = np.arange(size)
        width = max(1, CHUNK // (size * min(size, LONG)))
        for start in range(0, len(chosen), width):
            some = chosen[start : start + width]
            places = starts[some][:, None] + within
            filled = within < counts[some][:, None]
            rows = order[np.minimum(places, len(order) - 1)]
            yield np.where(filled, rows, -1).T


def _padded(rows, half, right):
    """Give the rows' Z (root) and [X, residual], shape (size, columns, n_clusters).

    Rows of zeros, which fill a cluster up, have variance one and residual zero: they add nothing.
    """
    both = np.stack([column[rows] for column in (*half.T, *right.T)], axis=1)
    if rows.min() < 0:
        both *= (rows >= 0)[:, None]
    return both[:, : half.shape[1]], both[:, half.shape[1] :]


def _whiten_rows(half, right):
    """Log-determinant of V, and L^-1 [X, residual] of all rows, V = LL'."""
    width, outside = right.shape[1], np.empty((0, right.shape[1]))
    if len(half) > LONG:
        basis, triangle = np.linalg.qr(half.transpose(2, 0, 1))
        right = right.transpose(2, 0, 1)
        inside = basis.mT @ right
        outside = (right - basis @ inside).reshape(-1, width)
        half, right = triangle.transpose(1, 2, 0), inside.transpose(1, 2, 0)
    covariance = np.einsum("ikc,jkc->ijc", half, half)
    np.einsum("iic->ic", covariance)[...] += 1
    triangle = cholesky(covariance)
    logs = 2 * np.log(np.einsum("iic->ic", triangle)).sum()
    solved = forward_solve(triangle, right).transpose(0, 2, 1).reshape(-1, width)
    return logs, np.vstack([solved, outside])
