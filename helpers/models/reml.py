"""The mixed model of one data set at its optimum.

The arithmetic of the likelihood is :mod:`helpers.models.likelihood`'s, its minimum is found by
:mod:`helpers.models.optimum`; here a single data set gets everything a fitted model is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.models.likelihood import Design
from helpers.models.optimum import is_optimum, is_singular, search, solve, theta_of


@dataclass(frozen=True)
class Solution:
    """Estimates at the optimum of the profiled criterion.

    Attributes
    ----------
    criterion : float
        -2 log-likelihood (REML or ML), constants included.
    fixed : ndarray, shape (p,)
        Fixed effects.
    fixed_covariance : ndarray, shape (p, p)
        Their covariance matrix given the variances.
    sigma : float
        Residual standard deviation.
    covariance : ndarray, shape (q, q)
        Covariance matrix of one cluster's random effects, block diagonal.
    effects : ndarray, shape (n_clusters, q)
        Conditional modes of the random effects.
    effects_covariance : ndarray, shape (n_clusters, q, q)
        Their conditional covariance matrices given the data and the estimates.
    shrinkage : ndarray, shape (n_clusters, q, q)
        W_c in ``b_c = W_c d_c``: d_c is the cluster's own least-squares deviation.
    converged, singular : bool
        Whether first- and second-order conditions hold; whether the optimum is on the boundary.
    """

    criterion: float
    fixed: np.ndarray
    fixed_covariance: np.ndarray
    sigma: float
    covariance: np.ndarray
    effects: np.ndarray
    effects_covariance: np.ndarray
    shrinkage: np.ndarray
    converged: bool
    singular: bool


class ProfiledModel:
    """The profiled criterion of one data set.

    Parameters
    ----------
    response : ndarray, shape (n,)
    fixed_design : ndarray, shape (n, p)
        X, of full column rank.
    random_design : ndarray, shape (n, q)
        Z without the cluster structure: one row per observation, one column per random effect.
    clusters : ndarray of int, shape (n,)
        Cluster of each row, 0 to n_clusters - 1, each occurring.
    blocks : sequence of Block
        How the q columns divide into blocks.
    reml : bool
        REML criterion (default) or ML.

    Raises
    ------
    ValueError
        As :class:`helpers.models.likelihood.Design`, or if the response has another length.

    Examples
    --------
    >>> from helpers.models.likelihood import Block
    >>> clusters = np.repeat([0, 1, 2], 4)
    >>> response = np.array([1.0, 2, 1, 2, 4, 5, 4, 5, 7, 8, 7, 8])
    >>> ones = np.ones((12, 1))
    >>> solution = ProfiledModel(response, ones, ones, clusters, [Block(1)]).solve()
    >>> print(round(solution.fixed[0], 3), round(solution.covariance[0, 0], 3))
    4.5 8.917
    """

    def __init__(self, response, fixed_design, random_design, clusters, blocks, *, reml=True):
        self._design = Design(fixed_design, random_design, clusters, blocks, reml=reml)
        response = np.asarray(response, float)
        if response.shape != (self._design.n_obs,):
            raise ValueError(
                f"the response has shape {response.shape}; it must have the same length as the "
                f"design matrices, {self._design.n_obs}."
            )
        self._responses = self._design.reduce(response[:, None])

    @property
    def reml(self) -> bool:
        """REML criterion, or ML."""
        return self._design.reml

    @property
    def n_parameters(self) -> int:
        """Length of theta."""
        return self._design.n_parameters

    def theta(self, relative_covariance) -> np.ndarray:
        """Theta of a relative covariance matrix (random effects' over residual variance)."""
        design = self._design
        whitened = design.whitening @ relative_covariance @ design.whitening.T
        root = np.zeros_like(whitened)
        for block, inside in design.slices():
            values, vectors = np.linalg.eigh(whitened[inside, inside])
            own = vectors * np.sqrt(np.clip(values, 0, None))
            root[inside, inside] = (
                np.linalg.norm(own[0]) * np.eye(len(own)) if block.identity else own
            )
        return theta_of(design, root[:, :, None])[:, 0]

    def factor(self, theta) -> np.ndarray:
        """Lower-triangular relative covariance factor of the whitened effects, shape (q, q)."""
        return self._design.factor(np.asarray(theta)[:, None])[:, :, 0]

    def criterion(self, theta) -> float:
        """-2 log-likelihood (REML or ML) with beta and sigma profiled out."""
        return self.evaluate(theta)[0]

    def evaluate(self, theta) -> tuple[float, np.ndarray]:
        """Criterion and its gradient with respect to theta."""
        profile = self._design.evaluate(self.factor(theta)[:, :, None], self._responses)
        return float(profile.criterion[0]), profile.gradient[:, 0]

    def solve(self, start=None) -> Solution:
        """Minimise the criterion; leave false boundary points; check the optimum.

        Parameters
        ----------
        start : ndarray, optional
            Starting value of theta.

        Returns
        -------
        Solution
        """
        if start is None:
            factor, _ = solve(self._design, self._responses)
        else:
            factor = search(self._design, self._responses, self.factor(start)[:, :, None])
        return self._solution(theta_of(self._design, factor)[:, 0])

    def _solution(self, theta) -> Solution:
        design = self._design
        factor = design.factor(theta[:, None])
        profile = design.evaluate(factor, self._responses)
        effects, shrinkage = design.effects(factor, profile, self._responses)
        variance = profile.variance[0]
        inverse, to_fixed = np.linalg.inv(design.whitening), np.linalg.inv(design.triangle)
        half = inverse @ factor[:, :, 0]
        covariance = variance * half @ half.T
        root = to_fixed @ profile.root[:, :, 0]
        coefficients = self._responses.projection + profile.coefficients
        return Solution(
            criterion=float(profile.criterion[0]),
            fixed=to_fixed @ coefficients[:, 0],
            fixed_covariance=variance * root @ root.T,
            sigma=float(np.sqrt(variance)),
            covariance=covariance,
            effects=effects[0],
            # Var(b | y) = sigma^2 (G - G Z'H^-1Z G), Bates et al. (2015), section 3.
            effects_covariance=covariance - shrinkage[0] @ covariance,
            shrinkage=shrinkage[0],
            converged=bool(is_optimum(design, factor, profile)[0]),
            singular=bool(is_singular(design, factor)[0]),
        )
