"""Thousands of data sets of one design, fitted together.

A simulation study fits the same design again and again: predictors and clusters stay, the response
changes. The design is reduced once (:mod:`helpers.models.likelihood`), then Newton's method runs on
all responses side by side (:mod:`helpers.models.optimum`). :func:`fit_blocks` spreads blocks of
responses over the cores of a machine or over a Dask cluster.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from tqdm import tqdm

from helpers.models.likelihood import Design
from helpers.models.optimum import is_optimum, is_singular, solve, theta_of

#: Data sets that are worked on together: more of them use more memory, not less time.
BLOCK_SIZE = 2000
#: Share of the response's standard deviation at which nothing is left of the residual.
PERFECT_FIT = 1e-6


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
        """Put one after the other."""
        parts, joined = list(parts), {}
        for field in fields(cls):
            arrays = [getattr(part, field.name) for part in parts]
            joined[field.name] = None if arrays[0] is None else np.concatenate(arrays)
        return cls(**joined)


def fit_block(design: Design, responses, *, effects=False) -> BatchFits:
    """Fit each column of responses.

    Parameters
    ----------
    design : Design
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
        If no optimum is found for a data set; its ``converged`` is False.

    Examples
    --------
    >>> from helpers.models.likelihood import Block
    >>> clusters, ones = np.repeat(np.arange(8), 5), np.ones((40, 1))
    >>> stream = np.random.default_rng(1)
    >>> responses = stream.normal(size=(8, 1000))[clusters] + stream.normal(size=(40, 1000))
    >>> fits = fit_block(Design(ones, ones, clusters, [Block(1)]), responses)
    >>> fits.fixed.shape, bool(fits.converged.all())
    ((1000, 1), True)
    """
    responses = np.asarray(responses)
    if responses.dtype.kind not in "biuf":
        raise TypeError(f"responses must be numbers, not {responses.dtype}.")
    _check_shape(responses, design.n_obs)
    _refuse_infinite(responses)
    reduced = design.reduce(responses)
    factor, profile = solve(design, reduced)
    _refuse_perfect_fits(profile.variance, responses)
    converged = is_optimum(design, factor, profile)
    if not converged.all():
        warnings.warn(
            f"{(~converged).sum()} of {len(converged)} data sets have no optimum to trust; the "
            f"first is number {np.argmin(converged)}. Leave out those that are not `converged`.",
            RuntimeWarning,
            stacklevel=2,
        )
    modes, shrinkage = design.effects(factor, profile, reduced) if effects else (None, None)
    half = np.linalg.inv(design.whitening) @ np.moveaxis(factor, -1, 0)
    to_fixed = np.linalg.inv(design.triangle)
    root = np.einsum("ab,bcd->dac", to_fixed, profile.root)
    sigma = np.sqrt(profile.variance)
    return BatchFits(
        criterion=profile.criterion,
        theta=theta_of(design, factor).T,
        sigma=sigma,
        covariance=profile.variance[:, None, None] * (half @ half.mT),
        fixed=(to_fixed @ (reduced.projection + profile.coefficients)).T,
        fixed_se=sigma[:, None] * np.linalg.norm(root, axis=2),
        converged=converged,
        singular=is_singular(design, factor),
        effects=modes,
        shrinkage=None if shrinkage is None else np.einsum("dcii->dci", shrinkage),
    )


def _check_shape(responses, n_obs):
    if responses.ndim != 2 or len(responses) != n_obs:
        raise ValueError(
            f"responses has shape {responses.shape}; it must be (n_obs, n_datasets), here "
            f"({n_obs}, any number). Put each data set into a column."
        )
    if not responses.shape[1]:
        raise ValueError("responses holds no data set. Give at least one column.")


def _refuse_infinite(responses):
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~np.isfinite(responses.sum(axis=0)))
    if wrong.size:
        raise ValueError(
            f"{wrong.size} of {responses.shape[1]} data sets hold values that are not finite; the "
            f"first is column {wrong[0]} of its block. Leave them out."
        )


def _refuse_perfect_fits(variance, responses):
    # Cheap, and false where the variance is missing; an offset may make it false for no reason.
    squares = np.einsum("nd,nd->d", responses, responses)
    doubtful = np.flatnonzero(~(variance > PERFECT_FIT**2 * squares / len(responses)))
    deviations = responses[:, doubtful].std(axis=0)
    perfect = doubtful[~(np.sqrt(variance[doubtful]) > PERFECT_FIT * deviations)]
    if perfect.size:
        raise ValueError(
            f"{perfect.size} of {len(variance)} data sets are fitted perfectly: no residual "
            f"variance is left to estimate. The first is column {perfect[0]} of its block. Leave "
            "them out."
        )


# ---- spreading the work ----------------------------------------------------------------------


def fit_blocks(
    design: Design,
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
    design : Design
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

    Raises
    ------
    TypeError, ValueError
        As :func:`fit_block`; also if there is no block, or a count is less than one.

    Examples
    --------
    >>> from helpers.models.likelihood import Block
    >>> ones = np.ones((40, 1))
    >>> design = Design(ones, ones, np.repeat(np.arange(8), 5), [Block(1)])
    >>> def blocks():
    ...     for seed in range(3):
    ...         yield np.random.default_rng(seed).normal(size=(40, 100))
    >>> len(fit_blocks(design, blocks()))
    300
    """
    for name, count in {"n_workers": n_workers, "block_size": block_size}.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} is {count!r}; it must be a whole number, 1 or more.")
    if not isinstance(responses, Iterable):
        raise TypeError(
            f"responses must be an array or yield arrays, not {type(responses).__name__}."
        )
    total, blocks = None, responses
    if isinstance(responses, np.ndarray):
        _check_shape(responses, design.n_obs)
        total, blocks = responses.shape[1], _cut(responses, block_size)
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
            yield _fit_one(design, block, effects)


def _in_order(executor, n_workers, design, blocks, effects):
    """Hand out blocks, never many more than are being worked on, and collect them in order."""
    waiting = deque()
    for block in blocks:
        waiting.append(executor.submit(_fit_one, design, block, effects))
        if len(waiting) > 2 * n_workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _fit_one(design, block, effects):
    return fit_block(design, block() if callable(block) else block, effects=effects)
