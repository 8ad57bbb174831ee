"""Charts of the explorers: without rows, which :func:`helpers.controls.explore` brings.

Fields and parameters are the columns of the function of :mod:`helpers.controls.explorers`
that each chart is made for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import altair as alt
import pandas as pd

from helpers.charts.categorical import interval_layers
from helpers.charts.shrinkage import FIXED_EFFECT, end_points, fixed_point, path_tooltip
from helpers.charts.slopes import all_paths, density_layers
from helpers.charts.theme import (
    POOLING_COLOURS,
    POOLING_DASHES,
    STROKES,
    ChartGrid,
    exact_scale,
    number_tooltips,
    pooling_color,
    pooling_dash,
    pooling_shape,
    unlisted_dash,
)

# Where clusters differ in size, the same size means the same number of rows in every setting.
SIZES = alt.Scale(type="sqrt", domain=[0, 100], range=[8, 110], clamp=True)
# What is behind a chart: on the site, in JupyterLab.
_PAGE = "var(--pst-color-background, var(--jp-layout-color0, white))"
READ_OUT = {"fontWeight": "normal", "fontSize": 13}
#: What the three poolings count, in the words of the weights explorer.
COUNTED = {
    "complete pooling": "observations",
    "no pooling": "clusters",
    "partial pooling": "mixed model",
}


def shrinkage_explorer(view: Mapping[str, tuple[float, float]]) -> alt.LayerChart:
    """Paths of all clusters, for :func:`helpers.controls.explorers.shrinkage_sample`.

    Parameters
    ----------
    view : mapping
        Limits of the axes, ``{"Intercept": (low, high), "x": (low, high)}``.

    Returns
    -------
    altair.LayerChart
        The parameter ``pooling`` (0 to 100) says how far along its path each filled point stands,
        ``show_the_truth`` whether crosses show where the clusters truly are,
        ``ellipse`` (0, 1, 2) whether none, 68 % or 95 % of the random effects are encircled,
        ``cluster`` which cluster is ringed and described (0: none).
    """
    share = "pooling / 100"
    # Where each cluster stands on its path, at the chosen degree of pooling.
    clusters = alt.Chart().encode(
        alt.X("at_Intercept:Q", title="intercept", scale=exact_scale(*view["Intercept"])).axis(
            tickCount=6
        ),
        alt.Y("at_x:Q", title="slope of x", scale=exact_scale(*view["x"])),
    )
    estimates = [_paths(clusters), *own_rings(clusters, 5.5), _shrunken(clusters)]
    return (
        alt.layer(
            *estimates,
            _ellipse(),
            _fixed_effects(),
            _ring(clusters),
            _ringed_in_words(),
            _outside_in_words(),
            _truths(alt.Chart()),
        )
        .transform_calculate(
            at_Intercept=f"lerp([datum.no_Intercept, datum.partial_Intercept], {share})",
            at_x=f"lerp([datum.no_x, datum.partial_x], {share})",
            own_Intercept=_own_in_words("Intercept"),
            own_x=_own_in_words("x"),
        )
        .add_params(
            alt.param(name="pooling", value=0),
            alt.param(name="show_the_truth", value=False),
            alt.param(name="ellipse", value=0),
            alt.param(name="cluster", value=0),
        )
        .properties(
            width="container",
            height=400,
            title=_estimates_in_words(),
            usermeta={
                "pick": {"control": "cluster", "field": "number", "first": 0},
                "lowest": {"pooling": "own estimates"},
            },
            description=(
                "Scatter plot of 100 clusters as paths from their own least-squares intercept and "
                "slope to the mixed model's, with the fixed effects as a diamond. The controls "
                "above choose the data; the title tells the estimates."
            ),
        )
    )


def pull_explorer() -> alt.LayerChart:
    """Clusters that are pulled, for :func:`helpers.controls.explorers.pulled_clusters`.

    Returns
    -------
    altair.LayerChart
        The parameter ``pull`` (percent) says how far along the way from its own estimate to the
        mixed model's, or beyond, each cluster stands, ``show_the_truth`` whether crosses show where
        the clusters truly are; the title tells the typical error.
    """
    clusters = alt.Chart().encode(
        alt.X("at_Intercept:Q", title="intercept", scale=exact_scale(-1.2, 3.2)).axis(tickCount=5),
        alt.Y("at_x:Q", title="slope", scale=exact_scale(-1.2, 2.2)).axis(tickCount=5),
    )
    return (
        alt.layer(
            _paths(clusters),
            *own_rings(clusters, 5.5),
            _truths(alt.Chart()),
            _pulled(clusters),
            _fixed_effects(),
        )
        .transform_calculate(
            at_Intercept="lerp([datum.no_Intercept, datum.partial_Intercept], pull / 100)",
            at_x="lerp([datum.no_x, datum.partial_x], pull / 100)",
        )
        .add_params(
            alt.param(name="pull", value=0),
            alt.param(name="show_the_truth", value=False),
        )
        .properties(
            width="container",
            height=340,
            usermeta={"lowest": {"pull": "own estimates"}},
            title=_title(
                "['Pulled ' + pull + ' % of the way to the mixed model.', "
                "'Typical error of a slope against the truth:', "
                f"'own estimates ' + {_error_of_pull('0')} + ', this pull ' + "
                f"{_error_of_pull('(pull / 100)')}]"
            ),
            description=(
                "Scatter plot of 100 clusters, each at its own intercept and slope, which move "
                "toward the mixed model's. The controls above choose the world and the pull; the "
                "title tells how far the slopes are from the truth."
            ),
        )
    )


def worlds_explorer(worlds: pd.DataFrame) -> ChartGrid:
    """Six worlds side by side, pulled together, for the function that gives `worlds`.

    Parameters
    ----------
    worlds : DataFrame
        Made by :func:`helpers.controls.explorers.pulled_worlds`: the titles tell its errors.

    Returns
    -------
    ChartGrid
        Parameters as in :func:`pull_explorer`.
    """
    errors = ["log_own_error", "log_mixed_error", "error_correlation"]
    rows = worlds.groupby("world", sort=False)[errors].first()
    return ChartGrid(*(_world_panel(world, row) for world, row in rows.iterrows()), columns=3)


def _world_panel(world, errors) -> alt.LayerChart:
    rows = alt.Chart().transform_filter(f"datum.world == '{world}'")
    clusters = rows.encode(
        alt.X("at_Intercept:Q", title="intercept", scale=exact_scale(-2, 4)).axis(tickCount=4),
        alt.Y("at_x:Q", title="slope", scale=exact_scale(-2, 3)).axis(tickCount=4),
    )
    said = [_error_of_pull(q, *errors) for q in ("0", "(pull / 100)")]
    return (
        alt.layer(
            _paths(clusters),
            *own_rings(clusters, 4),
            _truths(rows, size=16),
            cluster_dots(clusters, "at", POOLING_COLOURS["partial pooling"], 5),
        )
        .transform_calculate(
            at_Intercept="lerp([datum.no_Intercept, datum.partial_Intercept], pull / 100)",
            at_x="lerp([datum.no_x, datum.partial_x], pull / 100)",
        )
        .add_params(alt.param(name="pull", value=0), alt.param(name="show_the_truth", value=False))
        .properties(
            width="container",
            height=180,
            usermeta={"lowest": {"pull": "own estimates"}},
            title=alt.Title(
                text=alt.expr(f"['{world}', 'error ' + {said[0]} + ' \u2192 ' + {said[1]}]"),
                fontWeight="normal",
                fontSize=alt.expr("width < 150 ? 11 : 13"),
                frame="bounds",
            ),
            description=(
                f"Scatter plot of 100 clusters of the world {world}, which move from their own "
                "intercepts and slopes toward the mixed model's. The slider above chooses how far; "
                "the title tells the typical error of a slope, of own estimates and of this pull."
            ),
        )
    )


def _error_of_pull(
    q,
    log_own_error="log_own_error",
    log_mixed_error="log_mixed_error",
    correlation="error_correlation",
) -> str:
    own, mixed = f"(1 - {q}) * exp({log_own_error})", f"{q} * exp({log_mixed_error})"
    squared = f"{own} * {own} + 2 * {correlation} * {own} * {mixed} + {mixed} * {mixed}"
    return f"format(sqrt({squared}), '.3f')"


def _pulled(clusters) -> alt.Chart:
    described = clusters.encode(
        tooltip=[alt.Tooltip("number:Q", title="cluster"), "n:Q"], size=alt.value(45)
    )
    return end_points(described, "partial pooling", filled=True)


def _truths(rows, size=34) -> alt.Chart:
    cross = {"shape": "cross", "fill": "currentColor", "strokeWidth": 0, "opacity": 0.8}
    return (
        rows.transform_filter("show_the_truth > 0")
        .mark_point(clip=True, size=size, **cross)
        .encode(x="true_Intercept:Q", y="true_x:Q")
    )


def effect_explorer() -> alt.LayerChart:
    """One cluster's mean and what pulls it, for :func:`helpers.controls.explorers.one_effect`.

    Returns
    -------
    altair.LayerChart
        Normal curves, drawn equally high.
    """
    short = "replace(replace(datum.label, 'means of ', ''), ' pooling', '')"
    names = ["means of all clusters", "own mean", "partial pooling"]
    colour = alt.Color(
        "curve:N",
        scale=alt.Scale(domain=names, range=list(POOLING_COLOURS.values())),
        legend=alt.Legend(title=None, labelExpr=short, **STROKES),
    )
    dash = alt.StrokeDash(
        "curve:N",
        scale=alt.Scale(domain=names, range=list(POOLING_DASHES.values())),
        legend=alt.Legend(title=None, labelExpr=short, **STROKES),
    )
    across = {"title": "mean, as a distance from that of all clusters", "scale": exact_scale(-2, 3)}
    curves = (
        alt.Chart()
        .transform_calculate(at="sequence(-2, 3.01, 0.02)")
        .transform_flatten(["at"])
        .transform_calculate(height="exp(-pow((datum.at - datum.mean) / datum.sd, 2) / 2)")
        .mark_line(strokeWidth=2.5)
        .encode(
            alt.X("at:Q", **across),
            alt.Y("height:Q", title=None, axis=alt.Axis(labels=False, ticks=False)),
            colour,
            dash,
        )
    )
    centers = alt.Chart().mark_rule(strokeWidth=1.5).encode(alt.X("mean:Q", **across), colour, dash)
    return alt.layer(curves, centers).properties(
        width="container",
        height=220,
        title=_read_out(),
        description=(
            "Three bell curves, equally high: the means of all clusters about 0, a cluster's own "
            "mean about 1, and partial pooling between them. The controls above choose how wide "
            "the first two are; the title tells what share of its distance the cluster keeps."
        ),
    )


def student_explorer(
    data: pd.DataFrame,
    *,
    lines: bool,
    response: str = "gpa",
    predictor: str = "occasion",
    cluster: str = "student",
) -> alt.LayerChart:
    """One cluster's path before those of all, such as a student's grades.

    Parameters
    ----------
    data : DataFrame
        One row per cluster and occasion.
    lines : bool
        Whether the function brings the three lines too
        (:func:`helpers.controls.explorers.own_lines`), or the cluster's path alone
        (:func:`helpers.controls.explorers.own_path`).
    response, predictor, cluster : str
        Columns of `data`.

    Returns
    -------
    altair.LayerChart
    """
    base = _observed_and_lines(data[predictor], data[response], predictor, response)
    behind = all_paths(data, response=response, predictor=predictor, cluster=cluster)
    own = base.transform_filter("datum.kind == 'observation'").mark_line(
        color="currentColor", strokeWidth=2, point={"color": "currentColor", "size": 45}
    )
    drawn = ", with the line of complete, no and partial pooling" if lines else ""
    return alt.layer(behind, *([_pooled_lines(base)] if lines else []), own).properties(
        width="container",
        height=340,
        title=_read_out(),
        description=(
            f"Line plot of one {cluster}'s {response} over {predictor}{drawn}, before the faint "
            f"paths of all {data[cluster].nunique()}. The slider above chooses the {cluster}; the "
            "title tells the numbers."
        ),
    )


def density_explorer(effects: dict[str, str]) -> ChartGrid:
    """Densities of separate and mixed estimates: the chart of ``paired_densities``.

    Parameters
    ----------
    effects : dict of str to str
        Effects and the titles of their panels.

    Returns
    -------
    ChartGrid
    """
    return ChartGrid(*(_density_panel(effect, title) for effect, title in effects.items()))


def school_explorer(
    data: pd.DataFrame,
    *,
    response: str = "achievement",
    factor: str = "ses",
    cluster: str = "primary_school_id",
) -> ChartGrid:
    """One school's effects and means, for :func:`helpers.controls.explorers.school_in_models`.

    Parameters
    ----------
    data : DataFrame
        One row per observation: the means of the cells set the axes.
    response, factor, cluster : str
        Its columns.

    Returns
    -------
    ChartGrid
    """
    cells = data.groupby([cluster, factor], observed=True)[response].mean()
    reach = (cells - cells.groupby(factor, observed=True).transform("mean")).abs().max()
    levels = [str(level) for level in cells.index.levels[1]]
    return ChartGrid(
        _effect_panel(reach, factor, levels),
        _mean_panel((cells.min(), cells.max()), response, factor, levels),
    )


def weight_explorer() -> ChartGrid:
    """Weights and means of clusters, for :func:`helpers.controls.explorers.weights_at`.

    Returns
    -------
    ChartGrid
    """
    return ChartGrid(_weight_panel(), _cluster_panel())


def _title(expression) -> alt.Title:
    return alt.Title(text=alt.expr(expression), **READ_OUT)


def _read_out(column="read_out") -> alt.Title:
    return _title(f"split({column}, '|')")


def _estimates_in_words() -> alt.Title:
    return _title(
        "['Typical error of a slope against the truth:', "
        f"'own estimates ' + {_error_of_pull('0')} + ', at this pooling ' + "
        f"{_error_of_pull('(pooling / 100)')}, "
        "'Shrinkage: intercepts ' + format(100 * shrinkage_Intercept, '.0f') + ' %, slopes ' + "
        "format(100 * shrinkage_x, '.0f') + ' %', "
        "'Estimated sds: intercepts ' + format(sd_Intercept, '.2f') + ', slopes ' + "
        "format(sd_x, '.2f') + ',', 'residual ' + format(sd_residual, '.2f') + "
        "(singular ? '; singular fit' : '; correlation ' + format(correlation, '.2f'))]"
    )


def _repeated(rows, times) -> alt.Chart:
    """Start with each row several times; ``part`` counts from 0."""
    return rows.transform_calculate(part=str(list(range(times)))).transform_flatten(["part"])


def _own_in_words(effect) -> str:
    # A cluster of fewer than two observations has no line of its own.
    return f"datum.n < 2 ? 'none' : format(datum.no_{effect}, '.2f')"


def with_gaps(clusters: alt.Chart, columns: list[str]) -> alt.Chart:
    """Start one line through points of all clusters, interrupted after each cluster.

    A browser repaints one line much sooner than a hundred marks.
    """

    def point(effect):
        points = ", ".join(f"datum.{column}_{effect}" for column in columns)
        return f"datum.n < 2 ? null : [{points}, null][datum.part]"

    across, up = clusters.encoding.x.copy(), clusters.encoding.y.copy()
    across.shorthand, up.shorthand = "path_Intercept:Q", "path_x:Q"
    return (
        _repeated(clusters, len(columns) + 1)
        .transform_calculate(path_Intercept=point("Intercept"), path_x=point("x"))
        .encode(across, up)
    )


def _paths(clusters) -> alt.Chart:
    return with_gaps(clusters, ["no", "at"]).mark_line(
        clip=True, stroke="currentColor", strokeWidth=1, strokeOpacity=0.35, order=False
    )


def own_rings(clusters: alt.Chart, diameter: float) -> list[alt.Chart]:
    """Draw own estimates as rings: dots with smaller ones of the page's colour on them."""
    return [
        cluster_dots(clusters, "no", POOLING_COLOURS["no pooling"], diameter),
        cluster_dots(clusters, "no", _PAGE, diameter / 2.4),
    ]


