"""Figures of how sure an estimate is: intervals, profiles, draws, predictions, checks of a fit."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
from scipy.special import ndtri

from helpers.charts.theme import HEIGHT, POOLING_COLOURS, QUIET, STROKES, ChartGrid, number_tooltips

GREEN, BLUE, ORANGE = (
    POOLING_COLOURS[name] for name in ("partial pooling", "no pooling", "complete pooling")
)
KINDS = {"fixed": "fixed effects", "sd": "standard deviations", "correlation": "correlations"}
#: Where estimates heap up, by kind of parameter.
EDGES = {"fixed": (), "sd": (0,), "correlation": (-1, 1)}
#: Share of the largest value at which an sd is as good as zero, or a correlation as one.
AT_EDGE = 1e-3
#: What each interval of a prediction is for, in the order in which they widen.
RIBBONS = {"mean": "mean line", "cluster": "this cluster", "observation": "one observation"}
RIBBON_DASHES = [[1, 0], [6, 4], [2, 2]]
MOST_LABELS = 30


def interval_forest(table: pd.DataFrame) -> ChartGrid:
    """Draw estimates and intervals, one panel for each kind of parameter.

    Parameters
    ----------
    table : DataFrame
        Made by ``intervals``. With a further column ``model`` (tables of several fits, one after
        the other) there is a panel for each parameter, and a line for each model in it; with a
        column ``truth`` the true values are drawn as crosses.

    Returns
    -------
    ChartGrid

    Raises
    ------
    ValueError
        If no row has limits.

    Examples
    --------
    >>> table = pd.DataFrame({"kind": ["sd"], "grouping_factor": ["g"], "effect": ["x"],
    ...                       "value": [0.2], "lower_2.5": [0.1], "upper_97.5": [0.4]})
    >>> print(interval_forest(table).charts[0].description)
    Intervals of standard deviations: x 0.200, from 0.100 to 0.400.
    """
    lower = next(name for name in table.columns if name.startswith("lower_"))
    upper = next(name for name in table.columns if name.startswith("upper_"))
    rows = table.rename(columns={lower: "lower", upper: "upper"}).dropna(subset=["lower", "upper"])
    if rows.empty:
        raise ValueError("no row has limits; method='wald' gives them for fixed effects only.")
    rows = rows.assign(parameter=[_parameter(row) for row in rows.itertuples()])
    if "model" in rows:
        by, rows = ["kind", "parameter"], rows.assign(label=rows["model"])
    else:
        by, rows = ["kind"], rows.assign(label=[_label(row) for row in rows.itertuples()])
    panels = [
        _forest(part, key[-1] if len(by) > 1 else KINDS[key[0]])
        for key, part in rows.groupby(by, sort=False)
    ]
    return ChartGrid(*panels, columns=min(2, len(panels)))


def _parameter(row) -> str:
    if row.grouping_factor == "Residual":
        return "residual sd"
    if row.kind == "fixed":
        return row.effect
    start = "sd of" if row.kind == "sd" else "correlation of"
    effect = row.effect.replace(", ", " and ") if row.kind == "correlation" else row.effect
    return f"{start} {effect} ({row.grouping_factor})"


def _in_lines(name) -> list[str]:
    """Break a long name before its grouping factor."""
    start, bracket, rest = name.rpartition(" (")
    return [start, f"({rest}"] if bracket and len(name) > 32 else [name]


def _label(row) -> str:
    """Name a parameter where its kind is known."""
    if row.grouping_factor == "Residual":
        return "residual"
    nested = f" ({row.grouping_factor})" if ":" in row.grouping_factor else ""
    # A column's own name may hold a comma: "Homework, h/week".
    pair = row.kind == "correlation" and row.effect.count(", ") == 1
    return (row.effect.replace(", ", " and ") if pair else row.effect) + nested


def _forest(part, title) -> alt.LayerChart:
    part = part.drop(columns=[name for name in part if "_" in name])
    across = alt.X("value:Q", title=None, scale=alt.Scale(zero=False))
    base = alt.Chart(part).encode(
        alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=150))
    )
    tooltip = ["label:N", *number_tooltips("value", "lower", "upper")]
    layers = [
        base.mark_rule(strokeWidth=2, color=GREEN).encode(
            alt.X("lower:Q", title=None, scale=alt.Scale(zero=False)), alt.X2("upper:Q")
        ),
        base.mark_point(filled=True, size=70, color=GREEN, opacity=1).encode(
            across, tooltip=tooltip
        ),
    ]
    if "truth" in part:
        layers.append(
            base.mark_point(shape="cross", filled=True, size=60, color=ORANGE, opacity=1).encode(
                alt.X("truth:Q", title=None)
            )
        )
    true = part["truth"] if "truth" in part else pd.Series(np.nan, part.index)
    values = "; ".join(
        f"{row.label} {row.value:.3f}, from {row.lower:.3f} to {row.upper:.3f}"
        + ("" if np.isnan(real) else f", truth {real:.3f}")
        for row, real in zip(part.itertuples(), true, strict=True)
    )
    return alt.layer(*layers).properties(
        width="container",
        height=28 * len(part),
        title=title,
        description=f"Intervals of {title}: {values}.",
    )


def profile_panels(curve: pd.DataFrame, *, level: float = 0.95) -> ChartGrid:
    """Draw one parameter's profile deviance, and its signed root, the zeta line.

    Parameters
    ----------
    curve : DataFrame
        One parameter's rows of ``profile_curves``.
    level : float
        Coverage of the interval that is marked.

    Returns
    -------
    ChartGrid

    Raises
    ------
    ValueError
        If `curve` holds several parameters.

    Examples
    --------
    >>> values = np.linspace(1, 3, 9)
    >>> curve = pd.DataFrame({"kind": "sd", "grouping_factor": "g", "effect": "x", "value": values})
    >>> curve = curve.assign(zeta=3 * (values - 2), deviance=9 * (values - 2) ** 2)
    >>> print(profile_panels(curve).charts[0].description)
    Profile deviance of sd of x (g): lowest at 2.000, below 3.84 from 1.347 to 2.653.
    """
    if len(curve[["kind", "grouping_factor", "effect"]].drop_duplicates()) != 1:
        raise ValueError("curve must hold one parameter. Choose its rows of profile_curves.")
    name, cutoff = _parameter(next(curve.itertuples())), ndtri((1 + level) / 2)
    inside = _crossings(curve, cutoff)
    best = curve.loc[curve["deviance"].idxmin(), "value"]
    across = alt.X("value:Q", title=name, scale=alt.Scale(zero=False, nice=False))
    line = alt.Chart(curve).mark_line(color=GREEN, strokeWidth=2.5)
    low, high = inside
    text = f"{name}: lowest at {best:.3f}, below {cutoff**2:.2f} from {low:.3f} to {high:.3f}."
    deviance = alt.layer(
        line.encode(across, alt.Y("deviance:Q", title="deviance above its minimum")),
        _level_line(cutoff**2),
        _limit_lines(inside),
    ).properties(width="container", height=240, description=f"Profile deviance of {text}")
    bend = _bend(curve)
    zeta = alt.layer(
        line.encode(across, alt.Y("zeta:Q", title="zeta")),
        _level_line(-cutoff, cutoff),
        _limit_lines(inside),
    ).properties(
        width="container",
        height=240,
        description=f"Zeta line of {name}, from {curve['zeta'].min():.2f} to "
        f"{curve['zeta'].max():.2f}. {bend}",
    )
    return ChartGrid(deviance, zeta)


def _crossings(curve, cutoff):
    """Where the curve passes the cutoff on both sides, or where it ends."""
    value, zeta = curve["value"].to_numpy(), curve["zeta"].to_numpy()
    return tuple(np.interp([-cutoff, cutoff], zeta, value))


def _bend(curve) -> str:
    """Say whether equal steps of zeta are equal steps of the parameter."""
    left, right = curve[curve["zeta"] < 0], curve[curve["zeta"] > 0]
    if left.empty or right.empty:
        return "The estimate is at the edge."
    best = curve.loc[curve["deviance"].idxmin(), "value"]
    slopes = [abs(end["zeta"] / (end["value"] - best)) for end in (left.iloc[0], right.iloc[-1])]
    ratio = slopes[0] / slopes[1]
    if 0.9 < ratio < 1.1:
        return "It is nearly straight: a symmetric interval."
    steeper, flatter = ("below", "above") if ratio > 1 else ("above", "below")
    return f"It is steeper {steeper} the estimate than {flatter} it: the interval is lopsided."


def _level_line(*heights) -> alt.Chart:
    return (
        alt.Chart(pd.DataFrame({"height": heights}))
        .mark_rule(strokeDash=[5, 4], color="currentColor")
        .encode(alt.Y("height:Q"))
    )


def _limit_lines(inside) -> alt.Chart:
    return (
        alt.Chart(pd.DataFrame({"at": inside}))
        .mark_rule(color=ORANGE, strokeWidth=1.5)
        .encode(alt.X("at:Q"))
    )


def bootstrap_histogram(draws: pd.Series, *, value: float | None = None) -> alt.LayerChart:
    """Draw the draws of one parameter, with the heap at its edge.

    Parameters
    ----------
    draws : Series
        A column of ``bootstrap``: its name says what kind of parameter it is.
    value : float, optional
        The fit's own estimate, to mark.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    ValueError
        If the name does not say which parameter it is, or nothing is drawn.

    Examples
    --------
    >>> draws = pd.Series([0.0, 0, 1, 2, 3, 2, 1, 2], name=("sd", "g", "x"))
    >>> print(bootstrap_histogram(draws, value=1.5).description)
    Histogram of 8 bootstrap estimates of sd of x (g): 95 % between 0.000 and 2.825; 25.0 % at 0.
    The fit's own estimate is 1.500.
    """
    if not isinstance(draws.name, tuple) or len(draws.name) != 3 or draws.name[0] not in EDGES:
        raise ValueError(f"draws is named {draws.name!r}; give one column of bootstrap(fit).")
    values = draws.dropna().to_numpy()
    if not values.size:
        raise ValueError("draws has no values.")
    keys = ["kind", "grouping_factor", "effect"]
    name = _parameter(pd.Series(draws.name, keys))
    bars, heaps = _bars(values, EDGES[draws.name[0]])
    base = alt.Chart(bars).encode(
        alt.X("left:Q", title=_in_lines(name), scale=alt.Scale(zero=False, nice=False)),
        alt.X2("right:Q"),
        alt.Y("share:Q", title="% of data sets"),
        alt.Y2(datum=0),
        tooltip=number_tooltips("left", "right", "share", digits=2),
    )
    layers = [
        base.transform_filter("!datum.heap").mark_bar(color=GREEN, stroke=None),
        base.transform_filter("datum.heap").mark_bar(color=ORANGE, stroke=None),
    ]
    told = "" if value is None else f" The fit's own estimate is {value:.3f}."
    if value is not None:
        layers.append(
            alt.Chart(pd.DataFrame({"value": [value]}))
            .mark_rule(color="currentColor", strokeWidth=2, strokeDash=[5, 4])
            .encode(alt.X("value:Q"))
        )
    low, high = np.quantile(values, [0.025, 0.975])
    heaped = "".join(f"; {100 * share:.1f} % at {edge:g}" for edge, share in heaps.items())
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT - 60,
        description=f"Histogram of {len(values):,} bootstrap estimates of {name}: 95 % between "
        f"{low:.3f} and {high:.3f}{heaped}.{told}",
    )


def _bars(values, edges, n_bins=40):
    """Bars of a histogram, the draws at an edge in bars of their own, and the shares of these."""
    near = AT_EDGE * np.abs(values).max()
    heaps = {edge: float((np.abs(values - edge) <= near).mean()) for edge in edges}
    heaps = {edge: share for edge, share in heaps.items() if share}
    heaped = np.zeros(len(values), bool)
    for edge in edges:
        heaped |= np.abs(values - edge) <= near
    away = values[~heaped]
    inside = away if away.size else values
    limits = np.linspace(inside.min(), inside.max(), n_bins + 1)
    counts = np.histogram(away, limits)[0]
    bars = pd.DataFrame(
        {"left": limits[:-1], "right": limits[1:], "share": 100 * counts / len(values)}
    ).assign(heap=False)
    width = limits[1] - limits[0]
    at = pd.DataFrame(
        {
            "left": [edge - width / 2 for edge in heaps],
            "right": [edge + width / 2 for edge in heaps],
            "share": [100 * share for share in heaps.values()],
        }
    ).assign(heap=True)
    return pd.concat([bars, at], ignore_index=True) if heaps else bars, heaps


def prediction_ribbons(
    table: pd.DataFrame,
    *,
    predictor: str,
    response: str,
    observations: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """Draw predictions with ribbons: of the mean, of a cluster, of a new observation.

    Parameters
    ----------
    table : DataFrame
        Columns interval ("mean", "cluster" or "observation"), the predictor, prediction, lower and
        upper: what ``fit.predict(rows, interval=...)`` gives, one after the other.
    predictor, response : str
        Names of the axes; the predictor's is a column of `table`.
    observations : DataFrame, optional
        Points to draw: predictor and response.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    ValueError
        If an interval is none of the three.

    Examples
    --------
    >>> table = pd.DataFrame({"interval": "mean", "x": [0.0, 1], "prediction": [1.0, 2],
    ...                       "lower": [0.5, 1.5], "upper": [1.5, 2.5]})
    >>> print(prediction_ribbons(table, predictor="x", response="y").description)
    Predictions of y against x with ribbons. At x = 1: mean line 2.00, from 1.50 to 2.50.
    """
    unknown = set(table["interval"]) - set(RIBBONS)
    if unknown:
        raise ValueError(f"intervals {sorted(unknown)} are none of {', '.join(RIBBONS)}.")
    # Columns of any name become the chart's own.
    rows = table.rename(columns={predictor: "across"})[
        ["interval", "across", "prediction", "lower", "upper"]
    ]
    rows = rows.assign(ribbon=rows["interval"].map(RIBBONS)).reset_index(drop=True)
    order = [RIBBONS[name] for name in RIBBONS if (rows["interval"] == name).any()]
    dashes = [RIBBON_DASHES[list(RIBBONS.values()).index(name)] for name in order]
    across = alt.X("across:Q", title=predictor, scale=alt.Scale(zero=False, nice=False))
    dash = alt.StrokeDash(
        "ribbon:N",
        scale=alt.Scale(domain=order, range=dashes),
        legend=alt.Legend(title=None, **STROKES),
    )
    up = alt.Y("lower:Q", title=response, scale=alt.Scale(zero=False))
    base = alt.Chart(rows).encode(across, alt.Detail("ribbon:N"))
    layers = [base.mark_area(color=GREEN, opacity=0.16).encode(up, alt.Y2("upper:Q"))]
    for end in ("lower", "upper"):
        layers.append(
            base.mark_line(color=GREEN, strokeWidth=1.5).encode(
                alt.Y(f"{end}:Q", title=response), dash
            )
        )
    layers.append(
        base.mark_line(color="currentColor", strokeWidth=2).encode(
            alt.Y("prediction:Q", title=response)
        )
    )
    if observations is not None:
        points = pd.DataFrame(
            {"across": observations[predictor], "observed": observations[response]}
        )
        layers.append(
            alt.Chart(points)
            .mark_circle(color="currentColor", size=40, opacity=0.9)
            .encode(across, alt.Y("observed:Q", title=response))
        )
    last = rows.loc[rows.groupby("ribbon")["across"].idxmax()].set_index("ribbon").loc[order]
    values = "; ".join(
        f"{name} {row['prediction']:.2f}, from {row['lower']:.2f} to {row['upper']:.2f}"
        for name, row in last.iterrows()
    )
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        description=f"Predictions of {response} against {predictor} with ribbons. At {predictor} = "
        f"{rows['across'].max():g}: {values}.",
    )


def quantile_plots(table: pd.DataFrame) -> ChartGrid:
    """Draw residuals and predicted random effects against a normal's quantiles.

    Parameters
    ----------
    table : DataFrame
        Made by ``normal_quantiles``.

    Returns
    -------
    ChartGrid

    Examples
    --------
    >>> table = pd.DataFrame({"quantity": "residual", "label": [1, 2, 3], "value": [-1.0, 0, 2],
    ...                       "normal": [-0.97, 0, 0.97], "line": [-1.4, 0.1, 1.6]})
    >>> print(quantile_plots(table).charts[0].description)
    Quantile plot of 3 residuals: the lowest is 0.40 above its line, the highest 0.40 above.
    """
    panels = []
    for quantity, part in table.groupby("quantity", sort=False):
        name = "residuals" if quantity == "residual" else f"random effects ({quantity})"
        across = alt.X("normal:Q", title="normal quantile")
        base = alt.Chart(part)
        points = base.mark_circle(color=GREEN, size=28, opacity=0.8).encode(
            across,
            alt.Y("value:Q", title=name),
            tooltip=["label:N", *number_tooltips("value", "normal")],
        )
        line = base.mark_line(color="currentColor", strokeDash=[5, 4]).encode(
            across, alt.Y("line:Q", title=name)
        )
        ends = (part["value"] - part["line"]).iloc[[0, -1]]
        low, high = (f"{abs(gap):.2f} {'above' if gap > 0 else 'below'}" for gap in ends)
        panels.append(
            alt.layer(line, points).properties(
                width="container",
                height=240,
                description=f"Quantile plot of {len(part):,} {name}: the lowest is {low} its "
                f"line, the highest {high}.",
            )
        )
    return ChartGrid(*panels, columns=min(3, len(panels)))


def residual_ranges(table: pd.DataFrame) -> alt.LayerChart:
    """Draw each cluster's scaled residuals: range, middle half and median.

    Parameters
    ----------
    table : DataFrame
        Made by ``residuals_by_cluster``.

    Returns
    -------
    altair.LayerChart

    Examples
    --------
    >>> table = pd.DataFrame({"cluster": [7], "n": [5], "smallest": [-2.0], "lower": [-1.0],
    ...                       "median": [0.1], "upper": [0.5], "largest": [3.0]})
    >>> print(residual_ranges(table).description)
    Scaled residuals of 1 clusters by their median, from 0.10 to 0.10. The largest in size, 3.00, is
    in cluster 7.
    """
    rows = table.assign(cluster=table["cluster"].astype(str))
    labels = len(rows) <= MOST_LABELS
    base = alt.Chart(rows).encode(
        alt.X(
            "cluster:N",
            sort=None,
            title="clusters, by their median",
            axis=alt.Axis(labels=labels, ticks=labels, labelAngle=-90, labelOverlap=True),
        )
    )
    up = {"title": "scaled residual"}
    layers = [
        base.mark_rule(color=QUIET).encode(alt.Y("smallest:Q", **up), alt.Y2("largest:Q")),
        base.mark_rule(color=GREEN, strokeWidth=4).encode(
            alt.Y("lower:Q", **up), alt.Y2("upper:Q")
        ),
        base.mark_point(filled=True, size=22, color="currentColor", opacity=1).encode(
            alt.Y("median:Q", **up),
            tooltip=["cluster:N", "n:Q", *number_tooltips("smallest", "median", "largest")],
        ),
    ]
    size = table[["smallest", "largest"]].abs().max(axis=1)
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        description=f"Scaled residuals of {len(rows)} clusters by their median, from "
        f"{rows['median'].min():.2f} to {rows['median'].max():.2f}. The largest in size, "
        f"{size.max():.2f}, is in cluster {rows['cluster'][size.idxmax()]}.",
    )


def density_curves(table: pd.DataFrame, *, title: str, marks=None) -> alt.LayerChart:
    """Draw prior, likelihood and posterior of a standard deviation.

    Parameters
    ----------
    table : DataFrame
        curve (a name), tau and density: up to three curves on a grid.
    title : str
        Title of the axis.
    marks : mapping of str to float, optional
        Values to mark, by name.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    ValueError
        If there are more than three curves.

    Examples
    --------
    >>> table = pd.DataFrame({"curve": "posterior", "tau": [0.0, 1, 2], "density": [0.2, 0.6, 0.2]})
    >>> print(density_curves(table, title="tau", marks={"REML": 0}).description)
    Curves of tau: posterior highest at 1.00, mean 1.00. Marked: REML 0.00.
    """
    curves = table["curve"].drop_duplicates().tolist()
    if len(curves) > len(RIBBON_DASHES):
        raise ValueError(f"table has {len(curves)} curves; there is room for three.")
    scale = alt.Scale(domain=curves, range=[ORANGE, BLUE, GREEN][-len(curves) :])
    dashes = alt.Scale(domain=curves, range=RIBBON_DASHES[::-1][-len(curves) :])
    lines = (
        alt.Chart(table)
        .mark_line(strokeWidth=2.5)
        .encode(
            alt.X("tau:Q", title=title),
            alt.Y("density:Q", title=None, axis=alt.Axis(labels=False, ticks=False)),
            alt.Color("curve:N", scale=scale, legend=alt.Legend(title=None, **STROKES)),
            alt.StrokeDash("curve:N", scale=dashes, legend=alt.Legend(title=None, **STROKES)),
        )
    )
    layers, told = [lines], ""
    if marks:
        at = pd.DataFrame({"name": list(marks), "tau": list(marks.values())})
        base = alt.Chart(at).encode(alt.X("tau:Q", title=title))
        layers.append(base.mark_rule(color="currentColor", strokeDash=[5, 4]))
        layers.append(
            base.mark_text(align="left", dx=4, y=8, color="currentColor").encode(text="name:N")
        )
        told = " Marked: " + "; ".join(f"{name} {tau:.2f}" for name, tau in marks.items()) + "."
    parts = []
    for name, part in table.groupby("curve", sort=False):
        peak = part["tau"].iloc[part["density"].argmax()]
        mean = np.average(part["tau"], weights=part["density"])
        parts.append(f"{name} highest at {peak:.2f}, mean {mean:.2f}")
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT - 60,
        description=f"Curves of {title}: {'; '.join(parts)}.{told}",
    )
