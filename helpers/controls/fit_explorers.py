"""Explorers for any fit, whatever its columns are called: lines and paths, predictions, what if."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from pandas.api import types

from helpers.charts import (
    ChartGrid,
    fit_line_explorer,
    fit_path_explorer,
    ribbon_explorer,
    what_if_explorer,
)
from helpers.controls.widget import Explorer, explore
from helpers.models import DataError, MixedFit
from helpers.tables import cluster_curves, shrinkage

GRID_POINTS = 21
NEW_CLUSTER = "a new one"
INTERVALS = ["mean", "cluster", "observation"]
#: So many clusters stand in a list to choose from.
MOST_CLUSTERS = 200
#: So many observations of a cluster are drawn behind its prediction.
MOST_OBSERVATIONS = 60


def explore_fit(fit: MixedFit, *, predictor: str | None = None) -> Explorer:
    """Show each cluster's three lines, and how far the model pulls all of them.

    Parameters
    ----------
    fit : MixedFit
        Any fit without nested term, of columns of any name and clusters of any size.
    predictor : str, optional
        Column on the axis of the lines; by default the first number whose effect varies, or else
        the first number among the predictors.

    Returns
    -------
    Explorer
        Controls ``cluster`` (the first 200 by size, where there are more) and ``pull``. The lines
        hold the other predictors at what they are in the cluster, and observations are shown as
        they would be with these. The paths show the first two effects that vary; of an intercept
        alone, its way and the number of observations.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If the fit has a nested term, or `predictor` is not one of its numbers.

    Examples
    --------
    >>> from helpers import fit_mixed, load_sleepstudy
    >>> explore_fit(fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())).values
    {'cluster': 308, 'pull': 100}
    """
    table = shrinkage(fit)
    paths, titles = _paths(fit, table)
    predictor = _predictor(fit, predictor)
    offered = _offered(fit)
    frame = paths if predictor is None else pd.concat([paths, _lines(fit, predictor)])
    frame = frame.fillna({name: 0.0 for name in frame.select_dtypes("number")}).fillna("")
    # A control gives the position of a cluster among those that it offers.
    position = pd.Series(np.arange(len(offered)), offered)
    frame["number"] = frame["number"].map(position).fillna(-1).astype(int)
    frame = frame[(frame["number"] >= 0) | (frame["kind"] == "path")].reset_index(drop=True)
    view = {axis: _robust_limits(paths[f"no_{axis}"], paths[f"partial_{axis}"]) for axis in "xy"}
    charts = [
        fit_path_explorer(
            horizontal=titles[0],
            vertical=titles[1],
            x=view["x"],
            y=view["y"],
            title=_counts(paths, view),
        )
    ]
    if predictor is not None:
        shown = frame[frame["kind"] == "observation"]
        charts.insert(
            0,
            fit_line_explorer(
                predictor=predictor,
                response=_response_title(fit, predictor),
                x=_limits(shown, "x"),
                y=_limits(shown, "y"),
            ),
        )
    labels = [_plain(fit.random_design.labels[at]) for at in offered]
    return explore(lambda: frame, ChartGrid(*charts), cluster=labels, pull=(0, 100))


def _paths(fit, table) -> tuple[pd.DataFrame, tuple[str, str]]:
    """One row per cluster, in the order of its labels, and titles of the axes."""
    names = fit.random_design.names
    pair = names[:2]
    wide = {name: table[table["effect"] == name].set_index("cluster") for name in pair}
    first = wide[pair[0]]
    frame = pd.DataFrame({"kind": "path", "number": np.arange(len(first)), "n": first["n"]})
    for axis, name in zip("xy", pair, strict=False):
        own = wide[name]["no_pooling"]
        frame[f"no_{axis}"] = own.fillna(wide[name]["partial_pooling"]).to_numpy()
        frame[f"partial_{axis}"] = wide[name]["partial_pooling"].to_numpy()
        frame[f"fixed_{axis}"] = wide[name]["fixed_effect"].to_numpy()
    if len(pair) == 1:
        frame = frame.assign(no_y=frame["n"], partial_y=frame["n"], fixed_y=frame["n"].median())
    has_own = np.logical_and.reduce([wide[name]["no_pooling"].notna() for name in pair])
    titles = [_title(name) for name in pair] + ["observations"] * (2 - len(pair))
    words = [_in_words(fit, label, wide) for label in first.index]
    return frame.assign(has_own=has_own.astype(int), words=words).reset_index(drop=True), titles


def _title(effect) -> str:
    return "intercept" if effect == "Intercept" else f"effect of {effect}"


def _in_words(fit, label, wide) -> str:
    rows = [(name, table.loc[label]) for name, table in wide.items()]
    parts = [f"{fit.terms.group} {label}, observations: {rows[0][1]['n']:.0f}"]
    for name, row in rows:
        own = "none" if pd.isna(row["no_pooling"]) else f"{row['no_pooling']:.3g}"
        parts.append(f"{_title(name)}: own {own}, mixed {row['partial_pooling']:.3g}")
    return "|".join(parts)


def _predictor(fit, predictor) -> str | None:
    """Choose the column on the axis of the lines; None where no predictor is a number."""
    varying = [name for part in fit.random_design.parts for name in part.columns]
    numbers = [
        name
        for name in dict.fromkeys([*varying, *fit.fixed_design.columns])
        if types.is_numeric_dtype(fit.data[name]) and not types.is_bool_dtype(fit.data[name])
    ]
    if predictor is None:
        return numbers[0] if numbers else None
    if predictor not in numbers:
        raise DataError(
            f"{predictor!r} is not a number among the predictors of {fit.formula!r}; these are "
            f"{', '.join(numbers) or 'none'}."
        )
    return predictor


def _response_title(fit, predictor) -> str:
    others = [name for name in fit.fixed_design.columns if name != predictor]
    return fit.terms.response.strip("`") + (" (other predictors held)" if others else "")


def _lines(fit, predictor) -> pd.DataFrame:
    """Observations and the ends, or points, of three lines for every cluster."""
    at = np.linspace(fit.data[predictor].min(), fit.data[predictor].max(), GRID_POINTS)
    curves = cluster_curves(fit, predictor, at)
    mixed = curves[curves["pooling"] == "partial pooling"]
    mixed = mixed.pivot(index="cluster", columns="at", values="prediction")
    mixed = mixed.loc[fit.random_design.labels].to_numpy()
    clusters, x = fit.random_design.clusters, fit.data[predictor].to_numpy(dtype=float)
    # With the cluster's mean of the other predictors, and the row's own residual.
    height = [np.interp(value, at, row) for value, row in zip(x, mixed[clusters], strict=True)]
    observed = pd.DataFrame(
        {
            "kind": "observation",
            "number": clusters,
            "x": x,
            "y": np.array(height) + fit.residuals(scaled=False).to_numpy(),
        }
    )
    if _is_straight(mixed):
        curves = curves[curves["at"].isin(at[[0, -1]])]
    numbers = pd.Series(np.arange(len(mixed)), fit.random_design.labels)
    lines = pd.DataFrame(
        {
            "kind": curves["pooling"],
            "number": curves["cluster"].map(numbers),
            "x": curves["at"],
            "y": curves["prediction"],
        }
    )
    return pd.concat([observed, lines.dropna()], ignore_index=True)


def _is_straight(curve) -> bool:
    middle = curve[:, [0, -1]].mean(axis=1)
    gap = np.abs(curve[:, curve.shape[1] // 2] - middle)
    return bool(gap.max() <= 1e-9 * max(1, np.abs(curve).max()))


def _limits(frame, *columns) -> tuple[float, float]:
    low, high = frame[list(columns)].min().min(), frame[list(columns)].max().max()
    margin = 0.04 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _robust_limits(own, partial) -> tuple[float, float]:
    """Limits that hold all mixed estimates and most of the clusters' own."""
    low, high = own.quantile([0.05, 0.95])
    return _limits(
        pd.DataFrame({"low": [low, partial.min()], "high": [high, partial.max()]}), "low", "high"
    )


