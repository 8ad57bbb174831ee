"""Thousands of data sets of one design, fitted together.

A simulation study fits the same design again and again: predictors and clusters stay, the response
changes. :class:`SharedDesign` reduces the design once and lets Newton's method run on all responses
side by side (:mod:`helpers.likelihood`); data sets that have converged leave. :func:`fit_blocks`
spreads blocks of responses over the cores of a machine or over a Dask cluster.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from tqdm import tqdm

from helpers.likelihood import Design, Profile, Responses
from helpers.reml import GRADIENT_TOLERANCE, SINGULAR_TOLERANCE, ProfiledModel

#: Data sets that are worked on together: more of them use more memory, not less time.
BLOCK_SIZE = 2000
# Newton's step promises to lower the criterion by half of this when it is called converged.
DECREMENT = 1e-12
# A criterion counts as lower within its own rounding.
ROUNDING = 1e-12
MOST_EVALUATIONS = 25


@dataclass(frozen=True)
class BatchFits:
    """Estimates of many data sets; the first axis of every array counts the data sets.

    Attributes
    ----------
    criterion : ndarray, shape (n_datasets,)
        -2 log-likelihood (REML or ML), constants included.
    theta : ndarray, shape (n_datasets, m)
        Elements of the relative covariance factor of the whitened random effects.
    sigma : ndarray, shape (n_datasets,)
        Residual standard deviation.
    covariance : ndarray, shape (n_datasets, q, q)
        Covariance matrix of one cluster's random effects.
    fixed, fixed_se : ndarray, shape (n_datasets, p)
        Fixed effects and their standard errors given the variances.
    converged, singular : ndarray of bool, shape (n_datasets,)
        Whether first- and second-order conditions hold; whether the optimum is on the boundary.
    effects : ndarray, shape (n_datasets, n_clusters, q), or None
        Conditional modes of the random effects, if asked for.
    shrinkage : ndarray, shape (n_datasets, n_clusters, q), or None
        Diagonal of W_c in ``b_c = W_c d_c``, if asked for: d_c is the cluster's own least-squares
        deviation.
    """

    criterion: np.ndarray
    theta: np.ndarray
    sigma: np.ndarray
    covariance: np.ndarray
    fixed: np.ndarray
    fixed_se: np.ndarray
    converged: np.ndarray
    singular: np.ndarray
    effects: np.ndarray | None = None
    shrinkage: np.ndarray | None = None

    def __len__(self):
        return len(self.criterion)

    @classmethod
    def join(cls, parts: Iterable[BatchFits]) -> BatchFits:
        """One after the other, as one."""
        parts = list(parts)
        columns = {
            field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)
        }
        return cls(
            **{
                name: None if values[0] is None else np.concatenate(values)
                for name, values in columns.items()
            }
        )


class SharedDesign:
    """A design that many data sets share.

    Parameters
    ----------
    fixed_design, random_design, clusters, blocks, reml
        As :class:`helpers.reml.ProfiledModel` takes them.

    Raises
    ------
    ValueError
        If a design matrix is rank deficient or not finite, shapes do not fit, there is one cluster
        only, or as many random effects as observations.

    Examples
    --------
    >>> from helpers.reml import Block
    >>> clusters, ones = np.repeat(np.arange(8), 5), np.ones((40, 1))
    >>> stream = np.random.default_rng(1)
    >>> responses = stream.normal(size=(8, 1000))[clusters] + stream.normal(size=(40, 1000))
    >>> fits = SharedDesign(ones, ones, clusters, [Block(1)]).fit(responses)
    >>> fits.fixed.shape, bool(fits.converged.all())
    ((1000, 1), True)
    """

    def __init__(self, fixed_design, random_design, clusters, blocks, *, reml=True):
        fixed_design = _matrix(fixed_design, "fixed_design")
        random_design = _matrix(random_design, "random_design")
        clusters = _checked_clusters(clusters, len(fixed_design))
        _check_sizes(fixed_design, random_design, clusters, blocks)
        self._arguments = (fixed_design, random_design, clusters, tuple(blocks))
        self.reml = reml
        self._design = Design(*self._arguments, reml=reml)

    @property
    def n_obs(self) -> int:
        """Number of observations of each data set."""
        return self._design.n_obs

    def fit(self, responses, *, effects=False) -> BatchFits:
        """Fit each column of responses.

        Parameters
        ----------
        responses : ndarray, shape (n_obs, n_datasets)
        effects : bool
            Also give conditional modes and shrinkage of every cluster.

        Returns
        -------
        BatchFits

        Raises
        ------
        ValueError
            If the shape does not fit, a value is not finite, or a data set leaves no residual.

        Warns
        -----
        RuntimeWarning
            If a data set has no optimum to be found; its ``converged`` is False.
        """
        responses = self._checked(responses)
        reduced = self._design.reduce(responses)
        theta, stubborn = minimise(self._design, reduced)
        theta = self._snap(theta, reduced)
        profile = self._design.evaluate(theta, reduced)
        stubborn = np.union1d(stubborn, np.flatnonzero(~self._is_optimum(theta, profile)))
        if stubborn.size:
            for number in stubborn:
                theta[:, number] = self._solve_alone(responses[:, number], theta[:, number])
            profile = self._design.evaluate(theta, reduced)
        fits = self._describe(theta, profile, reduced, effects=effects)
        failed = np.flatnonzero(~fits.converged)
        if failed.size:
            warnings.warn(
                f"{failed.size} of {len(fits)} data sets have no optimum to trust; the first is "
                f"number {failed[0]}. Leave out those whose `converged` is False.",
                RuntimeWarning,
                stacklevel=2,
            )
        return fits

    def _checked(self, responses):
        responses = np.asarray(responses, float)
        if responses.ndim != 2 or len(responses) != self.n_obs:
            raise ValueError(
                f"responses has shape {responses.shape}; it must be (n_obs, n_datasets), here "
                f"({self.n_obs}, any number). Put one data set into each column."
            )
        if not responses.shape[1]:
            raise ValueError("responses holds no data set. Give at least one column.")
        wrong = np.flatnonzero(~np.isfinite(responses).all(axis=0))
        if wrong.size:
            raise ValueError(
                f"{wrong.size} data sets hold values that are not finite; the first is column "
                f"{wrong[0]}. Leave them out."
            )
        return responses

    def _solve_alone(self, response, start):
        """Theta by the solver for single data sets, which is slower and harder to mislead."""
        model = ProfiledModel(response, *self._arguments, reml=self.reml)
        solutions = [model.solve(), model.solve(start)]
        best = min(solutions, key=lambda solution: (not solution.converged, solution.criterion))
        return model.theta(best.covariance / best.sigma**2)

    def _block_factors(self, theta):
        factor = np.moveaxis(self._design.factor(theta), -1, 0)
        start = 0
        for block in self._design.blocks:
            inside = slice(start, start + block.size)
            yield block, inside, factor[:, inside, inside]
            start += block.size

    def _is_singular(self, theta):
        """Whether some combination of random effects of a block has no variance."""
        smallest = [
            np.linalg.svd(factor, compute_uv=False).min(axis=1)
            for _, _, factor in self._block_factors(theta)
        ]
        return np.min(smallest, axis=0) < SINGULAR_TOLERANCE

    def _snap(self, theta, reduced):
        """Set variances that are zero but for rounding to zero; make factor diagonals positive."""
        parts = []
        for block, _, factor in self._block_factors(theta):
            left, singular, _ = np.linalg.svd(factor)
            singular[singular < SINGULAR_TOLERANCE] = 0
            parts.append(_lower_elements(left * singular[:, None, :], block))
        snapped = np.concatenate(parts)
        doubtful = np.flatnonzero(self._is_singular(theta))
        if doubtful.size:
            some = reduced.take(doubtful)
            before = self._design.evaluate(theta[:, doubtful], some).criterion
            after = self._design.evaluate(snapped[:, doubtful], some).criterion
            worse = doubtful[~(after <= before + 1e-7)]
            snapped[:, worse] = theta[:, worse]
        return snapped

    def _is_optimum(self, theta, profile):
        """Conditions of first order in theta, and in G where a variance is zero."""
        scale = np.sqrt(self._design.n_clusters)
        flat = np.abs(profile.gradient).max(axis=0) < GRADIENT_TOLERANCE * scale
        slope = np.moveaxis(profile.slope, -1, 0)
        lacking = [
            _lowest_slope(slope[:, inside, inside], factor, block)
            for block, inside, factor in self._block_factors(theta)
        ]
        return flat & (np.min(lacking, axis=0) >= 0)

    def _describe(self, theta, profile, reduced, *, effects):
        design = self._design
        factor = np.moveaxis(design.factor(theta), -1, 0)
        relative = factor @ factor.transpose(0, 2, 1)
        inverse = np.linalg.inv(design.whitening)
        to_fixed = np.linalg.inv(design.triangle)
        root = np.einsum("ab,bcd->acd", to_fixed, profile.root)
        sigma = np.sqrt(profile.variance)
        modes, shrinkage = design.effects(theta, profile, reduced) if effects else (None, None)
        return BatchFits(
            criterion=profile.criterion,
            theta=theta.T,
            sigma=sigma,
            covariance=profile.variance[:, None, None] * (inverse @ relative @ inverse.T),
            fixed=(to_fixed @ (reduced.projection + profile.coefficients)).T,
            fixed_se=(sigma * np.sqrt((root**2).sum(axis=1))).T,
            converged=self._is_optimum(theta, profile),
            singular=self._is_singular(theta),
            effects=modes,
            shrinkage=shrinkage,
        )


def minimise(design: Design, reduced: Responses) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method on all data sets together.

    Returns
    -------
    theta : ndarray, shape (m, n_datasets)
    left : ndarray of int
        Positions of the data sets that did not converge.
    """
    theta = design.moment_start(reduced)
    trial, active = theta.copy(), np.arange(len(reduced))
    criterion, step = np.full(len(reduced), np.inf), np.zeros_like(theta)
    decrement = np.full(len(reduced), np.inf)
    for _ in range(MOST_EVALUATIONS):
        profile = design.evaluate(trial[:, active], reduced.take(active))
        slack = ROUNDING * np.abs(profile.criterion) + 1e-10
        better = profile.criterion <= criterion[active] + slack
        moved = active[better]
        theta[:, moved] = trial[:, moved]
        criterion[moved] = profile.criterion[better]
        step[:, moved], decrement[moved] = _newton_step(
            profile.gradient[:, better], profile.hessian[:, :, better], theta[:, moved]
        )
        step[:, active[~better]] /= 4
        active = active[decrement[active] > DECREMENT]
        if not active.size:
            break
        trial[:, active] = theta[:, active] + step[:, active]
    return theta, active


