r"""A cluster chosen among all, its data and lines beside: its points can be dragged.

The browser works out the lines anew with the variances and fixed effects of the fit. With Z the
rows (1, x) of a cluster, A = Z'Z, G the covariance of its effects and r its residuals from the
fixed effects, the effects are :math:`G (A G + \sigma^2 I)^{-1} Z'r` and their covariance, given the
variances, is :math:`\sigma^2 G (A G + \sigma^2 I)^{-1}` (Robinson 1991, equation 5.3, without the
inverse of G, which a singular fit has not).
"""

from __future__ import annotations

import altair as alt
import pandas as pd

from helpers.charts.explorer_charts import own_rings, with_gaps
from helpers.charts.shrinkage import end_points, fixed_point
from helpers.charts.theme import (
    POOLING_COLOURS,
    STROKES,
    ChartGrid,
    exact_scale,
    pooling_color,
    pooling_dash,
)

#: Positions of the control ``moved_by`` on either side of zero, and how many make one unit of y.
MOVES, PER_UNIT = 40, 10
_POINTS = 20
# A point dragged up or down sets two controls; explore.js says what the words mean.
_DRAG = {
    "which": "observation_to_move",
    "by": "moved_by",
    "field": "place",
    "from": "y",
    "steps": PER_UNIT,
    "middle": MOVES,
}
# The sums over the observations that count, and what follows from them, in order.
_SUMS = {"n_used": "used", "sx": "used_x", "sxx": "used_xx", "sy": "used_y", "sxy": "used_xy"}
_CLOSED_FORM = {
    "r0": "datum.sy - fixed_Intercept * datum.n_used - fixed_x * datum.sx",
    "r1": "datum.sxy - fixed_Intercept * datum.sx - fixed_x * datum.sxx",
    "k11": "residual_variance + datum.n_used * g11 + datum.sx * g12",
    "k12": "datum.n_used * g12 + datum.sx * g22",
    "k21": "datum.sx * g11 + datum.sxx * g12",
    "k22": "residual_variance + datum.sx * g12 + datum.sxx * g22",
    "det": "datum.k11 * datum.k22 - datum.k12 * datum.k21",
    "t0": "(datum.k22 * datum.r0 - datum.k12 * datum.r1) / datum.det",
    "t1": "(datum.k11 * datum.r1 - datum.k21 * datum.r0) / datum.det",
    "mixed_Intercept": "fixed_Intercept + g11 * datum.t0 + g12 * datum.t1",
    "mixed_x": "fixed_x + g12 * datum.t0 + g22 * datum.t1",
    "c11": "residual_variance * (g11 * datum.k22 - g12 * datum.k21) / datum.det",
    "c12": "residual_variance * (g12 * datum.k11 - g11 * datum.k12) / datum.det",
    "c22": "residual_variance * (g22 * datum.k11 - g12 * datum.k12) / datum.det",
    "own_x": (
        "(datum.n_used * datum.sxy - datum.sx * datum.sy) / "
        "(datum.n_used * datum.sxx - datum.sx * datum.sx)"
    ),
    "own_Intercept": "(datum.sy - datum.own_x * datum.sx) / datum.n_used",
}
# What each pooling's line is drawn from.
_LINES = {
    "complete pooling": ("fixed_Intercept", "fixed_x"),
    "no pooling": ("datum.own_Intercept", "datum.own_x"),
    "partial pooling": ("datum.mixed_Intercept", "datum.mixed_x"),
}


