r"""The profiled likelihood of a linear mixed model with one grouping factor.

The model of cluster :math:`c` is :math:`y_c = X_c\beta + Z_c b_c + \varepsilon_c` with
:math:`b_c \sim N(0, \sigma^2\Lambda\Lambda')` and :math:`\varepsilon_c \sim N(0, \sigma^2 I)`.
Following Bates, Mächler, Bolker & Walker (2015, section 3), :math:`\beta` and :math:`\sigma` are
profiled out and the criterion (-2 log-likelihood, ML or REML, constants included) is a function of
the relative covariance factor :math:`\Lambda(\theta)` alone. Each cluster enters through its
cross-products only, so an evaluation costs as much as there are clusters, however many rows they
hold.

Two transformations keep the arithmetic well conditioned and the optimiser indifferent to the units
of the predictors: the columns of X are orthogonalised, and the random-effect columns of each block
are whitened (their cross-product over all rows is n times the identity).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, optimize

GRADIENT_TOLERANCE = 1e-4
SINGULAR_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Block:
    """Columns of the random-effects design matrix that share a covariance matrix.

    Attributes
    ----------
    size : int
        Number of columns.
    identity : bool
        False: the covariance matrix is free (variances and correlations).
        True: independent effects with one common variance, as in a nested term.
    """

    size: int
    identity: bool = False

    @property
    def n_parameters(self) -> int:
        """Length of this block's part of theta."""
        return 1 if self.identity else self.size * (self.size + 1) // 2

    @cached_property
    def lower(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the lower triangle, in theta's order."""
        return np.tril_indices(self.size)


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
        If a design matrix is rank deficient, or its shape does not fit.

    Examples
    --------
    >>> clusters = np.repeat([0, 1, 2], 4)
    >>> response = np.array([1.0, 2, 1, 2, 4, 5, 4, 5, 7, 8, 7, 8])
    >>> ones = np.ones((12, 1))
    >>> solution = ProfiledModel(response, ones, ones, clusters, [Block(1)]).solve()
    >>> print(round(solution.fixed[0], 3), round(solution.covariance[0, 0], 3))
    4.5 8.917
    """

    def __init__(self, response, fixed_design, random_design, clusters, blocks, *, reml=True):
        n, p = fixed_design.shape
        if len(response) != n or len(random_design) != n or len(clusters) != n:
            raise ValueError("response, design matrices and clusters must have the same length.")
        if sum(block.size for block in blocks) != random_design.shape[1]:
            raise ValueError("the blocks must cover the columns of the random-effects design.")
        self.blocks = tuple(blocks)
        self.reml = reml
        self._degrees_of_freedom = n - p if reml else n
        self._orthogonalise(np.asarray(response, float), np.asarray(fixed_design, float))
        self._whitening = _whitening(np.asarray(random_design, float), self.blocks)
        whitened = linalg.solve_triangular(self._whitening.T, random_design.T, lower=True).T
        self._cross_products(whitened, clusters)

    def _orthogonalise(self, response, fixed_design):
        """Keep X's QR decomposition and y's part outside the space X spans."""
        self._basis, self._triangle = linalg.qr(fixed_design, mode="economic")
        if _is_rank_deficient(self._triangle):
            raise ValueError("the fixed-effects design matrix is rank deficient.")
        self._projection = self._basis.T @ response
        self._outside = response - self._basis @ self._projection
        # REML counts log|X'X| of the columns as given, not of their orthogonal basis.
        self._constant = 2 * np.log(np.abs(np.diag(self._triangle))).sum() if self.reml else 0.0

    def _cross_products(self, whitened, clusters):
        order = np.argsort(clusters, kind="stable")
        starts = np.searchsorted(clusters[order], np.arange(clusters.max() + 1))
        others = np.column_stack([whitened, self._basis, self._outside])[order]
        products = whitened[order][:, :, None] * others[:, None, :]
        # One (q, q + p + 1) matrix per cluster: Z'Z, Z'X and Z'y side by side.
        self._products = np.add.reduceat(products, starts, axis=0)

    @property
    def n_parameters(self) -> int:
        """Length of theta."""
        return sum(block.n_parameters for block in self.blocks)

    @cached_property
    def start(self) -> np.ndarray:
        """Theta at which every (whitened) random effect has the residual's variance."""
        return np.concatenate([_identity_theta(block) for block in self.blocks])

    def theta(self, relative_covariance) -> np.ndarray:
        """Theta of a relative covariance matrix (random effects' over residual variance)."""
        whitened = self._whitening @ relative_covariance @ self._whitening.T
        values, vectors = np.linalg.eigh(whitened)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        parts = []
        for block, inside in self._block_slices():
            parts.append(_block_theta(root[inside], np.zeros(block.size), block))
        return np.concatenate(parts)

    def factor(self, theta) -> np.ndarray:
        """Lower-triangular relative covariance factor of the whitened effects, shape (q, q)."""
        size = sum(block.size for block in self.blocks)
        factor = np.zeros((size, size))
        for (block, inside), part in zip(self._block_slices(), self._split(theta), strict=True):
            if block.identity:
                factor[inside, inside] = part[0] * np.eye(block.size)
            else:
                factor[inside, inside][block.lower] = part
        return factor

    def criterion(self, theta) -> float:
        """-2 log-likelihood (REML or ML) with beta and sigma profiled out."""
        return self.evaluate(theta)[0]

    def evaluate(self, theta) -> tuple[float, np.ndarray]:
        """Criterion and its gradient with respect to theta."""
        factor = self.factor(theta)
        state = self._state(factor)
        return state["criterion"], self._gradient(factor, state)

    def _gradient(self, factor, state):
        return self._theta_part(2 * self._covariance_derivative(state) @ factor)

    def _state(self, factor):
        """Everything that depends on the relative covariance factor."""
        size = len(factor)
        products = self._products
        relative = factor @ factor.T
        inner = np.eye(size) + products[:, :, :size] @ relative
        # Z'H^-1[Z, X, y] with H = I + Z G Z': Z'H^-1 = (I + Z'Z G)^-1 Z', Woodbury's identity.
        remaining = np.linalg.inv(inner) @ products
        outer = relative @ products[:, :, size:]
        across = np.einsum("cij,cik->jk", outer, remaining[:, :, size:])
        information = np.eye(self._basis.shape[1]) - across[:-1, :-1]
        covariance = np.linalg.inv(information)
        coefficients = -covariance @ across[:-1, -1]
        total = self._outside @ self._outside
        squares = total - across[-1, -1] + across[:-1, -1] @ coefficients
        if not squares > 1e-13 * max(total, np.finfo(float).tiny):
            squares = np.nan
        degrees = self._degrees_of_freedom
        log_determinant = np.linalg.slogdet(inner)[1].sum()
        if self.reml:
            log_determinant += self._constant + np.linalg.slogdet(information)[1]
        return {
            "criterion": log_determinant + degrees * (1 + np.log(2 * np.pi * squares / degrees)),
            "remaining": remaining,
            "covariance": covariance,
            "coefficients": coefficients,
            "variance": squares / degrees,
        }

    def _covariance_derivative(self, state):
        """Differentiate the criterion by G = Lambda Lambda'; shape (q, q)."""
        remaining = state["remaining"]
        size = remaining.shape[1]
        between = remaining[:, :, size:-1]
        residual = remaining[:, :, -1] - between @ state["coefficients"]
        derivative = remaining[:, :, :size].sum(axis=0) - residual.T @ residual / state["variance"]
        if self.reml:
            weighted = between @ state["covariance"]
            derivative -= np.einsum("cij,ckj->ik", weighted, between)
        return derivative

    def _theta_part(self, derivative):
        parts = []
        for block, inside in self._block_slices():
            part = derivative[inside, inside]
            parts.append([np.trace(part)] if block.identity else part[block.lower])
        return np.concatenate(parts)

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
        theta = self._minimise(self.start if start is None else start)
        for _ in range(5):
            escape = self._escape(theta)
            if escape is None:
                break
            theta = self._minimise(escape)
        return self._solution(self._snap(theta))

    def _minimise(self, theta):
        # The gradient grows with the clusters; below this the criterion's own rounding hides it.
        tolerance = 1e-6 * np.sqrt(len(self._products))
        for _ in range(5):
            result = optimize.minimize(
                self.evaluate,
                theta,
                jac=True,
                method="L-BFGS-B",
                options={"gtol": tolerance, "ftol": 1e-15, "maxcor": 20},
            )
            theta = result.x
            if self._is_flat(result.jac):
                break
        return theta

    def _is_flat(self, gradient) -> bool:
        tolerance = GRADIENT_TOLERANCE * np.sqrt(len(self._products))
        return bool(np.abs(gradient).max() < tolerance)

    def _is_singular(self, factor) -> bool:
        """Whether some combination of random effects of a block has no variance."""
        smallest = [
            np.linalg.svd(factor[inside, inside], compute_uv=False).min()
            for _, inside in self._block_slices()
        ]
        return bool(min(smallest) < SINGULAR_TOLERANCE)

    def _escape(self, theta):
        """Return a better theta if a zero variance is a false optimum, otherwise None.

        Where a variance is zero the gradient in theta vanishes whether or not more variance would
        help. The derivative in G tells: at an optimum it is positive in every direction v that G
        lacks, v'Dv >= 0.
        """
        factor, theta_parts = self.factor(theta), self._split(theta)
        if not self._is_singular(factor):
            return None
        state = self._state(factor)
        derivative = self._covariance_derivative(state)
        for number, (block, inside) in enumerate(self._block_slices()):
            part = factor[inside, inside]
            direction = _lacking_direction(derivative[inside, inside], part, block)
            if direction is None:
                continue
            for step in (0.3, 0.1, 0.03, 0.01):
                trial = list(theta_parts)
                trial[number] = _block_theta(part, step * direction, block)
                candidate = np.concatenate(trial)
                if self.criterion(candidate) < state["criterion"] - 1e-8:
                    return candidate
        return None

    def _snap(self, theta):
        """Set variances that are zero but for rounding to zero; make factor diagonals positive."""
        factor, parts = self.factor(theta), []
        for block, inside in self._block_slices():
            left, singular, _ = np.linalg.svd(factor[inside, inside])
            singular = np.where(singular < SINGULAR_TOLERANCE, 0.0, singular)
            parts.append(_block_theta(left * singular, np.zeros(block.size), block))
        snapped = np.concatenate(parts)
        if not self._is_singular(factor):
            return snapped
        return snapped if self.criterion(snapped) <= self.criterion(theta) + 1e-7 else theta

    def _block_slices(self):
        column = 0
        for block in self.blocks:
            yield block, slice(column, column + block.size)
            column += block.size

    def _split(self, theta):
        ends = np.cumsum([block.n_parameters for block in self.blocks])
        return np.split(theta, ends[:-1])

    def _solution(self, theta) -> Solution:
        factor = self.factor(theta)
        state = self._state(factor)
        size, remaining = len(factor), state["remaining"]
        relative = factor @ factor.T
        residual = remaining[:, :, -1] - remaining[:, :, size:-1] @ state["coefficients"]
        shrinkage = relative @ remaining[:, :, :size]
        # Var(b | y) = sigma^2 (G - G Z'H^-1Z G), Bates et al. (2015), section 3.
        conditional = state["variance"] * (relative - shrinkage @ relative)
        whitening, inverse = self._whitening, np.linalg.inv(self._whitening)
        to_fixed = np.linalg.inv(self._triangle)
        return Solution(
            criterion=float(state["criterion"]),
            fixed=to_fixed @ (self._projection + state["coefficients"]),
            fixed_covariance=state["variance"] * to_fixed @ state["covariance"] @ to_fixed.T,
            sigma=float(np.sqrt(state["variance"])),
            covariance=state["variance"] * inverse @ relative @ inverse.T,
            effects=residual @ relative @ inverse.T,
            effects_covariance=inverse @ conditional @ inverse.T,
            shrinkage=inverse @ shrinkage @ whitening,
            converged=self._is_flat(self._gradient(factor, state)) and self._escape(theta) is None,
            singular=self._is_singular(factor),
        )


def kenward_roger(solution, fixed_design, random_design, clusters, blocks) -> SmallSample:
    """Correct the covariance matrix of the fixed effects for the variances being estimates.

    Parameters
    ----------
    solution : Solution
    fixed_design, random_design, clusters, blocks
        As :class:`ProfiledModel` takes them.

    Returns
    -------
    SmallSample

    Notes
    -----
    Kenward & Roger (1997), equations 2-5, for variances that enter linearly. For a single linear
    combination their degrees of freedom reduce to Satterthwaite's (1946).

    Examples
    --------
    >>> clusters, ones = np.repeat([0, 1, 2], 4), np.ones((12, 1))
    >>> response = np.array([1.0, 2, 1, 2, 4, 5, 4, 5, 7, 8, 7, 8])
    >>> solution = ProfiledModel(response, ones, ones, clusters, [Block(1)]).solve()
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


def _is_rank_deficient(triangle) -> bool:
    diagonal = np.abs(np.diag(triangle))
    norms = np.linalg.norm(triangle, axis=0)
    return bool(len(triangle) < triangle.shape[1] or (diagonal <= 1e-10 * norms).any())


def _whitening(random_design, blocks) -> np.ndarray:
    """Upper-triangular K with Z = (whitened Z) K, block diagonal, shape (q, q)."""
    parts, column = [], 0
    for block in blocks:
        columns = random_design[:, column : column + block.size]
        if block.identity:
            parts.append(np.sqrt((columns**2).sum() / len(columns)) * np.eye(block.size))
        else:
            triangle = linalg.qr(columns, mode="r")[0][: block.size]
            if _is_rank_deficient(triangle):
                raise ValueError("the random-effects design matrix is rank deficient.")
            parts.append(triangle / np.sqrt(len(columns)))
        column += block.size
    return linalg.block_diag(*parts)


def _identity_theta(block) -> np.ndarray:
    return _block_theta(np.eye(block.size), np.zeros(block.size), block)


def _block_theta(factor, direction, block) -> np.ndarray:
    """Theta of a block with covariance ``factor factor' + direction direction'``."""
    if block.identity:
        return np.array([np.hypot(np.linalg.norm(factor[0]), direction[0])])
    triangle = np.linalg.qr(np.column_stack([factor, direction]).T, mode="r")
    signs = np.where(np.diag(triangle) < 0, -1.0, 1.0)
    return (triangle * signs[:, None]).T[np.tril_indices(block.size)]


def _lacking_direction(derivative, factor, block):
    """Direction of zero variance in which the criterion would fall, or None."""
    tolerance = GRADIENT_TOLERANCE * np.sqrt(abs(np.trace(derivative)) + 1)
    if block.identity:
        lacking = abs(factor[0, 0]) < SINGULAR_TOLERANCE and np.trace(derivative) < -tolerance
        return np.eye(block.size)[0] if lacking else None
    left, singular, _ = np.linalg.svd(factor)
    null_space = left[:, singular < SINGULAR_TOLERANCE]
    if not null_space.size:
        return None
    values, vectors = np.linalg.eigh(null_space.T @ derivative @ null_space)
    return null_space @ vectors[:, 0] if values[0] < -tolerance else None
