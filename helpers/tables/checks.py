"""What a look at the residuals and conditional modes of a fit needs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from helpers.models import MixedFit
from helpers.tables.base import require_fit


def normal_quantiles(fit: MixedFit) -> pd.DataFrame:
    """Residuals and conditional modes in order, beside a normal's quantiles.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        quantity ("residual", or the name of a random effect, without nested ones), label (of
        the cluster; of a residual, of its row), value, normal (standard normal quantile of its
        rank) and line (what value would be on the line through both quartiles).

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Notes
    -----
    Quantiles at (rank - 1/2) / n; the line as R's ``qqline``. Modes are shrunken, each by what its
    own cluster says, so they look more normal than the effects are.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> table = normal_quantiles(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> table["quantity"].value_counts().to_dict()
    {'residual': 1000, 'Intercept': 100, 'x': 100}
    """
    require_fit(fit, MixedFit)
    residuals = fit.residuals(scaled=False)
    parts = [_in_order("residual", residuals.index, residuals.to_numpy())]
    for position, name in enumerate(fit.random_design.names):
        modes = fit.solution.effects[:, position]
        parts.append(_in_order(name, fit.random_design.labels, modes))
    return pd.concat(parts, ignore_index=True)


def _in_order(quantity, label, value) -> pd.DataFrame:
    order = np.argsort(value, kind="stable")
    normal = special.ndtri((np.arange(len(value)) + 0.5) / len(value))
    low, high = np.quantile(value, [0.25, 0.75])
    slope = (high - low) / (2 * special.ndtri(0.75))
    return pd.DataFrame(
        {
            "quantity": quantity,
            "label": np.asarray(label)[order],
            "value": value[order],
            "normal": normal,
            "line": (low + high) / 2 + slope * normal,
        }
    )


def residuals_by_cluster(fit: MixedFit) -> pd.DataFrame:
    """Spread of the scaled residuals within each cluster.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        cluster, n, smallest, lower quartile, median, upper quartile and largest scaled residual (in
        residual sds), sorted by the median.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> table = residuals_by_cluster(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> list(table.columns)
    ['cluster', 'n', 'smallest', 'lower', 'median', 'upper', 'largest']
    """
    require_fit(fit, MixedFit)
    cluster = fit.random_design.labels.to_numpy()[fit.random_design.clusters]
    spread = fit.residuals().groupby(cluster)
    table = spread.quantile([0, 0.25, 0.5, 0.75, 1]).unstack()
    table.columns = ["smallest", "lower", "median", "upper", "largest"]
    table.insert(0, "n", spread.size())
    return table.rename_axis("cluster").reset_index().sort_values("median", ignore_index=True)
