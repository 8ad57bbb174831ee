"""Figures of simulation studies."""

from __future__ import annotations

import altair as alt
import pandas as pd

from helpers.charts.theme import (
    POOLING_COLOURS,
    POOLING_SHAPES,
    ChartGrid,
    coefficient_title,
    number_tooltips,
    pooling_color,
)

# Intervals of one estimate have its colour; shape and dash tell them apart.
METHODS = {
    "regression": ("complete pooling", [6, 4], "diamond"),
    "regression, robust": ("complete pooling", [1, 3], "cross"),
    "mixed model, z": ("partial pooling", [2, 2], "square"),
    "mixed model, t": ("partial pooling", [1, 0], POOLING_SHAPES["partial pooling"]),
}

POOLINGS, COLOURS = list(POOLING_COLOURS), list(POOLING_COLOURS.values())


def treatment_panels(study: pd.DataFrame, *, level: float = 0.95) -> ChartGrid:
    """Bias, error and coverage of regression and mixed model against the intraclass correlation.

    Parameters
    ----------
    study : DataFrame
        Made by :func:`helpers.studies.treatment.treatment_study`.
    level : float
        Nominal coverage, drawn as a line.

    Returns
    -------
    ChartGrid
        Three panels with error bars of two Monte Carlo standard errors to either side.

    Raises
    ------
    ValueError
        If a method is unknown.

    Examples
    --------
    >>> from helpers import treatment_study
    >>> study = treatment_study([2, 10, 10, 10, 2, 10, 10, 10], [0, 0.5], n_datasets=100)
    >>> print(treatment_panels(study).charts[2].description)
    Root mean squared error against the intraclass correlation: regression from 0.283 at 0 to
    0.574 at 0.5; mixed model, t from 0.285 at 0 to 0.549 at 0.5.
    """
    unknown = sorted(set(study["method"]) - set(METHODS))
    if unknown:
        raise ValueError(f"method {unknown} is unknown; there are {list(METHODS)}.")
    # Estimates do not depend on the interval.
    estimates = study[study["method"].isin(["regression", "mixed model, t"])]
    return ChartGrid(
        _study_panel(study, "coverage", "Coverage of 95 % intervals", reference=level),
        _study_panel(estimates, "bias", "Bias", reference=0),
        _study_panel(estimates, "rmse", "Root mean squared error"),
        columns=2,
    )


def bias_and_variance(study: pd.DataFrame) -> ChartGrid:
    """Mean squared error of the three estimators, divided into squared bias and variance.

    Parameters
    ----------
    study : DataFrame
        Made by :func:`helpers.studies.pooling.pooling_study`.

    Returns
    -------
    ChartGrid
        One panel per coefficient: a bar for each estimator.

    Examples
    --------
    >>> from helpers import pooling_study
    >>> print(bias_and_variance(pooling_study(n_datasets=100)).charts[0].description)
    Stacked bars of squared bias and variance of Intercept estimates: complete pooling 0.301 and
    0.001; no pooling 0.000 and 0.112; partial pooling 0.021 and 0.057.
    """
    panels = [_bars(part, effect) for effect, part in study.groupby("effect")]
    return ChartGrid(*panels, columns=2)


def _study_panel(study, column, title, *, reference=None) -> alt.LayerChart:
    table = study[["icc", "method"]].assign(
        value=study[column],
        lower=study[column] - 2 * study[f"{column}_error"],
        upper=study[column] + 2 * study[f"{column}_error"],
    )
    base = alt.Chart(table).encode(
        alt.X("icc:Q", title="intraclass correlation", scale=alt.Scale(domain=[0, 1])),
        _by_method("Color", [POOLING_COLOURS[pooling] for pooling, _, _ in METHODS.values()]),
    )
    up = alt.Y("value:Q", title=None, scale=alt.Scale(zero=column == "rmse"))
    lines = base.mark_line().encode(
        up, _by_method("StrokeDash", [dash for _, dash, _ in METHODS.values()])
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        up,
        _by_method("Shape", [shape for _, _, shape in METHODS.values()]),
        tooltip=["method", "icc", alt.Tooltip("value:Q", title=column, format=".4f")],
    )
    bars = base.mark_rule(strokeWidth=2).encode(alt.Y("lower:Q", title=None), alt.Y2("upper:Q"))
    layers = [lines, bars, points]
    if reference is not None:
        rule = alt.Chart(pd.DataFrame({"value": [reference]})).mark_rule(opacity=0.6)
        layers.insert(0, rule.encode(alt.Y("value:Q")))
    return alt.layer(*layers).properties(
        width="container",
        height=260,
        title=title,
        description=_study_description(table, title),
    )


def _by_method(channel, values):
    # The legends of one field merge into one that shows colour, dash and shape.
    scale = alt.Scale(domain=list(METHODS), range=values)
    return getattr(alt, channel)("method:N", scale=scale, legend=alt.Legend(title=None, columns=1))


def _study_description(table, title) -> str:
    # Rounded as a table is: formatting alone would make .9155 another number.
    parts = [
        f"{method} from {part['value'].iloc[0]:.3f} at {part['icc'].iloc[0]:g} to "
        f"{part['value'].iloc[-1]:.3f} at {part['icc'].iloc[-1]:g}"
        for method, part in table.round({"value": 3}).groupby("method", sort=False)
    ]
    return f"{title} against the intraclass correlation: {'; '.join(parts)}."


def _bars(part, effect) -> alt.LayerChart:
    # An unbiased estimate of zero may lie below it.
    bias = part["squared_bias"].clip(lower=0)
    table = part[["pooling", "variance"]].assign(squared_bias=bias, total=bias + part["variance"])
    base = alt.Chart(table).encode(
        alt.Y("pooling:N", title=None, axis=alt.Axis(labelLimit=140)),
        pooling_color().legend(None),
        tooltip=["pooling", *number_tooltips("squared_bias", "variance", "total")],
    )
    title = ["mean squared error", "(solid: squared bias)"]
    whole = base.mark_bar(height=24, fillOpacity=0.15, strokeWidth=2).encode(
        alt.X("total:Q", title=title),
        alt.Stroke("pooling:N", scale=alt.Scale(domain=POOLINGS, range=COLOURS), legend=None),
    )
    solid = base.mark_bar(height=24).encode(alt.X("squared_bias:Q", title=title))
    values = "; ".join(
        f"{row.pooling} {row.squared_bias:.3f} and {row.variance:.3f}" for row in table.itertuples()
    )
    return alt.layer(whole, solid).properties(
        width="container",
        height=130,
        title=coefficient_title(effect),
        description=f"Stacked bars of squared bias and variance of {effect} estimates: {values}.",
    )
