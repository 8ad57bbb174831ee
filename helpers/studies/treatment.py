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
        As :func:`helpers.data.simulate.treatment_clusters`, or if an argument is out of range.

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
        "regression": (coefficients[1], stdtrit(freedom, upper) * plain_se),
        "mixed model, z": (estimate, ndtri(upper) * se),
        "mixed model, t": (estimate, stdtrit(between, upper) * se),
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
