"""Figures of the chapter on categorical random effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from helpers.charts.theme import (
    POOLING_COLOURS,
    QUIET,
    ChartGrid,
    number_tooltips,
)

# Not a colour of pooling: a shade of it says how large an entry is.
ENTRY_COLOUR = "#cc79a7"
ROW_HEIGHT = 30
LABEL_WIDTH = 74


def matrix_heatmaps(
    matrices: Mapping[str, pd.DataFrame], *, full_shade: float, columns: int = 3
) -> ChartGrid:
    """Small matrices side by side, each entry as a number and a shade.

    Parameters
    ----------
    matrices : mapping of str to DataFrame
        Titles and matrices; the labels of rows and columns are shown.
    full_shade : float
        Absolute value from which on an entry has the full shade, the same in every panel.
        Negative entries are grey.
    columns : int
        Panels side by side.

    Returns
    -------
    ChartGrid
        One panel per matrix.

    Raises
    ------
    ValueError
        If there is no matrix, an entry is missing or infinite, or `full_shade` is not positive.

    Examples
    --------
    >>> identity = pd.DataFrame(np.eye(2), index=["a", "b"], columns=["a", "b"])
    >>> print(matrix_heatmaps({"I": identity}, full_shade=1).charts[0].description)
    Matrix I, columns a, b. Row a: 1, 0; row b: 0, 1.
    """
    if not matrices:
        raise ValueError("there is no matrix to show; give at least one, {title: DataFrame}.")
    if not full_shade > 0:
        raise ValueError(f"full_shade is {full_shade}; give a positive number, the largest entry.")
    for title, matrix in matrices.items():
        if not np.isfinite(matrix.to_numpy(dtype=float)).all():
            raise ValueError(f"matrix {title!r} has missing or infinite entries; remove them.")
    panels = [_matrix_panel(title, matrix, full_shade) for title, matrix in matrices.items()]
    return ChartGrid(*panels, columns=columns)


def level_profiles(table: pd.DataFrame, *, highlight: Sequence = ()) -> ChartGrid:
    """One line per cluster over the levels of a factor, one panel per way of estimating it.

    Parameters
    ----------
    table : DataFrame
        Columns panel, pooling (a key of ``POOLING_COLOURS``), cluster, level, value: one row per
        panel, cluster and level, levels in order of appearance.
    highlight : sequence
        Clusters to draw thick.

    Returns
    -------
    ChartGrid
        Panels in order of appearance, with one vertical axis.

    Raises
    ------
    ValueError
        If a column is missing, a pooling unknown, or a cluster to highlight does not occur.

    Examples
    --------
    >>> table = pd.DataFrame({"panel": "model 2", "pooling": "partial pooling",
    ...                       "cluster": [1, 1, 2, 2], "level": ["low", "high"] * 2,
    ...                       "value": [1.0, 2.0, 3.0, 3.0]})
    >>> len(level_profiles(table).charts)
    1
    """
    _require_columns(table, ["panel", "pooling", "cluster", "level", "value"])
    _require_clusters(table, highlight)
    unknown = sorted(set(table["pooling"]) - set(POOLING_COLOURS))
    if unknown:
        raise ValueError(f"unknown pooling {unknown}; use one of {list(POOLING_COLOURS)}.")
    limits = alt.Scale(domain=[table["value"].min(), table["value"].max()], nice=True, zero=False)
    panels = table.groupby("panel", sort=False, observed=True)
    return ChartGrid(
        *(_profile_panel(part, name, limits, highlight) for name, part in panels), columns=3
    )


def effect_intervals(table: pd.DataFrame) -> ChartGrid:
    """Random effects as dots with their intervals, one panel per model.

    Parameters
    ----------
    table : DataFrame
        Columns model, label, value, lower_2.5, upper_97.5: one row per random effect, models and
        labels in order of appearance.

    Returns
    -------
    ChartGrid
        Panels below each other on one horizontal axis.

    Raises
    ------
    ValueError
        If a column is missing, or there are no rows.

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["model 1"], "label": ["Intercept"], "value": [0.14],
    ...                       "lower_2.5": [-0.2], "upper_97.5": [0.49]})
    >>> print(effect_intervals(table).charts[0].description)
    Dots with 95 % intervals, model 1: Intercept 0.140 (-0.200 to 0.490).
    """
    _require_columns(table, ["model", "label", "value", "lower_2.5", "upper_97.5"])
    if table.empty:
        raise ValueError("the table has no rows; choose a cluster that occurs.")
    # A point in a field's name means nesting to Vega-Lite.
    rows = table.rename(columns={"lower_2.5": "lower", "upper_97.5": "upper"})
    domain = [min(rows["lower"].min(), 0), max(rows["upper"].max(), 0)]
    panels = rows.groupby("model", sort=False, observed=True)
    return ChartGrid(*(_interval_panel(part, name, domain) for name, part in panels), columns=1)


def compare_predictions(
    table: pd.DataFrame, horizontal: str, vertical: str, *, highlight: Sequence = ()
) -> ChartGrid:
    """Predictions of two models for every cluster, one panel per level of a factor.

    Parameters
    ----------
    table : DataFrame
        Columns cluster, level, n (observations of that cluster at that level), and the
        predictions, one column per model.
    horizontal, vertical : str
        Columns with the predictions to compare.
    highlight : sequence
        Clusters to mark.

    Returns
    -------
    ChartGrid
        Panels in order of the levels' appearance, on the same axes. On the dashed line the two
        models agree; diamonds have no observation.

    Raises
    ------
    ValueError
        If a column is missing, or a cluster to highlight does not occur.

    Examples
    --------
    >>> table = pd.DataFrame({"cluster": [1, 2], "level": "low", "n": [3, 0],
    ...                       "model 2": [6.0, 6.5], "model 3": [6.0, 6.25]})
    >>> len(compare_predictions(table, "model 2", "model 3").charts)
    1
    """
    _require_columns(table, ["cluster", "level", "n", horizontal, vertical])
    _require_clusters(table, highlight)
    rows = table.assign(
        horizontal=table[horizontal],
        vertical=table[vertical],
        observed=np.where(table["n"] > 0, "yes", "no"),
        chosen=np.where(table["cluster"].isin(list(highlight)), "yes", "no"),
    )
    values = rows[["horizontal", "vertical"]].to_numpy()
    domain = [float(values.min()), float(values.max())]
    panels = rows.groupby("level", sort=False, observed=True)
    return ChartGrid(
        *(_prediction_panel(part, name, horizontal, vertical, domain) for name, part in panels),
        columns=3,
    )


def interval_layers(
    effects: alt.Chart, labels: alt.Y, across: alt.Scale, *, title: str
) -> list[alt.Chart]:
    """Draw the columns ``value``, ``lower`` and ``upper`` as dots with intervals."""
    colour = POOLING_COLOURS["partial pooling"]
    rows = effects.encode(
        labels,
        tooltip=[
            alt.Tooltip("label:N", title="effect"),
            *number_tooltips("value", "lower", "upper"),
        ],
    )
    return [
        rows.mark_rule(color=colour, strokeWidth=2.5).encode(
            alt.X("lower:Q", title=title, scale=across), x2="upper"
        ),
        rows.mark_point(color=colour, filled=True, size=90, opacity=1).encode(
            alt.X("value:Q", scale=across)
        ),
    ]


def _require_columns(table, names) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ValueError(
            f"the table has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(str, table.columns))}. Rename or add them."
        )


def _require_clusters(table, clusters) -> None:
    unknown = sorted(set(clusters) - set(table["cluster"]))
    if unknown:
        raise ValueError(f"no cluster {unknown} in the table; choose from its column 'cluster'.")


def _entry(value) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.2f}"


def _matrix_panel(title, matrix, full_shade) -> alt.LayerChart:
    rows, columns = list(map(str, matrix.index)), list(map(str, matrix.columns))
    values = matrix.to_numpy(dtype=float)
    cells = pd.DataFrame(
        {
            "row": np.repeat(rows, len(columns)),
            "column": np.tile(columns, len(rows)),
            "value": values.ravel(),
            "entry": [_entry(value) for value in values.ravel()],
            # At most 0.6: the numbers, in the page's text colour, must stay readable in both modes.
            "shade": 0.6 * np.minimum(np.abs(values.ravel()) / full_shade, 1),
        }
    )
    plain = {"title": None, "grid": False, "domain": False, "ticks": False, "labelFontSize": 11}
    base = alt.Chart(cells).encode(
        alt.X("column:N", sort=columns, axis=alt.Axis(**plain, orient="top", labelAngle=0)),
        alt.Y("row:N", sort=rows, axis=alt.Axis(**plain)),
    )
    squares = base.mark_rect(stroke=QUIET, strokeOpacity=0.5).encode(
        color=alt.condition("datum.value < 0", alt.value(QUIET), alt.value(ENTRY_COLOUR)),
        fillOpacity=alt.FillOpacity("shade:Q", scale=None),
        tooltip=["row", "column", alt.Tooltip("value:Q", format=".4f")],
    )
    numbers = base.mark_text(fontSize=14, color="currentColor").encode(text="entry:N")
    listed = "; ".join(
        f"row {row}: {', '.join(map(_entry, entries))}"
        for row, entries in zip(rows, values, strict=True)
    )
    return alt.layer(squares, numbers).properties(
        width="container",
        height=54 * len(rows),
        title=title,
        description=f"Matrix {title}, columns {', '.join(columns)}. R{listed[1:]}.",
    )


def _profile_panel(part, name, limits, highlight) -> alt.LayerChart:
    levels = part["level"].drop_duplicates().astype(str).tolist()
    colour = POOLING_COLOURS[part["pooling"].iloc[0]]
    rows = part[["cluster", "level", "value"]].astype({"level": str})
    base = alt.Chart(rows).encode(
        alt.X("level:N", sort=levels, title=None, axis=alt.Axis(labelAngle=0)),
        alt.Y("value:Q", title=None, scale=limits),
        detail="cluster:N",
        tooltip=["cluster", "level", alt.Tooltip("value:Q", format=".2f")],
    )
    layers = [
        base.mark_line(color=colour, strokeWidth=1.3, opacity=0.75),
        base.transform_filter(
            alt.FieldOneOfPredicate(field="cluster", oneOf=list(highlight))
        ).mark_line(
            color="currentColor",
            strokeWidth=3,
            point=alt.OverlayMarkDef(color="currentColor", size=60, filled=True),
        ),
    ]
    spread = part.groupby("level", sort=False, observed=True)["value"].std()
    listed = ", ".join(f"{level} {value:.2f}" for level, value in spread.items())
    return alt.layer(*layers).properties(
        width="container",
        height=260,
        title=name,
        description=(
            f"Line plot, {name}: {part['cluster'].nunique()} clusters over the levels "
            f"{', '.join(levels)}. Standard deviation between clusters: {listed}."
        ),
    )


def _interval_panel(part, name, domain) -> alt.LayerChart:
    labels = alt.Y("label:N", sort=part["label"].astype(str).tolist(), title=None)
    labels = labels.axis(minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, grid=False)
    across = alt.Scale(domain=domain, nice=True)
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0]}))
        .mark_rule(strokeDash=[4, 4], opacity=0.6)
        .encode(alt.X("zero:Q", scale=across))
    )
    dots = interval_layers(alt.Chart(part), labels, across, title="random effect")
    listed = "; ".join(
        f"{row.label} {row.value:.3f} ({row.lower:.3f} to {row.upper:.3f})"
        for row in part.itertuples()
    )
    return alt.layer(zero, *dots).properties(
        width="container",
        height=ROW_HEIGHT * len(part),
        title=name,
        description=f"Dots with 95 % intervals, {name}: {listed}.",
    )


def _agreement_line(domain) -> alt.Chart:
    return alt.Chart(pd.DataFrame({"horizontal": domain, "vertical": domain})).mark_line(
        color="currentColor", strokeDash=[4, 4], strokeWidth=1, opacity=0.6
    )


def _prediction_marks(part, horizontal, vertical) -> list[alt.Chart]:
    """Dots, diamonds where a cluster has no observation, rings around highlighted clusters."""
    points = alt.Chart(part[["cluster", "n", "horizontal", "vertical", "observed", "chosen"]])
    tooltip = [
        "cluster",
        "n",
        alt.Tooltip("horizontal:Q", title=horizontal, format=".2f"),
        alt.Tooltip("vertical:Q", title=vertical, format=".2f"),
    ]
    observed = points.transform_filter("datum.observed == 'yes'").mark_point(
        color=POOLING_COLOURS["partial pooling"], filled=True, size=45, opacity=0.85
    )
    strong = {"stroke": "currentColor", "strokeWidth": 2, "opacity": 1}
    empty = points.transform_filter("datum.observed == 'no'").mark_point(
        shape="diamond", size=110, **strong
    )
    rings = points.transform_filter("datum.chosen == 'yes'").mark_point(size=200, **strong)
    return [observed.encode(tooltip=tooltip), empty.encode(tooltip=tooltip), rings]


def _prediction_panel(part, name, horizontal, vertical, domain) -> alt.LayerChart:
    scale = alt.Scale(domain=domain, nice=True, zero=False)
    across = alt.X("horizontal:Q", title=horizontal, scale=scale)
    up = alt.Y("vertical:Q", title=vertical, scale=scale)
    marks = [_agreement_line(domain), *_prediction_marks(part, horizontal, vertical)]
    layers = [mark.encode(across, up) for mark in marks]
    gap = (part["vertical"] - part["horizontal"]).abs()
    return alt.layer(*layers).properties(
        width="container",
        height=230,
        title=str(name),
        description=(
            f"Scatter plot, {name}: predictions of {vertical} against {horizontal} for "
            f"{len(part)} clusters; mean absolute difference {gap.mean():.2f}, "
            f"largest {gap.max():.2f}; {int((part['n'] == 0).sum())} without observations."
        ),
    )