def cluster_dots(clusters: alt.Chart, which: str, colour: str, diameter: float) -> alt.Chart:
    """Draw a dot for each cluster, all of them one mark: lines of one point with round ends."""
    return with_gaps(clusters, [which]).mark_line(
        clip=True, order=False, stroke=colour, strokeCap="round", strokeWidth=diameter
    )


def _shrunken(clusters) -> alt.Chart:
    size = alt.Size("n:Q", scale=SIZES, legend=None)
    tooltips = [
        alt.Tooltip("own_Intercept:N", title="own intercept"),
        alt.Tooltip("own_x:N", title="own slope"),
    ]
    points = clusters.encode(
        size=alt.condition("unequal > 0", size, alt.value(40)),
        tooltip=path_tooltip(*tooltips),
        # So that a click knows which cluster it meets.
        detail="number:Q",
    )
    return end_points(points, "partial pooling", filled=True)


def _ring(clusters) -> alt.Chart:
    return clusters.transform_filter("datum.number == cluster").mark_point(
        clip=True, size=260, stroke="currentColor", strokeWidth=2.5, opacity=1
    )


def _ellipse() -> alt.Chart:
    # The 100 rows serve as points of the ellipse too; the last one meets the first.
    angle = "(datum.number - 1) * 2 * PI / 99"
    radius = "[0, 1.51, 2.448][ellipse]"
    return (
        alt.Chart()
        .transform_filter("ellipse > 0")
        .transform_calculate(
            ellipse_Intercept=f"fixed_Intercept + {radius} * sd_Intercept * cos({angle})",
            ellipse_x=(
                f"fixed_x + {radius} * sd_x * (correlation * cos({angle}) + "
                f"sqrt(max(0, 1 - correlation * correlation)) * sin({angle}))"
            ),
        )
        .mark_line(
            clip=True,
            order=False,
            stroke="currentColor",
            strokeDash=[4, 3],
            strokeOpacity=0.8,
            strokeWidth=1.5,
        )
        .encode(x="ellipse_Intercept:Q", y="ellipse_x:Q")
    )