def _newton_step(gradient, hessian, theta):
    """Newton's step with negative curvature turned round, and what it promises to gain, twice."""
    values, vectors = np.linalg.eigh(np.moveaxis(hessian, -1, 0))
    curvature = np.abs(values)
    curvature = np.maximum(curvature, 1e-10 * curvature.max(axis=1, keepdims=True) + 1e-300)
    turned = np.einsum("dij,id->dj", vectors, gradient)
    step = -np.einsum("dij,dj->id", vectors, turned / curvature)
    longest = np.maximum(np.linalg.norm(theta, axis=0), 0.3)
    length = np.linalg.norm(step, axis=0)
    return step * np.minimum(1, longest / np.maximum(length, 1e-300)), (turned**2 / curvature).sum(
        axis=1
    )


def _lower_elements(factor, block):
    """Theta of a block, (m, n_datasets), from any square root of its covariance."""
    if block.identity:
        return np.abs(factor[:, :1, 0]).T
    triangle = np.linalg.qr(factor.transpose(0, 2, 1), mode="r")
    signs = np.where(np.einsum("dii->di", triangle) < 0, -1.0, 1.0)
    lower = (triangle * signs[:, :, None]).transpose(0, 2, 1)
    return lower[:, *block.lower].T


def _lowest_slope(slope, factor, block):
    """Lowest derivative in a direction without variance, plus a tolerance; inf without one."""
    tolerance = GRADIENT_TOLERANCE * np.sqrt(np.abs(np.einsum("dii->d", slope)) + 1)
    if block.identity:
        value = np.einsum("dii->d", slope)
        return np.where(np.abs(factor[:, 0, 0]) < SINGULAR_TOLERANCE, value + tolerance, np.inf)
    left, singular, _ = np.linalg.svd(factor)
    lacking = singular < SINGULAR_TOLERANCE
    inside = left.transpose(0, 2, 1) @ slope @ left
    inside = np.where(lacking[:, :, None] & lacking[:, None, :], inside, 0.0)
    values = np.linalg.eigvalsh(inside).min(axis=1)
    return np.where(lacking.any(axis=1), values + tolerance, np.inf)