def linked_explorer(clusters: pd.DataFrame, *, predictor: str, response: str) -> ChartGrid:
    """All clusters, and one of them with its data: for the function that gives `clusters`.

    Parameters
    ----------
    clusters : DataFrame
        Made by the function that :func:`helpers.controls.explorers.linked_clusters` returns.
    predictor, response : str
        Titles of the axes.

    Returns
    -------
    ChartGrid
        Parameters, each a position from 0: ``cluster``, ``observations_that_count`` (2 or more, in
        the order of the data), ``observation_to_move`` and ``moved_by`` (40 is not at all, 50 one
        unit of the response). It opens at the cluster that the model moves furthest.
    """
    rows = clusters[clusters["kind"] == "cluster"]
    distance = (rows[["no_Intercept", "no_x"]].to_numpy()
                - rows[["partial_Intercept", "partial_x"]].to_numpy())  # fmt: skip
    telling = int(((distance / distance.std(axis=0)) ** 2).sum(axis=1).argmax())
    observed = clusters[clusters["kind"] == "observation"]
    most = int(rows["n"].max())
    return ChartGrid(
        _all_clusters(rows, telling, predictor),
        _one_cluster(observed, telling, most, predictor, response),
    )


def _chosen(telling) -> alt.Parameter:
    return alt.param(name="cluster", value=telling)


def _all_clusters(rows, telling, predictor) -> alt.LayerChart:
    def limits(effect):
        values = rows[[f"no_{effect}", f"partial_{effect}"]].to_numpy()
        room = 0.03 * (values.max() - values.min())
        return exact_scale(float(values.min() - room), float(values.max() + room))

    base = alt.Chart().transform_filter("datum.kind == 'cluster'")
    paths = base.encode(
        alt.X("partial_Intercept:Q", title="intercept", scale=limits("Intercept")).axis(
            tickCount=4
        ),
        alt.Y("partial_x:Q", title=f"slope of {predictor}", scale=limits("x")).axis(tickCount=5),
    )
    lines = with_gaps(paths, ["no", "partial"]).mark_line(
        order=False, stroke="currentColor", strokeWidth=1, strokeOpacity=0.35
    )
    ends = end_points(paths.encode(detail="number:Q"), "partial pooling", filled=True)
    ring = paths.transform_filter("datum.number == cluster + 1").mark_point(
        size=260, stroke="currentColor", strokeWidth=2.5, opacity=1
    )
    middle = fixed_point(
        base.transform_filter("datum.number == 1").transform_calculate(pooling="'fixed effect'"),
        "fixed_Intercept",
        "fixed_x",
        orient="bottom",
    )
    return (
        alt.layer(lines, *own_rings(paths, 5.5), ends, middle, ring)
        .properties(
            width="container",
            height=280,
            title=alt.Title(
                text=[
                    "All clusters, from their own estimates",
                    "to the mixed model's. The ring is",
                    "the chosen one: click on another.",
                ],
                fontWeight="normal",
                fontSize=13,
            ),
            usermeta={"pick": {"control": "cluster", "field": "number", "first": 1}},
            description=(
                "Scatter plot of all clusters as paths from their own intercept and slope to the "
                "mixed model's; one is ringed. The slider above chooses it too."
            ),
        )
        .add_params(_chosen(telling))
    )


