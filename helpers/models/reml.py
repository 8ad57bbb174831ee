"""Kenward & Roger's correction for few clusters."""

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
        Of one data set.
    fixed_design, random_design, clusters, blocks
        As :class:`helpers.models.likelihood.Likelihood` takes them.

    Returns
    -------
    SmallSample

    Notes
    -----
    Kenward & Roger (1997), equations 2-5, for variances that enter linearly. For a single linear
    combination their degrees of freedom reduce to Satterthwaite's (1946).

    Examples
    --------
    >>> from helpers.models.estimates import estimate
    >>> from helpers.models.likelihood import Block, Likelihood
    >>> clusters, ones = np.repeat([0, 1, 2], 4), np.ones((12, 1))
    >>> response = np.array([1.0, 2, 1, 2, 4, 5, 4, 5, 7, 8, 7, 8])
    >>> likelihood = Likelihood(ones, ones, clusters, [Block(1)])
    >>> solution = estimate(likelihood, response[:, None])[0]
    >>> small = kenward_roger(solution, ones, ones, clusters, [Block(1)])
    >>> round(small.degrees_of_freedom(np.ones(1)), 3)
    2.0
    """
    traces, first, second = 0.0, 0.0, 0.0
    for cluster in range(clusters.max() + 1):
        x, z = fixed_design[clusters == cluster], random_design[clusters == cluster]
        covariance = z @ solution.covariance @ z.T + solution.sigma**2 * np.eye(len(z))
        inverse = np.linalg.inv(covariance)
        products = inverse @ _variance_derivatives(z, blocks)
        right = products @ inverse @ x
        traces = traces + np.einsum("iab,jba->ij", products, products)
        first = first - x.T @ right
        second = second + np.einsum("ipa,jaq->ijpq", x.T @ products, right)
    plain = solution.fixed_covariance
    curved = np.einsum("ipq,qr,jrs->ijps", first, plain, first)
    information = 0.5 * (traces + np.einsum("ijpq,qp->ij", curved - 2 * second, plain))
    variances = np.linalg.inv(information)
    excess = np.einsum("ij,ijpq->pq", variances, second - curved)
    return SmallSample(plain + 2 * plain @ excess @ plain, plain, first, variances)


def _variance_derivatives(z, blocks) -> np.ndarray:
    """Differentiate one cluster's covariance matrix by sigma^2 and by each (co)variance."""
    parts, column = [np.eye(len(z))], 0
    for block in blocks:
        inside = z[:, column : column + block.size]
        column += block.size
        if block.identity:
            parts.append(inside @ inside.T)
            continue
        for one, other in zip(*block.lower, strict=True):
            part = np.outer(inside[:, one], inside[:, other])
            parts.append(part if one == other else part + part.T)
    return np.array(parts)
