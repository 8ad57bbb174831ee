"""What several rooms of tables need.

Names: the columns that a table computes are always called the same. The label of a cluster stands
in ``cluster``, the name of its column in ``grouping_factor``. Columns of the reader's data stand
under their own names; one that is called like a column of the table gets an underscore behind it
(a predictor ``n`` becomes ``n_``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from helpers.models.columns import DataError
from helpers.models.fits import FittedModel, MixedFit, PooledFit
from helpers.models.formula import column_names
from helpers.models.inference import kenward_roger

LEVEL = 0.95
#: With fewer, a normal's intervals are a tenth too narrow or more: t(13) has 2.16 for 1.96.
FEW_CLUSTERS = 15


@dataclass(frozen=True)
class Pooling:
    """One of the three ways to estimate a cluster.

    Attributes
    ----------
    name : str
        As in prose and legends.
    column : str
        Its column in tables.
    color : str
        From the palette of Okabe & Ito (2008), told apart by colour-blind readers.
    dash : list of int
        Lengths of stroke and gap, for readers who see no colour.
    shape : str
        Vega's name of the symbol.
    """

    name: str
    column: str
    color: str
    dash: list[int]
    shape: str


POOLINGS = (
    Pooling("complete pooling", "complete_pooling", "#d55e00", [6, 4], "diamond"),
    Pooling("no pooling", "no_pooling", "#0072b2", [2, 2], "triangle-up"),
    Pooling("partial pooling", "partial_pooling", "#009e73", [1, 0], "circle"),
)


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


def require_predictor(fit, name) -> None:
    """Raise DataError unless `name` is a column that the fixed effects use."""
    if name not in fit.fixed_design.columns:
        raise DataError(
            f"{name!r} is not a predictor of {fit.formula!r}; "
            f"it has {', '.join(map(str, fit.fixed_design.columns)) or 'none'}."
        )


def interval(value, se, degrees_of_freedom) -> dict:
    """Limits of a 95 % interval, with Student's t."""
    margin = stdtrit(degrees_of_freedom, (1 + LEVEL) / 2) * se
    return {"lower_2.5": value - margin, "upper_97.5": value + margin}


def t_table(value, covariance_of, df) -> dict:
    """Value, standard error, degrees of freedom, t, p value and limits, as columns."""
    se = np.sqrt(np.clip(np.asarray(covariance_of), 0, None))
    df = np.broadcast_to(np.asarray(df, dtype=float), se.shape)
    statistic = np.divide(value, se, out=np.full(se.shape, np.nan), where=se > 0)
    return {
        "value": value,
        "se": se,
        "df": df,
        "t": statistic,
        "p_value": 2 * stdtr(df, -np.abs(statistic)),
        **interval(value, se, df),
    }


def small_sample(fit: FittedModel, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance matrix of the fixed effects, and degrees of freedom of each row of weights.

    Those of Kenward & Roger (1997) for a mixed fit, the regression's own for a pooled one.

    Raises
    ------
    DataError
        If a mixed fit is by maximum likelihood: the correction is of REML estimates.
    """
    if isinstance(fit, PooledFit):
        return fit.fixed_covariance.to_numpy(), np.full(len(weights), fit.degrees_of_freedom)
    if not fit.reml:
        raise DataError(
            "Kenward & Roger's correction is of REML estimates. Refit with reml=True, or ask "
            "fixed_effects for df='normal'."
        )
    random = fit.random_design
    small = kenward_roger(
        fit.solution, fit.fixed_design.matrix, random.matrix, random.clusters, random.blocks
    )
    return small.fixed_covariance, np.array([small.degrees_of_freedom(row) for row in weights])


def nested_variance(fit) -> float:
    """Variance of the nested intercepts."""
    return float(fit.solution.covariance[-1, -1])


def is_random_intercept(fit) -> bool:
    """Whether the only random effect is a cluster's intercept, (1 | g)."""
    return fit.random_design.names == ["Intercept"] and not fit.terms.nested


def refuse_double_names(fit) -> None:
    """Raise DataError if two fixed effects have one random effect's name.

    A level and a column can print alike: ``ses`` with the level ``mid``, and ``sesmid``.
    """
    names = list(fit.fixed.index)
    for name in fit.random_design.names:
        if names.count(name) > 1:
            raise DataError(
                f"two fixed effects of {fit.formula!r} are called {name!r}. Rename a column or a "
                "level, so that they print differently."
            )


def at_random_effects(fit, coefficients) -> np.ndarray:
    """Give the fixed coefficients of the random effects' names, 0 where there is none."""
    refuse_double_names(fit)
    names = list(fit.fixed.index)
    return np.array(
        [coefficients[names.index(n)] if n in names else 0.0 for n in fit.random_design.names]
    )


def varying_columns(fit) -> list[str]:
    """Columns of the data that the random effects of a cluster use."""
    names = [
        name for term in fit.terms.terms if not term.nested for name in column_names(term.effects)
    ]
    return list(dict.fromkeys(names))


def random_rows(fit, data: pd.DataFrame) -> np.ndarray:
    """Design of a cluster's random effects without nested ones, shape (len(data), effects)."""
    # The design wants clusters, and levels of a nested factor; any will do.
    rows = data.assign(**{name: fit.data[name].iloc[0] for name in _grouping_columns(fit)})
    return fit.random_design.rows(rows)[0][:, : len(fit.random_design.names)]


def _grouping_columns(fit) -> list[str]:
    nested = fit.terms.nested
    return [fit.terms.group, *([nested.nested] if nested else [])]


def sorted_levels(column: pd.Series) -> pd.Series:
    """Levels of a column that occur, in their order, of the column's own type."""
    codes, levels = pd.factorize(column, sort=True)
    first = pd.Series(np.arange(len(column))).groupby(codes).first()
    return column.iloc[first.loc[range(len(levels))]].reset_index(drop=True)
