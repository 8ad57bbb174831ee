"""Figures of the shrinkage chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from helpers.charts.theme import (
    HEIGHT,
    POOLING_COLOURS,
    POOLING_COLUMNS,
    QUIET,
    ChartGrid,
    coefficient_title,
    effect_title,
    exact_scale,
    number_tooltips,
    pooling_color,
    pooling_dash,
    pooling_shape,
)

# What the diamond is among the poolings' points.
FIXED_EFFECT = "fixed effect"
# Own estimates are hollow, so that they are no mixed model's in grey either; two circles, the inner
# one drawn the other way round.
RING = "M0,-1A1,1,0,1,1,0,1A1,1,0,1,1,0,-1ZM0,-0.5A0.5,0.5,0,1,0,0,0.5A0.5,0.5,0,1,0,0,-0.5Z"


def cluster_lines(
    data: pd.DataFrame,
    table: pd.DataFrame,
    clusters: Sequence,
    *,
    columns: int = 2,
    response: str = "y",
    predictor: str = "x",
    cluster: str = "cluster",
) -> ChartGrid:
    """Draw a few clusters with the line each way of pooling gives them.

    Parameters
    ----------
    data : DataFrame
        One row per observation.
    table : DataFrame
        Made by ``shrinkage``, with the effects Intercept and `predictor`.
    clusters : sequence
        Clusters to show, one panel each.
    columns : int
        Panels side by side.
    response, predictor, cluster : str
        Columns of `data`; they name the axes.

    Returns
    -------
    ChartGrid
        A cluster without a line of its own has two lines, and its title says so.

    Raises
    ------
    ValueError
        If a column, an effect or a cluster does not occur.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed, shrinkage
    >>> data = create_data()
    >>> table = shrinkage(fit_mixed("y ~ x + (x | cluster)", data))
    >>> print(cluster_lines(data, table, [42, 67]).charts[0].description)
    Data of cluster 42, 10 observations, with three lines; slopes: complete pooling 0.55, no
    pooling -0.70, partial pooling 0.28.
    """
    require_columns(data, [response, predictor, cluster])
    require_effects(table, ["Intercept", predictor])
    unknown = [name for name in clusters if name not in set(table["cluster"])]
    if unknown:
        raise ValueError(f"no cluster {unknown} in the table; choose from its column 'cluster'.")
    names = {"x": predictor, "y": response, "cluster": cluster}
    # Names of any kind become the chart's own: Vega-Lite reads a point or a bracket in a field.
    rows = pd.DataFrame({own: data[name] for own, name in names.items()})
    estimates = table[table["effect"].isin(["Intercept", predictor])]
    estimates = estimates.assign(effect=estimates["effect"].replace({predictor: "x"}))
    panels = [
        _line_panel(rows, estimates[estimates["cluster"] == label], label, names)
        for label in clusters
    ]
    return ChartGrid(*panels, columns=columns)


def require_columns(data, names) -> None:
    """Raise ValueError unless a frame has these columns."""
    missing = [name for name in names if name not in data.columns]
    if missing:
        raise ValueError(
            f"data has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(str, data.columns))}. Say which columns to draw: response=..., "
            "predictor=..., cluster=...."
        )


def require_effects(table, effects) -> None:
    """Raise ValueError unless a table made by ``shrinkage`` has these effects."""
    missing = [effect for effect in effects if effect not in set(table["effect"])]
    if missing:
        raise ValueError(
            f"the table lacks the effects {missing}; it has {table['effect'].unique().tolist()}. "
            "Name the effects that vary in your fit, or let them vary."
        )


def shrinkage_paths(
    table: pd.DataFrame,
    view: Mapping[str, tuple[float, float]],
    *,
    title: str,
    size_by_n: bool = False,
) -> alt.LayerChart:
    """Every cluster's intercept and slope, from no pooling to partial pooling.

    Parameters
    ----------
    table : DataFrame
        Made by ``shrinkage``, with two effects or more.
    view : mapping
        Two effects, across and up, with the limits of their axes, ``{"Intercept": (low, high),
        "x": (low, high)}``; the same for all charts that are to be compared. Paths from outside
        are cut at the edge. Clusters without an estimate of their own have no path.
    title : str
        Name of the data set.
    size_by_n : bool
        Draw larger clusters as larger points.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    ValueError
        If `view` does not name two effects of the table.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed, shrinkage
    >>> table = shrinkage(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> view = {"Intercept": (-1, 3), "x": (-0.5, 1.5)}
    >>> print(shrinkage_paths(table, view, title="baseline").description)
    Scatter plot, baseline: 100 clusters as paths from their own least-squares intercept and
    slope to the mixed model's, which lie closer to the fixed effects (0.94, 0.54). Mean
    shrinkage 27% in the intercept, 69% in the slope; 5 paths start outside the frame.
    """
    if len(view) != 2:
        raise ValueError(f"view names {list(view)}; name two effects, {{effect: (low, high)}}.")
    across, up = view
    require_effects(table, view)
    # Whatever the effects are called, the chart's fields are those of an intercept and of x.
    table = table[table["effect"].isin(view)]
    table = table.assign(effect=table["effect"].map({across: "Intercept", up: "x"}))
    wide = cluster_paths(table).dropna()
    fixed = table.groupby("effect")["fixed_effect"].first()
    titles = [effect_title(name) for name in view]
    words = [name if name == "Intercept" else "slope" for name in view]
    words = [word.lower() for word in words] if words[0] != words[1] else list(view)
    paths = alt.Chart(wide).encode(
        alt.X("no_Intercept:Q", title=titles[0], scale=exact_scale(*view[across])),
        alt.Y("no_x:Q", title=titles[1], scale=exact_scale(*view[up])),
        tooltip=path_tooltip(
            *number_tooltips(digits=2, no_Intercept=f"own {words[0]}", no_x=f"own {words[1]}"),
            words=words,
        ),
    )
    size = alt.Size("n:Q", title="observations", scale=alt.Scale(range=[10, 140]), legend=None)
    sized = {"size": size} if size_by_n else {}
    layers = [
        paths.mark_rule(clip=True, strokeOpacity=0.35).encode(
            x2="partial_Intercept", y2="partial_x"
        ),
        end_points(paths, "no pooling", filled=False).encode(**sized),
        end_points(paths, "partial pooling", filled=True).encode(
            x="partial_Intercept:Q", y="partial_x:Q", **sized
        ),
        _common_point(fixed),
    ]
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        title=title,
        description=_paths_description(table, fixed, view, title, words),
    )


def cluster_paths(table: pd.DataFrame) -> pd.DataFrame:
    """One row per cluster: cluster, n, no_<effect> and partial_<effect> for each effect."""
    wide = table.pivot(
        index=["cluster", "n"], columns="effect", values=["no_pooling", "partial_pooling"]
    )
    wide.columns = [f"{which.removesuffix('_pooling')}_{effect}" for which, effect in wide.columns]
    return wide.reset_index()


def count_outside(table: pd.DataFrame, view: Mapping[str, tuple[float, float]]) -> int:
    """Count clusters whose own estimate lies outside a view.

    Parameters
    ----------
    table : DataFrame
        Made by ``shrinkage``.
    view : mapping
        Limits of each effect, ``{"x": (low, high)}``.

    Returns
    -------
    int

    Examples
    --------
    >>> table = pd.DataFrame({"cluster": [1, 2], "effect": "x", "no_pooling": [0.0, 9.0]})
    >>> count_outside(table, {"x": (-1, 1)})
    1
    """
    low = table["effect"].map({effect: limits[0] for effect, limits in view.items()})
    high = table["effect"].map({effect: limits[1] for effect, limits in view.items()})
    outside = (table["no_pooling"] < low) | (table["no_pooling"] > high)
    return int(table.loc[outside, "cluster"].nunique())


def estimator_errors(errors: pd.DataFrame) -> ChartGrid:
    """Root mean squared error of the three estimators, by scenario and coefficient.

    Parameters
    ----------
    errors : DataFrame
        scenario, effect, pooling, rmse.

    Returns
    -------
    ChartGrid
        One panel per coefficient.

    Examples
    --------
    >>> from helpers import create_data, estimation_errors, fit_mixed, true_coefficients
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> errors = estimation_errors(fit, true_coefficients()).assign(scenario="baseline")
    >>> print(estimator_errors(errors).charts[1].description)
    Dot plot of the root mean squared error of x estimates under complete, no and partial
    pooling; partial pooling is best in 1 of 1 scenarios.
    """
    panels = [_error_panel(part, effect) for effect, part in errors.groupby("effect")]
    return ChartGrid(*panels, columns=1)


def path_tooltip(
    *own: alt.Tooltip, words: Sequence[str] = ("intercept", "slope")
) -> list[alt.Tooltip]:
    """Show a cluster's number and size, its own estimates, and the shrunken ones."""
    return [
        alt.Tooltip("cluster:N"),
        alt.Tooltip("n:N", title="observations"),
        *own,
        *number_tooltips(
            digits=2, partial_Intercept=f"shrunken {words[0]}", partial_x=f"shrunken {words[1]}"
        ),
    ]


def fixed_point(row: alt.Chart, across: str, up: str, **legend) -> alt.Chart:
    """Draw the fixed effects as the only diamond among points, with the legend of all points."""
    _, *poolings = POOLING_COLOURS
    kinds = [FIXED_EFFECT, *poolings]
    shapes = alt.Scale(domain=kinds, range=["diamond", RING, "circle"])
    colors = alt.Scale(domain=kinds, range=list(POOLING_COLOURS.values()))
    return row.mark_point(filled=True, size=170, opacity=1).encode(
        x=f"{across}:Q",
        y=f"{up}:Q",
        color=pooling_color(**legend).scale(colors),
        shape=pooling_shape(**legend).scale(shapes),
    )


def end_points(paths: alt.Chart, pooling: str, *, filled: bool) -> alt.Chart:
    """Draw one end of each path in the colour of its pooling."""
    # The opacity of fill or stroke; that of a whole mark takes browsers longer to paint.
    translucent = "fillOpacity" if filled else "strokeOpacity"
    return paths.mark_point(
        clip=True,
        color=POOLING_COLOURS[pooling],
        filled=filled,
        size=40,
        opacity=1,
        **{translucent: 0.8},
    )


def _paths_description(table, fixed, view, title, words) -> str:
    mean = table.groupby("effect")["shrinkage_factor"].mean()
    drawn = table.groupby("cluster")["no_pooling"].agg(lambda own: own.notna().all())
    lacking = f" {(~drawn).sum()} have no estimate of their own and no path." * (not drawn.all())
    outside = count_outside(table, dict(zip(["Intercept", "x"], view.values(), strict=True)))
    return (
        f"Scatter plot, {title}: {drawn.sum()} clusters as paths from their own "
        f"least-squares {words[0]} and {words[1]} to the mixed model's, which lie closer to the "
        f"fixed effects ({fixed['Intercept']:.2f}, {fixed['x']:.2f}). Mean shrinkage "
        f"{mean['Intercept']:.0%} in the {words[0]}, {mean['x']:.0%} in the {words[1]}; "
        f"{outside} paths start outside the frame.{lacking}"
    )


def _common_point(fixed) -> alt.Chart:
    point = pd.DataFrame(
        {
            "intercept": [fixed["Intercept"]],
            "slope": [fixed["x"]],
            "pooling": [FIXED_EFFECT],
        }
    )
    tooltips = number_tooltips("intercept", "slope", digits=2)
    return fixed_point(alt.Chart(point), "intercept", "slope").encode(tooltip=tooltips)


def _pooled_line_ends(coefficients, ends) -> pd.DataFrame:
    """Two rows per way of pooling: x, y, pooling."""
    intercepts = coefficients["Intercept"].to_numpy()[:, None]
    return pd.DataFrame(
        {
            "x": np.tile(ends, len(coefficients)),
            "y": (intercepts + np.outer(coefficients["x"], ends)).ravel(),
            "pooling": np.repeat(list(POOLING_COLUMNS.values()), 2),
        }
    )


def _line_panel(data, estimates, label, names) -> alt.LayerChart:
    rows = data[data["cluster"] == label]
    ends = np.array([data["x"].min(), data["x"].max()])
    across = alt.X("x:Q", title=names["x"])
    up = alt.Y("y:Q", title=names["y"]).scale(domain=[data["y"].min(), data["y"].max()], nice=True)
    coefficients = estimates.set_index("effect")[list(POOLING_COLUMNS)].T
    has_own = coefficients.loc["no_pooling"].notna().all()
    points = alt.Chart(rows).mark_circle(color=QUIET, size=40, opacity=0.9).encode(across, up)
    curves = (
        alt.Chart(_pooled_line_ends(coefficients, ends).dropna())
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(across, up, pooling_color(), pooling_dash())
    )
    slopes = ", ".join(
        f"{POOLING_COLUMNS[which]} {slope:.2f}"
        for which, slope in coefficients["x"].items()
        if pd.notna(slope)
    )
    lacking = "" if has_own else ", no line of its own"
    name = f"{names['cluster']} {label}"
    return alt.layer(points, curves).properties(
        width="container",
        height=220,
        title=f"{name}: {_counted(len(rows))}{lacking}",
        description=(
            f"Data of {name}, {_counted(len(rows))}, with {'three' if has_own else 'two'} lines"
            f"{lacking}; slopes: {slopes}."
        ),
    )


def _counted(n) -> str:
    return f"{n} observation{'s' * (n != 1)}"


def _error_panel(part, effect) -> alt.LayerChart:
    order = part["scenario"].drop_duplicates().tolist()
    base = alt.Chart(part).encode(
        alt.X("rmse:Q", title="RMSE", axis=alt.Axis(tickCount=6)),
        alt.Y("scenario:N", sort=order, title=None, axis=alt.Axis(labelLimit=220)),
    )
    # Beside long labels there is room for one column only, on a phone.
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        color=pooling_color(columns=1),
        shape=pooling_shape(columns=1),
        tooltip=["scenario", "pooling", *number_tooltips("rmse")],
    )
    best = part.sort_values("rmse").drop_duplicates("scenario")["pooling"]
    times = int((best == "partial pooling").sum())
    return points.properties(
        width="container",
        height=210,
        title=coefficient_title(effect),
        description=(
            f"Dot plot of the root mean squared error of {effect} estimates under complete, no and "
            f"partial pooling; partial pooling is best in {times} of {len(order)} scenarios."
        ),
    )