def _fixed_effects() -> alt.Chart:
    row = (
        alt.Chart()
        .transform_filter("datum.number == 1")
        .transform_calculate(pooling=f"'{FIXED_EFFECT}'")
    )
    return fixed_point(row, "fixed_Intercept", "fixed_x")


def _ringed_in_words() -> alt.Chart:
    def pair(which):
        return f"format(datum.{which}_Intercept, '.2f') + ', ' + format(datum.{which}_x, '.2f')"

    return (
        alt.Chart()
        .transform_filter("datum.number == cluster")
        .transform_calculate(
            words=(
                "['cluster ' + datum.number + ', observations: ' + datum.n, "
                f"'own intercept, slope: ' + (datum.n < 2 ? 'none' : {pair('no')}), "
                f"'shrunken: ' + {pair('partial')}]"
            )
        )
        .mark_text(align="left", baseline="top", lineHeight=15)
        .encode(x=alt.value(8), y=alt.value(6), text="words:N")
    )


def _outside_in_words() -> alt.Chart:
    return (
        alt.Chart()
        .transform_filter("datum.number == 1 && outside > 0")
        .transform_calculate(words="'own estimates outside the frame: ' + outside")
        .mark_text(align="left", baseline="bottom")
        .encode(x=alt.value(8), y=alt.value("height"), text="words:N")
    )


