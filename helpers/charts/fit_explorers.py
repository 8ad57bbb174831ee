"""Charts of the explorers for any fit: without rows, which :func:`helpers.controls.explore` brings.

Axes carry the reader's own names; fields are the columns of :mod:`helpers.controls.fit_explorers`.
"""

from __future__ import annotations

import altair as alt

from helpers.charts.shrinkage import end_points, fixed_point
from helpers.charts.theme import (
    POOLING_COLOURS,
    STROKES,
    exact_scale,
    number_tooltips,
    pooling_color,
    pooling_dash,
)

GREEN, ORANGE = POOLING_COLOURS["partial pooling"], POOLING_COLOURS["complete pooling"]
CHOSEN = "datum.number == cluster"
Limits = tuple[float, float]


def fit_line_explorer(*, predictor: str, response: str, x: Limits, y: Limits) -> alt.LayerChart:
    """Draw the chosen cluster's observations and its three lines.

    Parameters
    ----------
    predictor, response : str
        Titles of the axes.
    x, y : tuple of float
        Limits of the axes.

    Returns
    -------
    altair.LayerChart
        Its parameter ``cluster`` counts the clusters from 0.
    """
    base = (
        alt.Chart()
        .transform_calculate(pooling="datum.kind")
        .encode(
            alt.X("x:Q", title=predictor, scale=exact_scale(*x)).axis(tickCount=6, format="~"),
            alt.Y("y:Q", title=response, scale=exact_scale(*y)),
        )
    )
    lines = (
        base.transform_filter(f"indexof(datum.kind, 'pooling') > 0 && {CHOSEN}")
        .mark_line(clip=True, strokeWidth=3)
        .encode(pooling_color(**STROKES), pooling_dash(**STROKES))
    )
    points = (
        base.transform_filter(f"datum.kind == 'observation' && {CHOSEN}")
        .mark_circle(clip=True, color="currentColor", size=45, opacity=1, fillOpacity=0.7)
        .encode(tooltip=number_tooltips(digits=2, x=predictor, y=response))
    )
    return (
        alt.layer(lines, points, _words())
        .add_params(alt.param(name="cluster", value=0))
        .properties(
            width="container",
            height=340,
            description=(
                f"Scatter plot of one cluster's {response} against {predictor}, with the line of "
                "complete, no and partial pooling. The control above chooses the cluster; the text "
                "in the chart tells its numbers."
            ),
        )
    )


def fit_path_explorer(
    *, horizontal: str, vertical: str, x: Limits, y: Limits, title: list[str]
) -> alt.LayerChart:
    """Draw each cluster on its way from its own estimate to the mixed model's.

    Parameters
    ----------
    horizontal, vertical : str
        Titles of the axes.
    x, y : tuple of float
        Limits of the axes.
    title : list of str
        How many clusters there are, and what the frame does not show.

    Returns
    -------
    altair.LayerChart
        Its parameter ``pull`` (percent) says how far along its way each cluster stands,
        ``cluster`` which one is ringed.
    """
    clusters = (
        alt.Chart()
        .transform_filter("datum.kind == 'path'")
        .encode(
            alt.X("at_x:Q", title=horizontal, scale=exact_scale(*x)).axis(tickCount=5),
            alt.Y("at_y:Q", title=vertical, scale=exact_scale(*y)).axis(tickCount=5),
        )
    )
    own = clusters.transform_filter("datum.has_own > 0")
    tooltip = [alt.Tooltip("words:N", title="cluster"), alt.Tooltip("n:Q", title="observations")]
    layers = [
        own.mark_rule(clip=True, stroke="currentColor", strokeOpacity=0.35).encode(
            x="no_x:Q", y="no_y:Q", x2="at_x", y2="at_y"
        ),
        end_points(own.encode(x="no_x:Q", y="no_y:Q"), "no pooling", filled=False),
        end_points(clusters.encode(tooltip=tooltip), "partial pooling", filled=True),
        clusters.transform_filter(CHOSEN).mark_point(
            clip=True, size=260, stroke="currentColor", strokeWidth=2.5, opacity=1
        ),
        fixed_point(
            alt.Chart()
            .transform_filter("datum.kind == 'path' && datum.number == 0")
            .transform_calculate(pooling="'fixed effect'"),
            "fixed_x",
            "fixed_y",
        ),
    ]
    return (
        alt.layer(*layers)
        .transform_calculate(
            at_x="lerp([datum.no_x, datum.partial_x], pull / 100)",
            at_y="lerp([datum.no_y, datum.partial_y], pull / 100)",
        )
        .add_params(alt.param(name="cluster", value=0), alt.param(name="pull", value=100))
        .properties(
            width="container",
            height=340,
            title=alt.Title(text=title, fontWeight="normal", fontSize=13),
            description=(
                f"Scatter plot, {', '.join(title)}: {horizontal} and {vertical}, as "
                "paths from each cluster's own estimate to the mixed model's. The controls above "
                "choose how far they are pulled and which one is ringed."
            ),
        )
    )


