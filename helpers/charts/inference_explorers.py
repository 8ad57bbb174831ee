"""Charts of the explorers of inference: without rows, which ``explore`` brings."""

from __future__ import annotations

import altair as alt

from helpers.charts.theme import POOLING_COLOURS, STROKES, ChartGrid, number_tooltips

GREEN, BLUE, ORANGE = (
    POOLING_COLOURS[name] for name in ("partial pooling", "no pooling", "complete pooling")
)
CURVES = {
    "prior_density": ("prior", ORANGE, [2, 2]),
    "likelihood_density": ("likelihood", BLUE, [6, 4]),
    "posterior_density": ("posterior", GREEN, [1, 0]),
}
MEANS = {
    "plug_in": ("tau as REML has it", BLUE, [6, 4]),
    "averaged": ("averaged over tau", GREEN, [1, 0]),
}


def posterior_explorer() -> ChartGrid:
    """Posterior of tau and of one cluster, for ``explorers.tau_posterior``.

    Returns
    -------
    ChartGrid
    """
    return ChartGrid(
        _curves(
            "tau",
            "sd between clusters, tau",
            CURVES,
            "reml",
            "read_out",
            "Curves of prior, likelihood and posterior of the sd between clusters, with the REML "
            "estimate as a dashed rule.",
        ),
        _curves(
            "mean",
            "mean of cluster 1",
            MEANS,
            "own",
            "read_out_cluster",
            "Curves of the density of cluster 1's mean, with tau as REML has it and averaged over "
            "tau, and the cluster's own mean as a dashed rule.",
        ),
    )


def correlation_explorer() -> alt.LayerChart:
    """Intervals of a correlation in eight data sets, for ``explorers.correlation_intervals``.

    Returns
    -------
    altair.LayerChart
    """
    scale = alt.Scale(domain=[-1, 1])
    held = alt.Color("holds:N", scale=alt.Scale(domain=[0, 1], range=[ORANGE, GREEN]), legend=None)
    shape = alt.Shape(
        "holds:N", scale=alt.Scale(domain=[0, 1], range=["cross", "circle"]), legend=None
    )
    base = alt.Chart().encode(alt.Y("sample:O", title="data set"))
    return alt.layer(
        base.mark_rule(strokeWidth=2.5).encode(
            alt.X("lower:Q", scale=scale, title="correlation of intercepts and slopes"),
            alt.X2("upper:Q"),
            held,
        ),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            alt.X("value:Q", scale=scale),
            held,
            shape,
            tooltip=number_tooltips("value", "lower", "upper"),
        ),
        alt.Chart().mark_rule(strokeDash=[5, 4], color="currentColor").encode(alt.X("truth:Q")),
    ).properties(
        width="container",
        height=240,
        title=_told("read_out"),
        description=(
            "Dots with 95 % profile intervals of a correlation in eight data sets, the truth as a "
            "dashed rule; crosses miss it. The controls above choose the size of the data sets; "
            "the title counts."
        ),
    )


def _told(column) -> alt.Title:
    return alt.Title(text=alt.expr(f"split({column}, '|')"), fontWeight="normal", fontSize=13)


def _curves(field, title, curves, marked, told, description) -> alt.LayerChart:
    names = [name for name, _, _ in curves.values()]
    colours = alt.Scale(domain=names, range=[colour for _, colour, _ in curves.values()])
    dashes = alt.Scale(domain=names, range=[dash for _, _, dash in curves.values()])
    legend = alt.Legend(title=None, columns=3, **STROKES)
    across = alt.X(f"{field}:Q", title=title, scale=alt.Scale(nice=False))
    blank = alt.Axis(labels=False, ticks=False)
    lines = [
        alt.Chart()
        .transform_calculate(curve=f"'{name}'")
        .mark_line(strokeWidth=2.5)
        .encode(
            across,
            alt.Y(f"{column}:Q", title=None, axis=blank),
            alt.Color("curve:N", scale=colours, legend=legend),
            alt.StrokeDash("curve:N", scale=dashes, legend=legend),
        )
        for column, (name, _, _) in curves.items()
    ]
    # All rows have the same value: one rule is enough.
    rule = (
        alt.Chart()
        .transform_filter("datum.row == 0")
        .mark_rule(strokeDash=[5, 4], color="currentColor")
        .encode(alt.X(f"{marked}:Q"))
    )
    return alt.layer(*lines, rule).properties(
        width="container", height=240, title=_told(told), description=description
    )
