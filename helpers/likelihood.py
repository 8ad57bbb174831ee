r"""The profiled likelihood of a mixed model, for one response or thousands of them at once.

The model of cluster :math:`c` is :math:`y_c = X_c\beta + Z_c b_c + \varepsilon_c` with
:math:`b_c \sim N(0, \sigma^2 G)`, :math:`G = \Lambda\Lambda'` and
:math:`\varepsilon_c \sim N(0, \sigma^2 I)`. Following Bates, Mächler, Bolker & Walker (2015,
section 3), :math:`\beta` and :math:`\sigma` are profiled out, and the criterion
(-2 log-likelihood, ML or REML, constants included) is a function of :math:`\Lambda(\theta)` alone.

Clusters enter through their cross-products only: Z'Z and Z'X of the design, Z'y of each response.
The small matrices of a cluster are written out element by element, and every element is an array
of shape (clusters, responses): one numpy operation serves thousands of clusters and data sets.

Two transformations keep the arithmetic well conditioned and an optimiser indifferent to the units
of the predictors: the columns of X are orthogonalised, and the random-effect columns of each block
are whitened (their cross-product over all rows is n times the identity).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import linalg, sparse

# Elements of one array: about twenty of this size stay in the cache of one core.
CHUNK = 16384


@dataclass(frozen=True)
class Responses:
    """Responses reduced to what the likelihood needs; made by :meth:`Design.reduce`.

    Attributes
    ----------
    projection : ndarray, shape (p, n_datasets)
        Coordinates in the orthonormal basis of X's columns.
    products : ndarray, shape (q, n_clusters, n_datasets)
        Z'r of each cluster: r is the part of the response outside the space X spans.
    squares : ndarray, shape (n_datasets,)
        r'r.
    """

    projection: np.ndarray
    products: np.ndarray
    squares: np.ndarray

    def __len__(self):
        return len(self.squares)

    def take(self, chosen) -> Responses:
        """Return the data sets at the positions `chosen`."""
        return Responses(
            self.projection[:, chosen], self.products[:, :, chosen], self.squares[chosen]
        )


@dataclass(frozen=True)
class Profile:
    """The criterion at one theta per data set, and what is profiled out.

    Attributes
    ----------
    criterion, variance : ndarray, shape (n_datasets,)
        -2 log-likelihood; residual variance.
    coefficients : ndarray, shape (p, n_datasets)
        Generalised least-squares coefficients of r on the basis of X.
    root : ndarray, shape (p, p, n_datasets)
        Upper-triangular L with L L' the coefficients' covariance over the residual variance.
    slope : ndarray, shape (q, q, n_datasets)
        Derivative of the criterion by G.
    gradient : ndarray, shape (m, n_datasets)
        Derivative by theta.
    hessian : ndarray, shape (m, m, n_datasets)
        Second derivative by theta.
    """

    criterion: np.ndarray
    variance: np.ndarray
    coefficients: np.ndarray
    root: np.ndarray
    slope: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


class Design:
    """Design matrices and clusters that one or many responses share.

    Parameters
    ----------
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
    """

    def __init__(self, fixed_design, random_design, clusters, blocks, *, reml=True):
        n, p = fixed_design.shape
        self.blocks = tuple(blocks)
        self.reml = reml
        self.n_obs, self.n_fixed = n, p
        self.n_clusters = int(clusters.max()) + 1
        self.n_effects = random_design.shape[1]
        self.degrees_of_freedom = n - p if reml else n
        self.basis, self.triangle = linalg.qr(fixed_design, mode="economic")
        # REML counts log|X'X| of the columns as given, not of their orthogonal basis.
        diagonal = np.abs(np.diag(self.triangle))
        self.constant = 2 * np.log(diagonal).sum() if reml else 0.0
        self.whitening = whitening(random_design, self.blocks)
        whitened = linalg.solve_triangular(self.whitening.T, random_design.T, lower=True)
        self._sums = self._summing_matrix(whitened, clusters)
        self._cross_products(whitened, clusters)

    def _summing_matrix(self, whitened, clusters):
        """Z' with its cluster structure, shape (q * n_clusters, n)."""
        rows = (np.arange(self.n_effects)[:, None] * self.n_clusters + clusters).ravel()
        columns = np.tile(np.arange(self.n_obs), self.n_effects)
        shape = (self.n_effects * self.n_clusters, self.n_obs)
        return sparse.csr_array((whitened.ravel(), (rows, columns)), shape=shape)

    def _cross_products(self, whitened, clusters):
        shape = (self.n_effects, self.n_clusters, -1)
        # Elements of Z'Z and Z'X, each a column of clusters beside which responses stand in rows.
        z_z = (self._sums @ whitened.T).reshape(shape)
        z_x = (self._sums @ self.basis).reshape(shape)
        self._z_z = z_z.transpose(0, 2, 1)[..., None]
        self._z_x = z_x.transpose(0, 2, 1)[..., None]

    @property
    def n_parameters(self) -> int:
        """Length of theta."""
        return sum(block.n_parameters for block in self.blocks)

    @property
    def elements(self) -> list[list[tuple[int, int]]]:
        """Rows and columns of the factor that each parameter of theta fills."""
        filled, start = [], 0
        for block in self.blocks:
            own = range(start, start + block.size)
            if block.identity:
                filled.append([(row, row) for row in own])
            else:
                filled += [[(row, column)] for row in own for column in range(start, row + 1)]
            start += block.size
        return filled

    def reduce(self, responses) -> Responses:
        """Reduce responses of shape (n_obs, n_datasets) to their cross-products."""
        projection = self.basis.T @ responses
        outside = responses - self.basis @ projection
        products = (self._sums @ outside).reshape(self.n_effects, self.n_clusters, -1)
        return Responses(projection, products, np.einsum("nd,nd->d", outside, outside))

    def moment_start(self, responses: Responses) -> np.ndarray:
        """Theta whose variances match the squares of Z'y, shape (m, n_datasets).

        The expected squares are linear in the variances, as in Henderson's method; what X takes
        out of them and correlations are ignored, and no variance starts at zero.
        """
        size = self.n_effects
        z_z = self._z_z[..., 0]
        expected = np.empty((size + 1, size + 1))
        expected[:size, :size] = (z_z**2).sum(axis=2)
        expected[:size, size] = expected[size, :size] = np.einsum("iic->i", z_z)
        expected[size, size] = self.n_obs
        observed = np.vstack([(responses.products**2).sum(axis=1), responses.squares])
        variances = np.linalg.lstsq(expected, observed, rcond=None)[0]
        residual = np.maximum(variances[-1], 1e-6 * responses.squares / self.n_obs)
        # A data set of zeros has no ratio.
        ratios = variances[:-1] / np.maximum(residual, np.finfo(float).tiny)
        starts = np.sqrt(np.clip(ratios, 0.01, 9))
        return np.array(
            [
                np.mean([starts[i] if i == j else 0 * starts[i] for i, j in places], axis=0)
                for places in self.elements
            ]
        )

    def effects(self, theta, profile, responses) -> tuple[np.ndarray, np.ndarray]:
        """Conditional modes and the shrinkage factors of each cluster.

        Parameters
        ----------
        theta : ndarray, shape (m, n_datasets)
        profile : Profile
            At that theta.
        responses : Responses

        Returns
        -------
        modes, shrinkage : ndarray, shape (n_datasets, n_clusters, q)
            In the units of the random-effects design; of W_c in ``b_c = W_c d_c`` the diagonal.
        """
        _, shrunk = self._shrunken_covariance(theta)
        rows = range(self.n_effects)
        residual = [responses.products[i] - _dot(self._z_x[i], profile.coefficients) for i in rows]
        modes = np.array([_dot(shrunk[i], residual) for i in rows])
        weights = _matmul(shrunk, self._z_z)
        inverse = np.linalg.inv(self.whitening)
        # Diagonal of K^-1 W K, K the whitening.
        diagonal = sum(
            (inverse[:, i] * self.whitening[j])[:, None, None] * weights[i][j]
            for i, j in product(rows, rows)
            if weights[i][j] is not None
        )
        shape = (self.n_effects, self.n_clusters, len(responses))
        return (
            np.einsum("ij,jcd->dci", inverse, modes),
            np.broadcast_to(diagonal, shape).transpose(2, 1, 0),
        )

    def factor(self, theta) -> np.ndarray:
        """Lower-triangular factors, shape (q, q, n_datasets), of theta (m, n_datasets)."""
        factor = np.zeros((self.n_effects, self.n_effects, theta.shape[1]))
        for value, places in zip(theta, self.elements, strict=True):
            for place in places:
                factor[place] = value
        return factor

    def evaluate(self, theta, responses: Responses) -> Profile:
        """Criterion, gradient and Hessian of each data set at its theta, shape (m, n_datasets)."""
        width = max(1, CHUNK // self.n_clusters)
        starts = range(0, len(responses), width)
        chunks = [slice(start, start + width) for start in starts]
        parts = [self._evaluate(theta[:, chunk], responses.take(chunk)) for chunk in chunks]
        return Profile(
            **{
                name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
                for name in Profile.__dataclass_fields__
            }
        )

    def _evaluate(self, theta, responses):
        factor = self.factor(theta)
        log_determinants, shrunk = self._shrunken_covariance(theta)
        # Z'H^-1 = M Z' with M = I - Z'Z K: what is left of Z' once the random effects are known.
        remains = _identity_minus(_matmul(self._z_z, shrunk))
        root, coefficients, squares = self._least_squares(shrunk, responses)
        degrees = self.degrees_of_freedom
        variance = squares / degrees
        criterion = log_determinants + degrees * (1 + np.log(2 * np.pi * variance))
        if self.reml:
            criterion += self.constant - 2 * np.log(np.einsum("iid->id", root)).sum(axis=0)
        residuals = self._residuals(remains, root, coefficients, responses, variance)
        slope, hessian = self._derivatives(factor, _symmetric(remains, self._z_z), residuals)
        gradient = 2 * self._collect(_matmul(slope, factor))
        return Profile(criterion, variance, coefficients, root, slope, gradient, hessian)

    def _shrunken_covariance(self, theta):
        """Sum of log|I + L'Z'Z L|, and the elements of K = L (I + L'Z'Z L)^-1 L', L the factor."""
        size = self.n_effects
        factor = [[None] * size for _ in range(size)]
        for value, places in zip(theta, self.elements, strict=True):
            for row, column in places:
                factor[row][column] = value
        upper = _transpose(factor)
        inner = _matmul(upper, _matmul(self._z_z, factor), lower=True)
        for position in range(size):
            inner[position][position] = inner[position][position] + 1
        triangle = _cholesky(inner)
        determinants = np.prod([triangle[i][i] for i in range(size)], axis=0)
        solved = _forward_solve(triangle, upper)
        return 2 * np.log(determinants).sum(axis=0), _gram(solved)

    def _least_squares(self, shrunk, responses):
        """Root of the coefficients' covariance, the coefficients and the residual squares."""
        p, n_datasets = self.n_fixed, len(responses)
        x_x, x_y = np.zeros((p, p, n_datasets)), np.zeros((p, n_datasets))
        y_y = np.zeros(n_datasets)
        for i, j in product(range(self.n_effects), repeat=2):
            if shrunk[i][j] is None:
                continue
            weighted = shrunk[i][j] * responses.products[j]
            weights = self._z_x[i, :, None, :, 0] * self._z_x[j, None, :, :, 0]
            x_x += weights @ shrunk[i][j]
            x_y += self._z_x[i, :, :, 0] @ weighted
            y_y += np.einsum("cd,cd->d", responses.products[i], weighted)
        information = np.eye(p)[:, :, None] - x_x
        triangle = _cholesky(information)
        inverse = _forward_solve(triangle, np.eye(p)[:, :, None])
        root = np.zeros((p, p, n_datasets))
        for row, column in zip(*np.tril_indices(p), strict=True):
            root[column, row] = inverse[row][column]
        half = np.einsum("abd,ad->bd", root, x_y)
        coefficients = -np.einsum("abd,bd->ad", root, half)
        squares = responses.squares - y_y - np.einsum("ad,ad->d", half, half)
        return root, coefficients, squares

    def _residuals(self, remains, root, coefficients, responses, variance):
        """M Z'[X L, (y - X beta) / sigma] of each cluster, shape (q, p + 1, clusters, datasets)."""
        size, p = self.n_effects, self.n_fixed
        right = np.empty((size, p + 1, self.n_clusters, len(responses)))
        for i, column in product(range(size), range(p)):
            weights = [root[row, column] for row in range(column + 1)]
            right[i, column] = _dot(self._z_x[i, : column + 1], weights)
        for i in range(size):
            fitted = _dot(self._z_x[i], coefficients)
            right[i, p] = (responses.products[i] - fitted) / np.sqrt(variance)
        left = np.empty_like(right)
        for i, column in product(range(size), range(p + 1)):
            left[i, column] = _dot(remains[i], right[:, column])
        return left

    def _derivatives(self, factor, precision, residuals):
        """First derivative by G and second by theta.

        With R = Z'H^-1 Z (`precision`) and Y = Z'H^-1 [X L, (y - X beta)/sigma] (`residuals`) of a
        cluster, the first derivative is the sum of R - YY'. The second is the sum of
        tr((2YY' - R) dG R dG), less the squares of Y'dG Y summed over clusters.
        """
        size = self.n_effects
        explained = residuals if self.reml else residuals[:, -1:]
        pairs = list(zip(*np.tril_indices(size), strict=True))
        outer = [np.einsum("acd,acd->cd", explained[i], explained[j]) for i, j in pairs]
        stacked = np.stack([precision[i][j] for i, j in pairs])
        curved = 2 * np.stack(outer) - stacked
        slope = (0.5 * (stacked - curved)).sum(axis=1)
        square = np.empty((size, size), int)
        for number, (i, j) in enumerate(pairs):
            square[i, j] = square[j, i] = number
        gram = np.einsum("icd,jcd->ijd", curved, stacked)[square][:, :, square]
        changes = self._covariance_changes(factor)
        half = np.einsum("ijmnd,kjmd->kind", gram, changes)
        hessian = np.einsum("kind,lnid->kld", half, changes)
        hessian -= self._profiled_part(residuals, changes)
        slope = slope[square]
        return slope, hessian + self._factor_part(slope)

    def _profiled_part(self, residuals, changes):
        """What profiling beta and sigma out takes off the second derivative."""
        size, p = self.n_effects, self.n_fixed
        flat = residuals.reshape(size * (p + 1), self.n_clusters, -1)
        gram = np.einsum("icd,jcd->ijd", flat, flat).reshape(size, p + 1, size, p + 1, -1)
        moved = np.einsum("iajbd,kijd->kabd", gram, changes)
        if not self.reml:
            moved[:, :p, :p] = 0
        own = moved[:, p, p]
        weight = 1 - 1 / self.degrees_of_freedom
        return np.einsum("kabd,labd->kld", moved, moved) - weight * own[:, None] * own

    def _covariance_changes(self, factor):
        """Derivative of G = LL' by each parameter, shape (m, q, q, n_datasets)."""
        changes = np.zeros((self.n_parameters, *factor.shape))
        for change, places in zip(changes, self.elements, strict=True):
            for row, column in places:
                change[row] += factor[:, column]
                change[:, row] += factor[:, column]
        return changes

    def _factor_part(self, slope):
        """Second derivative of tr(slope LL') by theta: G is quadratic in its factor."""
        part = np.zeros((self.n_parameters, self.n_parameters, slope.shape[-1]))
        for (k, places), (other, others) in product(enumerate(self.elements), repeat=2):
            for (row, column), (other_row, other_column) in product(places, others):
                if column == other_column:
                    part[k, other] += 2 * slope[row, other_row]
        return part

    def _collect(self, matrix):
        """Sum the elements of a matrix that each parameter fills, shape (m, n_datasets)."""
        return np.array([sum(matrix[i][j] for i, j in places) for places in self.elements])


def whitening(random_design, blocks) -> np.ndarray:
    """Upper-triangular K with Z = (whitened Z) K, block diagonal, shape (q, q)."""
    from helpers.reml import _whitening

    return _whitening(random_design, blocks)


# ---- matrices whose elements are arrays; None is an element that is zero everywhere -----------


def _dot(one, other):
    total = None
    for left, right in zip(one, other, strict=True):
        if left is None or right is None:
            continue
        total = left * right if total is None else total + left * right
    return total


def _transpose(matrix):
    return [list(row) for row in zip(*matrix, strict=True)]


def _matmul(left, right, *, lower=False):
    """Product of two matrices; of a symmetric one, the lower triangle alone is computed."""
    columns = _transpose(right)
    rows = [
        [_dot(row, column) for column in (columns[: number + 1] if lower else columns)]
        for number, row in enumerate(left)
    ]
    return rows


def _symmetric(left, right):
    """Product that is known to be symmetric."""
    lower = _matmul(left, right, lower=True)
    size = len(lower)
    return [[lower[max(i, j)][min(i, j)] for j in range(size)] for i in range(size)]


def _gram(matrix):
    columns = _transpose(matrix)
    return _symmetric(columns, matrix)


def _identity_minus(matrix):
    return [
        [
            (1 if i == j else 0) - value if value is not None else float(i == j)
            for j, value in enumerate(row)
        ]
        for i, row in enumerate(matrix)
    ]


def _cholesky(matrix):
    """Lower triangle L, LL' the symmetric matrix whose lower triangle is given."""
    triangle = []
    for i in range(len(matrix)):
        row = []
        for j in range(i + 1):
            value = matrix[i][j]
            known = _dot(row[:j], triangle[j][:j] if j < i else row[:j])
            if known is not None:
                value = -known if value is None else value - known
            if i == j:
                value = np.sqrt(value)
            elif value is not None:
                value = value / triangle[j][j]
            row.append(value)
        triangle.append(row)
    return triangle


def _forward_solve(triangle, right):
    """Solve L T = right."""
    solved = []
    for i, row in enumerate(right):
        inverse = 1 / triangle[i][i]
        new = []
        for j, value in enumerate(row):
            known = _dot(triangle[i][:i], [done[j] for done in solved])
            if known is not None:
                value = -known if value is None else value - known
            new.append(None if value is None else value * inverse)
        solved.append(new)
    return solved