def _counts(paths, view) -> list[str]:
    """Say in lines how many clusters there are, are outside the frame, or have no own estimate."""
    outside = ~paths["no_x"].between(*view["x"]) | ~paths["no_y"].between(*view["y"])
    lacking = int((paths["has_own"] == 0).sum())
    words = [f"{len(paths)} clusters"]
    words += (
        [f"{outside.sum()} own estimate{'s' * int(outside.sum() > 1)} outside the frame"]
        if outside.any()
        else []
    )
    words += [f"{lacking} without an own estimate"] if lacking else []
    return words


def _offered(fit) -> np.ndarray:
    """Positions of the clusters to choose from: the largest where there are many, in order."""
    counts = fit.random_design.counts
    return np.sort(np.argsort(-counts, kind="stable")[:MOST_CLUSTERS])


def _plain(label):
    return label.item() if isinstance(label, np.generic) else label


def explore_predictions(fit: MixedFit, *, predictor: str | None = None) -> Explorer:
    """Show a cluster's prediction with its interval, and a new cluster's.

    Parameters
    ----------
    fit : MixedFit
    predictor : str, optional
        Column on the horizontal axis; by default as in :func:`explore_fit`.

    Returns
    -------
    Explorer
        Controls ``cluster`` (first "a new one") and ``interval``: of the mean over clusters, of
        the cluster's line, of a new observation. Other predictors stand at the cluster's mean, or
        most frequent label; for a new cluster at those of all rows.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If no predictor is a number, or `predictor` is not one.

    Examples
    --------
    >>> from helpers import fit_mixed, load_sleepstudy
    >>> data = load_sleepstudy().query("Subject < 331")
    >>> explore_predictions(fit_mixed("Reaction ~ Days + (Days | Subject)", data)).values
    {'cluster': 'a new one', 'interval': 'mean'}
    """
    if not isinstance(fit, MixedFit):
        raise TypeError(f"expected a fit made by fit_mixed, not {type(fit).__name__}.")
    predictor = _predictor(fit, predictor)
    if predictor is None:
        raise DataError(
            f"no predictor of {fit.formula!r} is a number, so there is no axis to predict along. "
            "Use fit.predict(rows, interval=...), a row per level."
        )
    view = predictions_of(fit, predictor)
    x, y = fit.data[predictor], fit.fixed_design.response
    chart = ribbon_explorer(
        predictor=predictor,
        response=fit.terms.response.strip("`"),
        x=_limits(pd.DataFrame({"x": x}), "x"),
        y=_limits(pd.DataFrame({"low": y - fit.sigma, "high": y + fit.sigma}), "low", "high"),
    )
    labels = [str(fit.random_design.labels[at]) for at in _offered(fit)]
    return explore(
        view,
        chart,
        cluster=[NEW_CLUSTER, *labels],
        interval=INTERVALS,
    )


