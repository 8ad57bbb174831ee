"""Thousands of data sets of one design, block by block, on one core, several, or a Dask cluster.

A simulation study fits the same design again and again: predictors and clusters stay, the response
changes. The design is reduced once (:mod:`helpers.models.likelihood`), then Newton's method runs on
all responses of a block side by side (:mod:`helpers.models.optimum`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from helpers.models.estimates import Estimates, check_shape, estimate
from helpers.models.likelihood import Likelihood

#: Data sets that are worked on together: more of them use more memory, not less time.
BLOCK_SIZE = 2000


def fit_blocks(
    likelihood: Likelihood,
    responses,
    *,
    effects=False,
    n_jobs=1,
    progress=False,
    block_size=BLOCK_SIZE,
) -> Estimates:
    """Fit responses block by block.

    Parameters
    ----------
    likelihood : Likelihood
    responses : ndarray, shape (n_obs, n_datasets), or iterable
        An iterable yields blocks: arrays of shape (n_obs, any number), or functions without
        arguments that return one. Such functions run where the fit runs, so that simulating is
        shared out too.
    effects : bool
        Also give conditional modes and shrinkage of every cluster.
    n_jobs : int
        Processes, as joblib counts them: 1 (default) works in this one, -1 takes every core.
        Within ``joblib.parallel_config(backend="dask")`` they are those of a Dask cluster.
    progress : bool
        Show a progress bar, counting data sets.
    block_size : int
        Data sets of an array that are fitted together.

    Returns
    -------
    Estimates
        In the order of the responses; the numbers do not depend on where they were computed.

    Raises
    ------
    TypeError, ValueError
        As :func:`helpers.models.estimates.estimate`; also if there is no block, `n_jobs` is zero
        or `block_size` less than one.

    Warns
    -----
    RuntimeWarning
        If no optimum is found for a data set; its ``converged`` is False.

    Examples
    --------
    >>> from helpers.models.likelihood import Block
    >>> ones = np.ones((40, 1))
    >>> likelihood = Likelihood(ones, ones, np.repeat(np.arange(8), 5), [Block(1)])
    >>> def blocks():
    ...     for seed in range(3):
    ...         yield np.random.default_rng(seed).normal(size=(40, 100))
    >>> len(fit_blocks(likelihood, blocks()))
    300
    """
    from tqdm import tqdm

    _check_counts(n_jobs, block_size)
    if not isinstance(responses, Iterable):
        raise TypeError(
            f"responses must be an array or yield arrays, not {type(responses).__name__}."
        )
    total, blocks = None, responses
    if isinstance(responses, np.ndarray):
        check_shape(responses, likelihood.n_obs)
        total, blocks = responses.shape[1], _cut(responses, block_size)
    parts = []
    with tqdm(total=total, unit=" fits", disable=not progress) as bar:
        for part in _run(likelihood, blocks, effects, n_jobs):
            parts.append(part)
            bar.update(len(part))
    if not parts:
        raise ValueError("responses yields no block. Give at least one data set.")
    return Estimates.join(parts)


def _check_counts(n_jobs, block_size):
    if not isinstance(n_jobs, int) or n_jobs == 0:
        raise ValueError(
            f"n_jobs is {n_jobs!r}; it must be a number of processes, or -1 for every core."
        )
    if not isinstance(block_size, int) or block_size < 1:
        raise ValueError(f"block_size is {block_size!r}; it must be a whole number, 1 or more.")


def _cut(responses, block_size):
    for start in range(0, responses.shape[1], block_size):
        yield responses[:, start : start + block_size]


def _run(likelihood, blocks, effects, n_jobs):
    if n_jobs == 1:
        return (_fit_one(likelihood, block, effects) for block in blocks)
    from joblib import Parallel, delayed

    # Blocks are drawn when they are needed, never many more than are being worked on.
    parallel = Parallel(n_jobs=n_jobs, return_as="generator", pre_dispatch="2*n_jobs", batch_size=1)
    return parallel(delayed(_fit_one)(likelihood, block, effects) for block in blocks)


def _fit_one(likelihood, block, effects):
    fits = estimate(likelihood, block() if callable(block) else block, effects=effects)
    if not fits.converged.all():
        warnings.warn(
            f"{(~fits.converged).sum()} of {len(fits)} data sets have no optimum to trust; the "
            f"first is number {np.argmin(fits.converged)}. Leave out those that are not "
            "`converged`.",
            RuntimeWarning,
            stacklevel=2,
        )
    return fits
