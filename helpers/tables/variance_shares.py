"""What share of the response's variance lies between clusters, and in the fixed effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from helpers.models.columns import free_names
from helpers.models.fits import MixedFit
from helpers.tables.base import (
    nested_variance,
    random_rows,
    require_fit,
    varying_columns,
)
from helpers.tables.effects import random_covariance

MOST_SETTINGS = 12
SHARES = ["between", "nested", "within", "icc", "icc_nested"]


def intraclass_correlation(fit: MixedFit, *, at: pd.DataFrame | None = None) -> pd.DataFrame:
    r"""Share of the variance, given the predictors, that lies between clusters.

    Parameters
    ----------
    fit : MixedFit
    at : DataFrame, optional
        Values of the columns whose effects vary, one row per setting. By default each combination
        that occurs, or, if there are more than 12, five of them from first to last.

    Returns
    -------
    DataFrame
        One row per setting, one row altogether if only intercepts vary: the columns whose effects
        vary; ``between``, the variance between clusters there; ``within``, the residual variance;
        ``icc``, ``between`` as a share of the total, which is the correlation of two rows of one
        cluster, both at this setting. With a nested term also ``nested``, its variance, and
        ``icc_nested``, the share of both, the correlation within a nested level. Variances are in
        squared units of the response. A column of yours that is called like one of these gets an
        underscore behind it.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If `at` lacks a column whose effect varies.

    Notes
    -----
    With :math:`z` the setting's row of the random effects' design,
    :math:`z'\Sigma z / (z'\Sigma z + \sigma^2)` (Goldstein, Browne & Rasbash 2002); with a random
    intercept alone :math:`\tau^2 / (\tau^2 + \sigma^2)`.

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> from helpers.models.fits import fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> intraclass_correlation(fit, at=pd.DataFrame({"x": [0, 2]}))[["x", "icc"]].round(2)
       x   icc
    0  0  0.23
    1  2  0.41
    """
    require_fit(fit, MixedFit)
    settings = _settings(fit) if at is None else at.reset_index(drop=True)
    rows = random_rows(fit, settings)
    between = np.einsum("ij,jk,ik->i", rows, random_covariance(fit).to_numpy(), rows)
    table = settings[varying_columns(fit)]
    table.columns = free_names(table.columns, SHARES)
    table = table.assign(between=between, within=fit.sigma**2)
    nested = nested_variance(fit) if fit.terms.nested else 0.0
    total = between + nested + fit.sigma**2
    if fit.terms.nested:
        table.insert(table.columns.get_loc("within"), "nested", nested)
        return table.assign(icc=between / total, icc_nested=(between + nested) / total)
    return table.assign(icc=between / total)


def r_squared(fit: MixedFit) -> pd.DataFrame:
    r"""Marginal and conditional R²: shares of variance by fixed, and by all effects.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Two rows: ``kind``, *marginal* (fixed effects) or *conditional* (fixed and random effects);
        ``r_squared``, the share; ``explained`` and ``total``, the two variances, in squared units
        of the response.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Notes
    -----
    Nakagawa & Schielzeth (2013), equations 26 and 30: the variance of the fixed part over the rows,
    the random effects' variance and the residual variance. Where slopes vary, the random effects'
    variance is its mean over the rows, the mean of :math:`z'\Sigma z` (Johnson 2014); see
    :func:`intraclass_correlation` for how it changes with the predictor.

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> from helpers.models.fits import fit_mixed
    >>> r_squared(fit_mixed("y ~ x + (x | cluster)", create_data())).round(3)
              kind  r_squared  explained  total
    0     marginal      0.172      0.278  1.619
    1  conditional      0.387      0.626  1.619
    """
    require_fit(fit, MixedFit)
    fixed = np.var(fit.predict(random_effects=False), ddof=1)
    rows = random_rows(fit, fit.data)
    random = np.einsum("ij,jk,ik->i", rows, random_covariance(fit).to_numpy(), rows).mean()
    random += nested_variance(fit) if fit.terms.nested else 0.0
    explained, total = np.array([fixed, fixed + random]), fixed + random + fit.sigma**2
    return pd.DataFrame(
        {
            "kind": ["marginal", "conditional"],
            "r_squared": explained / total,
            "explained": explained,
            "total": total,
        }
    )


def compare_with_pooled(fit: MixedFit) -> pd.DataFrame:
    r"""Compare a mixed model with the same model without random effects.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Two rows, the model without random effects first: ``model``; ``K``, its parameters;
        ``criterion``, -2 log-likelihood, REML if the fit is; ``AIC``; and, in the second row,
        ``statistic``, by how much the criterion falls, and ``p_value`` of the hypothesis that
        clusters do not differ.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Notes
    -----
    A variance of zero is at the boundary. With one variance the statistic's distribution is half
    zero and half chi-square with one degree of freedom (Self & Liang 1987). With more parameters
    the chi-square with as many degrees of freedom is taken: its p value is too large, so a small
    one can be trusted.

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> from helpers.models.fits import fit_mixed
    >>> table = compare_with_pooled(fit_mixed("y ~ x + (1 | cluster)", create_data()))
    >>> print(table.loc[1, "statistic"].round(1), table.loc[1, "p_value"] < 0.001)
    113.1 True
    """
    require_fit(fit, MixedFit)
    n_random = sum(block.n_parameters for block in fit.random_design.blocks)
    count = len(fit.fixed) + 1
    criteria = np.array([_pooled_criterion(fit), fit.criterion])
    parameters = np.array([count, count + n_random])
    # The mixed model holds the other, so a negative difference is a rounding error.
    statistic = max(criteria[0] - criteria[1], 0.0)
    p_value = chdtrc(n_random, statistic)
    if n_random == 1:
        p_value = p_value / 2 if statistic > 0 else 1.0
    return pd.DataFrame(
        {
            "model": ["without random effects", "with random effects"],
            "K": parameters,
            "criterion": criteria,
            "AIC": criteria + 2 * parameters,
            "statistic": [np.nan, statistic],
            "p_value": [np.nan, p_value],
        }
    )


def _settings(fit) -> pd.DataFrame:
    columns = varying_columns(fit)
    if not columns:
        return pd.DataFrame(index=[0])
    settings = fit.data[columns].drop_duplicates().sort_values(columns, ignore_index=True)
    if len(settings) <= MOST_SETTINGS:
        return settings
    places = np.linspace(0, len(settings) - 1, 5).round().astype(int)
    return settings.iloc[places].reset_index(drop=True)


def _pooled_criterion(fit) -> float:
    """-2 log-likelihood of the regression on all rows, with lme4's constants."""
    matrix, n_obs = fit.fixed_design.matrix, len(fit.fixed_design.response)
    coefficients = np.linalg.lstsq(matrix, fit.fixed_design.response, rcond=None)[0]
    squares = float(((fit.fixed_design.response - matrix @ coefficients) ** 2).sum())
    df = n_obs - matrix.shape[1] if fit.reml else n_obs
    criterion = df * (1 + np.log(2 * np.pi * squares / df))
    if not fit.reml:
        return criterion
    return criterion + np.linalg.slogdet(matrix.T @ matrix)[1]