def _observed_and_lines(across, up, x_title, y_title) -> alt.Chart:
    return (
        alt.Chart()
        .transform_calculate(pooling="datum.kind")
        .encode(
            alt.X("x:Q", title=x_title, scale=exact_scale(across.min(), across.max())).axis(
                tickCount=6, format="~"
            ),
            alt.Y("y:Q", title=y_title, scale=exact_scale(up.min(), up.max())),
            tooltip=number_tooltips(digits=2, x=x_title, y=y_title),
        )
    )


def _pooled_lines(base) -> alt.Chart:
    return (
        base.transform_filter("indexof(datum.kind, 'pooling') > 0")
        .mark_line(clip=True, strokeWidth=3)
        .encode(color=pooling_color(**STROKES), strokeDash=pooling_dash(**STROKES))
    )


def _density_panel(effect, title) -> alt.LayerChart:
    span = exact_scale(alt.expr(f"low_{effect}"), alt.expr(f"high_{effect}"))
    across = alt.X("value:Q", title=title, scale=span, axis=alt.Axis(tickCount=5))
    up = exact_scale(0, alt.expr(f"tallest_{effect}"))
    curves = (
        alt.layer(*density_layers(alt.Chart(), across, up))
        .transform_filter(f"datum.effect == '{effect}'")
        .transform_calculate(pooling="datum.kind")
    )
    common = (
        alt.Chart()
        .transform_filter("datum.row == 0")
        .transform_calculate(value=f"fixed_{effect}", pooling="'complete pooling'")
        .mark_rule(strokeWidth=2)
        .encode(across, pooling_color(**STROKES), pooling_dash(**STROKES))
    )
    words = f"split(read_out_{effect}, '|')"
    return alt.layer(curves, common).properties(
        width="container",
        height=220,
        title=_title(f"[{words}[0], '{title}: ' + {words}[1]]"),
        description=(
            f"Density curves of the clusters' estimates of the {title}, without pooling and with "
            "partial pooling, and a rule at the fixed effect. The control above chooses the "
            "setting; the title tells the mean shrinkage."
        ),
    )


