"""Figures of the likelihood, of optimisers and of their speed."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from helpers.charts.theme import HEIGHT

# Paths are told apart by dash and by the mark at their end.
PATH_DASHES = [[1, 0], [5, 4]]
PATH_SHAPES = ["cross", "circle"]
# Bands that widen upwards: near the minimum small differences count.
BAND_EDGES = [-np.inf, 1, 3, 10, 30, 100, np.inf]
BANDS = ["below 1", "1 to 3", "3 to 10", "10 to 30", "30 to 100", "over 100"]


def criterion_surface(surface: pd.DataFrame, paths: pd.DataFrame) -> alt.LayerChart:
    """Criterion over two standard deviations, and the ways optimisers went.

    Parameters
    ----------
    surface : DataFrame
        A grid: sd_intercept, sd_slope, excess (criterion less its minimum, 0 or more).
    paths : DataFrame
        method, step (0, 1, ...), sd_intercept, sd_slope, criterion: one row per evaluation, for
        one or two methods.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    ValueError
        If there are more than two methods.

    Examples
    --------
    >>> surface = pd.DataFrame(
    ...     {"sd_intercept": [0, 1, 0, 1], "sd_slope": [0, 0, 1, 1], "excess": [9.0, 4, 4, 0]}
    ... )
    >>> paths = pd.DataFrame(
    ...     {"step": [0, 1], "sd_intercept": [0, 1], "sd_slope": [0, 1], "criterion": [9.0, 0]}
    ... ).assign(method="bfgs")
    >>> print(criterion_surface(surface, paths).description)
    Map of the criterion over the standard deviations of intercepts and slopes, relative to the
    residual's. The minimum is near (1.00, 1.00). bfgs ends after 2 evaluations at (1.00, 1.00),
    criterion 0.0.
    """
    methods = paths["method"].drop_duplicates().tolist()
    if len(methods) > len(PATH_DASHES):
        raise ValueError(f"paths has {len(methods)} methods; there is room for two.")
    across = alt.X("sd_intercept:Q", title="sd of intercepts / residual sd")
    up = alt.Y("sd_slope:Q", title="sd of slopes / residual sd")
    # The line is drawn through rows in the order of their steps.
    lines = (
        alt.Chart(paths)
        .mark_line(color="#111111", strokeWidth=2, point=alt.OverlayMarkDef(color="#111111"))
        .encode(across, up, _by_path("StrokeDash", methods, PATH_DASHES), order="step:Q")
    )
    last = alt.Chart(_last(paths, "step")).encode(across, up)
    ends = last.mark_point(filled=True, size=220, color="#d55e00", opacity=1).encode(
        _by_path("Shape", methods, PATH_SHAPES),
        tooltip=["method", alt.Tooltip("criterion:Q", format=".2f")],
    )
    # On the light map, not in a legend on the page, which may be dark.
    names = last.mark_text(align="left", dx=14, dy=20, fontSize=13, color="#111111").encode(
        text="method:N"
    )
    return alt.layer(_height_map(surface), lines, ends, names).properties(
        width="container",
        height=HEIGHT + 60,
        description=_path_description(surface, paths, methods),
    )


def speed_bars(speed: pd.DataFrame, *, title: str) -> alt.LayerChart:
    """Seconds that each package needs for one task, on a logarithmic axis.

    Parameters
    ----------
    speed : DataFrame
        method and seconds.
    title : str
        The task.

    Returns
    -------
    altair.LayerChart

    Examples
    --------
    >>> speed = pd.DataFrame({"method": ["one by one", "together"], "seconds": [100.0, 1]})
    >>> print(speed_bars(speed, title="10,000 fits").description)
    Dot plot, 10,000 fits, seconds on a logarithmic axis: together 1 s; one by one 100 s.
    """
    table = speed.sort_values("seconds").assign(
        label=[_in_words(seconds) for seconds in speed["seconds"].sort_values()]
    )
    base = alt.Chart(table).encode(
        # Beyond the longest time there is room for its label, on a phone too.
        alt.X("seconds:Q", title="seconds").scale(
            type="log", domainMax=10 * float(table["seconds"].max())
        ),
        alt.Y("method:N", sort=None, title=None, axis=alt.Axis(labelLimit=180)),
    )
    points = base.mark_point(filled=True, size=90, color="currentColor", opacity=1)
    names = base.mark_text(align="left", dx=9).encode(text="label:N")
    values = "; ".join(f"{row.method} {row.label}" for row in table.itertuples())
    return alt.layer(points, names).properties(
        width="container",
        height=26 * len(table),
        title=title,
        description=f"Dot plot, {title}, seconds on a logarithmic axis: {values}.",
    )


def speed_curves(speed: pd.DataFrame) -> alt.LayerChart:
    """Seconds for one fit against the number of clusters, both axes logarithmic.

    Parameters
    ----------
    speed : DataFrame
        method, clusters and seconds.

    Returns
    -------
    altair.LayerChart

    Examples
    --------
    >>> speed = pd.DataFrame(
    ...     {"method": "fit_mixed", "clusters": [10, 100], "seconds": [0.02, 0.03]}
    ... )
    >>> print(speed_curves(speed).description)
    Seconds for one fit against the number of clusters: fit_mixed 30 ms at 100.
    """
    across = alt.X("clusters:Q", title="clusters", scale=alt.Scale(type="log"))
    up = alt.Y("seconds:Q", title="seconds", scale=alt.Scale(type="log"))
    base = alt.Chart(speed).encode(across, up, alt.Detail("method:N"))
    points = base.mark_point(filled=True, size=60, color="currentColor", opacity=1).encode(
        alt.Shape("method:N", legend=alt.Legend(title=None, columns=2)),
        tooltip=["method", "clusters", alt.Tooltip("seconds:Q", format=".3g")],
    )
    lines = base.mark_line(color="currentColor").encode(alt.StrokeDash("method:N", legend=None))
    last = _last(speed, "clusters")
    values = "; ".join(
        f"{row.method} {_in_words(row.seconds)} at {row.clusters:,}" for row in last.itertuples()
    )
    return alt.layer(lines, points).properties(
        width="container",
        height=HEIGHT,
        description=f"Seconds for one fit against the number of clusters: {values}.",
    )


def _by_path(channel, methods, values):
    scale = alt.Scale(domain=methods, range=values[: len(methods)])
    return getattr(alt, channel)("method:N", scale=scale, legend=None)


def _height_map(surface) -> alt.Chart:
    steps = [
        surface[name].drop_duplicates().sort_values().diff().min() / 2
        for name in ("sd_intercept", "sd_slope")
    ]
    bands = pd.cut(surface["excess"], BAND_EDGES, labels=BANDS, right=False)
    cells = bands.to_frame("band").assign(
        left=surface["sd_intercept"] - steps[0],
        right=surface["sd_intercept"] + steps[0],
        lower=surface["sd_slope"] - steps[1],
        upper=surface["sd_slope"] + steps[1],
    )
    return (
        alt.Chart(cells)
        .mark_rect()
        .encode(
            alt.X("left:Q", scale=alt.Scale(nice=False)),
            alt.X2("right:Q"),
            alt.Y("lower:Q", scale=alt.Scale(nice=False)),
            alt.Y2("upper:Q"),
            alt.Color(
                "band:O",
                scale=alt.Scale(domain=BANDS, scheme="blues", reverse=True),
                legend=alt.Legend(title="above the minimum", symbolType="square", columns=3),
            ),
        )
    )


def _last(table, column) -> pd.DataFrame:
    """Each method's row with the largest value; the index may repeat."""
    return table.sort_values(["method", column]).drop_duplicates("method", keep="last")


def _path_description(surface, paths, methods) -> str:
    low = surface.loc[surface["excess"].idxmin()]
    ends = _last(paths, "step").set_index("method")
    parts = [
        f"{method} ends after {ends.loc[method, 'step'] + 1} evaluations at "
        f"({ends.loc[method, 'sd_intercept']:.2f}, {ends.loc[method, 'sd_slope']:.2f}), "
        f"criterion {ends.loc[method, 'criterion']:.1f}"
        for method in methods
    ]
    return (
        "Map of the criterion over the standard deviations of intercepts and slopes, relative to "
        f"the residual's. The minimum is near ({low['sd_intercept']:.2f}, "
        f"{low['sd_slope']:.2f}). " + "; ".join(parts) + "."
    )


def _in_words(seconds) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 600 else f"{seconds / 60:,.0f} min"
