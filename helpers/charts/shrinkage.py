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
    data: pd.DataFrame, table: pd.DataFrame, clusters: Sequence, *, columns: int = 2
) -> ChartGrid:
    """Draw a few clusters with the line each way of pooling gives them.

    Parameters
    ----------
    data : DataFrame
        Columns y, x, cluster.
    table : DataFrame
        Made by ``shrinkage``.
    clusters : sequence
        Clusters to show, one panel each.
    columns : int
        Panels side by side.

    Returns
    -------
    ChartGrid

    Raises
    ------
    ValueError
        If a cluster does not occur.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed, shrinkage
    >>> data = create_data()
    >>> table = shrinkage(fit_mixed("y ~ x + (x | cluster)", data))
    >>> print(cluster_lines(data, table, [42, 67]).charts[0].description)
    Data of cluster 42, 10 observations, with three lines; slopes: complete pooling 0.55, no
    pooling -0.70, partial pooling 0.28.
    """
    unknown = sorted(set(clusters) - set(table["cluster"]))
    if unknown:
        raise ValueError(f"no cluster {unknown} in the table; choose from its column 'cluster'.")
    ends = np.array([data["x"].min(), data["x"].max()])
    limits = alt.Scale(domain=[data["y"].min(), data["y"].max()], nice=True)
    panels = [
        _line_panel(data[data["cluster"] == name], table[table["cluster"] == name], ends, limits)
        for name in clusters
    ]
    return ChartGrid(*panels, columns=columns)


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
        Made by ``shrinkage``, with the effects Intercept and x.
    view : mapping
        Limits of the axes, ``{"Intercept": (low, high), "x": (low, high)}``; the same for all
        charts that are to be compared. Paths from outside are cut at the edge.
    title : str
        Name of the data set.
    size_by_n : bool
        Draw larger clusters as larger points.

    Returns
    -------
    altair.LayerChart

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
    wide = cluster_paths(table)
    fixed = table.groupby("effect")["fixed_effect"].first()
    paths = alt.Chart(wide).encode(
        alt.X("no_Intercept:Q", title="intercept", scale=exact_scale(*view["Intercept"])),
        alt.Y("no_x:Q", title="slope of x", scale=exact_scale(*view["x"])),
        tooltip=path_tooltip(
            *number_tooltips(digits=2, no_Intercept="own intercept", no_x="own slope")
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
        description=_paths_description(table, fixed, view, title),
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


def path_tooltip(*own: alt.Tooltip) -> list[alt.Tooltip]:
    """Show a cluster's number and size, its own estimates, and the shrunken ones."""
    return [
        alt.Tooltip("cluster:N"),
        alt.Tooltip("n:N", title="observations"),
        *own,
        *number_tooltips(
            digits=2, partial_Intercept="shrunken intercept", partial_x="shrunken slope"
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


def _paths_description(table, fixed, view, title) -> str:
    mean = table.groupby("effect")["shrinkage_factor"].mean()
    return (
        f"Scatter plot, {title}: {table['cluster'].nunique()} clusters as paths from their own "
        f"least-squares intercept and slope to the mixed model's, which lie closer to the fixed "
        f"effects ({fixed['Intercept']:.2f}, {fixed['x']:.2f}). Mean shrinkage "
        f"{mean['Intercept']:.0%} in the intercept, {mean['x']:.0%} in the slope; "
        f"{count_outside(table, view)} paths start outside the frame."
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


def _line_panel(rows, estimates, ends, limits) -> alt.LayerChart:
    name = estimates["cluster"].iloc[0]
    coefficients = estimates.set_index("effect")[list(POOLING_COLUMNS)].T
    points = (
        alt.Chart(rows)
        .mark_circle(color=QUIET, size=40, opacity=0.9)
        .encode(alt.X("x:Q"), alt.Y("y:Q", scale=limits))
    )
    curves = (
        alt.Chart(_pooled_line_ends(coefficients, ends))
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(
            alt.X("x:Q"),
            alt.Y("y:Q", scale=limits),
            pooling_color(),
            pooling_dash(),
        )
    )
    slopes = ", ".join(
        f"{POOLING_COLUMNS[which]} {slope:.2f}" for which, slope in coefficients["x"].items()
    )
    return alt.layer(points, curves).properties(
        width="container",
        height=220,
        title=f"cluster {name}: {len(rows)} observations",
        description=(
            f"Data of cluster {name}, {len(rows)} observations, with three lines; slopes: {slopes}."
        ),
    )


def _error_panel(part, effect) -> alt.LayerChart:
    order = part["scenario"].drop_duplicates().tolist()
    base = alt.Chart(part).encode(
        alt.X("rmse:Q", title="RMSE"),
        alt.Y("scenario:N", sort=order, title=None, axis=alt.Axis(labelLimit=220)),
    )
    # Beside long labels there is room for one column only, on a phone.
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        color=pooling_color(columns=1),
        shape=pooling_shape(columns=1),
        tooltip=["scenario", "pooling", *number_tooltips("rmse")],
    )
    best = part.loc[part.groupby("scenario")["rmse"].idxmin(), "pooling"]
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