def _effect_panel(reach, factor, levels) -> alt.LayerChart:
    across = exact_scale(-reach, reach)
    effects = alt.Chart().transform_filter("datum.kind == 'effect'")
    zero = (
        effects.transform_calculate(zero="0")
        .mark_rule(strokeDash=[4, 4], strokeOpacity=0.6)
        .encode(alt.X("zero:Q", scale=across))
    )
    order = ["Intercept", "school"]
    order += [f"{of}{level}" for of in (factor, "cell ") for level in levels]
    effects = effects.transform_calculate(
        row="datum.model + ': ' + datum.label",
        place=f"datum.model + indexof({json.dumps(order)}, datum.label)",
    )
    labels = alt.Y("row:N", sort=alt.EncodingSortField("place"), title=None)
    labels = labels.axis(minExtent=115, maxExtent=115, grid=False)
    dots = interval_layers(effects, labels, across, title="random effect, 95 % limits")
    return alt.layer(zero, *dots).properties(
        width="container",
        height=300,
        title=_read_out(),
        description=(
            "Dots with 95 % intervals: the random effects of one school in each model. The control "
            "above chooses the school; the title tells its pupils and the last model's effects."
        ),
    )


def _mean_panel(limits, response, factor, levels) -> alt.LayerChart:
    across = alt.X("label:N", title=factor, sort=None, axis=alt.Axis(labelAngle=0))
    base = (
        alt.Chart()
        .transform_filter("datum.kind != 'effect' && datum.kind != 'absent'")
        .transform_calculate(pooling="datum.kind")
        .encode(
            across.scale(domain=levels, padding=0.8),
            alt.Y("value:Q", title=response, scale=exact_scale(*limits)),
            pooling_color(),
            detail="model:N",
            tooltip=[
                "pooling:N",
                "model:N",
                alt.Tooltip("label:N", title=factor),
                *number_tooltips(digits=2, value=response),
            ],
        )
    )
    named = base.transform_filter(
        f"datum.kind == 'partial pooling' && datum.label == {json.dumps(levels[-1])}"
    ).transform_calculate(number="replace(datum.model, regexp('model ', 'g'), '')")
    # The first prediction is named above its point, the other below: they often lie close.
    names = [
        named.transform_filter(f"(datum.place == 0) == {first}")
        .mark_text(align="left", dx=8, dy=height, fontSize=12)
        .encode(text="number:N", color=alt.value("currentColor"))
        for first, height in (("true", -7), ("false", 8))
    ]
    return alt.layer(
        base.mark_line(strokeWidth=2).encode(unlisted_dash()),
        base.mark_point(filled=True, size=80, opacity=1).encode(shape=pooling_shape()),
        *names,
    ).properties(
        width="container",
        height=300,
        title=_title(
            f"[{json.dumps(f'Mean of each {factor}: of all schools, of the')}, "
            "'own pupils, of the models (by number)']"
        ),
        description=(
            f"Line plot over the levels of {factor}, {', '.join(levels)}: the average "
            "school, the means of one school's own pupils, and the models' "
            "predictions. The control above chooses the school."
        ),
    )


