"""Figures of the chapter on the weights of small clusters."""

from __future__ import annotations

import json

import altair as alt
import numpy as np
import pandas as pd

from helpers.charts.shrinkage import require_columns
from helpers.charts.theme import (
    HEIGHT,
    POOLING_COLOURS,
    POOLING_DASHES,
    QUIET,
    number_tooltips,
    pooling_color,
)

SOLID_LINE = {"symbolType": "stroke", "symbolStrokeWidth": 3, "symbolDash": [1, 0]}


def arm_means(
    data: pd.DataFrame,
    means: pd.DataFrame,
    *,
    title: str,
    clusters: pd.DataFrame | None = None,
    response: str = "y",
    arm: str = "treatment",
    cluster: str = "cluster",
) -> alt.LayerChart:
    """Observations by cluster, the clusters' means, and each model's mean of either arm.

    Parameters
    ----------
    data : DataFrame
        One row per observation; every cluster in one arm.
    means : DataFrame
        Columns pooling, level, mean: one line per row, across the clusters of its arm.
    title : str
        Name of the data set.
    clusters : DataFrame, optional
        Made by ``cluster_means``: adds the partially pooled mean of each cluster.
    response, arm, cluster : str
        Columns of `data`; they name the axes.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    ValueError
        If a column does not occur, a cluster lies in several arms, `means` names an unknown pooling
        or arm, or `clusters` lacks a cluster.

    Examples
    --------
    >>> from helpers import fit_pooled, marginal_means, treatment_clusters
    >>> data = treatment_clusters([2, 10, 10, 10, 2, 10, 10, 10], 824523)
    >>> means = marginal_means(fit_pooled("y ~ treatment", data), "treatment")
    >>> lines = means.assign(pooling="complete pooling")
    >>> print(arm_means(data, lines, title="The puzzle").description)
    Strip plot, The puzzle: observations of 8 clusters with 2, 10, 10, 10, 2, 10, 10, 10
    observations, and the mean of each cluster. Lines show the means of the arms; control:
    complete pooling 1.59; intervention: complete pooling 4.55.
    """
    require_columns(data, [response, arm, cluster])
    names = {"y": response, "treatment": arm, "cluster": cluster}
    # Clusters of one arm stand next to each other, whatever the order of the rows.
    data = pd.DataFrame({own: data[name] for own, name in names.items()})
    arms = data["treatment"].drop_duplicates().tolist()
    data = data.sort_values("treatment", key=pd.Index(arms).get_indexer, kind="stable")
    _require_known("pooling", means["pooling"], POOLING_COLOURS)
    _require_known("level", means["level"], data["treatment"])
    _require_one_arm(data)
    centers = _cluster_centers(data)
    if clusters is not None:
        _require_known("cluster", centers["cluster"], clusters["cluster"])
        pooled = clusters.set_index("cluster")["partial_pooling"]
        centers["partial_pooling"] = centers["cluster"].map(pooled)
    centers.attrs = {"cluster": cluster}
    layers = [
        _observations(data, centers, "response" if response == "y" else response),
        _arm_names(centers),
        *_mean_lines(means, centers),
        _center_points(centers, "observed", "no pooling", filled=False, size=150),
    ]
    if clusters is not None:
        layers.append(
            _center_points(centers, "partial_pooling", "partial pooling", filled=True, size=45)
        )
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        title=title,
        description=_arm_means_description(title, centers, means),
    )


def distance_lines(table: pd.DataFrame, *, title: str) -> alt.LayerChart:
    """How far cluster means moved against their distance from the arm's mean.

    Parameters
    ----------
    table : DataFrame
        One row per cluster: cluster, n, distance (arm mean minus observed mean), moved
        (partially pooled minus observed mean), share (moved over distance, 1 - lambda).
    title : str
        Title of the panel.

    Returns
    -------
    altair.LayerChart
        One line through zero per cluster size, its slope the share.

    Raises
    ------
    ValueError
        If clusters of one size have different shares.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"cluster": [1, 2], "n": [2, 10], "distance": [2.0, 1], "moved": [0.5, 0.1]}
    ... ).assign(share=[0.25, 0.1])
    >>> print(distance_lines(table, title="Two clusters").description)
    Scatter plot, Two clusters: distance moved by 2 cluster means against their distance from the
    arm's mean. Each cluster size has its own line through zero; slope 0.2500 for 2 observations,
    slope 0.1000 for 10 observations.
    """
    if (table.groupby("n")["share"].agg(np.ptp) > 1e-8).any():
        raise ValueError("clusters of one size have different shares; give clusters of one fit.")
    ends = _line_ends(table)
    layers = [_lines_by_size(ends), _moved_points(table), _size_labels(ends)]
    across = alt.X("distance:Q", title="distance to the arm's mean")
    up = alt.Y("moved:Q", title="distance moved")
    shares = table.groupby("n")["share"].first()
    return alt.layer(*(layer.encode(across, up) for layer in layers)).properties(
        width="container",
        height=260,
        title=title,
        description=(
            f"Scatter plot, {title}: distance moved by {len(table)} cluster means against their "
            "distance from the arm's mean. Each cluster size has its own line through zero; "
            + ", ".join(f"slope {share:.4f} for {n} observations" for n, share in shares.items())
            + "."
        ),
    )


def _require_known(what, given, allowed) -> None:
    allowed = _distinct(allowed)
    unknown = [value for value in _distinct(given) if value not in allowed]
    if unknown:
        raise ValueError(
            f"{what} {unknown} is unknown; there are {allowed[:10]}. Make both frames from one fit."
        )


def _require_one_arm(data) -> None:
    arms = data.groupby("cluster", observed=True)["treatment"].nunique()
    if arms.max() > 1:
        raise ValueError(
            f"cluster {arms.idxmax()} lies in {arms.max()} arms; this chart is of arms that "
            "consist of whole clusters."
        )


