"""Densities of the clusters' estimates, separate against mixed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.tables.base import POOLINGS

ESTIMATES = {pooling.column: pooling.name for pooling in POOLINGS[1:]}


def density_grid(table: pd.DataFrame, n_points: int) -> np.ndarray:
    """Points from end to end of the estimates, with room for the tails of their densities.

    Parameters
    ----------
    table : DataFrame
        One effect of tables made by ``shrinkage``.
    n_points : int
        How many points.

    Returns
    -------
    ndarray, shape (n_points,)

    Examples
    --------
    >>> density_grid(pd.DataFrame({"no_pooling": [0.0, 10.0], "partial_pooling": [4.0, 6.0]}), 3)
    array([-1.,  5., 11.])
    """
    values = table[list(ESTIMATES)].stack()
    room = 0.1 * (values.max() - values.min())
    return np.linspace(values.min() - room, values.max() + room, n_points)


def estimate_densities(table: pd.DataFrame, grid: np.ndarray) -> pd.DataFrame:
    """Kernel densities of the estimates without pooling and with partial pooling.

    Parameters
    ----------
    table : DataFrame
        One effect of a table made by ``shrinkage``. Missing estimates are left out.
    grid : ndarray
        Where to compute the densities.

    Returns
    -------
    DataFrame
        pooling, value, density: one row per pooling and point of the grid.

    Examples
    --------
    >>> table = pd.DataFrame({"no_pooling": [-1.0, 0, 1], "partial_pooling": [-0.5, 0, 0.5]})
    >>> estimate_densities(table, np.array([0.0]))["density"].round(2).tolist()
    [0.32, 0.64]
    """
    # Half a second to import, for one of the chapters.
    from scipy.stats import gaussian_kde

    parts = [
        pd.DataFrame(
            {
                "pooling": pooling,
                "value": grid,
                "density": gaussian_kde(table[column].dropna())(grid),
            }
        )
        for column, pooling in ESTIMATES.items()
    ]
    return pd.concat(parts, ignore_index=True)
