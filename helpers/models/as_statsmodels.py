"""The same fits as statsmodels' own results, which this course teaches.

Nothing that :mod:`helpers.models.fits` reports depends on statsmodels: its results object is made
when it is asked for, at the optimum that is known by then. Its search is not used: its tolerances
are absolute, in units of the data.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from helpers.models.columns import tidy
from helpers.models.formula import Formula, column_names, for_statsmodels

AGREEMENT = 1e-4
# statsmodels inverts the covariance matrix of the random effects, so it stands inside a boundary.
INTERIOR_VARIANCE = 1e-8
METHODS = ("lbfgs", "cg", "bfgs", "powell")
# The pasted call is tried with up to so many rows and clusters: beyond, it takes minutes.
MOST_ROWS, MOST_CLUSTERS = 5_000, 500


class ResultsError(RuntimeError):
    """A fit that stands, but that statsmodels cannot show as its own."""


def pooled_results(fit):
    """Results of ``smf.ols`` for a pooled fit.

    Raises
    ------
    ResultsError
        If statsmodels does not know the formula's functions, or is led to another model.
    """
    import statsmodels.formula.api as smf

    frame = _frame(fit, column_names(fit.formula))
    try:
        results = smf.ols(for_statsmodels(fit.formula), frame).fit()
    except Exception as error:
        raise _cannot_follow(fit, error) from error
    if not np.isclose(np.sqrt(results.scale), fit.sigma, rtol=1e-6):
        raise ResultsError(f"statsmodels reads {fit.formula!r} as another model. The fit stands.")
    return results


def mixed_results(fit):
    """Results of ``smf.mixedlm`` at the optimum of a mixed fit.

    Raises
    ------
    ResultsError
        If statsmodels has no such model, or its own criterion at the optimum is another one.
    """
    if any(block.size > 1 for block in fit.random_design.blocks[1:] if not block.identity):
        raise ResultsError(
            f"statsmodels has one term with several correlated effects; {fit.terms} has more. "
            "The fit stands."
        )
    import statsmodels.formula.api  # noqa: F401  it changes the filters of warnings when imported

    with warnings.catch_warnings():
        # It warns of its search, which is not made, and of variances below an absolute .01.
        warnings.simplefilter("ignore")
        try:
            results = _at_optimum(fit)
        except Exception as error:
            raise _cannot_follow(fit, error) from error
    gap = -2 * results.llf - fit.criterion
    if not abs(gap) <= AGREEMENT:
        raise ResultsError(
            f"at the optimum of {fit.terms} statsmodels computes a criterion that is {gap:+.4g} off"
            f"{', as it divides by variances that are zero here' if fit.singular else ''}. The fit "
            "stands; predictors centred and divided by their standard deviation may help."
        )
    return results


def _at_optimum(fit):
    import statsmodels.formula.api as smf
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    terms = fit.terms
    frame = terms.with_groups(_frame(fit, terms.variables))
    components, column = {}, fit.random_design.blocks[0].size
    for term in terms.independent:
        if term.nested:
            components[term.grouping] = terms.vc_formula[term.grouping]
            continue
        # As a column, because statsmodels works such formulas out cluster by cluster.
        name = term.effects.removeprefix("0 + ")
        frame[name] = fit.random_design.matrix[:, column]
        components[name], column = f"0 + Q({name!r})", column + 1
    model = smf.mixedlm(
        for_statsmodels(terms.fixed),
        frame,
        groups=terms.group,
        re_formula=terms.re_formula,
        vc_formula=components or None,
    )
    covariance, variances = _relative(fit, model.exog_re)
    start = MixedLMParams.from_components(
        fe_params=_least_squares(model.exog, fit.fixed_design.matrix @ fit.fixed.to_numpy()),
        cov_re=covariance,
        # statsmodels sorts its variance components by name.
        vcomp=np.array([variances[list(components).index(name)] for name in sorted(components)]),
    )
    results = model.fit(start_params=start, reml=fit.reml, method="bfgs", maxiter=0)
    # The conditions of an optimum were checked by the fit; statsmodels only counts its own steps.
    results._results.converged = True
    return results


def _relative(fit, exog_re):
    """Relative covariance matrix and variances, a little inside the boundary."""
    root = fit.relative_root
    relative = root @ root.T
    if fit.singular:
        inside = fit.whitening
        relative = relative + INTERIOR_VARIANCE * inside @ inside.T
    size = fit.random_design.blocks[0].size
    turn = _least_squares(exog_re, fit.random_design.matrix[:, :size])
    starts = size + np.cumsum([0, *(block.size for block in fit.random_design.blocks[1:])])
    return turn @ relative[:size, :size] @ turn.T, np.diag(relative)[starts[:-1]]


def _least_squares(matrix, target):
    solution = np.linalg.lstsq(matrix, target, rcond=None)[0]
    if not np.allclose(matrix @ solution, target, rtol=1e-6, atol=1e-6 * np.abs(target).max()):
        raise ResultsError("it codes the columns in another way")
    return solution


def _cannot_follow(fit, error):
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ResultsError(f"statsmodels cannot show {fit.formula!r}: {reason}. The fit stands.")


def _frame(fit, names) -> pd.DataFrame:
    """Columns in types that patsy knows, with a fresh index."""
    data = fit.data.reset_index(drop=True)
    frame = data[[name for name in data if name in set(names)]].copy()
    random = fit.terms if hasattr(fit, "terms") else None
    groups = {random.group, random.nested and random.nested.nested} if random else set()
    for name in frame:
        if name not in groups:
            frame[name] = tidy(frame[name], category=True)
    return frame


def call_that_reaches(terms: Formula, fit) -> str:
    """Write the call to paste; a second line says if it does not reach the fit's criterion."""
    text = terms.statsmodels_call(reml=fit.reml)
    if any(block.size > 1 for block in fit.random_design.blocks[1:] if not block.identity):
        return f"{text}\n# statsmodels has no such model: two terms with correlated effects"
    if fit.n_obs > MOST_ROWS or fit.n_groups > MOST_CLUSTERS:
        return f"{text}\n# not tried: with {fit.n_groups:,} clusters statsmodels takes minutes"
    tried = {}
    first = text.rpartition('method="')[2].removesuffix('")')
    for method in dict.fromkeys([first, *METHODS]):
        text = terms.statsmodels_call(reml=fit.reml, method=method)
        tried[text] = _gap(text, fit)
        if abs(tried[text]) < 10 * AGREEMENT:
            return text
    text = min(tried, key=lambda text: np.nan_to_num(abs(tried[text]), nan=np.inf))
    gap = tried[text]
    if np.isnan(gap):
        return f"{text}\n# statsmodels breaks off: a variance near zero, or an unknown function"
    side = "above" if gap > 0 else "below"
    return f"{text}\n# its criterion is {abs(gap):.3g} {side} this fit's"


def _gap(text, fit) -> float:
    """Tell how far above the fit's criterion the call stops; missing if it breaks off."""
    import statsmodels.formula.api as smf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            results = eval(text, {"smf": smf, "np": np, "data": fit.data})
        except Exception:
            return np.nan
    return -2 * results.llf - fit.criterion
