"""How far a mixed model moves each cluster's own estimates, and who is nearer the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.models.design import DataError, check_columns
from helpers.models.fits import (
    MixedFit,
    fit_pooled,
    least_squares_by_cluster,
)
from helpers.tables.base import require_fit


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
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data, true_coefficients
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
