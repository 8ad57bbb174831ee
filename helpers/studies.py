"""Simulation studies: what estimators do over thousands of data sets whose truth is known.

Every number comes with its Monte Carlo standard error: how far it may be off because the data sets
are thousands, not infinitely many.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from helpers.fit import fit_many, least_squares_by_cluster
from helpers.r_random import check_integer, check_number
from helpers.simulate import create_data, treatment_clusters, true_coefficients

COEFFICIENTS = ["Intercept", "x"]
# Data sets drawn together: a block of 10,000 rows then takes 20 MB.
BLOCK = 250


def pooling_study(*, n_datasets=1000, **arguments) -> pd.DataFrame:
    """Estimate the same clusters again and again by complete, no and partial pooling.

    Parameters
    ----------
    n_datasets : int
        Data sets, 2 or more. Clusters and predictor stay, the residuals are drawn anew.
    **arguments
        As :func:`helpers.simulate.create_data` takes them.

    Returns
    -------
    DataFrame
        One row for each coefficient and estimator. Columns effect, pooling, squared_bias and
        variance (means over the clusters; they add up to the mean squared error), rmse (its root)
        and rmse_error (its Monte Carlo standard error).

    Raises
    ------
    TypeError, ValueError
        As :func:`helpers.simulate.create_data`, or if `n_datasets` is too small.

    Notes
    -----
    The mean error of a cluster over n data sets has the square of the bias plus variance / n;
    the latter is taken off. Clusters that cannot have an estimate of their own are left out.

    Examples
    --------
    >>> study = pooling_study(n_datasets=100, n_cluster=20)
    >>> study.loc[study.groupby("effect")["rmse"].idxmin(), "pooling"].tolist()
    ['partial pooling', 'partial pooling']
    """
    n_datasets = check_integer("n_datasets", n_datasets, minimum=2)
    design, truth = create_data(**arguments), true_coefficients(**arguments)
    truth = truth[truth["cluster"].isin(design["cluster"])][COEFFICIENTS].to_numpy()
    clusters = pd.factorize(design["cluster"], sort=True)[0]
    matrix = np.column_stack([np.ones(len(design)), design["x"]])
    line = (matrix * truth[clusters]).sum(axis=1)[:, None]
    stream = np.random.default_rng(arguments.get("seed", 888))
    parts = []
    for start in range(0, n_datasets, BLOCK):
        shape = (len(design), min(BLOCK, n_datasets - start))
        responses = line + stream.normal(0, arguments.get("sigma", 1), shape)
        parts.append(_three_estimates(design, matrix, clusters, responses) - truth)
    return _summarize_errors(np.concatenate(parts, axis=1))


def _three_estimates(design, matrix, clusters, responses):
    """Coefficients of each cluster, shape (3 estimators, n_datasets, n_clusters, 2)."""
    complete = np.linalg.lstsq(matrix, responses, rcond=None)[0].T
    separate = least_squares_by_cluster(matrix, responses, clusters).transpose(2, 0, 1)
    mixed = fit_many("y ~ x + (x | cluster)", design, responses, effects=True)
    partial = mixed.fixed[:, None] + mixed.effects
    return np.stack([np.broadcast_to(complete[:, None], partial.shape), separate, partial])


def _summarize_errors(errors):
    usable = np.isfinite(errors).all(axis=(0, 1, 3))
    errors = errors[:, :, usable]
    n_datasets = errors.shape[1]
    variance = errors.var(axis=1, ddof=1).mean(axis=1)
    squared_bias = (errors.mean(axis=1) ** 2).mean(axis=1) - variance / n_datasets
    squares = (errors**2).mean(axis=2)
    rmse = np.sqrt(squares.mean(axis=1))
    # Delta method: the error of a mean square, over twice its root.
    rmse_error = squares.std(axis=1, ddof=1) / np.sqrt(n_datasets) / (2 * rmse)
    poolings = ["complete pooling", "no pooling", "partial pooling"]
    return pd.DataFrame(
        {
            "effect": np.tile(COEFFICIENTS, 3),
            "pooling": np.repeat(poolings, 2),
            "squared_bias": squared_bias.ravel(),
            "variance": variance.ravel(),
            "rmse": rmse.ravel(),
            "rmse_error": rmse_error.ravel(),
        }
    )


def treatment_study(
    sizes, iccs, *, n_datasets=10_000, effect=1, level=0.95, seed=888, progress=False
) -> pd.DataFrame:
    """Estimate a treatment of whole clusters in many data sets, by regression and mixed model.

    Parameters
    ----------
    sizes : iterable of int
        Observations in each cluster; the first half of the clusters is control.
    iccs : iterable of float
        Intraclass correlations, from 0 to below 1. The total variance is 1.
    n_datasets : int
        Data sets for each of them, 2 or more.
    effect : float
        What the intervention adds.
    level : float
        Nominal coverage of the intervals.
    seed : int
    progress : bool
        Show a progress bar for each intraclass correlation.

    Returns
    -------
    DataFrame
        One row for each intraclass correlation and method: "regression" with a t interval,
        "mixed model, z" with a normal interval, "mixed model, t" with as many degrees of freedom
        as there are clusters, less two groups. Columns icc, method, bias, rmse, coverage (share of
        intervals that hold the effect) and width (of the interval, on average), and bias_error,
        rmse_error, coverage_error: Monte Carlo standard errors.

    Raises
    ------
    TypeError, ValueError
        As :func:`helpers.simulate.treatment_clusters`, or if an argument is out of range.

    Examples
    --------
    >>> study = treatment_study([2, 10, 2, 10], [0.5], n_datasets=500)
    >>> study["method"].tolist()
    ['regression', 'mixed model, z', 'mixed model, t']
    """
    n_datasets = check_integer("n_datasets", n_datasets, minimum=2)
    level = check_number("level", level, minimum=0, maximum=1)
    iccs = [check_number("each of iccs", icc, minimum=0, maximum=1) for icc in iccs]
    if not iccs or max(iccs) >= 1:
        raise ValueError(f"iccs is {iccs}; it must hold numbers from 0 to below 1.")
    design = treatment_clusters(sizes, seed, effect=effect)
    streams = np.random.default_rng(seed).spawn(len(iccs))
    parts = []
    for icc, stream in zip(iccs, streams, strict=True):
        responses = _treatment_responses(design, icc, effect, n_datasets, stream)
        for method, intervals in _intervals(design, responses, level, progress).items():
            parts.append({"icc": icc, "method": method, **_summarize(*intervals, effect)})
    return pd.DataFrame(parts)


def _treatment_responses(design, icc, effect, n_datasets, stream):
    clusters = design["cluster"].to_numpy() - 1
    treated = (design["treatment"] == "intervention").to_numpy(float)
    levels = np.sqrt(icc) * stream.normal(size=(clusters.max() + 1, n_datasets))
    residuals = np.sqrt(1 - icc) * stream.normal(size=(len(design), n_datasets))
    return effect * treated[:, None] + levels[clusters] + residuals


def _intervals(design, responses, level, progress):
    """Estimates and half-widths of the intervals of each method."""
    treated = (design["treatment"] == "intervention").to_numpy(float)
    matrix = np.column_stack([np.ones(len(design)), treated])
    coefficients, squares, _, _ = np.linalg.lstsq(matrix, responses, rcond=None)
    freedom = len(design) - 2
    plain_se = np.sqrt(squares / freedom * np.linalg.inv(matrix.T @ matrix)[1, 1])
    mixed = fit_many("y ~ treatment + (1 | cluster)", design, responses, progress=progress)
    estimate, se = mixed.fixed[:, 1], mixed.fixed_se[:, 1]
    upper = (1 + level) / 2
    between = design["cluster"].nunique() - 2
    return {
        "regression": (coefficients[1], stats.t.ppf(upper, freedom) * plain_se),
        "mixed model, z": (estimate, stats.norm.ppf(upper) * se),
        "mixed model, t": (estimate, stats.t.ppf(upper, between) * se),
    }


def _summarize(estimate, half_width, effect):
    error = estimate - effect
    rmse = np.sqrt((error**2).mean())
    covered = np.abs(error) <= half_width
    root = np.sqrt(len(error))
    return {
        "bias": error.mean(),
        "bias_error": error.std(ddof=1) / root,
        "rmse": rmse,
        "rmse_error": (error**2).std(ddof=1) / root / (2 * rmse),
        "coverage": covered.mean(),
        "coverage_error": covered.std(ddof=1) / root,
        "width": 2 * half_width.mean(),
    }
