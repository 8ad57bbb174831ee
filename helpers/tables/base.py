"""What several rooms of tables need."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from scipy.special import stdtrit

from helpers.models.fits import (
    MixedFit,
)

LEVEL = 0.95


def require_fit(fit, kind) -> None:
    """Raise TypeError unless `fit` is a fit of this kind."""
    if not isinstance(fit, kind):
        wanted = "fit_mixed" if kind is MixedFit else "fit_mixed or fit_pooled"
        raise TypeError(f"expected a fit made by {wanted}, not {type(fit).__name__}.")


def require_fits(fits) -> None:
    """Raise TypeError unless `fits` is a dict of mixed fits."""
    if not isinstance(fits, Mapping):
        raise TypeError(f"fits must be a dict {{name: fit, ...}}, not {type(fits).__name__}.")
    for fit in fits.values():
        require_fit(fit, MixedFit)


def interval(value, se, degrees_of_freedom) -> dict:
    """Limits of a 95 % interval, with Student's t."""
    margin = stdtrit(degrees_of_freedom, (1 + LEVEL) / 2) * se
    return {"lower_2.5": value - margin, "upper_97.5": value + margin}


def nested_variance(fit) -> float:
    """Variance of the nested intercepts."""
    return float(fit.solution.covariance[-1, -1])


def sorted_levels(column) -> list:
    """Levels of a column in their order."""
    return pd.factorize(column, sort=True)[1].tolist()
