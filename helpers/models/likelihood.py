r"""The profiled likelihood of a mixed model, for one response or thousands of them at once.

The model of cluster :math:`c` is :math:`y_c = X_c\beta + Z_c b_c + \varepsilon_c` with
:math:`b_c \sim N(0, \sigma^2 FF')` and :math:`\varepsilon_c \sim N(0, \sigma^2 I)`. Following
Bates, Mächler, Bolker & Walker (2015, section 3), :math:`\beta` and :math:`\sigma` are profiled
out, and the criterion (-2 log-likelihood, ML or REML, constants included) is a function of the
relative covariance factor :math:`F` alone.

Clusters enter through their cross-products only: Z'Z and Z'X of the design, Z'y of each response.
An evaluation costs as much as there are clusters, however many rows they hold. Arrays have the
axes (matrix row, matrix column, cluster, data set), the last two where they are needed, so one
numpy operation serves all clusters of thousands of data sets.

Two transformations keep the arithmetic well conditioned and an optimiser indifferent to the units
of the predictors: the columns of X are orthogonalised, and the random-effect columns of each block
are whitened (their cross-product over all rows is n times the identity).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from scipy import linalg, sparse

# Clusters times data sets that are worked on together: their arrays stay in the cache of a core.
CHUNK = 8192


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
    """The criterion of each data set at one covariance factor, and what is profiled out.

    Attributes
    ----------
    criterion, variance : ndarray, shape (n_datasets,)
        -2 log-likelihood; residual variance.
    coefficients : ndarray, shape (p, n_datasets)
        Generalised least-squares coefficients of r on the basis of X.
    root : ndarray, shape (p, p, n_datasets)
        Upper-triangular L: L L' times the residual variance is the coefficients' covariance.
    slope : ndarray, shape (q, q, n_datasets)
        Derivative of the criterion by FF'.
    gradient : ndarray, shape (m, n_datasets)
        Derivative along the directions asked for.
    hessian : ndarray, shape (m, m, n_datasets), or None
        Second derivative along them, if asked for.
    """

    criterion: np.ndarray
    variance: np.ndarray
    coefficients: np.ndarray
    root: np.ndarray
    slope: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray | None


class Design:
    """Design matrices and clusters that one or many responses share.

    Parameters
    ----------
    fixed_design : ndarray, shape (n, p)
        X, of full column rank; p may be 0.
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
        If a matrix is rank deficient or not finite, shapes do not fit, clusters are not numbered
        without a gap, there is one only, or there are as many random effects as observations.

    Examples
    --------
    >>> clusters, ones = np.repeat([0, 1, 2], 4), np.ones((12, 1))
    >>> design = Design(ones, ones, clusters, [Block(1)])
    >>> responses = design.reduce(np.random.default_rng(1).normal(size=(12, 1000)))
    >>> design.evaluate(np.full((1, 1, 1000), 0.5), responses).criterion.shape
    (1000,)
    """

    def __init__(self, fixed_design, random_design, clusters, blocks, *, reml=True):
        fixed_design = _matrix(fixed_design, "fixed", fewest=0)
        random_design = _matrix(random_design, "random", fewest=1)
        self.blocks, self.reml = tuple(blocks), reml
        _check_shapes(fixed_design, random_design, clusters, self.blocks)
        self.n_obs, self.n_fixed = fixed_design.shape
        self.n_clusters, self.n_effects = int(clusters.max()) + 1, random_design.shape[1]
        self.degrees_of_freedom = self.n_obs - self.n_fixed if reml else self.n_obs
        self.basis, self.triangle = linalg.qr(fixed_design, mode="economic")
        if _is_rank_deficient(self.triangle):
            raise ValueError("the fixed-effects design matrix is rank deficient.")
        self.whitening = _whitening(random_design, self.blocks)
        self._cross_products(random_design, clusters)
        self._check_effect_count()

    def _cross_products(self, random_design, clusters):
        order = np.argsort(clusters, kind="stable")
        starts = np.searchsorted(clusters[order], np.arange(self.n_clusters))
        whitened = linalg.solve_triangular(self.whitening.T, random_design.T, lower=True)
        size, n = whitened.shape
        # Z' with its cluster structure; the products of an effect with all clusters are together.
        begins = np.append((n * np.arange(size)[:, None] + starts).ravel(), size * n)
        self._summing = sparse.csr_array(
            (whitened[:, order].ravel(), np.tile(order, size), begins),
            shape=(size * self.n_clusters, n),
        )
        shape = (size, self.n_clusters, -1)
        # Z'Z and Z'X, shapes (q, q, n_clusters) and (q, p, n_clusters).
        self._z_z, self._z_x = (
            np.ascontiguousarray((self._summing @ other).reshape(shape).transpose(0, 2, 1))
            for other in (whitened.T, self.basis)
        )

    def _check_effect_count(self):
        present = np.einsum("iic->ic", self._z_z) > 0
        for block, inside in self.slices():
            free = block.size * self.n_clusters
            n_effects = present[inside].sum() if block.identity else free
            if self.n_obs <= n_effects:
                raise ValueError(
                    f"{self.n_obs} observations for {n_effects} random effects: they cannot be "
                    "told from the residuals. Let fewer effects vary, or use more rows."
                )

    @property
    def n_parameters(self) -> int:
        """Length m of theta."""
        return sum(block.n_parameters for block in self.blocks)

    def slices(self) -> Iterator[tuple[Block, slice]]:
        """Yield each block with the columns it takes."""
        column = 0
        for block in self.blocks:
            yield block, slice(column, column + block.size)
            column += block.size

    @cached_property
    def directions(self) -> np.ndarray:
        """Derivative of the factor by each element of theta, shape (m, q, q, 1)."""
        parts = []
        for block, inside in self.slices():
            own = np.zeros((block.n_parameters, self.n_effects, self.n_effects))
            if block.identity:
                own[0, inside, inside] = np.eye(block.size)
            else:
                rows, columns = block.lower
                own[np.arange(len(rows)), inside.start + rows, inside.start + columns] = 1
            parts.append(own)
        return np.concatenate(parts)[..., None]

    def factor(self, theta) -> np.ndarray:
        """Lower-triangular factors, shape (q, q, n_datasets), of theta (m, n_datasets)."""
        return np.einsum("kij,kd->ijd", self.directions[..., 0], theta)

    def reduce(self, responses) -> Responses:
        """Reduce responses of shape (n_obs, n_datasets) to their cross-products."""
        projection = self.basis.T @ responses
        outside = responses - self.basis @ projection
        products = (self._summing @ outside).reshape(self.n_effects, self.n_clusters, -1)
        return Responses(projection, products, np.einsum("nd,nd->d", outside, outside))

    def moment_start(self, responses: Responses) -> np.ndarray:
        """Diagonal factors, shape (q, q, n_datasets), whose variances match the squares of Z'y.

        The expected squares are linear in the variances, as in Henderson's method; what X takes
        out of them and correlations are ignored, and ratios to the residual variance are kept
        between .01 and 9: from too large a start the way back is slow.
        """
        size = self.n_effects
        expected = np.empty((size + 1, size + 1))
        expected[:size, :size] = (self._z_z**2).sum(axis=2)
        expected[:size, size] = expected[size, :size] = np.einsum("iic->i", self._z_z)
        expected[size, size] = self.n_obs
        observed = np.vstack([(responses.products**2).sum(axis=1), responses.squares])
        variances = np.linalg.lstsq(expected, observed, rcond=None)[0]
        residual = np.maximum(variances[-1], 1e-6 * responses.squares / self.n_obs)
        ratios = variances[:-1] / np.maximum(residual, np.finfo(float).tiny)
        for block, inside in self.slices():
            if block.identity:
                ratios[inside] = ratios[inside].mean(axis=0)
        return np.eye(size)[:, :, None] * np.sqrt(np.clip(ratios, 0.01, 9))

    def evaluate(
        self, factor, responses: Responses, directions=None, *, hessian=False, variance=None
    ) -> Profile:
        """Criterion and derivatives of each data set at its factor.

        Parameters
        ----------
        factor : ndarray, shape (q, q, n_datasets)
            Relative covariance factor F of the whitened effects; it need not be triangular.
        responses : Responses
        directions : ndarray, shape (m, q, q, n_datasets), optional
            Changes of F along which to differentiate; by default the elements of theta.
        hessian : bool
            Also the second derivative.
        variance : ndarray, shape (n_datasets,), optional
            Residual variances, if they are not to be profiled out. The logarithm of the variance
            is then a further direction, the last one, of gradient and hessian.

        Returns
        -------
        Profile
        """
        directions = self.directions if directions is None else directions
        width = max(1, CHUNK // self.n_clusters)
        parts = []
        for start in range(0, len(responses), width):
            chunk = slice(start, start + width)
            along = directions if directions.shape[-1] == 1 else directions[..., chunk]
            # A perfect fit has no criterion: the callers look for missing values.
            with np.errstate(divide="ignore", invalid="ignore"):
                part = self._evaluate(
                    factor[..., chunk],
                    responses.take(chunk),
                    along,
                    hessian,
                    None if variance is None else variance[chunk],
                )
            parts.append(part)
        return parts[0] if len(parts) == 1 else _join(parts)

    def _evaluate(self, factor, responses, directions, hessian, given):
        log_determinants, shrunk = self._shrunken_covariance(factor)
        root, coefficients, squares = self._least_squares(shrunk, responses)
        degrees = self.degrees_of_freedom
        variance = squares / degrees if given is None else given
        scaled = squares / variance
        criterion = log_determinants + scaled + degrees * np.log(2 * np.pi * variance)
        if self.reml:
            # REML counts log|X'X| of the columns as given, not of their orthogonal basis.
            roots = np.abs(np.diag(self.triangle))[:, None] / np.einsum("iid->id", root)
            criterion += 2 * np.log(roots).sum(axis=0)
        precision, residuals = self._residuals(shrunk, root, coefficients, responses, variance)
        explained = residuals if self.reml else residuals[:, -1:]
        outer = np.einsum("iacd,jacd->ijcd", explained, explained)
        slope = (precision - outer).sum(axis=2)
        gradient = 2 * np.einsum(
            "kijd,ijd->kd", directions, np.einsum("ild,ljd->ijd", slope, factor)
        )
        second = None
        if hessian:
            changes = _covariance_changes(directions, factor)
            second = self._hessian(factor, directions, changes, slope, precision, outer)
            second -= self._profiled_part(residuals, changes, variance_too=given is None)
        if given is not None:
            gradient, second = self._with_variance(
                gradient, second, degrees - scaled, scaled, residuals, factor, directions
            )
        return Profile(criterion, variance, coefficients, root, slope, gradient, second)

    def _shrunken_covariance(self, factor):
        """Sum of log|I + F'Z'ZF|, and K = F (I + F'Z'ZF)^-1 F' of each cluster.

        K has shape (q, q, n_clusters, n_datasets).
        """
        inner = np.einsum("kid,kjcd->ijcd", factor, np.einsum("ikc,kjd->ijcd", self._z_z, factor))
        for position in range(self.n_effects):
            inner[position, position] += 1
        triangle = _cholesky(inner)
        determinants = np.prod(np.einsum("iicd->icd", triangle), axis=0)
        solved = _forward_solve(triangle, factor.transpose(1, 0, 2)[:, :, None])
        return 2 * np.log(determinants).sum(axis=0), np.einsum("kicd,kjcd->ijcd", solved, solved)

    def _least_squares(self, shrunk, responses):
        """Root of the coefficients' covariance, the coefficients and the residual squares."""
        p, n_datasets = self.n_fixed, len(responses)
        design = self._z_x.transpose(1, 0, 2).reshape(p, self.n_effects * self.n_clusters)
        y_shrunk = np.einsum("ijcd,jcd->icd", shrunk, responses.products)
        x_shrunk = np.einsum("ijcd,jbc->icbd", shrunk, self._z_x)
        # With orthogonal columns X'H^-1X = I - X'Z K Z'X, Woodbury's identity; y likewise.
        x_x = (design @ x_shrunk.reshape(design.shape[1], p * n_datasets)).reshape(p, p, n_datasets)
        x_y = design @ y_shrunk.reshape(-1, n_datasets)
        identity = np.eye(p)[:, :, None]
        inverse = _forward_solve(_cholesky(identity - x_x), identity)
        half = np.einsum("bad,ad->bd", inverse, x_y)
        coefficients = -np.einsum("bad,bd->ad", inverse, half)
        squares = responses.squares - np.einsum("icd,icd->d", responses.products, y_shrunk)
        squares -= np.einsum("ad,ad->d", half, half)
        # What rounding leaves of a perfect fit is no residual variance.
        squares = np.where(squares > 1e-13 * responses.squares, squares, np.nan)
        return inverse.transpose(1, 0, 2), coefficients, squares

    def _residuals(self, shrunk, root, coefficients, responses, variance):
        """Z'H^-1 Z and Z'H^-1 [X L, (y - X beta) / sigma] of each cluster.

        Shapes (q, q, n_clusters, n_datasets) and (q, p + 1, n_clusters, n_datasets).
        """
        size, p = self.n_effects, self.n_fixed
        # Z'H^-1 = M Z' with M = I - Z'Z K: what is left of Z' once the random effects are known.
        remains = -np.einsum("ikc,kjcd->ijcd", self._z_z, shrunk)
        for position in range(size):
            remains[position, position] += 1
        design = self._z_x.transpose(0, 2, 1)
        right = np.empty((size, p + 1, self.n_clusters, len(responses)))
        np.matmul(design[:, None], root.transpose(1, 0, 2), out=right[:, :p])
        right[:, p] = (responses.products - design @ coefficients) / np.sqrt(variance)
        return (
            np.einsum("ikcd,kjc->ijcd", remains, self._z_z),
            np.einsum("ikcd,kacd->iacd", remains, right),
        )

    def _with_variance(self, gradient, hessian, first, second, residuals, factor, directions):
        """Append the derivatives by the logarithm of the residual variance."""
        gradient = np.concatenate([gradient, first[None]])
        if hessian is None:
            return gradient, None
        changes = _covariance_changes(directions, factor)
        own = np.einsum("icd,jcd->ijd", residuals[:, -1], residuals[:, -1])
        mixed = np.einsum("ijd,kijd->kd", own, changes)[:, None]
        below = np.concatenate([mixed.transpose(1, 0, 2), second[None, None]], axis=1)
        return gradient, np.concatenate([np.concatenate([hessian, mixed], axis=1), below])

    def _hessian(self, factor, directions, changes, slope, precision, outer):
        """Second derivative along the directions, beta and sigma held.

        With R = Z'H^-1 Z (`precision`) and Y = Z'H^-1 [X L, (y - X beta)/sigma] (`residuals`) of a
        cluster, the first derivative by FF' is the sum of R - YY'. The second is the sum of
        tr((2YY' - R) dG R dG), less the squares of the sum of Y'dG Y, where dG = dF F' + F dF'.
        """
        lower, place = self._symmetric
        precision, outer = precision[lower], outer[lower]
        gram = np.einsum("xcd,ycd->xyd", 2 * outer - precision, precision)[place][:, :, place]
        hessian = np.einsum("kind,lnid->kld", np.einsum("ijmnd,kjmd->kind", gram, changes), changes)
        curved = np.einsum("ijd,kjld->kild", slope, directions)
        return hessian + 2 * np.einsum("kild,xild->kxd", curved, directions)

    @cached_property
    def _symmetric(self):
        """Lower triangle of a symmetric (q, q) matrix, and each element's place among it."""
        lower = np.tril_indices(self.n_effects)
        place = np.empty((self.n_effects, self.n_effects), int)
        place[lower] = place.T[lower] = np.arange(len(lower[0]))
        return lower, place

    def _profiled_part(self, residuals, changes, *, variance_too):
        """Give what profiling beta (and sigma) out takes off the second derivative."""
        size, p = self.n_effects, self.n_fixed
        flat = residuals.reshape(size * (p + 1), self.n_clusters, -1)
        gram = np.einsum("icd,jcd->ijd", flat, flat).reshape(size, p + 1, size, p + 1, -1)
        moved = np.einsum("iajbd,kijd->kabd", gram, changes)
        if not self.reml:
            moved[:, :p, :p] = 0
        own = moved[:, p, p]
        weight = 1 - variance_too / self.degrees_of_freedom
        return np.einsum("kabd,labd->kld", moved, moved) - weight * own[:, None] * own

    def effects(self, factor, profile, responses) -> tuple[np.ndarray, np.ndarray]:
        """Conditional modes of the random effects, and how far each is shrunken.

        Parameters
        ----------
        factor : ndarray, shape (q, q, n_datasets)
        profile : Profile
            At that factor.
        responses : Responses

        Returns
        -------
        modes : ndarray, shape (n_datasets, n_clusters, q)
            In the units of the random-effects design.
        shrinkage : ndarray, shape (n_datasets, n_clusters, q, q)
            W_c in ``b_c = W_c d_c``: d_c is the cluster's own least-squares deviation.
        """
        _, shrunk = self._shrunken_covariance(factor)
        residual = responses.products - self._z_x.transpose(0, 2, 1) @ profile.coefficients
        inverse = np.linalg.inv(self.whitening)
        modes = np.einsum("ijcd,jcd->dci", shrunk, residual)
        weights = np.einsum("ijcd,jkc->dcik", shrunk, self._z_z)
        return modes @ inverse.T, inverse @ weights @ self.whitening