def _one_cluster(observed, telling, most, predictor, response) -> alt.LayerChart:
    across = (float(observed["x"].min()), float(observed["x"].max()))
    up = (float(observed["y"].min()) - 0.5, float(observed["y"].max()) + 0.5)
    axes = [
        alt.X("at:Q", title=predictor, scale=exact_scale(*across)).axis(tickCount=5),
        alt.Y("height:Q", title=response, scale=exact_scale(*up)).axis(tickCount=6),
    ]
    steps = alt.Chart().transform_filter(
        "datum.kind == 'observation' && datum.number == cluster + 1"
    )
    is_moved = "datum.place == observation_to_move + 1"
    steps = steps.transform_calculate(
        height=f"datum.y + ({is_moved} ? (moved_by - {MOVES}) / {PER_UNIT} : 0)",
        at="datum.x",
        used="datum.place <= observations_that_count + 2 ? 1 : 0",
    )
    points = steps.mark_point(size=60, opacity=1).encode(
        *axes,
        detail=["place:Q", "y:Q"],
        fill=alt.condition("datum.used > 0", alt.value("currentColor"), alt.value("transparent")),
        stroke=alt.condition(
            is_moved, alt.value(POOLING_COLOURS["complete pooling"]), alt.value("currentColor")
        ),
        strokeWidth=alt.condition(is_moved, alt.value(4), alt.value(1.5)),
    )
    whole = _with_lines(steps)
    return alt.layer(_band(whole, across, axes), *_lines(whole, across, axes), points, _words(whole)
    ).properties(
        width="container",
        height=280,
        usermeta={"drag": _DRAG},
        description=(
            f"Scatter plot of one cluster's {response} against {predictor}, with the line of "
            "complete, no and partial pooling and the mixed model's 95 % interval. The sliders "
            "above choose the cluster, how many observations count, and move one of them."
        ),
    ).add_params(
        _chosen(telling),
        alt.param(name="observations_that_count", value=most - 2),
        alt.param(name="observation_to_move", value=0),
        alt.param(name="moved_by", value=MOVES),
    )  # fmt: skip


def _with_lines(steps) -> alt.Chart:
    """One row of the cluster, with its lines worked out from the observations that count."""
    products = {
        "used_x": "datum.used * datum.x",
        "used_xx": "datum.used * datum.x * datum.x",
        "used_y": "datum.used * datum.height",
        "used_xy": "datum.used * datum.x * datum.height",
    }
    whole = steps.transform_calculate(**products).transform_joinaggregate(
        **{total: f"sum({part})" for total, part in _SUMS.items()}
    )
    whole = whole.transform_filter("datum.place == 1")
    for name, expression in _CLOSED_FORM.items():
        whole = whole.transform_calculate(**{name: expression})
    return whole


def _along(whole, across) -> alt.Chart:
    low, high = across
    return (
        whole.transform_calculate(part=f"sequence({_POINTS + 1})")
        .transform_flatten(["part"])
        .transform_calculate(at=f"{low} + datum.part * {(high - low) / _POINTS}")
    )


def _band(whole, across, axes) -> alt.Chart:
    center = "(datum.mixed_Intercept + datum.mixed_x * datum.at)"
    variance = "datum.c11 + 2 * datum.c12 * datum.at + datum.c22 * datum.at * datum.at"
    reach = f"1.96 * sqrt(max(0, {variance}))"
    return (
        _along(whole, across)
        .transform_calculate(height=f"{center} - {reach}", upper=f"{center} + {reach}")
        .mark_area(clip=True, color=POOLING_COLOURS["partial pooling"], opacity=0.2)
        .encode(*axes, y2="upper:Q")
    )


def _lines(whole, across, axes) -> list[alt.Chart]:
    return [
        _along(whole, across)
        .transform_calculate(height=f"{intercept} + {slope} * datum.at", pooling=f"'{pooling}'")
        .mark_line(clip=True, strokeWidth=3)
        .encode(
            *axes,
            color=pooling_color(orient="bottom", **STROKES),
            strokeDash=pooling_dash(orient="bottom", **STROKES),
        )
        for pooling, (intercept, slope) in _LINES.items()
    ]


def _words(whole) -> alt.Chart:
    def pair(which):
        own = f"format(datum.{which}_Intercept, '.2f') + ', ' + format(datum.{which}_x, '.2f')"
        return f"(isValid(datum.{which}_x) ? {own} : 'none')"

    return (
        whole.transform_calculate(
            words=(
                "['cluster ' + datum.label + ', its ' + datum.n_used + ' observations: drag one', "
                f"'own intercept, slope: ' + {pair('own')}, 'mixed: ' + {pair('mixed')}]"
            )
        )
        .mark_text(align="left", baseline="top", lineHeight=16, fontSize=13)
        .encode(x=alt.value(0), y=alt.value(-56), text="words:N")
    )
