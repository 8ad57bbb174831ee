"""Differences between levels, and slopes at each level of another predictor."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from helpers.models.fits import FittedModel
from helpers.tables.base import LEVEL, require_fit, small_sample, t_table
from helpers.tables.reference_grid import grid_rows, slope_rows, warn_of_interactions

ADJUSTMENTS = ("tukey", "none")


def pairwise_contrasts(
    fit: FittedModel,
    predictor: str,
    *,
    slope: str | None = None,
    at: Mapping[str, object] | None = None,
    adjust: str = "tukey",
) -> pd.DataFrame:
    """Differences between the marginal means, or the slopes, of each two levels of a predictor.

    Parameters
    ----------
    fit : MixedFit or PooledFit
    predictor : str
        As :func:`helpers.tables.means.marginal_means` takes it.
    slope : str, optional
        A numeric predictor: compare its slopes instead of means.
    at : mapping, optional
        Values at which other predictors are held.
    adjust : {"tukey", "none"}
        Whether p values and intervals hold for all pairs together (default) or each for itself.

    Returns
    -------
    DataFrame
        One row per pair: ``contrast``, as ``first - second``; ``value``, the difference; ``se``;
        ``df``; ``t``; ``p_value``; ``lower_2.5`` and ``upper_97.5``, limits of the 95 % interval.
        Value, se and limits are in units of the response, per unit of `slope` if given.

    Raises
    ------
    TypeError
        If `fit` is not a fitted model.
    DataError
        If `predictor`, `slope` or `at` do not fit the model.
    ValueError
        If `adjust` is unknown.

    Warns
    -----
    UserWarning
        If the difference depends on a predictor that is averaged over.

    Notes
    -----
    Standard errors and degrees of freedom are those of Kenward & Roger (1997). Tukey's adjustment
    takes the studentized range of as many means as there are levels, as R's emmeans does (Tukey
    1949; Kramer 1956): exact for balanced independent means, close otherwise.

    Examples
    --------
    >>> from helpers.models.fits import fit_pooled
    >>> data = pd.DataFrame({"y": [1.0, 2, 5, 6], "arm": list("aabb")})
    >>> table = pairwise_contrasts(fit_pooled("y ~ arm", data), "arm")
    >>> table[["contrast", "value", "df"]]
      contrast  value   df
    0    a - b   -4.0  2.0
    """
    require_fit(fit, FittedModel)
    if adjust not in ADJUSTMENTS:
        raise ValueError(f"adjust is {adjust!r}; use one of {', '.join(ADJUSTMENTS)}.")
    if slope is None:
        levels, rows = grid_rows(fit, predictor, at)
    else:
        levels, rows = slope_rows(fit, slope, predictor, at)
    warn_of_interactions(fit, predictor, {**(at or {}), **({slope: None} if slope else {})})
    pairs = list(combinations(range(len(levels)), 2))
    table = _estimate(fit, np.array([rows[one] - rows[other] for one, other in pairs]))
    names = [str(level) for level in levels]
    table.insert(0, "contrast", [f"{names[one]} - {names[other]}" for one, other in pairs])
    return _adjust(table, len(levels)) if adjust == "tukey" else table


def marginal_slopes(
    fit: FittedModel, slope: str, predictor: str, *, at: Mapping[str, object] | None = None
) -> pd.DataFrame:
    """Slope of a numeric predictor at each level of another, the rest averaged.

    Parameters
    ----------
    fit : MixedFit or PooledFit
    slope : str
        The numeric predictor. Where it is transformed, its slope is taken at its mean.
    predictor : str
        As :func:`helpers.tables.means.marginal_means` takes it.
    at : mapping, optional
        Values at which predictors are held; of `slope`, where its slope is taken.

    Returns
    -------
    DataFrame
        One row per level: ``level``; ``value``, the slope; ``se``; ``df``; ``t``; ``p_value``;
        ``lower_2.5`` and ``upper_97.5``, limits of the 95 % interval. Value, se and limits are in
        units of the response per unit of `slope`.

    Raises
    ------
    TypeError
        If `fit` is not a fitted model.
    DataError
        If a predictor does not fit the model, or `slope` is not a number.

    Notes
    -----
    Standard errors and degrees of freedom are those of Kenward & Roger (1997). R's emtrends gives
    the same, up to its one-sided difference quotient where the predictor is transformed.

    Examples
    --------
    >>> from helpers.models.fits import fit_pooled
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 5, 8, 9], "x": [0, 1, 2] * 2, "arm": list("aaabbb")})
    >>> marginal_slopes(fit_pooled("y ~ x * arm", data), "x", "arm")["value"].round(2).tolist()
    [1.5, 2.0]
    """
    require_fit(fit, FittedModel)
    levels, rows = slope_rows(fit, slope, predictor, at)
    table = _estimate(fit, rows)
    table.insert(0, "level", levels.tolist())
    return table


def _estimate(fit, rows) -> pd.DataFrame:
    covariance, df = small_sample(fit, rows)
    variance = np.einsum("ij,jk,ik->i", rows, covariance, rows)
    return pd.DataFrame(t_table(rows @ fit.fixed.to_numpy(), variance, df))


def _adjust(table, n_levels) -> pd.DataFrame:
    """Tukey's p values and intervals: the studentized range is that of t times the root of 2."""
    # scipy.stats takes long to import; only this function needs it.
    from scipy.stats import studentized_range

    df = table["df"].to_numpy()
    # A quantile takes an eighth of a second, and most pairs have the same degrees of freedom.
    different, place = np.unique(df, return_inverse=True)
    quantile = studentized_range.ppf(LEVEL, n_levels, different)[place] / np.sqrt(2)
    margin = quantile * table["se"]
    statistic = np.sqrt(2) * table["t"].abs().to_numpy()
    return table.assign(
        p_value=studentized_range.sf(statistic, n_levels, df),
        **{"lower_2.5": table["value"] - margin, "upper_97.5": table["value"] + margin},
    )