def _covariance_changes(directions, factor):
    """Differentiate FF' along each direction: dF F' + F dF', shape (m, q, q, n_datasets)."""
    half = np.einsum("kild,jld->kijd", directions, factor)
    return half + half.transpose(0, 2, 1, 3)


def _join(profiles):
    parts = {
        field.name: [getattr(one, field.name) for one in profiles] for field in fields(Profile)
    }
    return Profile(
        **{
            name: None if values[0] is None else np.concatenate(values, axis=-1)
            for name, values in parts.items()
        }
    )


# ---- small matrices whose elements are arrays ------------------------------------------------


def _cholesky(matrix):
    """Lower triangle L, LL' the symmetric positive definite matrix; both of shape (q, q, ...)."""
    triangle = np.zeros_like(matrix)
    for column in range(len(matrix)):
        rest = matrix[column:, column]
        if column:
            known = triangle[column:, :column]
            rest = rest - np.einsum("ij...,j...->i...", known, known[0])
        triangle[column, column] = np.sqrt(rest[0])
        triangle[column + 1 :, column] = rest[1:] / triangle[column, column]
    return triangle


def _forward_solve(triangle, right):
    """T with LT = right, L a lower triangle of shape (q, q, ...)."""
    shape = np.broadcast_shapes(triangle.shape[2:], right.shape[2:])
    solved = np.empty((*right.shape[:2], *shape))
    for row in range(len(right)):
        rest = right[row]
        if row:
            rest = rest - np.einsum("j...,jk...->k...", triangle[row, :row], solved[:row])
        solved[row] = rest / triangle[row, row]
    return solved


