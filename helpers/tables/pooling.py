"""How far a mixed model moves each cluster's own estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.models.columns import DataError
from helpers.models.fits import MixedFit, fit_pooled, least_squares_by_cluster
from helpers.tables.base import POOLINGS, at_random_effects, require_fit


def shrinkage(fit: MixedFit) -> pd.DataFrame:
    r"""Each cluster's estimates by complete, no and partial pooling, and what moves them.

    Parameters
    ----------
    fit : MixedFit
        A fit without nested term.

    Returns
    -------
    DataFrame
        One row per cluster and effect.

        - ``cluster``: the cluster's label; ``n``: its observations; ``effect``: which coefficient.
        - ``complete_pooling``: least squares on all rows, clusters ignored.
        - ``no_pooling``: the cluster's own least-squares estimate, with any fixed effects that do
          not vary held at the mixed model's values; missing where the cluster cannot support one.
        - ``partial_pooling``: fixed effect plus the cluster's conditional mode.
        - ``fixed_effect``: the mixed model's fixed effect, toward which estimates shrink.
        - ``moved``: ``partial_pooling - no_pooling``, a signed distance.
        - ``shrinkage_factor``: the share of the distance from own estimate to fixed effect that
          this coefficient would give up if the cluster's other coefficients sat on theirs.

        Its ``attrs`` name the ``response`` and the ``grouping_factor``, for the axes of charts.
        An effect without a fixed effect of its name has 0 there and under complete pooling.
        Distances and estimates are in units of the response per unit of the predictor.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If the model has a nested term, or two fixed effects have the name of one random effect.

    Notes
    -----
    With :math:`d_c` the cluster's own deviation from the fixed effects, the conditional mode is
    :math:`b_c = W_c d_c`, :math:`W_c = G Z_c'(I + Z_c G Z_c')^{-1} Z_c` (Bates et al. 2015); the
    factor is the diagonal of :math:`I - W_c`. With a random intercept alone it is
    :math:`(\sigma^2/n_c)/(\tau^2 + \sigma^2/n_c)`, Gelman & Hill (2006), equation 12.1, between
    0 and 1. With several effects, each also moves by what the others' deviations say about it:
    ``moved`` is then not the factor times the distance, an estimate may move away from the fixed
    effect, and where effects are strongly correlated the factor can lie outside 0 to 1.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> table = shrinkage(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> table.groupby("effect")["shrinkage_factor"].mean().round(2).to_dict()
    {'Intercept': 0.27, 'x': 0.69}
    """
    require_fit(fit, MixedFit)
    if fit.terms.nested:
        raise DataError(
            f"{fit.formula!r} has a nested term, so a cluster has no single own estimate. "
            "Use a fit without (1 | g:h)."
        )
    random, own = fit.random_design, _own_deviations(fit)
    n_clusters, size = own.shape
    fixed = at_random_effects(fit, fit.fixed.to_numpy())
    table = pd.DataFrame(
        {
            "cluster": np.repeat(random.labels, size),
            "n": np.repeat(random.counts, size),
            "effect": np.tile(random.names, n_clusters),
            "complete_pooling": np.tile(_complete_pooling(fit), n_clusters),
            "no_pooling": (fixed + own).ravel(),
            "partial_pooling": (fixed + fit.solution.effects).ravel(),
            "fixed_effect": np.tile(fixed, n_clusters),
        }
    )
    kept = np.diagonal(fit.solution.shrinkage, axis1=1, axis2=2).ravel()
    # Charts of the table take their words from here.
    table.attrs = {"response": fit.terms.response.strip("`"), "grouping_factor": fit.terms.group}
    return table.assign(
        moved=table["partial_pooling"] - table["no_pooling"], shrinkage_factor=1 - kept
    )


def cluster_curves(fit: MixedFit, predictor: str, at) -> pd.DataFrame:
    """Predict every cluster along a predictor by complete, no and partial pooling.

    Parameters
    ----------
    fit : MixedFit
        A fit without nested term.
    predictor : str
        A column of numbers among its predictors.
    at : array_like
        Values of the predictor.

    Returns
    -------
    DataFrame
        One row per pooling, cluster and value: ``pooling``, ``cluster``, ``at``, ``prediction``:
        the mean over the cluster's rows, which keep their other predictors. Missing without pooling
        where a cluster has no estimate of its own.

    Raises
    ------
    TypeError, DataError
        As :func:`shrinkage`; also if `predictor` is not one of the fit's.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> curves = cluster_curves(fit_mixed("y ~ x + (x | cluster)", create_data()), "x", [0, 1])
    >>> print(curves.query("cluster == 42").round(2).to_string(index=False))
             pooling  cluster  at  prediction
    complete pooling       42   0        0.94
    complete pooling       42   1        1.50
          no pooling       42   0        0.65
          no pooling       42   1       -0.06
     partial pooling       42   0        0.90
     partial pooling       42   1        1.19
    """
    table, random = shrinkage(fit), fit.random_design
    if predictor not in {*fit.fixed_design.columns, *(c for p in random.parts for c in p.columns)}:
        raise DataError(f"{predictor!r} is not a predictor of {fit.formula!r}.")
    fixed = dict.fromkeys(["no pooling", "partial pooling"], fit.fixed)
    fixed["complete pooling"] = fit.fixed
    if len(fit.fixed):
        fixed["complete pooling"] = fit_pooled(fit.terms.fixed, fit.data).fixed
    own = {
        pooling.name: table.pivot(index="cluster", columns="effect", values=pooling.column)
        .loc[random.labels, random.names]
        .to_numpy()
        for pooling in POOLINGS
    }
    parts = []
    for value in at:
        rows = fit.data.assign(**{predictor: value})
        x, z = fit.fixed_design.rows(rows), random.rows(rows)[0]
        for pooling, coefficients in own.items():
            shared = fixed[pooling].to_numpy()
            line = x @ shared - z @ at_random_effects(fit, shared)
            line = line + (z * coefficients[random.clusters]).sum(axis=1)
            mean = pd.Series(line).groupby(random.clusters).mean()
            parts.append(
                pd.DataFrame(
                    {"pooling": pooling, "cluster": random.labels, "at": value, "prediction": mean}
                )
            )
    curves = pd.concat(parts, ignore_index=True)
    return curves.sort_values(["pooling", "cluster", "at"], kind="stable", ignore_index=True)


def _own_deviations(fit) -> np.ndarray:
    """Each cluster's own least-squares estimate less the fixed effects, (clusters, effects)."""
    residual = fit.fixed_design.response - fit.predict(random_effects=False).to_numpy()
    random = fit.random_design
    return least_squares_by_cluster(random.matrix, residual, random.clusters)


def _complete_pooling(fit) -> np.ndarray:
    """Coefficient of each random effect in a regression on all rows."""
    if fit.fixed.empty:
        return np.zeros(len(fit.random_design.names))
    return at_random_effects(fit, fit_pooled(fit.terms.fixed, fit.data).fixed.to_numpy())
