"""Which combinations of the fixed effects a mean or a slope averages over, as emmeans does.

Nothing here reads the formula: a predictor's part is seen from the rows that the design makes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.models.columns import DataError
from helpers.tables.base import require_predictor, sorted_levels

MOST_LEVELS = 12
# emmeans' cov.keep: a numeric column with as few values keeps them, any other stands at its mean.
KEPT_VALUES = 2
# Step of a numerical slope, as a share of the column's range; a line's slope does not depend on it.
STEP = 1e-3


def grid_rows(fit, predictor: str, at: Mapping | None) -> tuple[pd.Series, np.ndarray]:
    """Levels of a predictor and, for each, the design row averaged over the other predictors."""
    levels = predictor_levels(fit, predictor)
    grid = _settings(fit, at, apart_from=predictor)
    return levels, _mean_rows(fit, grid, {predictor: levels})


def slope_rows(fit, slope: str, predictor: str, at: Mapping | None):
    """Levels of a predictor and, for each, how the averaged design row changes with `slope`."""
    require_predictor(fit, slope)
    column = fit.data[slope]
    if slope == predictor or not is_numeric(fit, slope):
        raise DataError(
            f"{slope!r} has no slope: give a numeric predictor other than {predictor!r}."
        )
    levels = predictor_levels(fit, predictor)
    grid = _settings(fit, at, apart_from=predictor)
    values = pd.to_numeric(column).astype(float)
    middle, step = float((at or {}).get(slope, values.mean())), STEP * np.ptp(values)
    ends = pd.Series([middle - step / 2, middle + step / 2])
    rows = _mean_rows(fit, grid, {predictor: levels, slope: ends})
    return levels, (rows[:, 1] - rows[:, 0]) / step


def predictor_levels(fit, predictor: str) -> pd.Series:
    """Levels of a predictor, refused where there are too many to be categories."""
    require_predictor(fit, predictor)
    levels = sorted_levels(fit.data[predictor])
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"{predictor!r} has {len(levels)} values; marginal means are for categorical "
            f"predictors, or numbers, with at most {MOST_LEVELS}."
        )
    return levels


def is_numeric(fit, name: str) -> bool:
    """Whether a predictor may take values between those of the data, so C(period) is none."""
    column = fit.data[name]
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return False
    low, high = sorted_levels(column).iloc[[0, -1]].astype(float)
    between = low + (high - low) * 0.4862
    try:
        fit.fixed_design.rows(fit.data.head(1).assign(**{name: between}))
    except DataError:
        return False
    return True


def warn_of_interactions(fit, predictor: str, at: Mapping | None) -> None:
    """Warn where the means of a predictor average over something that changes its effect."""
    partners = [
        name
        for name in fit.fixed_design.columns
        if name != predictor and name not in (at or {}) and _interact(fit, predictor, name)
    ]
    if partners:
        warnings.warn(
            f"results may be misleading: the effect of {predictor!r} depends on "
            f"{', '.join(map(repr, partners))}, and these are averages over it. "
            f"Choose its value with at={{{partners[0]!r}: ...}}.",
            stacklevel=3,
        )


def _settings(fit, at, *, apart_from) -> dict[str, pd.Series]:
    """Values each predictor takes in the grid: given, kept, the mean, or all levels."""
    at = at or {}
    if apart_from in at:
        raise DataError(f"at fixes {apart_from!r}, whose levels are asked for. Leave it out.")
    for name in at:
        require_predictor(fit, name)
    return {
        name: _given_value(fit, name, at[name]) if name in at else _usual_values(fit, name)
        for name in fit.fixed_design.columns
        if name != apart_from
    }


def _given_value(fit, name, value) -> pd.Series:
    # Objects keep what pandas would turn into a type of its own, such as intervals.
    return pd.Series([value], dtype=None if is_numeric(fit, name) else object)


def _usual_values(fit, name) -> pd.Series:
    column = fit.data[name]
    if column.nunique() > KEPT_VALUES and is_numeric(fit, name):
        return pd.Series([float(column.mean())])
    return sorted_levels(column)


def _mean_rows(fit, grid: dict, axes: dict) -> np.ndarray:
    """Design rows at all combinations of some columns' values, averaged over those of the grid.

    Shape: the lengths of the axes, then the number of coefficients.
    """
    values = {**axes, **{name: given for name, given in grid.items() if name not in axes}}
    shape = [len(given) for given in values.values()]
    places = np.indices(shape).reshape(len(shape), -1)
    columns = {
        name: given.iloc[place].reset_index(drop=True)
        for (name, given), place in zip(values.items(), places, strict=True)
    }
    rows = fit.fixed_design.rows(pd.DataFrame(columns))
    return rows.reshape(*shape[: len(axes)], -1, rows.shape[1]).mean(axis=len(axes))


def _interact(fit, one: str, other: str) -> bool:
    """Whether the design's change from level to level of one predictor depends on another."""
    axes = {name: _some_values(fit, name) for name in (one, other)}
    rows = _mean_rows(fit, _settings(fit, None, apart_from=one), axes)
    change = rows - rows[:1]
    mixed = np.abs(change - change[:, :1]).max(axis=(0, 1))
    return bool((mixed > 1e-8 * np.abs(rows).max(axis=(0, 1))).any())


def _some_values(fit, name) -> pd.Series:
    levels = sorted_levels(fit.data[name])
    return levels.iloc[[0, len(levels) // 2, -1]] if is_numeric(fit, name) else levels
