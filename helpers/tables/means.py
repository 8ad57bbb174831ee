"""Means of clusters and groups, and the weights that clusters have in them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.models.design import DataError
from helpers.models.fits import (
    FittedModel,
    MixedFit,
    PooledFit,
    fit_pooled,
)
from helpers.models.inference import kenward_roger
from helpers.tables.base import interval, require_fit, sorted_levels

MOST_LEVELS = 12


def marginal_means(fit: FittedModel, predictor: str) -> pd.DataFrame:
    """Mean response at each level of a predictor, the other predictors averaged.

    Parameters
    ----------
    fit : MixedFit or PooledFit
    predictor : str
        A categorical predictor of the fixed effects, or a numeric one with few values.

    Returns
    -------
    DataFrame
        level, mean, se, df, lower, upper (95 %), in the units of the response. Other numeric
        predictors stand at their mean, other categorical ones at equal weights, as in emmeans.

    Raises
    ------
    TypeError
        If `fit` is not a fitted model.
    DataError
        If `predictor` is not a predictor of the model or has too many values.

    Notes
    -----
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
    levels = _levels(fit, predictor)
    weights = np.array([_grid_mean(fit, predictor, level) for level in levels])
    mean = weights @ fit.fixed.to_numpy()
    covariance, df = _small_sample(fit, weights)
    se = np.sqrt(np.einsum("ij,jk,ik->i", weights, covariance, weights))
    lower, upper = interval(mean, se, df).values()
    return pd.DataFrame(
        {"level": levels, "mean": mean, "se": se, "df": df, "lower": lower, "upper": upper}
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
        group, one column per predictor, n, observed, partially_pooled, completely_pooled,
        shrinkage: one row per cluster. ``partially_pooled`` is the fit's prediction, random
        effect included; ``completely_pooled`` that of a regression on the observations;
        ``shrinkage`` is ``partially_pooled - observed``.

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
    >>> table.loc[0, ["observed", "partially_pooled", "completely_pooled"]].round(2).tolist()
    [-1.66, -1.55, 1.59]
    """
    require_fit(fit, MixedFit)
    _require_cluster_means(fit)
    clusters, counts = fit.random_design.clusters, fit.random_design.counts
    predictions = fit.data[list(fit.fixed_design.columns)].assign(
        partially_pooled=fit.predict(),
        completely_pooled=fit_pooled(fit.terms.fixed, fit.data).predict(),
    )
    table = predictions.groupby(clusters).first()
    place = len(fit.fixed_design.columns)
    table.insert(place, "observed", np.bincount(clusters, fit.fixed_design.response) / counts)
    table.insert(place, "n", counts)
    table.insert(0, "group", fit.random_design.labels)
    return table.assign(shrinkage=table["partially_pooled"] - table["observed"])


def cluster_weights(fit: MixedFit) -> pd.DataFrame:
    r"""Weight of each cluster in its group's mean, by observations and by the mixed model.

    Parameters
    ----------
    fit : MixedFit
        A random-intercept fit whose predictors are constant within clusters.

    Returns
    -------
    DataFrame
        group, n, mean, lambda, observation_weight, mixed_weight: one row per cluster. Weights sum
        to 1 over the clusters with the same predictors.

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
            "group": fit.random_design.labels,
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


def _levels(fit, predictor) -> list:
    if predictor not in fit.fixed_design.columns:
        raise DataError(
            f"{predictor!r} is not a predictor of {fit.formula!r}; "
            f"it has {', '.join(fit.fixed_design.columns) or 'none'}."
        )
    levels = sorted_levels(fit.data[predictor])
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"{predictor!r} has {len(levels)} values; marginal means are for categorical "
            f"predictors with at most {MOST_LEVELS}."
        )
    return levels


def _grid_mean(fit, predictor, level) -> np.ndarray:
    """Mean design row at one level, other numeric columns at their mean, others at each level."""
    choices = {}
    for name in fit.fixed_design.columns:
        column = fit.data[name]
        if name == predictor:
            choices[name] = [level]
        elif pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            choices[name] = [column.mean()]
        else:
            choices[name] = sorted_levels(column)
    grid = pd.MultiIndex.from_product(choices.values(), names=choices.keys()).to_frame(index=False)
    return fit.fixed_design.rows(grid).mean(axis=0)


def _small_sample(fit, weights) -> tuple[np.ndarray, list[float]]:
    """Covariance matrix of the fixed effects, and degrees of freedom of each row of weights."""
    if isinstance(fit, PooledFit):
        return fit.fixed_covariance.to_numpy(), [fit.degrees_of_freedom] * len(weights)
    random = fit.random_design
    small = kenward_roger(
        fit.solution, fit.fixed_design.matrix, random.matrix, random.clusters, random.blocks
    )
    return small.fixed_covariance, [small.degrees_of_freedom(row) for row in weights]


def constant_columns(matrix, clusters) -> np.ndarray:
    """Which columns of a design matrix do not vary within any cluster."""
    grouped = pd.DataFrame(matrix).groupby(clusters)
    return ((grouped.max() - grouped.min()).max() == 0).to_numpy()


def _require_cluster_means(fit) -> None:
    if fit.random_design.names != ["Intercept"] or fit.terms.nested:
        raise DataError(
            f"cluster means and weights are of random intercepts, (1 | g), not of {fit.formula!r}."
        )
    if not constant_columns(fit.fixed_design.matrix, fit.random_design.clusters).all():
        raise DataError(
            f"a predictor of {fit.formula!r} varies within clusters, so a group mean is not a "
            "weighted mean of cluster means. Use predictors that are constant in each cluster."
        )
