"""What more clusters, or more rows in each, would do: data sets simulated from a fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.data import check_integer
from helpers.models import (
    DataError,
    MixedFit,
    covariance_root,
    fit_many,
    parameters_of,
    values_of,
)

#: So many responses are in memory at once.
LARGEST_BLOCK = 4_000_000


def what_if_study(
    fit: MixedFit,
    *,
    clusters: Sequence[int] = (1, 2, 4),
    rows: Sequence[int] = (1, 2, 4),
    n_datasets: int = 200,
    seed: int = 888,
) -> pd.DataFrame:
    """Simulate data sets from a fit with more clusters and more rows, and fit each of them.

    Parameters
    ----------
    fit : MixedFit
        Its estimates are the truth. Without nested term.
    clusters : sequence of int
        How many times as many clusters: each stands in the data so many times, with its rows.
    rows : sequence of int
        How many times as many rows in each cluster: each row stands there so many times.
    n_datasets : int
        Data sets for each combination.
    seed : int

    Returns
    -------
    DataFrame
        One row per combination and parameter: ``clusters`` and ``rows`` as given; ``n_clusters``,
        ``n_rows`` in the data sets; ``parameter``; ``truth``; ``spread``, the standard deviation
        of the estimates; ``lower``, ``middle``, ``upper``, their 2.5, 50 and 97.5 % quantiles;
        ``singular``, the share of data sets with a singular fit.

    Raises
    ------
    DataError
        If the fit has a nested term.
    TypeError, ValueError
        If a multiple or the number of data sets is not a whole number from 1 (2) on.

    Examples
    --------
    >>> from helpers import fit_mixed, load_sleepstudy
    >>> fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    >>> study = what_if_study(fit, clusters=[1, 4], rows=[1])
    >>> spread = study.pivot(index="parameter", columns="clusters", values="spread")
    >>> print((spread[1] / spread[4])["Days"].round(0))
    2.0
    """
    if fit.terms.nested:
        raise DataError(f"{fit.formula!r} has a nested term; this study is of one level only.")
    n_datasets = check_integer("n_datasets", n_datasets, minimum=2)
    pairs = [
        (check_integer("clusters", times, minimum=1), check_integer("rows", more, minimum=1))
        for times in clusters
        for more in rows
    ]
    streams = np.random.SeedSequence(seed).spawn(len(pairs))
    tables = [
        _estimates(fit, times, more, n_datasets, np.random.default_rng(stream))
        for (times, more), stream in zip(pairs, streams, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _estimates(fit, times, more, n_datasets, stream) -> pd.DataFrame:
    data = _larger(fit, times, more)
    block = max(1, min(n_datasets, LARGEST_BLOCK // len(data)))
    sizes = [min(block, n_datasets - start) for start in range(0, n_datasets, block)]
    responses = (_responses(fit, times, more, size, stream) for size in sizes)
    fits = fit_many(f"response ~ {fit.formula.split('~', 1)[1]}", data, responses, reml=fit.reml)
    parameters = parameters_of(fit)
    draws = values_of(parameters, fits.fixed, fits.covariance, fits.sigma)
    solution = fit.solution
    truth = values_of(
        parameters,
        fit.fixed.to_numpy()[None],
        solution.covariance[None],
        np.array([fit.sigma]),
    )[0]
    lower, middle, upper = np.nanquantile(draws, [0.025, 0.5, 0.975], axis=0)
    return pd.DataFrame(
        {
            "clusters": times,
            "rows": more,
            "n_clusters": times * fit.n_groups,
            "n_rows": len(data),
            "parameter": [_label(*parameter.key) for parameter in parameters],
            "truth": truth,
            "spread": np.nanstd(draws, axis=0, ddof=1),
            "lower": lower,
            "middle": middle,
            "upper": upper,
            "singular": fits.singular.mean(),
        }
    )


def _label(kind, group, effect) -> str:
    return effect if kind == "fixed" else f"{kind} {effect or group}"


def _larger(fit, times, more) -> pd.DataFrame:
    """Repeat the rows of the data, each `more` times, in copies of all clusters."""
    rows = pd.concat([fit.data] * more, ignore_index=True)
    codes = np.tile(fit.random_design.clusters, more)
    parts = [rows.assign(**{fit.terms.group: codes + at * fit.n_groups}) for at in range(times)]
    return pd.concat(parts, ignore_index=True)


def _responses(fit, times, more, n_datasets, stream) -> np.ndarray:
    random, n_clusters = fit.random_design, times * fit.n_groups
    matrix = np.tile(random.matrix, (more * times, 1))
    clusters = np.concatenate(
        [np.tile(random.clusters, more) + at * fit.n_groups for at in range(times)]
    )
    root = covariance_root(fit.solution.covariance)
    effects = np.einsum(
        "ij,jcd->icd", root, stream.standard_normal((len(root), n_clusters, n_datasets))
    )
    line = np.tile(fit.fixed_design.matrix @ fit.fixed.to_numpy(), more * times)
    responses = fit.sigma * stream.standard_normal((len(line), n_datasets)) + line[:, None]
    for column, own in zip(matrix.T, effects, strict=True):
        responses += column[:, None] * own[clusters]
    return responses
