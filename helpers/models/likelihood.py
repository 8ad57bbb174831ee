r"""The profiled likelihood of a mixed model, for one response or thousands of them at once.

The model of cluster :math:`c` is :math:`y_c = X_c\beta + Z_c b_c + \varepsilon_c` with
:math:`b_c \sim N(0, \sigma^2 FF')` and :math:`\varepsilon_c \sim N(0, \sigma^2 I)`. Following
Bates, Mächler, Bolker & Walker (2015, section 3), :math:`\beta` and :math:`\sigma` are profiled
out, and the criterion (-2 log-likelihood, ML or REML, constants included) is a function of the
relative covariance factor :math:`F` alone.

Each cluster is turned once: :math:`Z_c = Q_c R_c` with orthonormal columns in :math:`Q_c`. Of X
and y only the coordinates :math:`Q_c'X_c` and :math:`Q_c'y_c` matter, and what is left of them
within the clusters, where the covariance matrix is the identity. An evaluation costs as much as
there are clusters, however many rows they hold, and no small residual is a difference of large
sums. Arrays have the axes (matrix row, matrix column, cluster, data set), the last two where they
are needed, so one numpy operation serves all clusters of thousands of data sets.

Two transformations keep the arithmetic well conditioned and an optimiser indifferent to the units
of the predictors: the columns of X are centred and orthogonalised, and the random-effect columns of
each block are whitened (their cross-product over all rows is n times the identity).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

# Clusters times data sets that are worked on together: their arrays stay in the cache of a core.
CHUNK = 8192
# From this many random effects of a cluster on, LAPACK is faster than loops over their elements.
WIDE = 12
# A column is redundant if this share of it, or less, is not explained by the columns before it.
RANK_TOLERANCE = 1e-9
# A response that loses more than this to the within-cluster residual is reduced with more care.
CANCELLATION = 1e-6


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
    """Responses reduced to what the likelihood needs; made by :meth:`Likelihood.reduce`.

    Attributes
    ----------
    projection : ndarray, shape (p, n_datasets)
        Coordinates, in the orthonormal basis of X's columns, of the part taken out beforehand.
    products : ndarray, shape (q, n_clusters, n_datasets)
        Q'r of each cluster: r is the rest of the response.
    within : ndarray, shape (p, n_datasets)
        X'r of what the clusters' own columns leave of X and r.
    squares : ndarray, shape (n_datasets,)
        r'r of what they leave of r.
    """

    projection: np.ndarray
    products: np.ndarray
    within: np.ndarray
    squares: np.ndarray

    def __len__(self):
        return len(self.squares)

    def take(self, chosen) -> Responses:
        """Return the data sets at the positions `chosen`."""
        return Responses(
            self.projection[:, chosen],
            self.products[:, :, chosen],
            self.within[:, chosen],
            self.squares[chosen],
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


class Likelihood:
    """The likelihood of one or many responses that share design matrices and clusters.

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
    >>> likelihood = Likelihood(ones, ones, clusters, [Block(1)])
    >>> responses = likelihood.reduce(np.random.default_rng(1).normal(size=(12, 1000)))
    >>> likelihood.evaluate(np.full((1, 1, 1000), 0.5), responses).criterion.shape
    (1000,)
    """

    def __init__(self, fixed_design, random_design, clusters, blocks, *, reml=True):
        fixed_design = _matrix(fixed_design, "fixed")
        random_design = _matrix(random_design, "random")
        self.blocks, self.reml = tuple(blocks), reml
        _check_shapes(fixed_design, random_design, clusters, self.blocks)
        self.n_obs, self.n_fixed = fixed_design.shape
        self.n_clusters, self.n_effects = int(clusters.max()) + 1, random_design.shape[1]
        self.degrees_of_freedom = self.n_obs - self.n_fixed if reml else self.n_obs
        self.basis, triangle, centring = orthogonal(fixed_design)
        if _is_rank_deficient(triangle):
            raise ValueError("the fixed-effects design matrix is rank deficient.")
        #: Turns coordinates in the basis into fixed effects, shape (p, p).
        self.to_fixed = centring @ np.linalg.inv(triangle)
        # log|X'X| of the columns as given: centring leaves it as it is.
        self._log_determinant = 2 * np.log(np.abs(np.diag(triangle))).sum()
        whitened, self.to_effects = _whiten(random_design, self.blocks)
        self._turn(whitened, clusters)
        self._check_effect_count()

    def _turn(self, whitened, clusters):
        """Give each cluster orthonormal columns, and X in their coordinates and within."""
        from scipy import sparse  # a third of a second to import

        order, starts, counts = sort_by_cluster(clusters)
        columns, self._triangle = _orthonormal_by_cluster(whitened[order], starts, counts)
        size, n = self.n_effects, self.n_obs
        # Q' with its cluster structure; the products of an effect with all clusters are together.
        begins = np.append((n * np.arange(size)[:, None] + starts).ravel(), size * n)
        self._turning = sparse.csr_array(
            (columns.T.ravel(), np.tile(order, size), begins), shape=(size * self.n_clusters, n)
        )
        # Q'X, shape (q, p, n_clusters), and X'X of what the clusters' columns leave, (p, p).
        turned = self._turning @ self.basis
        self._fixed = np.ascontiguousarray(
            turned.reshape(size, self.n_clusters, self.n_fixed).transpose(0, 2, 1)
        )
        self._basis_within = self.basis - self._turning.T @ turned
        self._fixed_within = self._basis_within.T @ self._basis_within

    def _check_effect_count(self):
        present = np.einsum("kic,kic->ic", self._triangle, self._triangle) > 0
        for block, inside in self.slices():
            free = block.size * self.n_clusters
            n_effects = present[inside].sum() if block.identity else free
            if self.n_obs <= n_effects:
                raise ValueError(
                    f"{self.n_obs} observations for {n_effects} random effects: they cannot be "
                    "told from the residuals. Let fewer effects vary, or use more rows."
                )

    def identified(self) -> np.ndarray:
        """Share of each random effect's columns that the fixed effects leave, shape (q,).

        An effect of which nothing is left has a variance that the likelihood does not depend on.
        """
        total = np.einsum("kic,kic->i", self._triangle, self._triangle)
        products = np.einsum("kic,kpc->ipc", self._triangle, self._fixed)
        left = 1 - (products**2).sum(axis=(1, 2)) / total
        for block, inside in self.slices():
            if block.identity:
                left[inside] = 1 - (products[inside] ** 2).sum() / total[inside].sum()
        return left

    def fitted_perfectly(self, responses: Responses) -> np.ndarray:
        """Whether fixed and random effects leave nothing of a response; one bool per data set."""
        n_within = self.n_obs - (np.einsum("iic->ic", self._triangle) > 0).sum()
        values, vectors = np.linalg.eigh(self._fixed_within)
        kept = values > RANK_TOLERANCE**2 * max(1.0, values.max(initial=0))
        if n_within - self.reml * kept.sum() <= 0:
            return np.zeros(len(responses), bool)
        explained = (vectors[:, kept].T @ responses.within) ** 2 / values[kept, None]
        left = responses.squares - explained.sum(axis=0)
        whole = (responses.products**2).sum(axis=(0, 1)) + responses.squares
        whole = whole + (responses.projection**2).sum(axis=0)
        return ~(left > 1e-26 * whole)

    @cached_property
    def whitening(self) -> np.ndarray:
        """K with Z = (whitened Z) K, block diagonal, shape (q, q)."""
        return np.linalg.inv(self.to_effects)

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

    def reduce(self, responses, projection=None) -> Responses:
        """Reduce responses of shape (n_obs, n_datasets).

        Parameters
        ----------
        responses : ndarray, shape (n_obs, n_datasets)
        projection : ndarray, shape (p, n_datasets), optional
            Coordinates of what to take out beforehand; by default the least-squares fit.

        Returns
        -------
        Responses
        """
        if projection is None:
            projection = self.basis.T @ responses
        rest = responses - self.basis @ projection
        products = self._turning @ rest
        whole = np.einsum("nd,nd->d", rest, rest)
        squares = whole - np.einsum("kd,kd->d", products, products)
        by_row = self._fixed.transpose(1, 0, 2).reshape(self.n_fixed, len(products))
        within = -by_row @ products
        within += self.basis.T @ rest
        for number in np.flatnonzero(~(squares > CANCELLATION * whole)):
            left = rest[:, number] - self._turning.T @ products[:, number]
            squares[number], within[:, number] = left @ left, self._basis_within.T @ left
        shape = (self.n_effects, self.n_clusters, -1)
        return Responses(projection, products.reshape(shape), within, squares)

    def moment_start(self, responses: Responses) -> np.ndarray:
        """Diagonal factors, shape (q, q, n_datasets), whose variances match the squares of Z'y.

        The expected squares are linear in the variances, as in Henderson's method; what X takes
        out of them and correlations are ignored, and ratios to the residual variance are kept
        between .01 and 9: from too large a start the way back is slow.
        """
        size = self.n_effects
        z_z = np.einsum("kic,kjc->ijc", self._triangle, self._triangle)
        products = np.einsum("kic,kcd->icd", self._triangle, responses.products)
        squares = (responses.products**2).sum(axis=(0, 1)) + responses.squares
        expected = np.empty((size + 1, size + 1))
        expected[:size, :size] = (z_z**2).sum(axis=2)
        expected[:size, size] = expected[size, :size] = np.einsum("iic->i", z_z)
        expected[size, size] = self.n_obs
        observed = np.vstack([(products**2).sum(axis=1), squares])
        variances = np.linalg.lstsq(expected, observed, rcond=None)[0]
        residual = np.maximum(variances[-1], 1e-6 * squares / self.n_obs)
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
        log_determinants, inverse, turned = self._decompose(factor)
        fixed = np.einsum("ijcd,jpc->ipcd", inverse, self._fixed)
        response = np.einsum("ijcd,jcd->icd", inverse, responses.products)
        root, coefficients, squares = self._least_squares(fixed, response, responses)
        degrees = self.degrees_of_freedom
        variance = squares / degrees if given is None else given
        scaled = squares / variance
        criterion = log_determinants + scaled + degrees * np.log(2 * np.pi * variance)
        if self.reml:
            # REML counts log|X'X| of the columns as given, not of their orthogonal basis.
            criterion += self._log_determinant
            criterion -= 2 * np.log(np.einsum("iid->id", root)).sum(axis=0)
        residual = (response - np.einsum("ipcd,pd->icd", fixed, coefficients)) / np.sqrt(variance)
        both = np.empty((self.n_effects, self.n_fixed + 1, *residual.shape[1:]))
        np.einsum("ipcd,pod->iocd", fixed, root, out=both[:, :-1])
        both[:, -1] = residual
        # Z'H^-1 Z and Z'H^-1 [X L, (y - X beta) / sigma] of each cluster.
        precision = _times(turned.swapaxes(0, 1), turned)
        residuals = np.einsum("kicd,kpcd->ipcd", turned, both)
        explained = residuals if self.reml else residuals[:, -1:]
        outer = np.einsum("ipcd,jpcd->ijcd", explained, explained)
        slope = (precision - outer).sum(axis=2)
        gradient = 2 * np.einsum(
            "kijd,ijd->kd", directions, np.einsum("ild,ljd->ijd", slope, factor)
        )
        second = None
        if hessian:
            changes = _covariance_changes(directions, factor)
            second = self._hessian(directions, changes, slope, precision, outer)
            second -= self._profiled_part(residuals, changes, variance_too=given is None)
        if given is not None:
            gradient, second = self._with_variance(
                gradient, second, degrees - scaled, scaled, residuals, factor, directions
            )
        return Profile(criterion, variance, coefficients, root, slope, gradient, second)

    def _decompose(self, factor):
        """Decompose I + RFF'R' = LL' of each cluster.

        Returns the sum of the log-determinants, (n_datasets,), L^-1 and L^-1 R, both of shape
        (q, q, n_clusters, n_datasets).
        """
        half = np.einsum("ikc,kjd->ijcd", self._triangle, factor)
        inner = _times(half, half.swapaxes(0, 1))
        np.einsum("iicd->icd", inner)[...] += 1
        triangle = cholesky(inner)
        logs = np.log(np.einsum("iicd->icd", triangle)).sum(axis=(0, 1))
        inverse = forward_solve(triangle, np.eye(self.n_effects)[:, :, None, None])
        return 2 * logs, inverse, _times(inverse, self._triangle[..., None])

    def _least_squares(self, fixed, response, responses):
        """Root of the coefficients' covariance, the coefficients and the residual squares.

        The clusters' coordinates are whitened by L^-1; what is left within them needs no weight.
        """
        p = self.n_fixed
        x_x = np.einsum("ipcd,iocd->pod", fixed, fixed) + self._fixed_within[:, :, None]
        x_y = np.einsum("ipcd,icd->pd", fixed, response) + responses.within
        inverse = forward_solve(cholesky(x_x), np.eye(p)[:, :, None])
        half = np.einsum("pod,od->pd", inverse, x_y)
        coefficients = np.einsum("pod,pd->od", inverse, half)
        squares = np.einsum("icd,icd->d", response, response) + responses.squares
        squares -= np.einsum("pd,pd->d", half, half)
        # What rounding leaves of a perfect fit is no residual variance.
        squares = np.where(squares > 0, squares, np.nan)
        return inverse.transpose(1, 0, 2), coefficients, squares

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

    def _hessian(self, directions, changes, slope, precision, outer):
        """Second derivative along the directions, beta and sigma held.

        With R = Z'H^-1 Z (`precision`) and Y = Z'H^-1 [X L, (y - X beta)/sigma] (`residuals`) of a
        cluster, the first derivative by FF' is the sum of R - YY'. The second is the sum of
        tr((2YY' - R) dG R dG), less the squares of the sum of Y'dG Y, where dG = dF F' + F dF'.
        """
        curved = np.einsum("ijd,kjld->kild", slope, directions)
        hessian = 2 * np.einsum("kild,xild->kxd", curved, directions)
        return hessian + self._curvature(precision, outer, changes)

    def _curvature(self, precision, outer, changes):
        """Sum of tr((2YY' - R) dG R dG) over the clusters."""
        if self.n_effects > WIDE:
            changes = changes.transpose(0, 3, 1, 2)[:, :, None]
            first = (2 * outer - precision).transpose(3, 2, 0, 1) @ changes
            second = precision.transpose(3, 2, 0, 1) @ changes
            return np.einsum("kdcij,ldcji->kld", first, second)
        lower, place = self._symmetric
        precision, outer = precision[lower], outer[lower]
        gram = np.einsum("xcd,ycd->xyd", 2 * outer - precision, precision)[place][:, :, place]
        return np.einsum("kind,lnid->kld", np.einsum("ijmnd,kjmd->kind", gram, changes), changes)

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
        if size > WIDE:
            moved = np.einsum("iacd,kijd,jbcd->kabd", residuals, changes, residuals, optimize=True)
        else:
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
        _, inverse, turned = self._decompose(factor)
        residual = responses.products - np.einsum("ipc,pd->icd", self._fixed, profile.coefficients)
        residual = np.einsum("ijcd,jcd->icd", inverse, residual)
        covariance = np.einsum("ikd,jkd->ijd", factor, factor)
        modes = np.einsum("ijd,kjcd,kcd->dci", covariance, turned, residual, optimize=True)
        precision = _times(turned.swapaxes(0, 1), turned)
        weights = _times(covariance[:, :, None], precision).transpose(3, 2, 0, 1)
        return modes @ self.to_effects.T, self.to_effects @ weights @ self.whitening


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


def _times(left, right):
    """Product of matrices of shape (q, q, n_clusters, n_datasets)."""
    if len(left) <= WIDE:
        return np.einsum("ikcd,kjcd->ijcd", left, right)
    product = left.transpose(2, 3, 0, 1) @ right.transpose(2, 3, 0, 1)
    return product.transpose(2, 3, 0, 1)


def cholesky(matrix):
    """Lower triangle L, LL' the symmetric positive definite matrix; both of shape (q, q, ...)."""
    if len(matrix) > WIDE:
        first = np.linalg.cholesky(np.moveaxis(matrix, (0, 1), (-2, -1)))
        return np.moveaxis(first, (-2, -1), (0, 1))
    triangle = np.zeros_like(matrix)
    for column in range(len(matrix)):
        rest = matrix[column:, column]
        if column:
            known = triangle[column:, :column]
            rest = rest - np.einsum("ij...,j...->i...", known, known[0])
        triangle[column, column] = np.sqrt(rest[0])
        triangle[column + 1 :, column] = rest[1:] / triangle[column, column]
    return triangle


def forward_solve(triangle, right):
    """T with LT = right, L a lower triangle of shape (q, q, ...)."""
    if len(triangle) > WIDE:
        axes = (0, 1), (-2, -1)
        solved = np.linalg.solve(np.moveaxis(triangle, *axes), np.moveaxis(right, *axes))
        return np.moveaxis(solved, *axes[::-1])
    shape = np.broadcast_shapes(triangle.shape[2:], right.shape[2:])
    solved = np.empty((*right.shape[:2], *shape))
    for row in range(len(right)):
        rest = right[row]
        if row:
            rest = rest - np.einsum("j...,jk...->k...", triangle[row, :row], solved[:row])
        solved[row] = rest / triangle[row, row]
    return solved


# ---- the design matrices ---------------------------------------------------------------------


def _matrix(values, name):
    matrix = np.asarray(values, float)
    # There may be no fixed effect at all.
    if matrix.ndim != 2 or not len(matrix) or (name == "random" and not matrix.size):
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


def sort_by_cluster(clusters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the order that puts rows cluster after cluster, and each cluster's start and size there.

    Examples
    --------
    >>> sort_by_cluster(np.array([1, 0, 1]))
    (array([1, 0, 2]), array([0, 1]), array([1, 2]))
    """
    counts = np.bincount(clusters)
    # Sixteen bits are sorted by counting, five times as fast.
    codes = clusters.astype(np.uint16) if len(counts) < 2**16 else clusters
    return np.argsort(codes, kind="stable"), np.cumsum(counts) - counts, counts


def centre(matrix) -> tuple[np.ndarray, np.ndarray]:
    """Centre the columns of a matrix that has a constant one.

    Parameters
    ----------
    matrix : ndarray, shape (n, p)

    Returns
    -------
    centred : ndarray, shape (n, p)
        The matrix times `centring`.
    centring : ndarray, shape (p, p)
        Its determinant is one. Without a constant column it is the identity.

    Examples
    --------
    >>> centre(np.array([[1.0, 5], [1, 7]]))[0]
    array([[ 1., -1.],
           [ 1.,  1.]])
    """
    centring = np.eye(matrix.shape[1])
    # Reductions along long rows are fifty times as fast as along short columns.
    columns = np.array(matrix.T, order="C")
    same = columns.min(axis=1) == columns.max(axis=1)
    constant = np.flatnonzero(same & (columns[:, 0] != 0))
    if not constant.size:
        return matrix, centring
    first = constant[0]
    for place in np.flatnonzero(np.arange(len(columns)) != first):
        # Twice: of a mean of 1e9 the first one leaves its rounding.
        for _ in range(2):
            mean = columns[place].mean()
            columns[place] -= mean
            centring[first, place] -= mean / columns[first, 0]
    centred = np.ascontiguousarray(columns.T)
    return centred, centring


def orthogonal(matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give orthonormal Q, triangle R and centring C with (matrix) C = QR.

    Examples
    --------
    >>> basis, triangle, centring = orthogonal(np.array([[1.0, 5], [1, 7], [1, 9]]))
    >>> np.allclose(basis @ triangle, np.array([[1, -2], [1, 0], [1, 2]]))
    True
    """
    centred, centring = centre(matrix)
    basis, triangle = np.linalg.qr(centred)
    return basis, triangle, centring


def _is_rank_deficient(triangle) -> bool:
    diagonal = np.abs(np.diag(triangle))
    norms = np.linalg.norm(triangle, axis=0)
    too_few_rows = len(triangle) < triangle.shape[1]
    return bool(too_few_rows or (diagonal <= RANK_TOLERANCE * norms).any())


def _whiten(random_design, blocks) -> tuple[np.ndarray, np.ndarray]:
    """Whiten the columns of each block.

    Returns the whitened matrix, (n, q), and K, block diagonal (q, q): with b the effects of the
    whitened columns, K b are those of the columns as given.
    """
    n, size = random_design.shape
    parts, unwhitening, column = [], np.zeros((size, size)), 0
    for block in blocks:
        inside = slice(column, column + block.size)
        columns = random_design[:, inside]
        if block.identity:
            own = np.eye(block.size) / np.sqrt((columns**2).sum() / n)
            parts.append(columns * own[0, 0])
        else:
            _, triangle, centring = orthogonal(columns)
            if _is_rank_deficient(triangle):
                raise ValueError(
                    "the random-effects design matrix is rank deficient. Drop a column."
                )
            inverse = np.linalg.inv(triangle) * np.sqrt(n)
            own = centring @ inverse
            # Equal rows stay equal, which they do not in the basis.
            parts.append(centre(columns)[0] @ inverse)
        unwhitening[inside, inside] = own
        column += block.size
    return np.hstack(parts), unwhitening


def _orthonormal_by_cluster(columns, starts, counts) -> tuple[np.ndarray, np.ndarray]:
    """Give Q, (n, q), and R, (q, q, n_clusters), of each cluster: Gram and Schmidt, all together.

    Rows are sorted by cluster. A column that its cluster does not determine becomes zero.
    """
    columns, size = columns.copy(), columns.shape[1]
    triangle = np.zeros((size, size, len(starts)))
    lengths = np.sqrt(np.add.reduceat(columns**2, starts))
    for number in range(size):
        own, later = columns[:, number], columns[:, number + 1 :]
        length = np.sqrt(np.add.reduceat(own**2, starts))
        length[length <= 1e-12 * lengths[:, number]] = 0
        triangle[number, number] = length
        own *= np.repeat(np.divide(1, length, where=length > 0, out=np.zeros_like(length)), counts)
        if later.size:
            products = np.add.reduceat(own[:, None] * later, starts)
            triangle[number, number + 1 :] = products.T
            later -= own[:, None] * np.repeat(products, counts, axis=0)
    return columns, triangle
