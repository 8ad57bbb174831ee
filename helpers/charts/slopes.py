"""Figures of the random-slopes chapter."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from helpers.charts.shrinkage import require_columns, require_effects
from helpers.charts.theme import (
    POOLING_COLOURS,
    POOLING_COLUMNS,
    QUIET,
    STROKES,
    ChartGrid,
    effect_title,
    number_tooltips,
    pooling_color,
    pooling_dash,
)
from helpers.tables.densities import ESTIMATES, density_grid, estimate_densities

GRID_POINTS = 121
#: So many different occasions have a tick each.
MOST_OCCASIONS = 12


def student_paths(
    data: pd.DataFrame,
    students: Mapping,
    *,
    columns: int = 3,
    response: str = "gpa",
    predictor: str = "occasion",
    cluster: str = "student",
) -> ChartGrid:
    """Paths of a few clusters, one panel each, before the paths of all clusters.

    Parameters
    ----------
    data : DataFrame
        One row per cluster and occasion.
    students : mapping
        Clusters to highlight, such as students, with a word for each path.
    columns : int
        Panels side by side.
    response, predictor, cluster : str
        Columns of `data`; they name axes and panels.

    Returns
    -------
    ChartGrid

    Raises
    ------
    ValueError
        If a column does not occur, no cluster is named, or one does not occur.

    Examples
    --------
    >>> from helpers import load_gpa
    >>> print(student_paths(load_gpa("synthetic"), {1: "rises"}).charts[0].description)
    Line plot of student 1's gpa, rises: 2.2, 2.6, 2.4, 2.6, 2.9, 2.6, before the paths of all
    200 clusters.
    """
    require_columns(data, [response, predictor, cluster])
    known = set(data[cluster])
    unknown = [label for label in students if label not in known]
    if unknown or not students:
        raise ValueError(
            f"students is {dict(students)}; it must name one or more of the column {cluster!r}"
            f"{f', where {unknown} do not occur' if unknown else ''}. Choose from that column."
        )
    names = {"x": predictor, "y": response, "cluster": cluster}
    everybody = all_paths(
        data, **{"response": response, "predictor": predictor, "cluster": cluster}
    )
    panels = [
        _path_panel(everybody, data[data[cluster] == label], word, names, len(known))
        for label, word in students.items()
    ]
    return ChartGrid(*panels, columns=columns)


def effect_densities(table: pd.DataFrame) -> ChartGrid:
    """Densities of the clusters' estimates, separate against mixed, one panel per coefficient.

    Parameters
    ----------
    table : DataFrame
        Made by ``shrinkage``.

    Returns
    -------
    ChartGrid
        A rule in each panel marks complete pooling.

    Examples
    --------
    >>> from helpers import fit_mixed, load_gpa, shrinkage
    >>> fit = fit_mixed("gpa ~ occasion + (occasion | student)", load_gpa("synthetic"))
    >>> print(effect_densities(shrinkage(fit)).charts[1].description)
    Density curves, slope of occasion: 200 clusters' estimates of the slope of occasion around
    complete pooling's 0.11; standard deviation 0.083 without pooling, 0.056 with partial
    pooling.
    """
    parts = {effect: part for effect, part in table.groupby("effect", sort=False)}
    return ChartGrid(
        *(
            _density_panel(
                estimate_densities(part, density_grid(part, GRID_POINTS)).round(4),
                part,
                title=effect_title(effect),
            )
            for effect, part in parts.items()
        )
    )


def setting_densities(tables: Mapping[str, pd.DataFrame], effect: str) -> ChartGrid:
    """Densities of one coefficient in several data sets on one scale, and the shrinkage in each.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Names of the data sets and their tables made by ``shrinkage``.
    effect : str
        The coefficient whose densities are drawn; the last panel shows the shrinkage of all.

    Returns
    -------
    ChartGrid

    Raises
    ------
    ValueError
        If a table does not have the effect.

    Examples
    --------
    >>> from helpers import fit_mixed, gpa_setting, shrinkage
    >>> formula = "gpa ~ occasion + (occasion | student)"
    >>> tables = {
    ...     name: shrinkage(fit_mixed(formula, gpa_setting(name)))
    ...     for name in ("as is", "many occasions")
    ... }
    >>> print(setting_densities(tables, "occasion").charts[1].description)
    Density curves, many occasions, 1% given up: 200 clusters' estimates of the slope of
    occasion around complete pooling's 0.11; standard deviation 0.068 without pooling, 0.067
    with partial pooling.
    """
    parts = {name: table[table["effect"] == effect] for name, table in tables.items()}
    lacking = [name for name, part in parts.items() if part.empty]
    if lacking:
        raise ValueError(
            f"effect is {effect!r}, which the tables {lacking} lack. Choose from their column "
            "'effect'."
        )
    grid = density_grid(pd.concat(parts.values()), GRID_POINTS)
    curves = {name: estimate_densities(part, grid).round(4) for name, part in parts.items()}
    top = max(curve["density"].max() for curve in curves.values())
    panels = [
        _density_panel(
            curves[name],
            part,
            title=[name, f"{part['shrinkage_factor'].mean():.0%} given up"],
            limits=(0, top),
        )
        for name, part in parts.items()
    ]
    return ChartGrid(*panels, _factor_panel(tables))


def prediction_lines(table: pd.DataFrame, predictor: str, ends: tuple[float, float]) -> ChartGrid:
    """Lines under complete, partial and no pooling, falling ones drawn strong.

    Parameters
    ----------
    table : DataFrame
        Made by ``shrinkage``, with the effects Intercept and `predictor`.
    predictor : str
        The predictor on the horizontal axis.
    ends : tuple of float
        Where the lines begin and end.

    Returns
    -------
    ChartGrid
        Three panels with the same axes; the vertical one is named by the table's response. Clusters
        without a line of their own are not in the panel of these.

    Raises
    ------
    ValueError
        If the table lacks an effect.

    Examples
    --------
    >>> from helpers import fit_mixed, load_gpa, shrinkage
    >>> fit = fit_mixed("gpa ~ occasion + (occasion | student)", load_gpa("synthetic"))
    >>> print(prediction_lines(shrinkage(fit), "occasion", (0, 5)).charts[1].description)
    Predicted lines over occasion under partial pooling: 3 of 200 fall; slopes from -0.024 to
    0.267.
    """
    require_effects(table, ["Intercept", predictor])
    response = table.attrs.get("response", "response")
    lines = {
        column: _lines(table, column, predictor, ends)
        for column in ["complete_pooling", "partial_pooling", "no_pooling"]
    }
    heights = pd.concat(lines.values())[["start", "end"]]
    scale = alt.Scale(domain=[heights.min().min(), heights.max().max()], nice=True, zero=False)
    return ChartGrid(
        *(
            _line_panel(part, POOLING_COLUMNS[column], predictor, scale, response)
            for column, part in lines.items()
        ),
        columns=3,
    )


def all_paths(
    data: pd.DataFrame,
    *,
    response: str = "gpa",
    predictor: str = "occasion",
    cluster: str = "student",
) -> alt.Chart:
    """Draw the paths of all clusters faintly, behind a figure.

    Parameters
    ----------
    data : DataFrame
        One row per cluster and occasion.
    response, predictor, cluster : str
        Its columns.

    Returns
    -------
    altair.Chart
        With the fields occasion and gpa, whatever the columns are called.
    """
    rows = pd.DataFrame(
        {"path": pd.factorize(data[cluster])[0], "occasion": data[predictor], "gpa": data[response]}
    )
    few = rows["occasion"].nunique() <= MOST_OCCASIONS
    whole = bool((rows["occasion"] % 1 == 0).all())
    once = not rows.duplicated(["path", "occasion"]).any()
    paths = _folded_paths(rows) if few and whole and once else _long_paths(rows)
    axis = alt.Axis(format="~")
    if few:
        axis = alt.Axis(values=sorted(rows["occasion"].unique().tolist()), format="~")
    return paths.mark_line(color=QUIET, order=False, strokeOpacity=0.16, strokeWidth=1).encode(
        alt.X("occasion:Q", title=predictor, axis=axis),
        alt.Y("gpa:Q", title=response, scale=alt.Scale(zero=False)),
        detail="path:N",
    )


def _folded_paths(rows) -> alt.Chart:
    # One row per cluster keeps the page small: the browser unfolds it to paths. A path of every
    # twentieth cluster, with gaps between them, is drawn much sooner than a path for each.
    wide = rows.astype({"occasion": int}).pivot(index="path", columns="occasion", values="gpa")
    wide.columns = wide.columns.astype(str)
    return (
        alt.Chart(wide.reset_index(names="number"))
        .transform_fold([*wide.columns, "gap"], as_=["column", "gpa"])
        .transform_calculate(
            occasion="datum.column == 'gap' ? null : toNumber(datum.column)",
            path="datum.number % 20",
        )
    )


def _long_paths(rows) -> alt.Chart:
    return alt.Chart(rows.sort_values(["path", "occasion"]))


def density_layers(curves: alt.Chart, across: alt.X, up: alt.Scale) -> list[alt.Chart]:
    """Draw the column ``density`` of each pooling as a line over a faint area."""
    densities = curves.encode(
        across,
        alt.Y("density:Q", title="density", scale=up, stack=None),
        pooling_color(**STROKES),
    )
    outlines = densities.mark_line(strokeWidth=2.5).encode(pooling_dash(**STROKES))
    return [densities.mark_area(fillOpacity=0.12), outlines]


def _path_panel(everybody, rows, word, names, n_clusters) -> alt.LayerChart:
    label = rows[names["cluster"]].iloc[0]
    path = pd.DataFrame({"occasion": rows[names["x"]], "gpa": rows[names["y"]]})
    path = path.sort_values("occasion")
    own = (
        alt.Chart(path)
        .mark_line(color="currentColor", strokeWidth=2.5, point={"color": "currentColor"})
        .encode(
            x="occasion:Q",
            y="gpa:Q",
            tooltip=number_tooltips(digits=1, occasion=names["x"], gpa=names["y"]),
        )
    )
    name = f"{names['cluster']} {label}"
    return alt.layer(everybody, own).properties(
        width="container",
        height=150,
        title=f"{name}: {word}",
        description=(
            f"Line plot of {name}'s {names['y']}, {word}: "
            f"{', '.join(f'{value:.1f}' for value in path['gpa'])}, before the paths of all "
            f"{n_clusters} clusters."
        ),
    )


def _density_panel(curves, part, *, title, limits=None) -> alt.LayerChart:
    name = effect_title(part["effect"].iloc[0])
    complete = part["complete_pooling"].iloc[0]
    scale = alt.Scale(domain=list(limits)) if limits else alt.Scale()
    span = alt.Scale(domain=[curves["value"].min(), curves["value"].max()], nice=False)
    across = alt.X("value:Q", title=name, scale=span)
    rule = (
        alt.Chart(pd.DataFrame({"value": [complete], "pooling": ["complete pooling"]}))
        .mark_rule(strokeWidth=2)
        .encode(
            x="value:Q",
            color=pooling_color(**STROKES),
            strokeDash=pooling_dash(**STROKES),
        )
    )
    sd = part[list(ESTIMATES)].std()
    spoken = title if isinstance(title, str) else ", ".join(title)
    return alt.layer(*density_layers(alt.Chart(curves), across, scale), rule).properties(
        width="container",
        height=170,
        title=title,
        description=(
            f"Density curves, {spoken}: {len(part)} clusters' estimates of the {name} around "
            f"complete pooling's {complete:.2f}; standard deviation {sd['no_pooling']:.3f} "
            f"without pooling, {sd['partial_pooling']:.3f} with partial pooling."
        ),
    )


def _mean_factors(tables) -> pd.DataFrame:
    """One row per setting and coefficient: effect, shrinkage_factor, setting."""
    parts = [
        table.groupby("effect", sort=False, as_index=False)["shrinkage_factor"]
        .mean()
        .assign(setting=name)
        for name, table in tables.items()
    ]
    factors = pd.concat(parts, ignore_index=True)
    return factors.assign(effect=factors["effect"].map(effect_title))


def _factor_panel(tables) -> alt.Chart:
    factors = _mean_factors(tables)
    spoken = ", ".join(
        f"{setting}: {effect} {factor:.0%}"
        for effect, factor, setting in factors.itertuples(index=False)
    )
    return (
        alt.Chart(factors)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            alt.X("shrinkage_factor:Q", title="mean shrinkage").axis(format="%"),
            alt.Y("setting:N", sort=list(tables), title=None, axis=alt.Axis(labelLimit=200)),
            alt.Shape(
                "effect:N",
                title=None,
                scale=alt.Scale(range=["circle", "diamond"]),
                legend=alt.Legend(columns=1),
            ),
            color=alt.value("currentColor"),
            tooltip=["setting", "effect", alt.Tooltip("shrinkage_factor:Q", format=".1%")],
        )
        .properties(
            width="container",
            height=170,
            title="mean shrinkage in each setting",
            description=f"Dot plot of the mean shrinkage in {len(tables)} settings. {spoken}.",
        )
    )


def _lines(table, column, predictor, ends) -> pd.DataFrame:
    """One row per line: cluster, x, x2, start, end, slope, falls; the falling ones drawn last."""
    wide = table.pivot(index="cluster", columns="effect", values=column).dropna()
    wide = wide.drop_duplicates() if column == "complete_pooling" else wide
    start, end = (wide["Intercept"] + wide[predictor] * at for at in ends)
    # A level line's slope is 0 up to rounding errors of either sign.
    slope = wide[predictor].round(8).to_numpy()
    return pd.DataFrame(
        {
            "cluster": wide.index,
            "x": ends[0],
            "x2": ends[1],
            "start": start.to_numpy(),
            "end": end.to_numpy(),
            "slope": slope,
            "falls": slope < 0,
        }
    ).sort_values("falls", kind="stable")


def _line_panel(lines, pooling, predictor, scale, response) -> alt.Chart:
    strong = "datum.falls" if len(lines) > 1 else "true"
    count = f"{lines['falls'].sum()} of {len(lines)} fall" if len(lines) > 1 else "one line for all"
    return (
        alt.Chart(lines.round(3))
        .mark_rule(color=POOLING_COLOURS[pooling])
        .encode(
            alt.X("x:Q", title=predictor).scale(zero=False),
            alt.Y("start:Q", title=f"predicted {response}", scale=scale),
            x2="x2:Q",
            y2="end:Q",
            opacity=alt.condition(strong, alt.value(1), alt.value(0.25)),
            strokeWidth=alt.condition(strong, alt.value(2.5), alt.value(1)),
            tooltip=["cluster:N", *number_tooltips("slope")],
        )
        .properties(
            width="container",
            height=260,
            title=f"{pooling}: {count}",
            description=(
                f"Predicted lines over {predictor} under {pooling}: {count}; slopes from "
                f"{lines['slope'].min():.3f} to {lines['slope'].max():.3f}."
            ),
        )
    )
