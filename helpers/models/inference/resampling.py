"""The parametric bootstrap: what a fit's estimates would be in data sets like the fitted one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from helpers.data.r_random import check_integer
from helpers.models.batch import fit_blocks
from helpers.models.inference.parameters import KEYS, design_of, parameters_of, values_of

#: Data sets that are simulated and fitted together.
BLOCK = 1000


def bootstrap(
    fit,
    *,
    n_datasets: int = 10_000,
    seed: int = 888,
    n_jobs: int = -1,
    progress: bool = False,
) -> pd.DataFrame:
    """Simulate data sets from a fit and fit each of them.

    Parameters
    ----------
    fit : MixedFit
        Its estimates are the truth of the simulation; REML or ML, as it was fitted.
    n_datasets : int
        Data sets to simulate.
    seed : int
        The draws do not depend on where they are computed.
    n_jobs : int
        Processes, as joblib counts them; by default as many as there are cores.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per data set, one column per parameter, named by kind, grouping factor and effect
        as in :func:`helpers.tables.intervals`. A correlation beside a variance of zero is missing.

    Raises
    ------
    TypeError, ValueError
        If a count or the seed is not a whole number, or out of range.

    Notes
    -----
    Efron & Tibshirani (1993), chapter 6: new random effects and new residuals in each data set,
    predictors and cluster sizes as they are; lme4's ``bootMer`` with ``use.u = FALSE``.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> draws = bootstrap(fit, n_datasets=200, n_jobs=1)
    >>> draws["sd", "cluster", "x"].quantile([0.025, 0.975]).round(1).tolist()
    [0.1, 0.3]
    """
    n_datasets = check_integer("n_datasets", n_datasets, minimum=2)
    fits = fit_blocks(
        design_of(fit, reml=fit.reml),
        simulated_blocks(fit, n_datasets=n_datasets, seed=seed),
        n_jobs=n_jobs,
        progress=progress,
    )
    parameters = parameters_of(fit)
    draws = values_of(parameters, fits.fixed, fits.covariance, fits.sigma)
    keys = [parameter.key for parameter in parameters]
    return pd.DataFrame(draws, columns=pd.MultiIndex.from_tuples(keys, names=KEYS))


def simulated_blocks(fit, *, n_datasets: int, seed: int) -> Iterator[partial]:
    """Yield functions without arguments that simulate blocks of responses from a fit.

    Parameters
    ----------
    fit : MixedFit or PooledFit
    n_datasets : int
    seed : int

    Yields
    ------
    callable
        Returns an ndarray of shape (n_obs, some data sets).

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> [block().shape for block in simulated_blocks(fit, n_datasets=1500, seed=1)]
    [(1000, 1000), (1000, 500)]
    """
    seed = check_integer("seed", seed, minimum=0)
    line = fit.fixed_design.matrix @ fit.fixed.to_numpy()
    random = getattr(fit, "random_design", None)
    effects = None
    if random is not None:
        root = covariance_root(fit.solution.covariance)
        effects = (random.matrix, random.clusters, root)
    starts = range(0, n_datasets, BLOCK)
    for start, stream in zip(starts, np.random.SeedSequence(seed).spawn(len(starts)), strict=True):
        yield partial(_simulate, line, effects, fit.sigma, stream, min(BLOCK, n_datasets - start))


def covariance_root(covariance) -> np.ndarray:
    """Take a square root R, with RR' the covariance matrix, which may be singular.

    Parameters
    ----------
    covariance : ndarray, shape (q, q)

    Returns
    -------
    ndarray, shape (q, q)

    Examples
    --------
    >>> abs(covariance_root(np.array([[4.0, 0], [0, 0]])))
    array([[0., 2.],
           [0., 0.]])
    """
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None))


def _simulate(line, effects, sigma, stream, n_datasets) -> np.ndarray:
    stream = np.random.default_rng(stream)
    responses = sigma * stream.standard_normal((len(line), n_datasets))
    responses += line[:, None]
    if effects is not None:
        matrix, clusters, root = effects
        drawn = stream.standard_normal((root.shape[1], clusters.max() + 1, n_datasets))
        drawn = np.einsum("ij,jcd->icd", root, drawn)
        for column, own in zip(matrix.T, drawn, strict=True):
            responses += column[:, None] * own[clusters]
    return responses
