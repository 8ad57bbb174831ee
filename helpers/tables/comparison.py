"""Fits side by side: summaries, information criteria."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from helpers.models.columns import DataError, free_names
from helpers.models.fits import MixedFit
from helpers.tables.base import require_fit, require_fits
from helpers.tables.display import table_html
from helpers.tables.effects import (
    fixed_effects,
    random_covariance,
    random_effect_correlations,
    random_effects,
    variance_components,
)
from helpers.tables.intervals import intervals as parameter_intervals
from helpers.tables.pooling import shrinkage


def summarize_fits(fits: Mapping[str, MixedFit]) -> pd.DataFrame:
    """One row of estimates per fit, to compare data sets.

    Parameters
    ----------
    fits : mapping of str to MixedFit
        Fits of one formula without nested term.

    Returns
    -------
    DataFrame
        Indexed by name: fixed effects (``fixed x``), sds of the random effects and of the
        residual (``sd x``, ``sd Residual``), correlations (``cor Intercept, x``) and the mean
        shrinkage factor of each effect (``shrinkage x``). The sd of an effect that is itself
        called Residual stands under ``sd Residual_``.

    Raises
    ------
    TypeError
        If an entry is not a mixed fit.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> fits = {"baseline": fit_mixed("y ~ x + (x | cluster)", create_data())}
    >>> print(summarize_fits(fits).round(2).loc["baseline", "sd x"])
    0.24
    """
    require_fits(fits)
    return pd.DataFrame({name: _estimates(fit) for name, fit in fits.items()}).T


@dataclass(frozen=True, repr=False)
class ModelSummary:
    """Everything lme4's summary prints; made by :func:`summarize_model`."""

    title: str
    facts: str
    residuals: pd.DataFrame
    variances: pd.DataFrame
    correlations: pd.DataFrame
    fixed: pd.DataFrame
    intervals: pd.DataFrame | None = None

    @property
    def parts(self) -> dict[str, pd.DataFrame]:
        """The tables under their headings."""
        parts = {"Scaled residuals": self.residuals, "Variance components": self.variances}
        if len(self.correlations) > 1:
            parts["Correlations of random effects"] = self.correlations
        parts["Fixed effects"] = self.fixed
        if self.intervals is not None:
            parts["Profile intervals"] = self.intervals
        return parts

    def __str__(self):
        tables = [
            f"{heading}\n{table.to_string(index=heading.startswith('Corr'), float_format=_digits)}"
            for heading, table in self.parts.items()
        ]
        return "\n\n".join([f"{self.title}\n{self.facts}", *tables])

    __repr__ = __str__

    def _repr_html_(self):
        tables = [
            f"<p><strong>{heading}</strong></p>{table_html(table.round(4))}"
            for heading, table in self.parts.items()
        ]
        return f"<p><code>{self.title}</code><br>{self.facts}</p>" + "".join(tables)


def summarize_model(fit: MixedFit, *, intervals: bool = False) -> ModelSummary:
    """Everything about a fit, to be read.

    Parameters
    ----------
    fit : MixedFit
    intervals : bool
        With profile intervals of every parameter, as :func:`helpers.tables.intervals`.

    Returns
    -------
    ModelSummary
        Shows as tables in a notebook, as text when printed.

    Raises
    ------
    TypeError
        If `fit` is not a mixed fit.

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> summary = summarize_model(fit_mixed("y ~ x + (x | cluster)", create_data()))
    >>> print(summary.facts)
    REML criterion 3012.2; 1000 observations, 100 clusters (cluster)
    """
    require_fit(fit, MixedFit)
    quantiles = fit.residuals().quantile([0, 0.25, 0.5, 0.75, 1]).to_numpy()
    facts = (
        f"{'REML' if fit.reml else 'ML'} criterion {fit.criterion:.1f}; "
        f"{fit.n_obs} observations, {fit.n_groups} clusters ({fit.terms.group})"
    )
    if fit.singular:
        facts += "; singular: a combination of random effects has no variance"
    return ModelSummary(
        title=str(fit.terms),
        facts=facts,
        residuals=pd.DataFrame([quantiles], columns=["min", "q1", "median", "q3", "max"]),
        variances=variance_components(fit),
        correlations=random_effect_correlations(fit),
        fixed=fixed_effects(fit),
        intervals=parameter_intervals(fit) if intervals else None,
    )


