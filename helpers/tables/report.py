"""A paragraph and a table for a paper, from one fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from pandas.api import types

from helpers.models import DataError
from helpers.models.fits import MixedFit
from helpers.tables.base import FEW_CLUSTERS, require_fit, small_sample, t_table, varying_columns
from helpers.tables.data_design import describe_design
from helpers.tables.display import table_html
from helpers.tables.effects import random_effect_correlations, variance_components
from helpers.tables.variance_shares import compare_with_pooled, intraclass_correlation, r_squared

#: A name that no column of a reader's file has.
CLUSTER = "\N{DAGGER}cluster"


@dataclass(frozen=True, repr=False)
class Report:
    """A paragraph and a table about one fit; made by :func:`report`.

    Attributes
    ----------
    text : str
        The paragraph, as plain text.
    table : DataFrame
        Its numbers: fixed effects, then standard deviations and correlations.
    notes : list of str
        What a reviewer will ask about this fit.
    """

    text: str
    table: pd.DataFrame
    notes: list[str]

    def __str__(self):
        table = self.table.to_string(index=False, na_rep="", float_format=_digits)
        return "\n\n".join([self.text, table, *self.notes])

    __repr__ = __str__

    def _repr_html_(self):
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{escape(self.text)}</p>{table_html(self.table)}" + (
            f"<ul>{notes}</ul>" if notes else ""
        )


def report(fit: MixedFit, *, standardized: Mapping[str, float] | None = None) -> Report:
    """Write a paragraph and a table about a fit, every number computed from it.

    Parameters
    ----------
    fit : MixedFit
    standardized : mapping, optional
        Predictors that were divided by their standard deviation, and this standard deviation; the
        paragraph then says that their effects are per standard deviation.

    Returns
    -------
    Report
        Its ``text``, ``table`` and ``notes``; shows as all three in a notebook, as text when
        printed. The table has one row per fixed effect, standard deviation and correlation:
        ``part``, ``term``, ``value``; ``se``, ``df``, ``t``, ``p_value``, ``lower_2.5`` and
        ``upper_97.5`` of the fixed effects, missing for the rest.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.
    DataError
        If it is a fit by maximum likelihood, whose variances are too small, or a standardized
        column is not a predictor of it.

    Notes
    -----
    What a report of a mixed model should hold follows Meteyard & Davies (2020). Fixed effects are
    tested with the standard errors and degrees of freedom of Kenward & Roger (1997); the R² are
    those of Nakagawa & Schielzeth (2013) and Johnson (2014).

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> from helpers.models.fits import fit_mixed
    >>> print(report(fit_mixed("y ~ x + (1 | cluster)", create_data())).text.partition(". ")[0])
    We fitted the linear mixed model y ~ x + (1 | cluster) by restricted maximum likelihood (REML)
    """
    require_fit(fit, MixedFit)
    table = _table(fit)
    sentences = [
        *_model(fit),
        *_fixed(table),
        *_units(fit, standardized),
        *_random(fit),
        *_shares(fit),
    ]
    return Report(" ".join(sentences), table, _notes(fit))


def _table(fit) -> pd.DataFrame:
    weights = np.eye(len(fit.fixed))
    covariance, df = small_sample(fit, weights)
    fixed = pd.DataFrame(t_table(fit.fixed.to_numpy(), np.diag(covariance), df))
    fixed.insert(0, "term", fit.fixed.index)
    fixed.insert(0, "part", "fixed effect")
    variances = variance_components(fit)
    effects = (variances["grouping_factor"] + ": " + variances["effect"]).str.removesuffix(": ")
    sds = pd.DataFrame({"part": "sd", "term": effects, "value": variances["sd"]})
    return pd.concat([fixed, sds, _correlations(fit)], ignore_index=True)


def _correlations(fit) -> pd.DataFrame:
    matrix = random_effect_correlations(fit)
    sizes = [block.size for block in fit.random_design.blocks]
    # Effects of one term are correlated; those of different terms are not, by assumption.
    term = np.repeat(np.arange(len(sizes)), sizes)[: len(matrix)]
    rows = [
        ("correlation", f"{matrix.index[one]}, {matrix.index[other]}", matrix.iloc[one, other])
        for one in range(len(matrix))
        for other in range(one + 1, len(matrix))
        if term[one] == term[other]
    ]
    # Without a row the values would be objects, and with them those of the whole table.
    return pd.DataFrame(rows, columns=["part", "term", "value"]).astype({"value": float})


def _model(fit) -> list[str]:
    counts = fit.random_design.counts
    sizes = f"{counts.min()}" if np.ptp(counts) == 0 else f"{counts.min()} to {counts.max()}"
    return [
        f"We fitted the linear mixed model {fit.formula} by restricted maximum likelihood (REML).",
        f"There were {len(fit.data)} observations in {len(counts)} clusters ({fit.terms.group}), "
        f"{sizes} in each (median {np.median(counts):g}).",
    ]


def _fixed(table) -> list[str]:
    fixed = table[(table["part"] == "fixed effect") & (table["term"] != "Intercept")]
    parts = [
        f"{row.term}: {_digits(row.value)} (95 % CI {_digits(row.lower)} to {_digits(row.upper)}, "
        f"t({row.df:.1f}) = {row.t:.2f}, {_p(row.p_value)})"
        for row in fixed.rename(columns={"lower_2.5": "lower", "upper_97.5": "upper"}).itertuples()
    ]
    tested = "with Kenward and Roger's standard errors and degrees of freedom"
    return [f"Fixed effects, {tested}, were {'; '.join(parts)}."] if parts else []


def _units(fit, standardized) -> list[str]:
    unit = dict({} if standardized is None else standardized)
    unknown = [name for name in unit if name not in fit.fixed_design.columns]
    if unknown:
        raise DataError(
            f"{unknown[0]!r} is not a predictor of {fit.formula!r}; these are "
            f"{', '.join(fit.fixed_design.columns) or 'none'}."
        )
    parts = [f"{name} ({_digits(sd)})" for name, sd in unit.items()]
    return [f"Effects are per standard deviation of {', '.join(parts)}."] if parts else []


def _random(fit) -> list[str]:
    variances = variance_components(fit)
    parts = [
        f"{_digits(row.sd)} ({row.grouping_factor}, {row.effect})"
        for row in variances.iloc[:-1].itertuples()
    ]
    pooled = compare_with_pooled(fit).iloc[1]
    return [
        f"Standard deviations were {', '.join(parts)} and {_digits(fit.sigma)} (residual).",
        f"Without the random effects the criterion (-2 log-likelihood) was "
        f"{pooled['statistic']:.1f} higher ({_p(pooled['p_value'])}).",
    ]


def _shares(fit) -> list[str]:
    icc, r2 = intraclass_correlation(fit), r_squared(fit)["r_squared"]
    low, high = icc["icc"].min(), icc["icc"].max()
    settings = ", ".join(varying_columns(fit))
    words = f"{low:.2f}" if len(icc) == 1 else f"{low:.2f} to {high:.2f}, depending on {settings}"
    return [
        f"The intraclass correlation was {words}.",
        f"Fixed effects accounted for {r2[0]:.0%} of the variance (marginal R²), fixed and random "
        f"effects together for {r2[1]:.0%} (conditional R²).",
    ]


def _notes(fit) -> list[str]:
    notes = []
    n_clusters = len(fit.random_design.counts)
    if n_clusters < FEW_CLUSTERS:
        notes.append(
            f"There are only {n_clusters} clusters: variances between them are uncertain. Give "
            "their profile intervals."
        )
    if fit.singular:
        notes.append(
            "The fit is singular: a combination of random effects has no variance. Say so, and "
            "whether a simpler model changes the conclusions."
        )
    crossed = _crossed_columns(fit)
    if crossed:
        notes.append(
            f"{', '.join(crossed)}: crossed with {fit.terms.group} and not in the model. If these "
            "labels are a sample, such as items, standard errors without random effects of their "
            "own are too small."
        )
    return notes


def _crossed_columns(fit) -> list[str]:
    """Columns of the file that look like a grouping and are no part of the model."""
    used = {*fit.terms.variables, fit.terms.group}
    kinds = {name: types.infer_dtype(fit.data[name], skipna=True) for name in fit.data}
    labels = [n for n, kind in kinds.items() if kind in ("string", "integer", "categorical")]
    frame = fit.data[[name for name in labels if name not in used]]
    groups = fit.data[fit.terms.group].rename(CLUSTER)
    roles = describe_design(frame.join(groups), CLUSTER).set_index("column")["role"]
    whole = roles.index[roles == "within or crossed"]
    # A measure in whole numbers has values that few clusters share; an item has most of them.
    shared = [n for n in whole if groups.groupby(frame[n]).nunique().min() > groups.nunique() / 2]
    return [n for n in roles.index if roles[n] == "crossed" or n in shared]


def _digits(number) -> str:
    """Write four significant digits without an exponent where numbers are of usual size."""
    if pd.isna(number):
        return ""
    if number and not 1e-4 <= abs(number) < 1e7:
        return f"{number:.3e}"
    places = 3 - int(np.floor(np.log10(abs(number)))) if number else 2
    return f"{number:.{min(max(places, 0), 4)}f}"


def _p(p_value) -> str:
    return "p < .001" if p_value < 0.001 else f"p = {p_value:.3f}".replace("0.", ".")