def ribbon_explorer(*, predictor: str, response: str, x: Limits, y: Limits) -> alt.LayerChart:
    """Draw a prediction over the predictor with its interval.

    Parameters
    ----------
    predictor, response : str
        Titles of the axes.
    x, y : tuple of float
        Limits of the axes.

    Returns
    -------
    altair.LayerChart
    """
    base = alt.Chart().encode(
        alt.X("x:Q", title=predictor, scale=exact_scale(*x)).axis(tickCount=6, format="~"),
        alt.Y("prediction:Q", title=response, scale=exact_scale(*y)),
    )
    curve = base.transform_filter("datum.kind == 'curve'")
    layers = [
        curve.mark_area(clip=True, color=GREEN, fillOpacity=0.25).encode(
            alt.Y("lower:Q", title=response), y2="upper:Q"
        ),
        curve.mark_line(clip=True, color=GREEN, strokeWidth=3),
        base.transform_filter("datum.kind == 'observation'").mark_circle(
            clip=True, color="currentColor", size=40, opacity=1, fillOpacity=0.7
        ),
    ]
    return alt.layer(*layers).properties(
        width="container",
        height=340,
        title=alt.Title(text=alt.expr("split(read_out, '|')"), fontWeight="normal", fontSize=13),
        description=(
            f"Line of predicted {response} over {predictor} with its 95 % interval. The controls "
            "above choose the cluster and what the interval is for; the title tells its width."
        ),
    )


def what_if_explorer(labels: list[str]) -> alt.LayerChart:
    """Draw where the estimates of simulated data sets lie, in units of the fit's own spread.

    Parameters
    ----------
    labels : list of str
        Names of the parameters, from above to below.

    Returns
    -------
    altair.LayerChart
    """
    base = alt.Chart().encode(
        alt.Y("parameter:N", sort=labels, title=None, axis=alt.Axis(labelLimit=220)),
        alt.X("lower:Q", title=["distance from the truth,", "in its standard errors today"])
        .scale(exact_scale(-4, 4))
        .axis(tickCount=8, format="~", titleAnchor="end"),
    )
    layers = [
        base.mark_rule(clip=True, color=GREEN, strokeWidth=5).encode(x2="upper:Q"),
        base.mark_point(clip=True, filled=True, size=70, color=GREEN, opacity=1).encode(
            x="middle:Q",
            tooltip=["parameter:N", *number_tooltips("truth", "spread")],
        ),
        alt.Chart().mark_rule(strokeDash=[5, 4], color="currentColor").encode(x=alt.datum(0)),
    ]
    return alt.layer(*layers).properties(
        width="container",
        height=34 * len(labels) + 40,
        title=alt.Title(text=alt.expr("split(read_out, '|')"), fontWeight="normal", fontSize=13),
        description=(
            "Middle 95 % of the estimates of simulated data sets, one line per parameter. The "
            "controls above multiply clusters and rows; the title tells what is gained."
        ),
    )


def _words() -> alt.Chart:
    """Write the chosen cluster's numbers into the corner."""
    return (
        alt.Chart()
        .transform_filter(f"datum.kind == 'path' && {CHOSEN}")
        .transform_calculate(text="split(datum.words, '|')")
        .mark_text(align="left", baseline="top", lineHeight=15)
        .encode(x=alt.value(8), y=alt.value(6), text="text:N")
    )
