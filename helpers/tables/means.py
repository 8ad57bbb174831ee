"""Means of clusters and arms, and the weights that clusters have in them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.models.columns import DataError, free_names
from helpers.models.fits import FittedModel, MixedFit, fit_pooled
from helpers.tables.base import (
    interval,
    is_random_intercept,
    require_fit,
    small_sample,
)
from helpers.tables.reference_grid import grid_rows, warn_of_interactions

MEAN_COLUMNS = ["cluster", "n", "observed", "partial_pooling", "complete_pooling", "moved"]


def marginal_means(
    fit: FittedModel, predictor: str, *, at: Mapping[str, object] | None = None
) -> pd.DataFrame:
    """Mean response at each level of a predictor, the other predictors averaged.

    Parameters
    ----------
    fit : MixedFit or PooledFit
    predictor : str
        A categorical predictor of the fixed effects, or a numeric one with at most 12 values.
    at : mapping, optional
        Values at which other predictors are held, ``{"x": 0, "ses": "low"}``.

    Returns
    -------
    DataFrame
        One row per level: ``level``; ``mean``, the predicted response of a new cluster; ``se``,
        its standard error; ``df``, degrees of freedom; ``lower`` and ``upper``, limits of the
        95 % interval. Mean, se and limits are in units of the response.

    Raises
    ------
    TypeError
        If `fit` is not a fitted model.
    DataError
        If `predictor` is not a predictor of the model or has too many values, or `at` names it
        or no predictor, or a mixed fit is by maximum likelihood.

    Warns
    -----
    UserWarning
        If the effect of `predictor` depends on a predictor that is averaged over.

    Notes
    -----
    Other predictors stand where R's emmeans puts them (Searle, Speed & Milliken 1980): categories
    at equal weights, ``C(x)`` and booleans too; a number with two values at both, with equal
    weights; any other number at its mean, transformed then. Only for `predictor` itself is a
    number taken at each of its values; emmeans wants these in its ``at``.

    Standard errors and degrees of freedom of mixed fits are those of Kenward & Roger (1997), as
    in emmeans: for a predictor that is constant within clusters, close to the number of clusters
    less the number of levels. Those of pooled fits are the regression's own.

    Examples
    --------
    >>> from helpers.models.fits import fit_pooled
    >>> data = pd.DataFrame({"y": [1.0, 2, 5, 6], "g": list("aabb")})
    >>> print(marginal_means(fit_pooled("y ~ g", data), "g")["mean"].round(2).tolist())
    [1.5, 5.5]
    """
    require_fit(fit, FittedModel)
    levels, weights = grid_rows(fit, predictor, at)
    warn_of_interactions(fit, predictor, at)
    mean = weights @ fit.fixed.to_numpy()
    covariance, df = small_sample(fit, weights)
    se = np.sqrt(np.einsum("ij,jk,ik->i", weights, covariance, weights))
    lower, upper = interval(mean, se, df).values()
    return pd.DataFrame(
        {"level": levels.tolist(), "mean": mean, "se": se, "df": df, "lower": lower, "upper": upper}
    )


def cluster_means(fit: MixedFit) -> pd.DataFrame:
    """Observed, partially pooled and completely pooled mean of each cluster.

    Parameters
    ----------
    fit : MixedFit
        A random-intercept fit whose predictors are constant within clusters.

    Returns
    -------
    DataFrame
        One row per cluster: ``cluster``, its label; one column per predictor; ``n``, its
        observations; ``observed``, their mean (no pooling); ``partial_pooling``, the fit's
        prediction, random effect included; ``complete_pooling``, that of least squares on all
        rows; ``moved``, ``partial_pooling - observed``, a signed distance. Means in units of
        the response. A predictor called like one of these columns gets an underscore behind it.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If the model has other random effects, or a predictor varies within clusters.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import treatment_clusters
    >>> data = treatment_clusters([2, 10, 10, 10, 2, 10, 10, 10], 824523)
    >>> table = cluster_means(fit_mixed("y ~ treatment + (1 | cluster)", data))
    >>> table.loc[0, ["observed", "partial_pooling", "complete_pooling"]].round(2).tolist()
    [-1.66, -1.55, 1.59]
    """
    require_fit(fit, MixedFit)
    _require_cluster_means(fit)
    clusters, counts = fit.random_design.clusters, fit.random_design.counts
    # One row of each cluster: predictors and predictions are the same in all of them.
    first = np.unique(clusters, return_index=True)[1]
    table = fit.data[list(fit.fixed_design.columns)].iloc[first].reset_index(drop=True)
    table.columns = free_names(table.columns, MEAN_COLUMNS)
    table.insert(0, "cluster", fit.random_design.labels)
    table["n"] = counts
    table["observed"] = np.bincount(clusters, fit.fixed_design.response) / counts
    table["partial_pooling"] = fit.predict().to_numpy()[first]
    pooled = fit_pooled(fit.terms.fixed, fit.data)
    table["complete_pooling"] = pooled.predict().to_numpy()[first]
    return table.assign(moved=table["partial_pooling"] - table["observed"])


def cluster_weights(fit: MixedFit) -> pd.DataFrame:
    r"""Weight of each cluster in its arm's mean, by observations and by the mixed model.

    Parameters
    ----------
    fit : MixedFit
        A random-intercept fit whose predictors are constant within clusters.

    Returns
    -------
    DataFrame
        One row per cluster: ``cluster``, its label; ``n``, its observations; ``mean``, their
        mean, in units of the response; ``lambda``, the share of its own deviation that the mixed
        model keeps, 1 less the shrinkage factor; ``observation_weight`` and ``mixed_weight``, its
        weight in the mean that a regression on observations and the mixed model estimate.
        Weights sum to 1 over the clusters with the same predictors.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If the model has other random effects, or a predictor varies within clusters.

    Notes
    -----
    :math:`\lambda_j = \tau^2 / (\tau^2 + \sigma^2/n_j)` (Gelman & Hill 2006, equation 12.1). The
    mixed model gives the mean of cluster j weight :math:`1/(\tau^2 + \sigma^2/n_j)`, the
    regression on observations :math:`n_j`.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> table = cluster_weights(fit_mixed("y ~ 1 + (1 | cluster)", create_data()))
    >>> print(round(table["mixed_weight"].sum(), 6), table["n"].unique())
    1.0 [10]
    """
    require_fit(fit, MixedFit)
    _require_cluster_means(fit)
    clusters, counts = fit.random_design.clusters, fit.random_design.counts
    matrix = fit.fixed_design.matrix
    first = pd.Series(clusters).drop_duplicates().sort_values().index
    _, same = np.unique(matrix[first], axis=0, return_inverse=True)
    between, within = fit.solution.covariance[0, 0], fit.sigma**2
    table = pd.DataFrame(
        {
            "cluster": fit.random_design.labels,
            "n": counts,
            "mean": np.bincount(clusters, fit.fixed_design.response) / counts,
            "lambda": between / (between + within / counts),
            "observation_weight": counts.astype(float),
            "mixed_weight": 1 / (between + within / counts),
        }
    )
    weights = ["observation_weight", "mixed_weight"]
    table[weights] /= table[weights].groupby(same.ravel()).transform("sum")
    return table


def constant_columns(matrix, clusters) -> np.ndarray:
    """Which columns of a design matrix do not vary within any cluster."""
    grouped = pd.DataFrame(matrix).groupby(clusters)
    return ((grouped.max() - grouped.min()).max() == 0).to_numpy()


def _require_cluster_means(fit) -> None:
    if not is_random_intercept(fit):
        raise DataError(
            f"cluster means and weights are of random intercepts, (1 | g), not of {fit.formula!r}."
        )
    if not constant_columns(fit.fixed_design.matrix, fit.random_design.clusters).all():
        raise DataError(
            f"a predictor of {fit.formula!r} varies within clusters, so a group mean is not a "
            "weighted mean of cluster means. Use predictors that are constant in each cluster."
        )
