"""A treatment of whole clusters over many data sets: bias, error and coverage of its estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from helpers.data.r_random import check_integer, check_number
from helpers.data.simulate import treatment_clusters
from helpers.models.fits import fit_many


def treatment_study(
    sizes, iccs, *, n_datasets=10_000, effect=1, level=0.95, seed=888, progress=False
) -> pd.DataFrame:
    r"""Estimate a treatment of whole clusters in many data sets, by regression and mixed model.

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
        "regression, robust" with the cluster-robust standard error (CR1) and as many degrees of
        freedom as there are clusters, less one, "mixed model, z" with a normal interval, "mixed
        model, t" with as many as there are clusters, less two arms. Columns icc, method, bias,
        rmse, coverage (share of intervals that hold the effect), se (standard error, on average),
        se_sd (its standard deviation over the data sets), and bias_error, rmse_error,
        coverage_error: Monte Carlo standard errors.

    Notes
    -----
    CR1 is the sandwich of Liang & Zeger (1986),
    :math:`(X'X)^{-1} \sum_j X_j' e_j e_j' X_j (X'X)^{-1}`, times
    :math:`J/(J-1) \cdot (N-1)/(N-2)` for J clusters and N rows, as statsmodels has it.

    Raises
    ------
    TypeError, ValueError
        As :func:`helpers.data.simulate.treatment_clusters`, or if an argument is out of range.

    Examples
    --------
    >>> study = treatment_study([2, 10, 2, 10], [0.5], n_datasets=500)
    >>> study["method"].tolist()
    ['regression', 'regression, robust', 'mixed model, z', 'mixed model, t']
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
    """Estimates, their standard errors and the quantile that multiplies them, of each method."""
    treated = (design["treatment"] == "intervention").to_numpy(float)
    matrix = np.column_stack([np.ones(len(design)), treated])
    coefficients, squares, _, _ = np.linalg.lstsq(matrix, responses, rcond=None)
    freedom = len(design) - 2
    plain_se = np.sqrt(squares / freedom * np.linalg.inv(matrix.T @ matrix)[1, 1])
    robust_se = _cluster_robust_se(matrix, responses - matrix @ coefficients, design["cluster"])
    mixed = fit_many("y ~ treatment + (1 | cluster)", design, responses, progress=progress)
    estimate, se = mixed.fixed[:, 1], mixed.fixed_se[:, 1]
    upper, n_clusters = (1 + level) / 2, design["cluster"].nunique()
    return {
        "regression": (coefficients[1], plain_se, stdtrit(freedom, upper)),
        "regression, robust": (coefficients[1], robust_se, stdtrit(n_clusters - 1, upper)),
        "mixed model, z": (estimate, se, ndtri(upper)),
        "mixed model, t": (estimate, se, stdtrit(n_clusters - 2, upper)),
    }


def _cluster_robust_se(matrix, residuals, clusters):
    """CR1 standard error of the last coefficient, for each column of residuals."""
    rows, columns = matrix.shape
    n_clusters = clusters.nunique()
    influence = np.linalg.inv(matrix.T @ matrix)[-1] @ matrix.T
    totals = np.add.reduceat(influence[:, None] * residuals, np.flatnonzero(~clusters.duplicated()))
    correction = n_clusters / (n_clusters - 1) * (rows - 1) / (rows - columns)
    return np.sqrt(correction * (totals**2).sum(axis=0))


def _summarize(estimate, se, quantile, effect):
    error = estimate - effect
    rmse = np.sqrt((error**2).mean())
    covered = np.abs(error) <= quantile * se
    root = np.sqrt(len(error))
    return {
        "bias": error.mean(),
        "bias_error": error.std(ddof=1) / root,
        "rmse": rmse,
        "rmse_error": (error**2).std(ddof=1) / root / (2 * rmse),
        "coverage": covered.mean(),
        "coverage_error": covered.std(ddof=1) / root,
        "se": se.mean(),
        "se_sd": se.std(ddof=1),
    }
