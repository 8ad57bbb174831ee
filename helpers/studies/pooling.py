"""The three poolings over many data sets whose truth is known: bias, variance and error."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.data.r_random import check_integer
from helpers.data.simulate import create_data, true_coefficients
from helpers.models.columns import DataError, check_columns
from helpers.models.fits import MixedFit, fit_many, least_squares_by_cluster
from helpers.tables import POOLINGS, shrinkage

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
        As :func:`helpers.data.simulate.create_data` takes them.

    Returns
    -------
    DataFrame
        One row for each coefficient and estimator. Columns effect, pooling, squared_bias and
        variance (means over the clusters; they add up to the mean squared error), rmse (its root)
        and rmse_error (its Monte Carlo standard error).

    Raises
    ------
    TypeError, ValueError
        As :func:`helpers.data.simulate.create_data`, or if `n_datasets` is too small.

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


def estimation_errors(fit: MixedFit, truth: pd.DataFrame) -> pd.DataFrame:
    """Error of complete, no and partial pooling against simulated true coefficients.

    Parameters
    ----------
    fit : MixedFit
        A fit to simulated data.
    truth : DataFrame
        One row per cluster: the grouping column and each coefficient's true value.

    Returns
    -------
    DataFrame
        One row per ``effect`` and ``pooling``: ``rmse``, the root mean squared error over the
        clusters that have all three estimates, and ``bias_to_center``, how far estimates lie from
        the truth toward the mean of the true values, on average; in units of the coefficient.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If `truth` lacks a coefficient or a cluster.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> errors = estimation_errors(fit, true_coefficients())
    >>> errors.loc[errors.groupby("effect")["rmse"].idxmin(), "pooling"].tolist()
    ['partial pooling', 'partial pooling']
    """
    table = shrinkage(fit).dropna(subset="no_pooling")
    check_columns(truth, [fit.terms.group, *table["effect"].unique()])
    true = truth.set_index(fit.terms.group).stack().rename("true")
    table = table.join(true, on=["cluster", "effect"])
    if table["true"].isna().any():
        raise DataError(
            "truth lacks a cluster of the fit. Simulate both with one set of arguments."
        )
    toward = np.sign(table.groupby("effect")["true"].transform("mean") - table["true"])
    parts = {}
    for pooling in POOLINGS:
        error = table[pooling.column] - table["true"]
        squared = (error**2).groupby(table["effect"]).mean()
        bias = (toward * error).groupby(table["effect"]).mean()
        parts[pooling.name] = pd.DataFrame({"rmse": np.sqrt(squared), "bias_to_center": bias})
    errors = pd.concat(parts, names=["pooling"]).reset_index().sort_values("effect", kind="stable")
    return errors[["effect", "pooling", "rmse", "bias_to_center"]].reset_index(drop=True)


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
    poolings = [pooling.name for pooling in POOLINGS]
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