def compare_models(fits: Mapping[str, MixedFit]) -> pd.DataFrame:
    """Compare fits to the same data by AICc.

    Parameters
    ----------
    fits : mapping of str to MixedFit
        Names and fits.

    Returns
    -------
    DataFrame
        One row per fit, best first: ``model``, its name; ``K``, the number of estimated
        parameters: fixed effects, variances, covariances and the residual variance; ``AICc``;
        ``delta_AICc``, how far it is above the best; ``n_random_effects``, how many conditional
        modes the fit predicts, which no criterion here counts.

    Raises
    ------
    TypeError
        If an entry is not a mixed fit.
    DataError
        If the fits differ in their data, mix REML and ML, or are REML fits with different fixed
        effects: none of these criteria may be compared.

    Notes
    -----
    ``AICc = criterion + 2 K + 2 K (K + 1) / (n - K - 1)`` (Hurvich & Tsai 1989).

    This is the marginal AIC, of predictions for new clusters: random effects are integrated out
    and only their variances and covariances count. The conditional AIC, of predictions for the
    clusters at hand, charges them too, by the trace of the hat matrix (Vaida & Blanchard 2005).

    Examples
    --------
    >>> from helpers.models.fits import fit_mixed
    >>> from helpers.data.simulate import create_data
    >>> fits = {f: fit_mixed(f"y ~ x + {f}", create_data()) for f in ["(1|cluster)", "(x|cluster)"]}
    >>> print(compare_models(fits)["model"].tolist())
    ['(x|cluster)', '(1|cluster)']
    """
    require_fits(fits)
    _refuse_incomparable(fits)
    table = pd.DataFrame(
        {
            "model": list(fits),
            "K": [_parameter_count(fit) for fit in fits.values()],
            "AICc": [_aicc(fit) for fit in fits.values()],
            "n_random_effects": [len(random_effects(fit)) for fit in fits.values()],
        }
    )
    table.insert(3, "delta_AICc", table["AICc"] - table["AICc"].min())
    return table.sort_values("AICc", kind="stable", ignore_index=True)


def _digits(number) -> str:
    return f"{number:.4f}"


def _estimates(fit) -> dict[str, float]:
    factors = shrinkage(fit).groupby("effect", sort=False)["shrinkage_factor"].mean()
    correlations = random_effect_correlations(fit)
    pairs = combinations(correlations.columns, 2)
    sds = np.sqrt(np.diag(random_covariance(fit)))
    own_names = free_names(correlations.columns, ["Residual"])
    return {
        **{f"fixed {term}": value for term, value in fit.fixed.items()},
        **{f"sd {effect}": sd for effect, sd in zip(own_names, sds, strict=True)},
        "sd Residual": fit.sigma,
        **{f"cor {one}, {other}": correlations.loc[one, other] for one, other in pairs},
        **{f"shrinkage {effect}": factor for effect, factor in factors.items()},
    }


def _parameter_count(fit) -> int:
    return len(fit.fixed) + sum(block.n_parameters for block in fit.random_design.blocks) + 1


def _aicc(fit) -> float:
    count = _parameter_count(fit)
    return fit.criterion + 2 * count + 2 * count * (count + 1) / (fit.n_obs - count - 1)


def _refuse_incomparable(fits) -> None:
    if not fits:
        raise DataError("compare_models needs at least one fit: {name: fit, ...}.")
    name, *others = fits
    first = fits[name]
    for other in others:
        fit = fits[other]
        if not np.array_equal(first.fixed_design.response, fit.fixed_design.response):
            raise DataError(f"{name!r} and {other!r} are fits to different data or responses.")
        if first.reml != fit.reml:
            raise DataError(f"{name!r} and {other!r} mix REML and ML. Refit both with reml=False.")
        same = np.array_equal(first.fixed_design.matrix, fit.fixed_design.matrix)
        if first.reml and not same:
            raise DataError(
                f"{name!r} and {other!r} have different fixed effects; their REML criteria are of "
                "different data. Refit both with reml=False."
            )