def _distinct(values) -> list:
    return pd.Series(list(values), dtype=object).drop_duplicates().tolist()


def _cluster_centers(data) -> pd.DataFrame:
    """One row per cluster in order of appearance, with its place on the axis."""
    grouped = data.groupby(["treatment", "cluster"], sort=False, observed=True)["y"]
    centers = grouped.agg(n="size", observed="mean").reset_index()
    return centers.assign(position=np.arange(1, len(centers) + 1))


def _cluster_axis(centers) -> alt.X:
    labels = [[str(c), f"({n})"] for c, n in zip(centers["cluster"], centers["n"], strict=True)]
    return alt.X(
        "position:Q",
        title=f"{centers.attrs['cluster']} (observations)",
        scale=alt.Scale(domain=[0.4, len(centers) + 0.6], nice=False, zero=False),
        axis=alt.Axis(
            values=centers["position"].tolist(),
            labelExpr=f"{json.dumps(labels)}[datum.value - 1]",
            grid=False,
            labelOverlap=False,
        ),
    )


def _observations(data, centers, title) -> alt.Chart:
    place = data["cluster"].map(centers.set_index("cluster")["position"])
    within = data.groupby("cluster").cumcount() + 0.5
    size = data.groupby("cluster")["y"].transform("size")
    # Observations of a cluster side by side, so that they do not hide each other.
    points = data[["y", "cluster"]].assign(position=place + 0.6 * (within / size - 0.5))
    return (
        alt.Chart(points)
        .mark_circle(color=QUIET, size=22, opacity=0.7)
        .encode(_cluster_axis(centers), alt.Y("y:Q", title=title))
    )


def _arm_names(centers) -> alt.Chart:
    middle = centers.groupby("treatment", observed=True)["position"].mean().reset_index()
    middle["treatment"] = middle["treatment"].astype(str)
    return (
        alt.Chart(middle)
        .mark_text(dy=-6, fontSize=13)
        .encode(_cluster_axis(centers), y=alt.value(0), text="treatment:N")
    )


def _mean_lines(means, centers) -> list[alt.Chart]:
    span = centers.groupby("treatment", observed=True)["position"].agg(["min", "max"])
    level = means["level"].astype(str)
    span.index = span.index.astype(str)
    lines = means[["pooling", "mean"]].assign(
        level=level, position=level.map(span["min"]) - 0.45, to=level.map(span["max"]) + 0.45
    )
    return [
        alt.Chart(part)
        .mark_rule(strokeWidth=2.5, strokeDash=POOLING_DASHES[pooling])
        .encode(
            _cluster_axis(centers),
            alt.X2("to:Q"),
            alt.Y("mean:Q"),
            pooling_color(**SOLID_LINE),
            tooltip=["level", "pooling", *number_tooltips("mean")],
        )
        for pooling, part in lines.groupby("pooling")
    ]


def _center_points(centers, column, pooling, *, filled, size) -> alt.Chart:
    return (
        alt.Chart(centers.assign(pooling=pooling))
        .mark_point(shape="circle", filled=filled, size=size, strokeWidth=2, opacity=1)
        .encode(
            _cluster_axis(centers),
            alt.Y(f"{column}:Q"),
            pooling_color(**SOLID_LINE),
            tooltip=[
                "cluster",
                "n",
                *number_tooltips(*centers.columns.intersection(["observed", "partial_pooling"])),
            ],
        )
    )


def _arm_means_description(title, centers, means) -> str:
    sizes = ", ".join(map(str, centers["n"]))
    parts = [
        f"{level}: "
        + ", ".join(f"{row.pooling} {row.mean:.2f}" for row in part.itertuples(index=False))
        for level, part in means.groupby("level", observed=True)
    ]
    pooled = ""
    if "partial_pooling" in centers:
        moves = (centers["partial_pooling"] - centers["observed"]).abs()
        most = centers.loc[moves.idxmax()]
        pooled = (
            f" Partial pooling moves the mean of cluster {most['cluster']} furthest, by "
            f"{moves.max():.2f}, from {most['observed']:.2f} to {most['partial_pooling']:.2f}."
        )
    return (
        f"Strip plot, {title}: observations of {len(centers)} clusters with {sizes} observations, "
        f"and the mean of each cluster. Lines show the means of the arms; {'; '.join(parts)}."
        + pooled
    )


def _line_ends(table) -> pd.DataFrame:
    """Tell where each size's line ends: at zero or its clusters' extreme distances."""
    spans = table.groupby("n")["distance"].agg(["min", "max"]).assign(zero=0.0)
    ends = pd.concat([spans.min(axis=1), spans.max(axis=1)]).rename("distance").reset_index()
    share = ends["n"].map(table.groupby("n")["share"].first())
    return ends.assign(moved=share * ends["distance"])


def _lines_by_size(ends) -> alt.Chart:
    return alt.Chart(ends).mark_line(color="currentColor", opacity=0.6).encode(detail="n:N")


def _moved_points(table) -> alt.Chart:
    cluster = alt.Tooltip("cluster")
    return (
        alt.Chart(table)
        .mark_circle(color=POOLING_COLOURS["partial pooling"], size=70, opacity=0.9)
        .encode(tooltip=[cluster, "n", *number_tooltips("distance", "moved")])
    )


def _size_labels(ends) -> alt.Chart:
    farthest = ends.loc[ends.groupby("n")["distance"].apply(lambda x: x.abs().idxmax())]
    labelled = farthest.assign(label="n = " + farthest["n"].astype(str))
    return alt.Chart(labelled).mark_text(dy=-14, fontSize=12).encode(text="label:N")