def _cluster_axis(field="cluster") -> alt.X:
    return alt.X(
        f"{field}:Q",
        title="cluster",
        scale=exact_scale(0.4, 8.6),
        axis=alt.Axis(values=list(range(1, 9)), format="d", grid=False, labelOverlap=False),
    )


def _counted(channel) -> alt.Color | alt.Shape:
    """Colour or shape by pooling, its legend in the words of the chapter on weights."""
    labels = " : ".join(f"datum.label == '{name}' ? '{text}'" for name, text in COUNTED.items())
    return channel(title=None, labelExpr=f"{labels} : ''", labelFontSize=12, columnPadding=8)


def _one_row_per_pooling(clusters, prefix, names) -> alt.Chart:
    heights = ", ".join(f"datum.{prefix}_{name.removesuffix(' pooling')}" for name in names)
    words = ", ".join(f"'{COUNTED[name]}'" for name in names)
    return _repeated(clusters, len(names)).transform_calculate(
        height=f"[{heights}][datum.part]",
        pooling=f"{names}[datum.part]",
        counted=f"[{words}][datum.part]",
    )


def _weight_panel() -> alt.LayerChart:
    weights = (
        _one_row_per_pooling(alt.Chart(), "weight", list(COUNTED))
        # Side by side, since weights that are nearly equal would hide each other.
        .transform_calculate(place="datum.cluster + 0.24 * (datum.part - 1)")
        .mark_point(filled=True, opacity=1, size=70)
        .encode(
            _cluster_axis("place"),
            alt.Y("height:Q", title="weight in its arm's mean", scale=exact_scale(0, 1)),
            _counted(pooling_color),
            _counted(pooling_shape),
            tooltip=[
                alt.Tooltip("cluster:Q"),
                "n:Q",
                alt.Tooltip("counted:N", title="by"),
                *number_tooltips(height="weight"),
            ],
        )
    )
    sizes = (
        alt.Chart()
        .transform_calculate(words="(datum.cluster == 1 ? 'n = ' : '') + datum.n")
        .mark_text(fontSize=11)
        .encode(_cluster_axis(), y=alt.value(10), text="words:N")
    )
    return alt.layer(weights, sizes).properties(
        width="container",
        height=300,
        title=_read_out(),
        description=(
            "Dot plot of the weight of each of eight clusters in the mean of its arm, by "
            "observations, by clusters and in the mixed model. The sliders above choose sizes and "
            "the intraclass correlation; the title tells the difference between the arms."
        ),
    )


