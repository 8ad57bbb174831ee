"""Intervals of every parameter of a mixed model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from helpers.data.r_random import check_number
from helpers.models import (
    MixedFit,
    bootstrap,
    keys_of,
    parameters_of,
    profile_limits,
    values_of,
)
from helpers.tables.base import require_fit

METHODS = ("profile", "wald", "bootstrap")


def intervals(
    fit: MixedFit, method: str = "profile", *, level: float = 0.95, draws=None, **options
) -> pd.DataFrame:
    """Intervals of fixed effects, standard deviations and correlations.

    Parameters
    ----------
    fit : MixedFit
    method : {"profile", "wald", "bootstrap"}
        "profile": values whose likelihood (ML) is not much worse than the best, as lme4's
        ``confint``. "wald": estimate plus or minus a multiple of the standard error, for fixed
        effects only. "bootstrap": quantiles of the estimates in simulated data sets.
    level : float
        Coverage, between 0 and 1.
    draws : DataFrame, optional
        Made before by :func:`helpers.models.inference.resampling.bootstrap`, to use and keep; by
        default they are made here.
    **options
        ``n_datasets``, ``seed``, ``n_jobs``, ``progress``: as for
        :func:`helpers.models.inference.resampling.bootstrap`.

    Returns
    -------
    DataFrame
        kind ("fixed", "sd" or "correlation"), grouping_factor, effect, value (the fit's own
        estimate) and the limits, ``lower_2.5`` and ``upper_97.5``, named after their level. The
        edges, 0 and plus or minus 1, belong to the intervals. What a method does not give is
        missing.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit, or options are given that `method` has not.
    ValueError
        If `method` is none of the three, `level` is out of range, or `draws` are of another model.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> print(intervals(fit).drop(columns="grouping_factor").round(2).to_string(index=False))
           kind       effect  value  lower_2.5  upper_97.5
          fixed    Intercept   0.94       0.81        1.06
          fixed            x   0.54       0.46        0.63
             sd    Intercept   0.54       0.44        0.65
             sd            x   0.24       0.13        0.34
    correlation Intercept, x   0.30      -0.11        0.71
             sd                1.00       0.95        1.05
    """
    require_fit(fit, MixedFit)
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}.")
    level = check_number("level", level, minimum=0, maximum=1)
    if method != "bootstrap" and (options or draws is not None):
        given = ", ".join([*options, *(["draws"] if draws is not None else [])])
        raise TypeError(f"{given}: only method='bootstrap' takes these.")
    parameters = parameters_of(fit)
    table = keys_of(parameters)
    table["value"] = values_of(
        parameters, fit.fixed.to_numpy(), fit.solution.covariance, np.float64(fit.sigma)
    )
    if method == "profile":
        limits = profile_limits(fit, level=level)
    elif method == "wald":
        limits = _wald_limits(fit, table, level)
    else:
        limits = _quantiles(bootstrap(fit, **options) if draws is None else draws, table, level)
    lower, upper = limit_names(level)
    return table.assign(**{lower: limits[:, 0], upper: limits[:, 1]})


def limit_names(level: float) -> tuple[str, str]:
    """Name the columns of the limits: ``lower_2.5`` and ``upper_97.5`` at a level of .95.

    Examples
    --------
    >>> limit_names(0.9)
    ('lower_5', 'upper_95')
    """
    return f"lower_{50 * (1 - level):.10g}", f"upper_{50 * (1 + level):.10g}"


def _wald_limits(fit, table, level):
    se = np.full(len(table), np.nan)
    se[: len(fit.fixed)] = np.sqrt(np.diag(fit.fixed_covariance))
    margin = special.ndtri((1 + level) / 2) * se
    return np.stack([table["value"] - margin, table["value"] + margin], axis=1)


def _quantiles(draws, table, level):
    keys = list(table[["kind", "grouping_factor", "effect"]].itertuples(index=False, name=None))
    if list(draws.columns) != keys:
        raise ValueError(
            "draws are not of this fit's parameters. Make them with bootstrap(fit) of the same fit."
        )
    ends = [(1 - level) / 2, (1 + level) / 2]
    return np.nanquantile(draws.to_numpy(), ends, axis=0).T
