"""Fixed effects, random effects and their variances, as tidy data frames.

Columns follow the sources' tables (R package mixedup): one row per term, variance or effect.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import stdtr

from helpers.models.columns import DataError, free_names
from helpers.models.fits import (
    FittedModel,
    MixedFit,
)
from helpers.tables.base import (
    FEW_CLUSTERS,
    interval,
    nested_variance,
    refuse_double_names,
    require_fit,
    small_sample,
    sorted_levels,
)


def fixed_effects(fit: FittedModel, *, df: str | None = None) -> pd.DataFrame:
    """Tabulate the fixed effects with standard errors and 95 % intervals.

    Parameters
    ----------
    fit : MixedFit or PooledFit
    df : {None, "normal", "kenward-roger"}
        Of mixed fits: the normal distribution, as the sources use it, or Student's t with Kenward
        & Roger's standard errors and degrees of freedom, for few clusters, as R's lmerTest. None
        (default): the latter for REML fits of fewer than 15 clusters, the former for others.

    Returns
    -------
    DataFrame
        One row per term: ``term``; ``value``, the estimate; ``se``, its standard error; with
        "kenward-roger" also ``df``, degrees of freedom; ``t``, their ratio; ``p_value``,
        two-sided; ``lower_2.5`` and ``upper_97.5``, limits of the 95 % interval. Value, se and
        limits are in units of the response per unit of the predictor. Pooled fits always use
        Student's t.

    Raises
    ------
    TypeError
        If `fit` is not a fitted model.
    ValueError
        If `df` is neither of the two.
    DataError
        If Kenward & Roger's correction is asked of a fit that is not a REML fit.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> table = fixed_effects(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(table[["term", "value", "se"]].round(3).to_string(index=False))
         term  value    se
    Intercept  0.936 0.063
            x  0.544 0.043
    """
    require_fit(fit, FittedModel)
    if df not in (None, "normal", "kenward-roger"):
        raise ValueError(f"df is {df!r}; it must be 'normal', 'kenward-roger' or None.")
    value = fit.fixed.to_numpy()
    se, freedom, shown = np.sqrt(np.diag(fit.fixed_covariance)), fit.degrees_of_freedom, {}
    if isinstance(fit, MixedFit) and (df == "kenward-roger" or df is None and _is_small(fit)):
        covariance, freedom = small_sample(fit, np.eye(len(value)))
        se = np.sqrt(np.diag(covariance))
        shown = {"df": freedom}
    statistic = value / se
    return pd.DataFrame(
        {
            "term": fit.fixed.index,
            "value": value,
            "se": se,
            **shown,
            "t": statistic,
            "p_value": 2 * stdtr(freedom, -np.abs(statistic)),
            **interval(value, se, freedom),
        }
    )


def _is_small(fit) -> bool:
    return fit.reml and fit.n_groups < FEW_CLUSTERS


def variance_components(fit: MixedFit) -> pd.DataFrame:
    """Variances of the random effects and of the residual.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        One row per variance, a nested term first, the residual last, as lme4 prints them:
        ``grouping_factor``, the column of the clusters, ``g:h`` of a nested term, or
        ``Residual``; ``effect``, which of the cluster's effects, empty for the residual;
        ``variance`` and its root ``sd``; ``var_prop``, the row's share of the sum of all rows,
        which is a share of the response's variance only where no slope varies.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> table = variance_components(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(table.round(3).to_string(index=False))
    grouping_factor    effect  variance    sd  var_prop
            cluster Intercept     0.291 0.540     0.217
            cluster         x     0.060 0.245     0.045
           Residual               0.992 0.996     0.739
    """
    require_fit(fit, MixedFit)
    rows = [
        (fit.terms.group, effect, variance)
        for effect, variance in zip(
            fit.random_design.names, np.diag(random_covariance(fit)), strict=True
        )
    ]
    if fit.terms.nested:
        rows.insert(0, (fit.terms.nested.grouping, "Intercept", nested_variance(fit)))
    rows.append(("Residual", "", fit.sigma**2))
    table = pd.DataFrame(rows, columns=["grouping_factor", "effect", "variance"])
    return table.assign(
        sd=np.sqrt(table["variance"]), var_prop=table["variance"] / table["variance"].sum()
    )


def random_covariance(fit: MixedFit) -> pd.DataFrame:
    """Covariance matrix of a cluster's random effects, without nested ones.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Square, effects by effects; zero between uncorrelated terms.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> random_covariance(fit_mixed("y ~ x + (x | cluster)", create_data())).round(3)
               Intercept      x
    Intercept      0.291  0.039
    x              0.039  0.060
    """
    require_fit(fit, MixedFit)
    names = fit.random_design.names
    size = len(names)
    return pd.DataFrame(fit.solution.covariance[:size, :size], index=names, columns=names)


def random_effect_correlations(fit: MixedFit) -> pd.DataFrame:
    """Correlation matrix of a cluster's random effects, without nested ones.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Square, effects by effects; missing where a variance is zero.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> print(round(random_effect_correlations(fit).loc["Intercept", "x"], 2))
    0.3
    """
    covariance = random_covariance(fit)
    sd = np.sqrt(np.diag(covariance))
    scale = np.outer(sd, sd)
    with np.errstate(invalid="ignore"):
        return covariance / np.where(scale > 0, scale, np.nan)


def random_effects(fit: MixedFit) -> pd.DataFrame:
    """Conditional modes of the random effects with their conditional sds.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        One row per random effect: ``grouping_factor``, the column of the clusters, ``g:h`` of
        a nested term; ``effect``; ``cluster``, the cluster's label, ``cluster:level`` of a
        nested term; ``value``, the conditional mode; ``se``, the conditional sd given the data
        and the estimates (lme4's ``condVar``), zero along a direction without variance;
        ``lower_2.5`` and ``upper_97.5``, ``value`` plus or minus 1.96 ``se``. Neither knows
        that the fixed effects and variances are estimates themselves, so with few clusters
        these intervals are too short.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> table = random_effects(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(len(table), sorted(table["effect"].unique()))
    200 ['Intercept', 'x']
    """
    require_fit(fit, MixedFit)
    se = np.sqrt(np.clip(np.diagonal(fit.solution.effects_covariance, axis1=1, axis2=2), 0, None))
    parts = [
        _effect_rows(fit, position, effect, se)
        for position, effect in enumerate(fit.random_design.names)
    ]
    if fit.terms.nested:
        parts.append(_nested_rows(fit, se))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(**interval(table["value"], table["se"], np.inf))


def coefficients(fit: MixedFit) -> pd.DataFrame:
    """Each cluster's coefficients: fixed plus random effects.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        One row per cluster: its label in the grouping column, then one column per term. A
        random effect with no fixed effect of its name has a column of its own, as in lme4's
        ``coef``. A term that is called like the grouping column gets an underscore behind it.
        Nested random effects are left to :func:`random_effects`.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If two fixed effects have the name of one random effect.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> coefficients(fit_mixed("y ~ x + (x | cluster)", create_data())).head(2).round(2)
       cluster  Intercept     x
    0        1       0.62  0.33
    1        2       0.60  0.45
    """
    require_fit(fit, MixedFit)
    refuse_double_names(fit)
    names, terms = fit.random_design.names, list(fit.fixed.index)
    modes = fit.solution.effects[:, : len(names)]
    columns = [
        fit.fixed.iloc[place] + (modes[:, names.index(term)] if term in names else 0.0)
        for place, term in enumerate(terms)
    ]
    extra = [name for name in names if name not in terms]
    columns += [modes[:, names.index(name)] for name in extra]
    free = free_names([*terms, *extra], [fit.terms.group])
    table = pd.DataFrame({fit.terms.group: fit.random_design.labels})
    return table.assign(**dict(zip(free, columns, strict=True)))


def reparameterize(fit: MixedFit, transformation: pd.DataFrame) -> pd.DataFrame:
    r"""Covariance matrix of linear combinations of the random effects.

    Parameters
    ----------
    fit : MixedFit
    transformation : DataFrame
        T, one row per new effect, one column per random effect of the fit.

    Returns
    -------
    DataFrame
        :math:`T \Sigma T'`, new effects by new effects: with b ~ N(0, Sigma), the covariance
        matrix of T b.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit, or `transformation` not a data frame.
    DataError
        If the columns of `transformation` are not the random effects of the fit.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> lines = pd.DataFrame({"Intercept": [1, 1], "x": [0, 2]}, index=["at 0", "at 2"])
    >>> reparameterize(fit, lines).round(2)
          at 0  at 2
    at 0  0.29  0.37
    at 2  0.37  0.69
    """
    covariance = random_covariance(fit)
    if not isinstance(transformation, pd.DataFrame):
        raise TypeError("transformation must be a DataFrame: rows new effects, columns old ones.")
    if set(transformation.columns) != set(covariance.columns):
        raise DataError(
            f"transformation has columns {', '.join(map(str, transformation.columns))}; the fit's "
            f"random effects are {', '.join(covariance.columns)}. Name one column for each."
        )
    ordered = transformation[covariance.columns]
    if not np.isfinite(ordered.apply(pd.to_numeric, errors="coerce")).all(axis=None):
        raise DataError("transformation must hold finite numbers only.")
    return ordered @ covariance @ ordered.T


def compound_symmetry(fit: MixedFit) -> pd.DataFrame:
    """Covariance matrix of a cluster's level effects that a nested intercept implies.

    Parameters
    ----------
    fit : MixedFit
        A fit of ``(1 | g) + (1 | g:h)``.

    Returns
    -------
    DataFrame
        Levels of h by levels of h: the variance of g everywhere, that of g:h added on the
        diagonal; so one common variance and one common correlation.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If the fit has no nested term, or random slopes beside it.

    Examples
    --------
    >>> from helpers.data.datasets import load_pupils
    >>> from helpers.models.fits import fit_mixed
    >>> school = "primary_school_id"
    >>> fit = fit_mixed(f"achievement ~ ses + (1 | {school}) + (1 | {school}:ses)", load_pupils())
    >>> print(compound_symmetry(fit).round(2).loc["low"].to_dict())
    {'low': 0.19, 'mid': 0.17, 'high': 0.17}
    """
    require_fit(fit, MixedFit)
    if not fit.terms.nested or fit.random_design.names != ["Intercept"]:
        raise DataError(f"{fit.formula!r} is not of the form (1 | g) + (1 | g:h).")
    levels = sorted_levels(fit.data[fit.terms.nested.nested])
    shared = np.full((len(levels),) * 2, fit.solution.covariance[0, 0])
    matrix = shared + nested_variance(fit) * np.eye(len(levels))
    return pd.DataFrame(matrix, index=levels, columns=levels)


def _effect_rows(fit, position, effect, se) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "grouping_factor": fit.terms.group,
            "effect": effect,
            "cluster": fit.random_design.labels,
            "value": fit.solution.effects[:, position],
            "se": se[:, position],
        }
    )


def _nested_rows(fit, se) -> pd.DataFrame:
    levels, first = fit.random_design.nested_levels, len(fit.random_design.names)
    occurs = np.array([[level is not None for level in row] for row in levels])
    cluster = np.repeat(np.asarray(fit.random_design.labels), occurs.sum(axis=1))
    return pd.DataFrame(
        {
            "grouping_factor": fit.terms.nested.grouping,
            "effect": "Intercept",
            "cluster": [f"{g}:{h}" for g, h in zip(cluster, levels[occurs], strict=True)],
            "value": fit.solution.effects[:, first:][occurs],
            "se": se[:, first:][occurs],
        }
    )
