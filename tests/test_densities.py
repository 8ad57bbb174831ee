"""Densities of estimates: what they integrate to, and what they are computed from."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers.tables.densities import density_grid, estimate_densities


@pytest.fixture
def table():
    stream = np.random.default_rng(1)
    own = stream.normal(2, 3, 50)
    return pd.DataFrame({"no_pooling": own, "partial_pooling": 2 + 0.4 * (own - 2)})


def test_each_density_integrates_to_one(table):
    curves = estimate_densities(table, np.linspace(-20, 24, 2001))
    areas = curves.groupby("pooling").apply(lambda c: np.trapezoid(c["density"], c["value"]))
    assert areas.round(6).to_dict() == {"no pooling": 1.0, "partial pooling": 1.0}


def test_each_density_is_of_its_own_estimates_without_missing_ones(table):
    table.loc[3, "no_pooling"] = np.nan
    grid = density_grid(table, 11)
    curves = estimate_densities(table, grid).set_index("pooling")["density"]
    kept = stats.gaussian_kde(table["no_pooling"].dropna())(grid)
    np.testing.assert_allclose(curves["no pooling"], kept)
    np.testing.assert_allclose(
        curves["partial pooling"], stats.gaussian_kde(table["partial_pooling"])(grid)
    )


def test_grid_reaches_a_tenth_beyond_the_estimates_of_both_kinds(table):
    grid = density_grid(table, 5)
    low, high = table["no_pooling"].min(), table["no_pooling"].max()
    np.testing.assert_allclose(grid[[0, -1]], [low - (high - low) / 10, high + (high - low) / 10])
    assert len(grid) == 5