# ---- the design matrices ---------------------------------------------------------------------


def _matrix(values, name, *, fewest):
    matrix = np.asarray(values, float)
    if matrix.ndim != 2 or not len(matrix) or matrix.shape[1] < fewest:
        raise ValueError(
            f"the {name}-effects design has shape {matrix.shape}; it must be a matrix with one row "
            "for each observation and one column for each effect."
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"the {name}-effects design matrix is not finite in every row.")
    return matrix


def _check_shapes(fixed_design, random_design, clusters, blocks):
    n = len(fixed_design)
    if len(random_design) != n or np.shape(clusters) != (n,):
        raise ValueError(
            f"the design matrices have {n} and {len(random_design)} rows and clusters has shape "
            f"{np.shape(clusters)}; they must have the same length."
        )
    if sum(block.size for block in blocks) != random_design.shape[1]:
        raise ValueError("the blocks must cover the columns of the random-effects design.")
    if not np.issubdtype(clusters.dtype, np.integer) or clusters.min() < 0:
        raise ValueError("clusters must be integers from 0. Number them with pandas.factorize.")
    counts = np.bincount(clusters)
    if not counts.all():
        raise ValueError("clusters must be numbered 0, 1, 2, ... without a gap. Renumber them.")
    if len(counts) < 2:
        raise ValueError("there is one cluster only; random effects need at least two.")


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
                raise ValueError(
                    "the random-effects design matrix is rank deficient. Drop a column."
                )
            parts.append(triangle / np.sqrt(len(columns)))
        column += block.size
    return linalg.block_diag(*parts)