# ---- spreading the work ----------------------------------------------------------------------


def fit_blocks(
    design: SharedDesign,
    responses,
    *,
    effects=False,
    n_workers=1,
    client=None,
    progress=False,
    block_size=BLOCK_SIZE,
) -> BatchFits:
    """Fit responses block by block, on one core, several, or a Dask cluster.

    Parameters
    ----------
    design : SharedDesign
    responses : ndarray, shape (n_obs, n_datasets), or iterable
        An iterable yields blocks: arrays of shape (n_obs, any number), or functions without
        arguments that return one. Such functions run where the fit runs, so that simulating is
        shared out too.
    effects : bool
        Also give conditional modes and shrinkage of every cluster.
    n_workers : int
        Processes; 1 (default) works in this one.
    client : dask.distributed.Client, optional
        Work on its cluster instead.
    progress : bool
        Show a progress bar, counting data sets.
    block_size : int
        Data sets of an array that are fitted together.

    Returns
    -------
    BatchFits
        In the order of the responses; the numbers do not depend on where they were computed.
    """
    blocks = _cut(responses, block_size) if isinstance(responses, np.ndarray) else responses
    total = responses.shape[1] if isinstance(responses, np.ndarray) else None
    parts = []
    with tqdm(total=total, unit=" fits", disable=not progress) as bar:
        for part in _run(design, blocks, effects, n_workers, client):
            parts.append(part)
            bar.update(len(part))
    if not parts:
        raise ValueError("responses yields no block. Give at least one data set.")
    return BatchFits.join(parts)


