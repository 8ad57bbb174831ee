"""What the explorers compute for one setting of their controls.

Each function here is, or returns, a function of control values that gives one row per mark: what
:func:`helpers.controls.explore` calls over the whole grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from helpers.charts import MOVES, PER_UNIT
from helpers.data import check_number
from helpers.data.simulate import SCENARIOS, create_data, true_coefficients
from helpers.models import Estimates, MixedFit, fit_by_cluster, fit_many, fit_mixed, profile_limits
from helpers.tables import (
    random_covariance,
    random_effect_correlations,
    random_effects,
    shrinkage,
)
from helpers.tables.densities import density_grid, estimate_densities

#: Values the shrinkage explorer offers; its grid holds all their combinations.
SHRINKAGE_CONTROLS = {
    "observations_per_cluster": [3, 5, 10, 20, 50, 100],
    "sd_of_intercepts": [0.25, 0.5, 1],
    "sd_of_slopes": [0.25, 0.5, 1],
    "residual_sd": [0.25, 1],
    "cluster_sizes": ["equal", "unequal"],
    "sample": {"A": 888, "B": 889, "C": 890},
}
#: What of them, and of the chart's own, a reader has to open.
SHRINKAGE_FOLDS = {
    "Change the world": list(SHRINKAGE_CONTROLS),
    "Look closer": ["ellipse", "cluster"],
}
#: Limits of its axes: what lies outside is counted.
SHRINKAGE_VIEW = {"Intercept": (-1.5, 3.5), "x": (-2.0, 3.0)}
_N_CLUSTERS = 100
GRID_POINTS = 81
EFFECTS = ["Intercept", "x"]
# Settings that change neither who is drawn nor how: their worlds are fitted together.
_SDS = tuple(
    itertools.product(
        *(SHRINKAGE_CONTROLS[n] for n in ("sd_of_intercepts", "sd_of_slopes", "residual_sd"))
    )
)
# Two kinds of sizes and three samples for each number of observations.
_N_DESIGNS = 36
_PULLED = [
    "number", "n", "no_Intercept", "partial_Intercept", "no_x", "partial_x",
    "true_Intercept", "true_x", "fixed_Intercept", "fixed_x",
    "log_own_error", "log_mixed_error", "error_correlation",
]  # fmt: skip


def shrinkage_presets() -> dict[str, dict]:
    """Give the settings of the shrinkage explorer that reproduce :data:`SCENARIOS`.

    Returns
    -------
    dict
        Control values by name of scenario.

    Examples
    --------
    >>> shrinkage_presets()["unbalanced"]["observations_per_cluster"]
    5
    """
    return {name: _controls(**arguments) for name, arguments in SCENARIOS.items()}


def _controls(obs_per_cluster=10, sd_int=0.5, sd_slope=0.25, sigma=1, balanced=1):
    return {
        "observations_per_cluster": round(obs_per_cluster * balanced),
        "sd_of_intercepts": sd_int,
        "sd_of_slopes": sd_slope,
        "residual_sd": sigma,
        "cluster_sizes": "equal" if balanced == 1 else "unequal",
        "sample": 888,
    }


def shrinkage_sample(
    observations_per_cluster=10,
    sd_of_intercepts=0.5,
    sd_of_slopes=0.25,
    residual_sd=1,
    cluster_sizes="equal",
    sample=888,
) -> pd.DataFrame:
    """Simulate 100 clusters, fit the mixed model, and put estimates and read-outs in one frame.

    Parameters
    ----------
    observations_per_cluster : int
        In each cluster, or on average if sizes are unequal.
    sd_of_intercepts, sd_of_slopes, residual_sd : float
        True standard deviations.
    cluster_sizes : {"equal", "unequal"}
        Unequal: twice as many rows are simulated, and a random half is kept.
    sample : int
        Seed.

    Returns
    -------
    DataFrame
        One row per cluster: number, n, ``no_``, ``partial_``, ``true_`` of Intercept and x, and,
        the same in all rows, whether sizes are unequal, how many lines of clusters lie outside
        :data:`SHRINKAGE_VIEW`, the estimates of the whole fit, whether it is singular, and the
        errors of :func:`pulled_clusters`. A cluster without a line of its own (fewer than two rows)
        stands where the mixed model puts it.

    Examples
    --------
    >>> shrinkage_sample()[["number", "n", "no_x", "partial_x", "sd_x"]].round(2).head(1)
       number   n  no_x  partial_x  sd_x
    0       1  10  0.08       0.33  0.24
    """
    unequal = cluster_sizes == "unequal"
    sds = (
        check_number("sd_of_intercepts", sd_of_intercepts, minimum=0),
        check_number("sd_of_slopes", sd_of_slopes, minimum=0),
        check_number("residual_sd", residual_sd, minimum=0),
    )
    together = _SDS if sds in _SDS else (sds,)
    worlds = _worlds(
        together,
        obs_per_cluster=observations_per_cluster * (2 if unequal else 1),
        n_cluster=_N_CLUSTERS,
        balanced=0.5 if unequal else 1,
        seed=sample,
    )
    at = together.index(sds)
    return pd.DataFrame(
        {
            **_clusters(worlds, at),
            "unequal": int(unequal),
            "outside": _count_outside(worlds, at),
            **_read_outs(worlds.fits[at]),
            **_errors(worlds, at),
        }
    )


@dataclass(frozen=True)
class _Worlds:
    """Worlds that differ in standard deviations alone; without a line, what is own is missing."""

    n: np.ndarray  # (clusters,)
    own: np.ndarray  # (worlds, clusters, effects)
    partial: np.ndarray
    true: np.ndarray
    fits: Estimates


@lru_cache(maxsize=_N_DESIGNS)
def _worlds(sds, **design) -> _Worlds:
    """Make the data of all sds from the same standard normal numbers, and fit them together."""
    noise = create_data(**design, intercept=0, beta=0, sigma=1, sd_int=0, sd_slope=0)
    cluster, x = noise["cluster"].to_numpy() - 1, noise["x"].to_numpy()
    effects_sds, residual_sds = np.array(sds)[:, None, :2], np.array(sds)[:, 2]
    fixed, above = (
        true_coefficients(**design, sd_int=sd, sd_slope=sd)[EFFECTS].to_numpy() for sd in (0, 1)
    )
    true = fixed + effects_sds * (above - fixed)
    lines = true[:, cluster, 0] + true[:, cluster, 1] * x
    responses = lines.T + np.outer(noise["y"], residual_sds)
    fits = fit_many("y ~ x + (x | cluster)", noise, responses, effects=True)
    there = np.unique(cluster)
    # No rows at all: a new cluster, for which the best guess is the fixed effect.
    partial = np.repeat(fits.fixed[:, None], _N_CLUSTERS, axis=1)
    partial[:, there] += fits.effects
    # Least squares is linear: own lines are the truth, and what it makes of the residuals.
    off = np.full((_N_CLUSTERS, len(EFFECTS)), np.nan)
    off[there] = fit_by_cluster("y ~ x", noise, "cluster")[EFFECTS]
    own = true + residual_sds[:, None, None] * off
    return _Worlds(np.bincount(cluster, minlength=_N_CLUSTERS), own, partial, true, fits)


def _clusters(worlds, at) -> dict[str, np.ndarray]:
    """Columns of the clusters; one without a line of its own stands where the model puts it."""
    partial, true = worlds.partial[at], worlds.true[at]
    own = np.where(np.isnan(worlds.own[at]), partial, worlds.own[at])
    columns = {"number": np.arange(1, _N_CLUSTERS + 1), "n": worlds.n}
    for column, effect in enumerate(EFFECTS):
        columns[f"no_{effect}"] = own[:, column]
        columns[f"partial_{effect}"] = partial[:, column]
    return columns | {f"true_{effect}": true[:, i] for i, effect in enumerate(EFFECTS)}


def _count_outside(worlds, at) -> int:
    low, high = np.transpose([SHRINKAGE_VIEW[effect] for effect in EFFECTS])
    return int(((worlds.own[at] < low) | (worlds.own[at] > high)).any(axis=1).sum())


def _read_outs(fit) -> dict[str, float]:
    sds = np.sqrt(fit.covariance.diagonal())
    shrunk = np.diagonal(fit.shrinkage.mean(axis=0))
    # A variance of zero has no correlation.
    correlation = fit.covariance[0, 1] / sds.prod() if sds.all() else 0.0
    return {
        **{f"fixed_{effect}": fit.fixed[at] for at, effect in enumerate(EFFECTS)},
        **{f"sd_{effect}": sds[at] for at, effect in enumerate(EFFECTS)},
        "sd_residual": fit.sigma,
        "correlation": correlation,
        "singular": int(fit.singular),
        **{f"shrinkage_{effect}": 1 - shrunk[at] for at, effect in enumerate(EFFECTS)},
    }


def _errors(worlds, at) -> dict[str, float]:
    """Errors of the slopes of clusters with a line of their own."""
    lines = ~np.isnan(worlds.own[at, :, 1])
    true = worlds.true[at, lines, 1]
    own, mixed = worlds.own[at, lines, 1] - true, worlds.partial[at, lines, 1] - true
    a, b = np.sqrt((own**2).mean()), np.sqrt((mixed**2).mean())
    # Logarithms, so that steps of a packed column are as fine for small errors as for large ones.
    return {
        "log_own_error": np.log(a),
        "log_mixed_error": np.log(b),
        "error_correlation": (own * mixed).mean() / (a * b),
    }


def pulled_clusters(world) -> pd.DataFrame:
    r"""Estimates of one of the six worlds of :data:`SCENARIOS`, beside the truth that made it.

    Parameters
    ----------
    world : str
        Name of a scenario.

    Returns
    -------
    DataFrame
        One row per cluster: number, n, and ``no_``, ``partial_``, ``true_`` of Intercept and x; a
        cluster without a line of its own (fewer than two rows) stands where the mixed model puts
        it. The same in all rows: fixed_Intercept, fixed_x, log_own_error and log_mixed_error, of
        which :math:`a` and :math:`b` are the exponentials, and error_correlation :math:`r`; over
        the clusters with a line of their own,
        :math:`\sqrt{(1-q)^2 a^2 + 2 q (1-q) r a b + q^2 b^2}` is the root mean squared error of
        the slopes after a pull of :math:`q`.

    Examples
    --------
    >>> frame = pulled_clusters("baseline")
    >>> np.exp(frame[["log_own_error", "log_mixed_error"]].iloc[0]).round(3).tolist()
    [0.385, 0.222]
    """
    return shrinkage_sample(**shrinkage_presets()[world])[_PULLED]


def pulled_worlds() -> pd.DataFrame:
    """All six worlds of :func:`pulled_clusters` in one frame.

    Returns
    -------
    DataFrame
        Its columns, and the world.

    Examples
    --------
    >>> pulled_worlds().groupby("world", sort=False).size().tolist()
    [100, 100, 100, 100, 100, 100]
    """
    frames = [pulled_clusters(world).assign(world=world) for world in SCENARIOS]
    return pd.concat(frames, ignore_index=True)


def one_effect(n=10, tau=0.5, sigma=1.0) -> pd.DataFrame:
    r"""One cluster's mean: what all clusters say about it, what its own rows say, and both.

    Parameters
    ----------
    n : int
        Observations of the cluster.
    tau, sigma : float
        Standard deviation of the clusters' true means about 0, and of observations about the mean
        of their cluster; in units of the response.

    Returns
    -------
    DataFrame
        Three normal curves: curve, mean, sd. In all rows the sentence read_out.

    Notes
    -----
    The cluster's own mean is 1. It keeps the share
    :math:`\lambda = \tau^2/(\tau^2 + \sigma^2/n)` of it, and :math:`\sqrt{\lambda\sigma^2/n}` is
    left of its uncertainty (Gelman & Hill 2006, equations 12.1 and 12.2).

    Examples
    --------
    >>> one_effect(n=4)["mean"].tolist()
    [0.0, 1.0, 0.5]
    """
    variance = sigma**2 / n
    kept = tau**2 / (tau**2 + variance)
    return pd.DataFrame(
        {
            "curve": ["means of all clusters", "own mean", "partial pooling"],
            "mean": [0.0, 1.0, kept],
            "sd": [tau, np.sqrt(variance), np.sqrt(kept * variance)],
        }
    ).assign(
        read_out=f"keeps {100 * kept:.0f} % of its distance, gives up {100 * (1 - kept):.0f} %|"
        f"sd of its own mean {_number(np.sqrt(variance), 2)}, of the clusters {_number(tau, 2)}"
    )


def own_lines(
    data: pd.DataFrame, table: pd.DataFrame, *, response: str, predictor: str, cluster: str
) -> Callable[..., pd.DataFrame]:
    """One cluster's observations and its three lines.

    Parameters
    ----------
    data : DataFrame
        One row per observation.
    table : DataFrame
        Made by ``shrinkage``, with the effects Intercept and `predictor`.
    response, predictor, cluster : str
        Columns of `data`.

    Returns
    -------
    callable
        ``f(<cluster>=label)`` gives rows of kind "observation", of the three poolings, two per
        line, and "absent", to fill up to the largest cluster and for a line that a cluster lacks,
        with the columns kind, x, y and the sentence read_out. See
        :func:`helpers.controls.explore_fit` for any fit in one line.

    Raises
    ------
    KeyError
        If a column or an effect does not occur.

    Examples
    --------
    >>> from helpers import fit_mixed, shrinkage
    >>> data = create_data()
    >>> table = shrinkage(fit_mixed("y ~ x + (x | cluster)", data))
    >>> lines = own_lines(data, table, response="y", predictor="x", cluster="cluster")
    >>> print(lines(cluster=42)["read_out"].iloc[0])
    cluster 42|intercept: own 0.65, mixed 0.90|slope: own −0.702, mixed 0.282
    """
    _require_columns(data, [response, predictor, cluster])
    lacking = {"Intercept", predictor} - set(table["effect"])
    if lacking:
        raise KeyError(f"the table has no effect {sorted(lacking)}; let it vary in the fit.")
    observations = _filled_up(data, response, predictor, cluster)
    ends = np.array([data[predictor].min(), data[predictor].max()], dtype=float)
    estimates = table.set_index(["cluster", "effect"])

    def lines_of(**chosen) -> pd.DataFrame:
        label = chosen[cluster]
        own = estimates.loc[label]
        parts = [observations[label]]
        for pooling in ("complete", "no", "partial"):
            coefficient = own[f"{pooling}_pooling"]
            heights = coefficient["Intercept"] + coefficient[predictor] * ends
            line = pd.DataFrame({"kind": f"{pooling} pooling", "x": ends, "y": heights})
            # A cluster of too few rows has no line of its own.
            line.loc[line["y"].isna(), ["kind", "y"]] = "absent", observations[label]["y"].iloc[0]
            parts.append(line)
        words = [
            f"{name}: own {_number(own.loc[effect, 'no_pooling'], digits)}, "
            f"mixed {_number(own.loc[effect, 'partial_pooling'], digits)}"
            for name, effect, digits in (("intercept", "Intercept", 2), ("slope", predictor, 3))
        ]
        read_out = "|".join([f"{cluster} {label}", *words])
        return pd.concat(parts, ignore_index=True).assign(read_out=read_out)

    return lines_of


def _require_columns(data, names) -> None:
    missing = [name for name in names if name not in data.columns]
    if missing:
        raise KeyError(f"data has no column {missing}; it has {list(map(str, data.columns))}.")


def _filled_up(data, response, predictor, cluster) -> dict:
    """Observations by cluster (kind, x, y), with rows of kind "absent" up to the largest."""
    largest = data.groupby(cluster, observed=True).size().max()
    filled = {}
    for label, rows in data.groupby(cluster, observed=True):
        own = pd.DataFrame({"kind": "observation", "x": rows[predictor], "y": rows[response]})
        gaps = own.iloc[[-1] * (largest - len(own))].assign(kind="absent")
        filled[label] = pd.concat([own, gaps], ignore_index=True)
    return filled


def linked_clusters(
    fit: MixedFit, *, response: str, predictor: str, cluster: str
) -> Callable[[], pd.DataFrame]:
    """All clusters of a fit, and all their observations, for a browser to work with.

    Parameters
    ----------
    fit : MixedFit
        ``response ~ predictor + (predictor | cluster)``.
    response, predictor, cluster : str
        Columns of its data.

    Returns
    -------
    callable
        Without arguments; gives one row per cluster (kind "cluster": number from 1, label, n, and
        ``no_``, ``partial_`` of Intercept and x, which is the predictor) and one per observation
        (kind "observation": number of its cluster, label, place in the cluster from 1, x, y). What
        a row has not is 0. The same in all rows: fixed_Intercept, fixed_x, the covariance of the
        effects (g11, g12, g22) and residual_variance.

    Raises
    ------
    KeyError
        If a column does not occur.

    Examples
    --------
    >>> from helpers import fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> frame = linked_clusters(fit, response="y", predictor="x", cluster="cluster")()
    >>> frame.groupby("kind").size().to_dict()
    {'cluster': 100, 'observation': 1000}
    """
    data = fit.data[[cluster, predictor, response]]
    clusters = _cluster_rows(fit, data[cluster], predictor)
    observations = pd.DataFrame(
        {
            "kind": "observation",
            "label": data[cluster],
            "number": data[cluster].map(clusters.set_index("label")["number"]),
            "place": data.groupby(cluster, observed=True).cumcount() + 1,
            "x": data[predictor],
            "y": data[response],
        }
    )
    names = ["Intercept", predictor]
    (g11, g12), (_, g22) = random_covariance(fit).reindex(names, columns=names, fill_value=0).values
    frame = (
        pd.concat([clusters, observations], ignore_index=True)
        .astype({"label": str})
        .fillna(0)
        .astype({"n": int, "place": int})
        .assign(
            fixed_Intercept=fit.fixed["Intercept"],
            fixed_x=fit.fixed[predictor],
            g11=g11,
            g12=g12,
            g22=g22,
            residual_variance=fit.sigma**2,
        )
    )
    return lambda: frame


def _cluster_rows(fit, labels, predictor) -> pd.DataFrame:
    """One row per cluster of linked_clusters: what its own rows and the mixed model say."""
    table = shrinkage(fit).set_index(["cluster", "effect"])
    own, mixed = (table[f"{which}_pooling"].unstack("effect") for which in ("no", "partial"))
    # A cluster without a line of its own stands where the mixed model puts it.
    own = own.fillna(mixed)
    sizes = labels.value_counts()
    rows = pd.DataFrame({"kind": "cluster", "label": mixed.index, "n": sizes[mixed.index].values})
    rows["number"] = np.arange(1, len(rows) + 1)
    for name, effect in {"Intercept": "Intercept", "x": predictor}.items():
        rows[f"no_{name}"] = own[effect].to_numpy()
        rows[f"partial_{name}"] = mixed[effect].to_numpy()
    return rows


def linked_controls(clusters: pd.DataFrame) -> dict[str, list | dict]:
    """Give the controls of the chart of linked clusters to :func:`helpers.controls.explore`.

    Parameters
    ----------
    clusters : DataFrame
        Made by the function that :func:`linked_clusters` returns.

    Returns
    -------
    dict
        The clusters by label, how many of its observations count, which one is moved, and how far.
    """
    rows = clusters[clusters["kind"] == "cluster"]
    most = int(rows["n"].max())
    return {
        "cluster": dict(zip(rows["label"], rows["number"].tolist(), strict=True)),
        "observations_that_count": list(range(2, most + 1)),
        "observation_to_move": list(range(1, most + 1)),
        "moved_by": [step / PER_UNIT for step in range(-MOVES, MOVES + 1)],
    }


def _number(value, digits) -> str:
    """Round as text: zero has no sign, and the minus is the one that charts write."""
    if np.isnan(value):
        return "none"
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def own_path(
    data: pd.DataFrame,
    *,
    response: str = "gpa",
    predictor: str = "occasion",
    cluster: str = "student",
) -> Callable[..., pd.DataFrame]:
    """One cluster's path over time, such as a student's grades.

    Parameters
    ----------
    data : DataFrame
        One row per cluster and occasion.
    response, predictor, cluster : str
        Its columns.

    Returns
    -------
    callable
        ``f(<cluster>=label)`` gives kind ("observation", or "absent" to fill up to the longest
        path), x, y and the sentence read_out.

    Raises
    ------
    KeyError
        If a column does not occur.

    Examples
    --------
    >>> from helpers.data.datasets import load_gpa
    >>> print(own_path(load_gpa())(student=1)["read_out"].iloc[0])
    student 1: 2.2 at occasion 0, 2.6 at occasion 5
    """
    _require_columns(data, [response, predictor, cluster])
    paths = _filled_up(data.sort_values(predictor), response, predictor, cluster)

    def path_of(**chosen) -> pd.DataFrame:
        label = chosen[cluster]
        own = paths[label]
        ends = own[own["kind"] == "observation"].iloc[[0, -1]]
        words = ", ".join(f"{row.y:.3g} at {predictor} {row.x:.3g}" for row in ends.itertuples())
        return own.assign(read_out=f"{cluster} {label}: {words}")

    return path_of


def paired_densities(tables: Mapping[str, pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """Densities of separate and mixed estimates in several settings.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Names of the settings and their tables made by ``shrinkage``.

    Returns
    -------
    callable
        ``f(setting)`` gives effect, kind, value, density, and for each effect a sentence
        (``read_out_<effect>``), the fixed effect (``fixed_<effect>``) and the limits of all
        settings (``low_<effect>``, ``high_<effect>``, ``tallest_<effect>``).

    Raises
    ------
    ValueError
        If the tables have different effects.

    Examples
    --------
    >>> from helpers import fit_mixed, shrinkage
    >>> table = shrinkage(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> paired_densities({"baseline": table})("baseline")["read_out_x"].iloc[0]
    'baseline|69 % given up on average'
    """
    effects = {tuple(table["effect"].unique()) for table in tables.values()}
    if len(effects) != 1:
        raise ValueError(f"the tables have different effects: {sorted(effects)}. Use one formula.")
    every = pd.concat(tables.values())
    grids = {
        effect: density_grid(part, GRID_POINTS)
        for effect, part in every.groupby("effect", sort=False)
    }
    frames = {setting: _densities(table, grids) for setting, table in tables.items()}
    tallest = pd.concat(frames.values()).groupby("effect")["density"].max()
    limits = {
        f"{end}_{effect}": limit
        for effect, grid in grids.items()
        for end, limit in zip(
            ("low", "high", "tallest"), (grid[0], grid[-1], tallest[effect]), strict=True
        )
    }

    def densities_in(setting) -> pd.DataFrame:
        factors = tables[setting].groupby("effect")["shrinkage_factor"].mean()
        words = {
            f"read_out_{effect}": f"{setting}|{100 * factor:.0f} % given up on average"
            for effect, factor in factors.items()
        }
        common = tables[setting].groupby("effect")["complete_pooling"].first()
        return frames[setting].assign(**words, **common.add_prefix("fixed_"), **limits)

    return densities_in


def _densities(table, grids) -> pd.DataFrame:
    parts = [
        estimate_densities(table[table["effect"] == effect], grid).assign(effect=effect)
        for effect, grid in grids.items()
    ]
    curves = pd.concat(parts, ignore_index=True).rename(columns={"pooling": "kind"})
    return curves[["effect", "kind", "value", "density"]]


def school_in_models(
    data: pd.DataFrame,
    models: Mapping[str, MixedFit],
    *,
    response: str = "achievement",
    factor: str = "ses",
    cluster: str = "primary_school_id",
) -> Callable[..., pd.DataFrame]:
    """One school's, or any cluster's, random effects and predictions in several models.

    Parameters
    ----------
    data : DataFrame
        One row per observation.
    models : mapping of str to MixedFit
        Fits of the response on the factor, with random effects of the cluster or of its cells.
    response, factor, cluster : str
        Columns of `data`; the factor is categorical.

    Returns
    -------
    callable
        ``f(school)`` gives kind ("effect", or "absent" where a cell has none; one of the
        poolings for the means per ses), model, label, value, lower, upper (95 % interval of an
        effect), place (which of the different predictions) and the sentence read_out. A mean of no
        pupils is "absent" too. Models that predict the same share their means.
    """
    levels, columns = list(data[factor].cat.categories), [cluster, factor, response]
    effects = {name: _labelled_effects(fit, factor, levels) for name, fit in models.items()}
    means = {name: _cell_means(fit, data, *columns) for name, fit in models.items()}
    means = _different_means(means)
    most_effects = 1 + len(levels)

    def school_view(school) -> pd.DataFrame:
        parts = []
        for model, table in effects.items():
            own = table.loc[[str(school)]]
            gaps = pd.DataFrame({"kind": ["absent"] * (most_effects - len(own)), "label": ""})
            parts += [part.assign(model=model) for part in (own, gaps)]
        for place, (model, table) in enumerate(means.items()):
            partial = _means_of(table.loc[school], "partial pooling", levels)
            parts.append(partial.assign(model=model, place=place))
        mean = table.loc[school]
        parts += [_means_of(mean, name, levels) for name in ("complete pooling", "no pooling")]
        counts = ", ".join(f"{n} {level}" for level, n in mean["n"].items())
        last = effects[model].loc[[str(school)]]
        return (
            pd.concat(parts, ignore_index=True)
            .fillna({"value": 0.0, "lower": 0.0, "upper": 0.0, "model": "", "place": 0})
            .assign(read_out=f"school {school}|pupils: {counts}|{model}: {_in_words(last)}")
        )

    return school_view


def _different_means(means) -> dict[str, pd.DataFrame]:
    """Tables of means by the names of the models that they are of, equal ones once."""
    found = []
    for name, table in means.items():
        same = [names for names, other in found if np.allclose(other["mixed"], table["mixed"])]
        if same:
            same[0].append(name)
        else:
            found.append(([name], table))
    return {", ".join(names): table for names, table in found}


def _means_of(mean, pooling, levels) -> pd.DataFrame:
    values = mean[POOLED_MEANS[pooling]]
    kind = np.where(values.isna(), "absent", pooling)
    return pd.DataFrame({"kind": kind, "label": levels, "value": values.to_numpy()})


def _in_words(effects) -> str:
    cells = effects["label"].str.startswith("cell ")
    numbers = effects["value"].map(lambda value: _number(value, 2))
    words = [*(effects["label"] + " " + numbers)[~cells]]
    if cells.any():
        words.append("cells " + ", ".join(numbers[cells]))
    return ", ".join(words)


#: Means of a cell, by pooling: all schools alike, its own pupils, the model.
POOLED_MEANS = {"complete pooling": "average", "no pooling": "own", "partial pooling": "mixed"}


def _cell_means(fit, data, cluster, factor, response) -> pd.DataFrame:
    """Count every cluster's rows of each level and give their means: n, own, mixed, average."""
    cells = data.groupby([cluster, factor], observed=False)[response].agg(n="size", own="mean")
    rows = cells.index.to_frame(index=False)
    return cells.assign(
        mixed=fit.predict(rows).to_numpy(),
        average=fit.predict(rows, random_effects=False).to_numpy(),
    )


def _labelled_effects(fit, factor, levels) -> pd.DataFrame:
    """Random effects by school (text), by level: kind, label, value, lower, upper."""
    table = random_effects(fit)
    group = table["cluster"].astype(str)
    nested = table["grouping_factor"].str.contains(":")
    # Where cells have effects too, the intercept is the school's share of them.
    label = table["effect"].replace("Intercept", "school" if nested.any() else "Intercept")
    table["label"] = label.where(~nested, "cell " + group.str.split(":").str[-1])
    table.index = group.str.split(":").str[0]
    table = table.rename(columns={"lower_2.5": "lower", "upper_97.5": "upper"})
    order = [
        "Intercept",
        "school",
        *(f"{of}{level}" for of in (factor, "cell ") for level in levels),
    ]
    return (
        table.assign(kind="effect")
        .sort_values("label", key=lambda labels: labels.map(order.index), kind="stable")
        .loc[:, ["kind", "label", "value", "lower", "upper"]]
    )


#: Values the weights explorer offers.
WEIGHT_CONTROLS = {
    "intraclass_correlation": [round(0.05 * step, 2) for step in range(21)],
    "small_clusters": [1, 2, 3, 5, 10],
    "huge_cluster": [10, 20, 50, 100],
}


def weights_at(table: pd.DataFrame, *, arm: str = "treatment") -> Callable[..., pd.DataFrame]:
    r"""Weights and means of clusters whose sizes and intraclass correlation are chosen.

    Parameters
    ----------
    table : DataFrame
        Made by ``cluster_means``: cluster, the arm, n, observed. The clusters with fewest
        observations are the small ones, the last cluster is the huge one.
    arm : str
        The column of the arms, which becomes the column treatment.

    Returns
    -------
    callable
        ``f(intraclass_correlation, small_clusters, huge_cluster)`` gives one row per cluster:
        cluster, treatment, n, observed, shrunken, three weights and the three means of its arm
        (``_complete``: by observations, ``_no``: by clusters, ``_partial``: the mixed model's), and
        the sentences read_out and read_out_means.

    Notes
    -----
    With ICC :math:`\rho` the weight of cluster j is :math:`1/(\rho + (1-\rho)/n_j)`, and its mean
    is shrunken by :math:`\lambda_j = \rho / (\rho + (1-\rho)/n_j)` (Gelman & Hill 2006, equation
    12.1, in terms of the ICC).

    Examples
    --------
    >>> from helpers.data.simulate import treatment_clusters
    >>> from helpers import cluster_means, fit_mixed
    >>> data = treatment_clusters([2, 10, 10, 10, 2, 10, 10, 10], 824523)
    >>> table = cluster_means(fit_mixed("y ~ treatment + (1 | cluster)", data))
    >>> weights_at(table)(0, 2, 10)["weight_partial"].round(3).tolist()[:2]
    [0.062, 0.312]
    """
    clusters = table[["cluster", "observed"]].assign(treatment=table[arm].astype(str))
    first, last = clusters["treatment"].iloc[[0, -1]]
    given, is_small = table["n"].to_numpy(), table["n"] == table["n"].min()

    def weighted(intraclass_correlation=0.9, small_clusters=2, huge_cluster=10) -> pd.DataFrame:
        n = np.where(is_small, small_clusters, given)
        n[-1] = huge_cluster
        spread = intraclass_correlation + (1 - intraclass_correlation) / n
        frame = clusters.assign(n=n)
        weights = {"complete": n, "no": np.ones(len(n)), "partial": 1 / spread}
        for pooling, weight in weights.items():
            share = weight / pd.Series(weight).groupby(clusters["treatment"]).transform("sum")
            mean = (share * frame["observed"]).groupby(clusters["treatment"]).transform("sum")
            frame[f"weight_{pooling}"], frame[f"mean_{pooling}"] = share, mean
        kept = intraclass_correlation / spread
        frame["shrunken"] = frame["mean_partial"] + kept * (
            frame["observed"] - frame["mean_partial"]
        )
        means = frame[["mean_complete", "mean_partial", "mean_no"]].iloc[[0, -1]]
        complete, partial, no = (_number(effect, 2) for effect in means.diff().iloc[1])
        ends = [_number(mean, 2) for mean in means["mean_partial"]]
        return frame.assign(
            read_out=(
                f"{last} minus {first}:|every observation counts {complete}, "
                f"mixed {partial},|every cluster counts {no}"
            ),
            read_out_means=f"mixed model: {first} {ends[0]}, {last} {ends[1]}",
        )

    return weighted


#: Sampling variance of a cluster's mean in the explorer of tau: five observations with an sd of 1.
_MEAN_VARIANCE = 1 / 5
#: Densities of the sd between clusters, on 0 and above, up to a factor.
PRIORS = {
    "flat": np.ones_like,
    "half-normal": lambda tau: np.exp(-(tau**2) / 2),
    "half-Cauchy": lambda tau: 1 / (1 + tau**2),
    "exponential": lambda tau: np.exp(-2 * tau),
}


def tau_posterior(n_clusters=8, prior="half-normal", true_tau=0.25, sample=1) -> pd.DataFrame:
    r"""Posterior of the sd between clusters on a grid, and what it does to one cluster.

    Parameters
    ----------
    n_clusters : int
        2 to 100 clusters of five observations, whose sd is 1 and known.
    prior : str
        One of :data:`PRIORS`.
    true_tau : float
        The sd between clusters that the data are drawn with.
    sample : int
        Seed; more clusters are added to the same ones.

    Returns
    -------
    DataFrame
        On a grid of tau: tau, prior_density, likelihood_density (REML) and posterior_density; on a
        grid of the first cluster's mean: mean, plug_in (its density with tau at the REML estimate)
        and averaged (over the posterior of tau). In all rows: reml, own (the cluster's own mean),
        and the sentences read_out and read_out_cluster.

    Notes
    -----
    With v the sampling variance of a mean and S the sum of squares of k means about theirs, the
    REML likelihood is :math:`(\tau^2 + v)^{-(k-1)/2} e^{-S/2(\tau^2 + v)}` (Gelman et al. 2013,
    section 5.4, where the mean has a flat prior). A cluster's mean given tau is normal, with
    variance :math:`\lambda v + (1 - \lambda)^2 (\tau^2 + v) / k`.

    Examples
    --------
    >>> frame = tau_posterior(n_clusters=8, prior="flat")
    >>> print(frame["read_out"].iloc[0])
    REML: tau = 0.00|posterior: mean 0.24, 95 % 0.00 to 0.76
    """
    v, tau = _MEAN_VARIANCE, np.linspace(0, 3, GRID_POINTS)
    drawn = np.random.default_rng(sample).standard_normal(100)[:n_clusters]
    means = np.sqrt(true_tau**2 + v) * drawn
    grand, squares = means.mean(), ((means - means.mean()) ** 2).sum()
    total = tau**2 + v
    logarithm = -(n_clusters - 1) / 2 * np.log(total) - squares / (2 * total)
    likelihood = np.exp(logarithm - logarithm.max())
    curves = {
        "prior": PRIORS[prior](tau),
        "likelihood": likelihood,
        "posterior": likelihood * PRIORS[prior](tau),
    }
    curves = {f"{name}_density": curve / np.trapezoid(curve, tau) for name, curve in curves.items()}
    reml = np.sqrt(max(0.0, squares / (n_clusters - 1) - v))
    at = np.linspace(-2.5, 2.5, GRID_POINTS)
    given = _mean_densities(at, np.append(tau, reml), means[0], grand, n_clusters)
    weights = curves["posterior_density"] / curves["posterior_density"].sum()
    averaged = weights @ given[:-1]
    share = np.cumsum(weights)
    low, high = np.interp([0.025, 0.975], share, tau)
    kept = [reml**2 / (reml**2 + v), weights @ (tau**2 / total)]
    return pd.DataFrame({"tau": tau, **curves, "mean": at}).assign(
        plug_in=given[-1],
        averaged=averaged,
        reml=reml,
        own=means[0],
        read_out=f"REML: tau = {_number(reml, 2)}|posterior: mean {_number(weights @ tau, 2)}, "
        f"95 % {_number(low, 2)} to {_number(high, 2)}",
        read_out_cluster=f"cluster 1, own mean {_number(means[0], 2)}|shrinkage: "
        f"REML {100 * (1 - kept[0]):.0f} %, averaged over tau {100 * (1 - kept[1]):.0f} %",
    )


def _mean_densities(at, tau, own, grand, n_clusters):
    """Densities of a cluster's mean, one row for each tau."""
    total = tau**2 + _MEAN_VARIANCE
    kept = tau**2 / total
    center = kept * own + (1 - kept) * grand
    variance = kept * _MEAN_VARIANCE + (1 - kept) ** 2 * total / n_clusters
    distance = (at - center[:, None]) ** 2 / variance[:, None]
    return np.exp(-distance / 2) / np.sqrt(2 * np.pi * variance)[:, None]


#: Data sets that the explorer of a correlation shows side by side.
_N_SAMPLES = 8


def correlation_intervals(
    n_clusters=20, observations_per_cluster=5, true_correlation=0.0
) -> pd.DataFrame:
    """Profile intervals of the correlation of intercepts and slopes in several data sets.

    Parameters
    ----------
    n_clusters, observations_per_cluster : int
        Size of each data set.
    true_correlation : float
        Of intercepts (sd 0.5) and slopes (sd 0.5); the residual sd is 1.

    Returns
    -------
    DataFrame
        One row per data set: sample (1 to 8), value (REML estimate; 0 where a variance is zero),
        lower, upper, holds (1 if the interval holds the true correlation), truth, and the sentence
        read_out.

    Examples
    --------
    >>> frame = correlation_intervals(n_clusters=50, observations_per_cluster=10)
    >>> frame[["lower", "value", "upper"]].shape
    (8, 3)
    """
    rows = []
    for sample in range(1, _N_SAMPLES + 1):
        data = create_data(
            obs_per_cluster=observations_per_cluster,
            n_cluster=n_clusters,
            sd_int=0.5,
            sd_slope=0.5,
            cor=0.25 * true_correlation,
            seed=sample,
        )
        fit = fit_mixed("y ~ x + (x | cluster)", data)
        lower, upper = profile_limits(fit, kind="correlation")[0]
        value = random_effect_correlations(fit).to_numpy()[0, 1]
        rows.append((sample, np.clip(np.nan_to_num(value), -1, 1), lower, upper))
    table = pd.DataFrame(rows, columns=["sample", "value", "lower", "upper"])
    holds = (table["lower"] <= true_correlation) & (true_correlation <= table["upper"])
    width = (table["upper"] - table["lower"]).median()
    everything = ((table["lower"] == -1) & (table["upper"] == 1)).sum()
    return table.assign(
        holds=holds.astype(int),
        truth=float(true_correlation),
        read_out=f"{holds.sum()} of {len(table)} intervals hold the truth|median width "
        f"{_number(width, 2)}; {everything} go from \N{MINUS SIGN}1 to 1",
    )