def _mean_axis(field) -> alt.Y:
    return alt.Y(f"{field}:Q", title="mean", scale=alt.Scale(zero=False, padding=12))


def _arm_lines() -> alt.Chart:
    # One line per arm of four clusters: lines that meet show a seam. Dashes come last, so they
    # show on a line that they lie on.
    first = alt.Chart().transform_filter("datum.cluster % 4 == 1")
    return (
        _one_row_per_pooling(first, "mean", list(reversed(COUNTED)))
        .transform_calculate(from_="datum.cluster - 0.5", to="datum.cluster + 3.5")
        .mark_rule(strokeWidth=2.5)
        .encode(
            _cluster_axis("from_"),
            alt.X2("to:Q"),
            _mean_axis("height"),
            _counted(pooling_color),
            unlisted_dash(),
            tooltip=[
                "treatment:N",
                alt.Tooltip("counted:N", title="by"),
                *number_tooltips(height="mean"),
            ],
        )
    )


def _cluster_points(field, pooling, **mark) -> alt.Chart:
    return (
        alt.Chart()
        .transform_calculate(pooling=f"'{pooling}'")
        .mark_point(opacity=1, **mark)
        .encode(
            _cluster_axis(),
            _mean_axis(field),
            _counted(pooling_color),
            tooltip=[
                alt.Tooltip("cluster:Q"),
                "n:Q",
                *number_tooltips("observed", "shrunken"),
            ],
        )
    )


def _cluster_panel() -> alt.LayerChart:
    observed = _cluster_points("observed", "no pooling", size=130, strokeWidth=2)
    shrunken = _cluster_points("shrunken", "partial pooling", filled=True, size=45)
    return alt.layer(_arm_lines(), observed, shrunken).properties(
        width="container",
        height=300,
        # What does not change is no part of the title, which is spoken after every change.
        title=alt.Title(
            text=alt.expr("read_out_means"),
            subtitle=["Rings: observed means; dots: shrunken means;", "lines: means of the arms"],
            subtitleColor="currentColor",
            **READ_OUT,
        ),
        description=(
            "Means of eight clusters, observed and shrunken, and the mean of each arm by "
            "observations, by clusters and in the mixed model. The sliders above choose sizes and "
            "the intraclass correlation; the title tells the mixed model's means."
        ),
    )