def _cut(responses, block_size):
    for start in range(0, responses.shape[1], block_size):
        yield responses[:, start : start + block_size]


def _run(design, blocks, effects, n_workers, client):
    if client is not None:
        n_workers = max(1, len(client.scheduler_info()["workers"]))
        yield from _in_order(client.get_executor(pure=False), n_workers, design, blocks, effects)
    elif n_workers > 1:
        with ProcessPoolExecutor(n_workers) as executor:
            yield from _in_order(executor, n_workers, design, blocks, effects)
    else:
        for block in blocks:
            yield _fit_block(design, block, effects)


def _in_order(executor, n_workers, design, blocks, effects):
    """Hand out blocks, never many more than are being worked on, and collect them in order."""
    waiting = deque()
    for block in blocks:
        waiting.append(executor.submit(_fit_block, design, block, effects))
        if len(waiting) > 2 * n_workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _fit_block(design, block, effects):
    return design.fit(block() if isinstance(block, Callable) else block, effects=effects)


# ---- checks ----------------------------------------------------------------------------------


def _matrix(values, name):
    matrix = np.asarray(values, float)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(
            f"{name} has shape {matrix.shape}; it must be a matrix with one row for each "
            "observation and at least one column."
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} holds values that are not finite. Remove those rows.")
    return matrix


def _checked_clusters(clusters, n_obs):
    clusters = np.asarray(clusters)
    if clusters.shape != (n_obs,) or not np.issubdtype(clusters.dtype, np.integer):
        raise ValueError(
            f"clusters has shape {clusters.shape} and type {clusters.dtype}; it must hold one "
            f"integer for each of the {n_obs} observations."
        )
    if clusters.min() < 0 or not np.bincount(clusters).all():
        raise ValueError("clusters must be numbered 0, 1, 2, ... without a gap. Renumber them.")
    return clusters


def _check_sizes(fixed_design, random_design, clusters, blocks):
    n_obs, n_clusters = len(fixed_design), clusters.max() + 1
    if len(random_design) != n_obs:
        raise ValueError(
            f"fixed_design has {n_obs} rows and random_design {len(random_design)}; both need one "
            "for each observation."
        )
    if sum(block.size for block in blocks) != random_design.shape[1]:
        raise ValueError("the blocks must cover the columns of the random-effects design.")
    if n_clusters < 2:
        raise ValueError("there is one cluster only; random effects need at least two.")
    for block in blocks:
        if not block.identity and n_obs <= n_clusters * block.size:
            raise ValueError(
                f"{n_obs} observations for {n_clusters * block.size} random effects: they cannot "
                "be told from the residuals. Let fewer effects vary."
            )
