"""What a fitted model says, as tidy data frames.

Columns follow the sources' tables (R packages mixedup, emmeans and MuMIn): one row per term,
variance, random effect, cluster, level or model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from helpers.design import DataError, check_columns
from helpers.fit import (
    FittedModel,
    MixedFit,
    PooledFit,
    fit_pooled,
    least_squares_by_cluster,
)
from helpers.reml import kenward_roger

LEVEL = 0.95
MOST_LEVELS = 12


def fixed_effects(fit: FittedModel) -> pd.DataFrame:
    """Tabulate the fixed effects with standard errors and 95 % intervals.

    Parameters
    ----------
    fit : MixedFit or PooledFit

    Returns
    -------
    DataFrame
        term, value, se, t, p_value, lower_2.5, upper_97.5, in the units of the response. Mixed
        fits use the normal distribution, as the sources do; pooled fits Student's t.

    Raises
    ------
    TypeError
        If `fit` is not a fitted model.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> table = fixed_effects(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(table[["term", "value", "se"]].round(3).to_string(index=False))
         term  value    se
    Intercept  0.936 0.063
            x  0.544 0.043
    """
    _require(fit, FittedModel)
    se = np.sqrt(np.diag(fit.fixed_covariance))
    statistic = fit.fixed.to_numpy() / se
    return pd.DataFrame(
        {
            "term": fit.fixed.index,
            "value": fit.fixed.to_numpy(),
            "se": se,
            "t": statistic,
            "p_value": 2 * stats.t.sf(np.abs(statistic), fit.degrees_of_freedom),
            **_interval(fit.fixed.to_numpy(), se, fit.degrees_of_freedom),
        }
    )


def variance_components(fit: MixedFit) -> pd.DataFrame:
    """Variances of the random effects and of the residual.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        group, effect, variance, sd, var_prop: a nested term first, the residual last, as lme4
        prints them. ``var_prop`` is the share of the sum of all rows.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> table = variance_components(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(table.round(3).to_string(index=False))
       group    effect  variance    sd  var_prop
     cluster Intercept     0.291 0.540     0.217
     cluster         x     0.060 0.245     0.045
    Residual               0.992 0.996     0.739
    """
    _require(fit, MixedFit)
    rows = [
        (fit.terms.group, effect, variance)
        for effect, variance in zip(
            fit.random_design.names, np.diag(random_covariance(fit)), strict=True
        )
    ]
    if fit.terms.nested:
        rows.insert(0, (fit.terms.nested.grouping, "Intercept", _nested_variance(fit)))
    rows.append(("Residual", "", fit.sigma**2))
    table = pd.DataFrame(rows, columns=["group", "effect", "variance"])
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
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> random_covariance(fit_mixed("y ~ x + (x | cluster)", create_data())).round(3)
               Intercept      x
    Intercept      0.291  0.039
    x              0.039  0.060
    """
    _require(fit, MixedFit)
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
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
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
        group_var, effect, group, value, se, lower_2.5, upper_97.5: one row per random effect.
        ``se`` is the conditional sd given the data and the estimates (lme4's ``condVar``).

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> table = random_effects(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(len(table), sorted(table["effect"].unique()))
    200 ['Intercept', 'x']
    """
    _require(fit, MixedFit)
    se = np.sqrt(np.clip(np.diagonal(fit.solution.effects_covariance, axis1=1, axis2=2), 0, None))
    parts = [
        _effect_rows(fit, position, effect, se)
        for position, effect in enumerate(fit.random_design.names)
    ]
    if fit.terms.nested:
        parts.append(_nested_rows(fit, se))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(**_interval(table["value"], table["se"], np.inf))


def coefficients(fit: MixedFit) -> pd.DataFrame:
    """Each cluster's coefficients: fixed plus random effects.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        One row per cluster: the grouping column, then one column per term. A random effect with
        no fixed effect of its name has a column of its own, as in lme4's ``coef``. Nested
        random effects are left to :func:`random_effects`.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> coefficients(fit_mixed("y ~ x + (x | cluster)", create_data())).head(2).round(2)
       cluster  Intercept     x
    0        1       0.62  0.33
    1        2       0.60  0.45
    """
    _require(fit, MixedFit)
    names = fit.random_design.names
    table = pd.DataFrame(fit.solution.effects[:, : len(names)], columns=names)
    table = table.add(fit.fixed, axis=1, fill_value=0)
    extra = [name for name in names if name not in fit.fixed.index]
    table = table[[*fit.fixed.index, *extra]]
    table.insert(0, fit.terms.group, fit.random_design.labels)
    return table


def shrinkage(fit: MixedFit) -> pd.DataFrame:
    r"""How far each cluster's estimates moved from no pooling toward complete pooling.

    Parameters
    ----------
    fit : MixedFit
        A fit without nested term.

    Returns
    -------
    DataFrame
        group, n, effect, complete_pooling, no_pooling, partial_pooling, moved,
        shrinkage_factor: one row per cluster and effect. ``complete_pooling`` is the mixed
        model's fixed effect; ``no_pooling`` the cluster's own least-squares estimate, other
        fixed effects held at theirs, missing where the cluster cannot support one; ``moved``
        is ``partial_pooling - no_pooling``. ``shrinkage_factor`` is 1 for an estimate that
        moves all the way, 0 for one that stays.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If the model has a nested term.

    Notes
    -----
    With :math:`d_c` the cluster's own deviation from the fixed effects, the conditional mode is
    :math:`b_c = W_c d_c`, :math:`W_c = G Z_c'(I + Z_c G Z_c')^{-1} Z_c` (Bates et al. 2015); the
    factor is the diagonal of :math:`I - W_c`. With a random intercept alone it is
    :math:`(\sigma^2/n_c)/(\tau^2 + \sigma^2/n_c)`, Gelman & Hill (2006), equation 12.1.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> table = shrinkage(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> table.groupby("effect")["shrinkage_factor"].mean().round(2).to_dict()
    {'Intercept': 0.27, 'x': 0.69}
    """
    _require(fit, MixedFit)
    if fit.terms.nested:
        raise DataError(
            f"{fit.formula!r} has a nested term, so a cluster has no single own estimate. "
            "Use a fit without (1 | g:h)."
        )
    residual = fit.fixed_design.response - fit.predict(random_effects=False).to_numpy()
    random = fit.random_design
    own = least_squares_by_cluster(random.matrix, residual, random.clusters)
    names = random.names
    fixed = np.array([fit.fixed.get(name, 0.0) for name in names])
    n_groups, size = own.shape
    table = pd.DataFrame(
        {
            "group": np.repeat(random.labels, size),
            "n": np.repeat(random.counts, size),
            "effect": np.tile(names, n_groups),
            "complete_pooling": np.tile(fixed, n_groups),
            "no_pooling": (fixed + own).ravel(),
            "partial_pooling": (fixed + fit.solution.effects).ravel(),
        }
    )
    kept = np.diagonal(fit.solution.shrinkage, axis1=1, axis2=2).ravel()
    return table.assign(
        moved=table["partial_pooling"] - table["no_pooling"], shrinkage_factor=1 - kept
    )


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
        effect, pooling, rmse, bias_to_center: root mean squared error over the clusters that
        have all three estimates, and how far estimates lie from the truth toward the mean of the
        true values, on average; both in the units of the coefficient.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If `truth` lacks a coefficient or a cluster.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data, true_coefficients
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> errors = estimation_errors(fit, true_coefficients())
    >>> errors.loc[errors.groupby("effect")["rmse"].idxmin(), "pooling"].tolist()
    ['partial pooling', 'partial pooling']
    """
    table = shrinkage(fit).dropna(subset="no_pooling")
    complete = fit_pooled(fit.terms.fixed, fit.data).fixed
    check_columns(truth, [fit.terms.group, *table["effect"].unique()])
    true = truth.melt(fit.terms.group, var_name="effect", value_name="true")
    true = true.rename(columns={fit.terms.group: "group"})
    merged = table.merge(true, how="left", on=["group", "effect"])
    if merged["true"].isna().any():
        raise DataError(
            "truth lacks a cluster of the fit. Simulate both with one set of arguments."
        )
    estimates = {
        "complete pooling": merged["effect"].map(complete),
        "no pooling": merged["no_pooling"],
        "partial pooling": merged["partial_pooling"],
    }
    center = merged.groupby("effect")["true"].transform("mean")
    parts = [
        merged[["effect"]].assign(
            pooling=pooling,
            squared=(estimate - merged["true"]) ** 2,
            toward=np.sign(center - merged["true"]) * (estimate - merged["true"]),
        )
        for pooling, estimate in estimates.items()
    ]
    means = pd.concat(parts).groupby(["effect", "pooling"], as_index=False).mean()
    return pd.DataFrame(
        {
            "effect": means["effect"],
            "pooling": means["pooling"],
            "rmse": np.sqrt(means["squared"]),
            "bias_to_center": means["toward"],
        }
    )


def summarize_fits(fits: Mapping[str, MixedFit]) -> pd.DataFrame:
    """One row of estimates per fit, to compare data sets.

    Parameters
    ----------
    fits : mapping of str to MixedFit
        Fits of one formula without nested term.

    Returns
    -------
    DataFrame
        Indexed by name: fixed effects (``fixed x``), sds (``sd x``, ``sd Residual``), correlations
        (``cor Intercept, x``) and the mean shrinkage factor of each effect (``shrinkage x``).

    Raises
    ------
    TypeError
        If an entry is not a mixed fit.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> fits = {"baseline": fit_mixed("y ~ x + (x | cluster)", create_data())}
    >>> print(summarize_fits(fits).round(2).loc["baseline", "sd x"])
    0.24
    """
    _require_fits(fits)
    return pd.DataFrame({name: _estimates(fit) for name, fit in fits.items()}).T


@dataclass(frozen=True, repr=False)
class ModelSummary:
    """Everything lme4's summary prints; made by :func:`summarize_model`."""

    title: str
    facts: str
    residuals: pd.DataFrame
    variances: pd.DataFrame
    correlations: pd.DataFrame
    fixed: pd.DataFrame

    @property
    def parts(self) -> dict[str, pd.DataFrame]:
        """The tables under their headings."""
        parts = {"Scaled residuals": self.residuals, "Variance components": self.variances}
        if len(self.correlations) > 1:
            parts["Correlations of random effects"] = self.correlations
        return {**parts, "Fixed effects": self.fixed}

    def __str__(self):
        tables = [
            f"{heading}\n{table.to_string(index=heading.startswith('Corr'), float_format=_digits)}"
            for heading, table in self.parts.items()
        ]
        return "\n\n".join([f"{self.title}\n{self.facts}", *tables])

    __repr__ = __str__

    def _repr_html_(self):
        tables = [
            f"<p><strong>{heading}</strong></p>"
            + table.to_html(index=heading.startswith("Corr"), float_format=_digits, border=0)
            for heading, table in self.parts.items()
        ]
        return f"<p><code>{self.title}</code><br>{self.facts}</p>" + "".join(tables)


def summarize_model(fit: MixedFit) -> ModelSummary:
    """Everything about a fit, to be read.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    ModelSummary
        Shows as tables in a notebook, as text when printed.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> summary = summarize_model(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(summary.facts)
    REML criterion 3012.2; 1000 observations, 100 clusters (cluster)
    """
    _require(fit, MixedFit)
    quantiles = fit.residuals().quantile([0, 0.25, 0.5, 0.75, 1]).to_numpy()
    facts = (
        f"{'REML' if fit.reml else 'ML'} criterion {fit.criterion:.1f}; "
        f"{fit.n_obs} observations, {fit.n_groups} clusters ({fit.terms.group})"
    )
    if fit.singular:
        facts += "; singular: a combination of random effects has no variance"
    return ModelSummary(
        title=str(fit.terms),
        facts=facts,
        residuals=pd.DataFrame([quantiles], columns=["min", "q1", "median", "q3", "max"]),
        variances=variance_components(fit),
        correlations=random_effect_correlations(fit),
        fixed=fixed_effects(fit),
    )


def compare_models(fits: Mapping[str, MixedFit]) -> pd.DataFrame:
    """Compare fits to the same data by AICc.

    Parameters
    ----------
    fits : mapping of str to MixedFit
        Names and fits.

    Returns
    -------
    DataFrame
        model, K (number of parameters), AICc, delta_AICc, n_random_effects; best first.

    Raises
    ------
    TypeError
        If an entry is not a mixed fit.
    DataError
        If the fits differ in their data, mix REML and ML, or are REML fits with different fixed
        effects: none of these criteria may be compared.

    Notes
    -----
    ``AICc = criterion + 2 K + 2 K (K + 1) / (n - K - 1)`` (Hurvich & Tsai 1989).

    Examples
    --------
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> fits = {f: fit_mixed(f"y ~ x + {f}", create_data()) for f in ["(1|cluster)", "(x|cluster)"]}
    >>> print(compare_models(fits)["model"].tolist())
    ['(x|cluster)', '(1|cluster)']
    """
    _require_fits(fits)
    _refuse_incomparable(fits)
    table = pd.DataFrame(
        {
            "model": list(fits),
            "K": [_parameter_count(fit) for fit in fits.values()],
            "AICc": [_aicc(fit) for fit in fits.values()],
            "n_random_effects": [len(random_effects(fit)) for fit in fits.values()],
        }
    )
    table.insert(3, "delta_AICc", table["AICc"] - table["AICc"].min())
    return table.sort_values("AICc", kind="stable", ignore_index=True)


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
    >>> from helpers.fit import fit_pooled
    >>> data = pd.DataFrame({"y": [1.0, 2, 5, 6], "g": list("aabb")})
    >>> print(marginal_means(fit_pooled("y ~ g", data), "g")["mean"].round(2).tolist())
    [1.5, 5.5]
    """
    _require(fit, FittedModel)
    levels = _levels(fit, predictor)
    weights = np.array([_grid_mean(fit, predictor, level) for level in levels])
    mean = weights @ fit.fixed.to_numpy()
    covariance, df = _small_sample(fit, weights)
    se = np.sqrt(np.einsum("ij,jk,ik->i", weights, covariance, weights))
    lower, upper = _interval(mean, se, df).values()
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
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import treatment_clusters
    >>> data = treatment_clusters([2, 10, 10, 10, 2, 10, 10, 10], 824523)
    >>> table = cluster_means(fit_mixed("y ~ treatment + (1 | cluster)", data))
    >>> table.loc[0, ["observed", "partially_pooled", "completely_pooled"]].round(2).tolist()
    [-1.66, -1.55, 1.59]
    """
    _require(fit, MixedFit)
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
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
    >>> table = cluster_weights(fit_mixed("y ~ 1 + (1 | cluster)", create_data()))
    >>> print(round(table["mixed_weight"].sum(), 6), table["n"].unique())
    1.0 [10]
    """
    _require(fit, MixedFit)
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
    >>> from helpers.fit import fit_mixed
    >>> from helpers.simulate import create_data
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
    >>> from helpers.datasets import load_pupils
    >>> from helpers.fit import fit_mixed
    >>> school = "primary_school_id"
    >>> fit = fit_mixed(f"achievement ~ ses + (1 | {school}) + (1 | {school}:ses)", load_pupils())
    >>> print(compound_symmetry(fit).round(2).loc["low"].to_dict())
    {'low': 0.19, 'mid': 0.17, 'high': 0.17}
    """
    _require(fit, MixedFit)
    if not fit.terms.nested or fit.random_design.names != ["Intercept"]:
        raise DataError(f"{fit.formula!r} is not of the form (1 | g) + (1 | g:h).")
    levels = _sorted_levels(fit.data[fit.terms.nested.nested])
    shared = np.full((len(levels),) * 2, fit.solution.covariance[0, 0])
    matrix = shared + _nested_variance(fit) * np.eye(len(levels))
    return pd.DataFrame(matrix, index=levels, columns=levels)


def _require(fit, kind) -> None:
    if not isinstance(fit, kind):
        wanted = "fit_mixed" if kind is MixedFit else "fit_mixed or fit_pooled"
        raise TypeError(f"expected a fit made by {wanted}, not {type(fit).__name__}.")


def _require_fits(fits) -> None:
    if not isinstance(fits, Mapping):
        raise TypeError(f"fits must be a dict {{name: fit, ...}}, not {type(fits).__name__}.")
    for fit in fits.values():
        _require(fit, MixedFit)


def _interval(value, se, degrees_of_freedom) -> dict:
    margin = stats.t.ppf((1 + LEVEL) / 2, degrees_of_freedom) * se
    return {"lower_2.5": value - margin, "upper_97.5": value + margin}


def _digits(number) -> str:
    return f"{number:.4f}"


def _estimates(fit) -> dict[str, float]:
    factors = shrinkage(fit).groupby("effect", sort=False)["shrinkage_factor"].mean()
    correlations = random_effect_correlations(fit)
    pairs = combinations(correlations.columns, 2)
    sds = np.sqrt(np.diag(random_covariance(fit)))
    return {
        **{f"fixed {term}": value for term, value in fit.fixed.items()},
        **{f"sd {effect}": sd for effect, sd in zip(correlations.columns, sds, strict=True)},
        "sd Residual": fit.sigma,
        **{f"cor {one}, {other}": correlations.loc[one, other] for one, other in pairs},
        **{f"shrinkage {effect}": factor for effect, factor in factors.items()},
    }


def _nested_variance(fit) -> float:
    return float(fit.solution.covariance[-1, -1])


def _effect_rows(fit, position, effect, se) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "group_var": fit.terms.group,
            "effect": effect,
            "group": fit.random_design.labels,
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
            "group_var": fit.terms.nested.grouping,
            "effect": "Intercept",
            "group": [f"{g}:{h}" for g, h in zip(cluster, levels[occurs], strict=True)],
            "value": fit.solution.effects[:, first:][occurs],
            "se": se[:, first:][occurs],
        }
    )


def _parameter_count(fit) -> int:
    return len(fit.fixed) + sum(block.n_parameters for block in fit.random_design.blocks) + 1


def _aicc(fit) -> float:
    count = _parameter_count(fit)
    return fit.criterion + 2 * count + 2 * count * (count + 1) / (fit.n_obs - count - 1)


def _refuse_incomparable(fits) -> None:
    if not fits:
        raise DataError("compare_models needs at least one fit: {name: fit, ...}.")
    name, *others = fits
    first = fits[name]
    for other in others:
        fit = fits[other]
        if not np.array_equal(first.fixed_design.response, fit.fixed_design.response):
            raise DataError(f"{name!r} and {other!r} are fits to different data or responses.")
        if first.reml != fit.reml:
            raise DataError(f"{name!r} and {other!r} mix REML and ML. Refit both with reml=False.")
        same = np.array_equal(first.fixed_design.matrix, fit.fixed_design.matrix)
        if first.reml and not same:
            raise DataError(
                f"{name!r} and {other!r} have different fixed effects; their REML criteria are of "
                "different data. Refit both with reml=False."
            )


def _sorted_levels(column) -> list:
    return pd.factorize(column, sort=True)[1].tolist()


def _levels(fit, predictor) -> list:
    if predictor not in fit.fixed_design.columns:
        raise DataError(
            f"{predictor!r} is not a predictor of {fit.formula!r}; "
            f"it has {', '.join(fit.fixed_design.columns) or 'none'}."
        )
    levels = _sorted_levels(fit.data[predictor])
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
            choices[name] = _sorted_levels(column)
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


def _constant_columns(matrix, clusters) -> np.ndarray:
    """Which columns of a design matrix do not vary within any cluster."""
    grouped = pd.DataFrame(matrix).groupby(clusters)
    return ((grouped.max() - grouped.min()).max() == 0).to_numpy()


def _require_cluster_means(fit) -> None:
    if fit.random_design.names != ["Intercept"] or fit.terms.nested:
        raise DataError(
            f"cluster means and weights are of random intercepts, (1 | g), not of {fit.formula!r}."
        )
    if not _constant_columns(fit.fixed_design.matrix, fit.random_design.clusters).all():
        raise DataError(
            f"a predictor of {fit.formula!r} varies within clusters, so a group mean is not a "
            "weighted mean of cluster means. Use predictors that are constant in each cluster."
        )