def predictions_of(fit: MixedFit, predictor: str) -> Callable[..., pd.DataFrame]:
    """Predictions of one cluster along a predictor, with intervals.

    Parameters
    ----------
    fit : MixedFit
    predictor : str

    Returns
    -------
    callable
        ``f(cluster, interval)``, the cluster's label as text, gives kind ("curve", "observation",
        or "absent" to fill up), x, prediction, lower, upper and the sentence read_out.

    Examples
    --------
    >>> from helpers import fit_mixed, load_sleepstudy
    >>> fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    >>> print(predictions_of(fit, "Days")("308", "cluster")["read_out"].iloc[0])
    308, its own line|at Days 4.5: 342, 95 % from 327 to 357
    """
    rows, labels = fit.data, fit.data[fit.terms.group].astype(str)
    x = np.linspace(rows[predictor].min(), rows[predictor].max(), GRID_POINTS)
    curves = _curves(fit, predictor, x, labels)
    n_points = min(int(fit.random_design.counts.max()), MOST_OBSERVATIONS)
    names = {"mean": "the mean line", "cluster": "its own line", "observation": "one observation"}
    observed = pd.DataFrame(
        {"kind": "observation", "x": rows[predictor], "prediction": fit.fixed_design.response}
    )

    def prediction_of(cluster, interval) -> pd.DataFrame:
        curve = curves[interval].loc[cluster]
        points = observed[labels == cluster].head(n_points)
        gaps = pd.DataFrame({"kind": ["absent"] * (n_points - len(points))})
        middle = curve.iloc[GRID_POINTS // 2]
        read_out = (
            f"{cluster}, {names[interval]}|at {predictor} {x[GRID_POINTS // 2]:.3g}: "
            f"{middle['prediction']:.3g}, 95 % from {middle['lower']:.3g} to {middle['upper']:.3g}"
        )
        frame = pd.concat([curve.assign(kind="curve", x=x), points, gaps], ignore_index=True)
        numbers = ["x", "prediction", "lower", "upper"]
        return frame.assign(read_out=read_out).fillna(dict.fromkeys(numbers, float(x[0])))

    return prediction_of


def _curves(fit, predictor, x, labels) -> dict[str, pd.DataFrame]:
    """Predictions along x of a new cluster and of all others, indexed by label, per interval."""
    # A column that the model does not use may be empty throughout a cluster.
    group, rows = fit.terms.group, fit.data[[n for n in fit.data if n in fit.terms.variables]]
    parts = [_typical(rows).assign(**{group: _stranger(rows[group])})]
    parts += [_typical(own) for _, own in rows.groupby(labels)]
    typical = pd.concat(parts, ignore_index=True)
    typical = typical.astype(
        {n: rows[n].dtype for n in rows if isinstance(rows[n].dtype, pd.CategoricalDtype)}
    )
    new = typical.loc[typical.index.repeat(len(x))].reset_index(drop=True)
    new[predictor] = np.tile(x, len(typical))
    names = np.repeat([NEW_CLUSTER, *np.unique(labels)], len(x))
    return {
        interval: fit.predict(new, interval=interval)[["prediction", "lower", "upper"]].set_index(
            names
        )
        for interval in INTERVALS
    }


def _typical(rows) -> pd.DataFrame:
    """Make a row of means and most frequent labels."""
    typical = {
        name: column.mean()
        if types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
        else column.mode().iloc[0]
        for name, column in rows.items()
    }
    return pd.DataFrame([typical])


def _stranger(labels):
    """Make a label that no cluster has."""
    if types.is_numeric_dtype(labels):
        return labels.max() + 1
    return "\N{DAGGER}".join(sorted(set(labels.astype(str)))[:2])


def explore_what_if(study: pd.DataFrame) -> Explorer:
    """Show what more clusters, or more rows in each, would do to the estimates.

    Parameters
    ----------
    study : DataFrame
        Made by :func:`helpers.studies.what_if.what_if_study`.

    Returns
    -------
    Explorer
        Controls ``clusters`` and ``rows``, how many times as many.

    Examples
    --------
    >>> from helpers import fit_mixed, load_sleepstudy, what_if_study
    >>> fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    >>> explore_what_if(what_if_study(fit, clusters=[1, 2], rows=[1, 2], n_datasets=20)).values
    {'clusters': 1, 'rows': 1}
    """
    now = study[(study["clusters"] == 1) & (study["rows"] == 1)].set_index("parameter")
    labels = now.index.tolist()

    def estimates_with(clusters=1, rows=1) -> pd.DataFrame:
        chosen = study[(study["clusters"] == clusters) & (study["rows"] == rows)]
        chosen = chosen.set_index("parameter").loc[labels]
        unit = now["spread"].where(now["spread"] > 0, 1.0)
        frame = pd.DataFrame({"parameter": labels, "truth": chosen["truth"].to_numpy()})
        for column in ("lower", "middle", "upper"):
            frame[column] = ((chosen[column] - chosen["truth"]) / unit).fillna(0.0).to_numpy()
        first = chosen.iloc[0]
        return frame.assign(
            spread=chosen["spread"].fillna(0.0).to_numpy(),
            read_out=f"{first['n_clusters']:.0f} clusters, {first['n_rows']:.0f} rows|"
            f"singular fits: {100 * first['singular']:.0f} %",
        )

    return explore(
        estimates_with,
        what_if_explorer(labels),
        clusters=sorted(study["clusters"].unique().tolist()),
        rows=sorted(study["rows"].unique().tolist()),
    )
