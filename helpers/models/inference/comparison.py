"""Likelihood-ratio tests of nested fits, at the boundary too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from helpers.data.r_random import check_integer
from helpers.models.batch import fit_blocks
from helpers.models.columns import DataError
from helpers.models.inference.parameters import design_of
from helpers.models.inference.resampling import simulated_blocks
from helpers.models.inference.small_sample import cross_products, directions_of
from helpers.models.likelihood import Likelihood

METHODS = ("asymptotic", "bootstrap")
#: Share of a matrix's square that rounding may leave outside a space it lies in.
OUTSIDE = 1e-9


@dataclass(frozen=True)
class _Nested:
    """How two nested models differ: parameters more, and variances that are zero in the smaller."""

    n_added: int
    n_at_zero: int


def likelihood_ratio_test(
    smaller,
    larger,
    *,
    method: str = "asymptotic",
    n_datasets: int = 10_000,
    seed: int = 888,
    n_jobs: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Test a fit against a larger one that contains it.

    Parameters
    ----------
    smaller : MixedFit or PooledFit
        The null hypothesis. A pooled fit has no random effects.
    larger : MixedFit
    method : {"asymptotic", "bootstrap"}
        Compare with a chi-square distribution, or the mixture of two that holds at the boundary;
        or with data sets simulated from the smaller fit.
    n_datasets, seed, n_jobs, progress
        Of the bootstrap, as for :func:`helpers.models.inference.resampling.bootstrap`.

    Returns
    -------
    DataFrame
        One row: statistic (twice the difference of the log-likelihoods), parameters (how many the
        larger model has more), reference (the distribution), p_value, and p_error, its Monte Carlo
        standard error (0 of a known distribution).

    Raises
    ------
    DataError
        If the fits cannot be compared: other data, one REML and one ML, REML with other fixed
        effects, models that are not nested or the same; or if the distribution at the boundary is
        not known (several variances are zero under the null hypothesis, or the smaller fit is
        singular itself) and no bootstrap is asked for.
    ValueError
        If `method` is neither of the two.

    Notes
    -----
    Where a variance is zero under the null hypothesis the statistic is, in half of the data sets,
    that of the model without it: a 50:50 mixture of chi-square distributions whose degrees of
    freedom differ by one (Self & Liang 1987, case 6; Stram & Lee 1994). The bootstrap counts the
    fitted data set as one of the simulated.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> data = create_data()
    >>> test = likelihood_ratio_test(
    ...     fit_mixed("y ~ x + (1 | cluster)", data), fit_mixed("y ~ x + (x | cluster)", data)
    ... )
    >>> print(test[["statistic", "reference", "p_value"]].round(4).to_string(index=False))
     statistic                             reference  p_value
       12.4014 0.5 chi-square(1) + 0.5 chi-square(2)   0.0012
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}.")
    _require_same_data(smaller, larger)
    nested = _nesting(smaller, larger)
    if hasattr(smaller, "random_design"):
        statistic = max(0.0, smaller.criterion - larger.criterion)
    else:
        response = larger.fixed_design.response[:, None]
        statistic = max(0.0, _without_effects(smaller, larger, response)[0] - larger.criterion)
    if method == "bootstrap":
        n_datasets = check_integer("n_datasets", n_datasets, minimum=2)
        reference = f"bootstrap of {n_datasets:,}"
        draws = _simulated_statistics(
            smaller, larger, n_datasets, seed, n_jobs=n_jobs, progress=progress
        )
        p_value = (1 + (draws >= statistic).sum()) / (1 + n_datasets)
        p_error = np.sqrt(p_value * (1 - p_value) / n_datasets)
    else:
        reference, p_value = _mixture(smaller, nested, statistic)
        p_error = 0.0
    row = (statistic, nested.n_added, reference, p_value, p_error)
    return pd.DataFrame(
        [row], columns=["statistic", "parameters", "reference", "p_value", "p_error"]
    )


def _mixture(smaller, nested, statistic):
    """Name the distribution under the null hypothesis, and its tail beyond the statistic."""
    added = nested.n_added
    if nested.n_at_zero > 1 or getattr(smaller, "singular", False):
        raise DataError(
            "the distribution of this test is not known: the smaller model lies at the boundary in "
            "more than one way. Ask for method='bootstrap'."
        )
    if not nested.n_at_zero:
        return f"chi-square({added})", float(special.chdtrc(added, statistic))
    # Chi-square with no degrees of freedom is zero.
    below = special.chdtrc(added - 1, statistic) if added > 1 else float(statistic <= 0)
    reference = f"0.5 chi-square({added - 1}) + 0.5 chi-square({added})"
    return reference, float(0.5 * below + 0.5 * special.chdtrc(added, statistic))


# ---- what may be compared --------------------------------------------------------------------


def _require_same_data(smaller, larger):
    one, other = smaller.fixed_design, larger.fixed_design
    if not hasattr(larger, "random_design"):
        raise TypeError("the larger fit must be a mixed one, made by fit_mixed.")
    if len(one.response) != len(other.response) or not np.array_equal(one.response, other.response):
        raise DataError("the fits are of different data. Fit both to the same rows.")
    if hasattr(smaller, "random_design") and not np.array_equal(
        smaller.random_design.clusters, larger.random_design.clusters
    ):
        raise DataError(
            f"the fits have different clusters, of {smaller.terms.group!r} and "
            f"{larger.terms.group!r}. Use one grouping column."
        )
    if hasattr(smaller, "reml") and smaller.reml != larger.reml:
        raise DataError("one fit is by REML, the other by maximum likelihood. Fit both alike.")
    same = one.matrix.shape == other.matrix.shape and np.allclose(one.matrix, other.matrix)
    if larger.reml and not same:
        raise DataError(
            "REML criteria of different fixed effects cannot be compared. Refit both with "
            "reml=False."
        )


def _nesting(smaller, larger) -> _Nested:
    x_small, x_large = smaller.fixed_design.matrix, larger.fixed_design.matrix
    basis = np.linalg.qr(x_large)[0]
    outside = ((x_small - basis @ (basis.T @ x_small)) ** 2).sum() > OUTSIDE * (x_small**2).sum()
    added = x_large.shape[1] - x_small.shape[1]
    if hasattr(smaller, "random_design"):
        inside, at_zero, more = _nested_covariances(smaller, larger)
    else:
        blocks = larger.random_design.blocks
        inside, more = True, sum(block.n_parameters for block in blocks)
        at_zero = sum(1 if block.identity else block.size for block in blocks)
    if outside or not inside:
        raise DataError(
            f"{smaller.formula!r} is not contained in {larger.formula!r}. Give the smaller model "
            "first, and only test models of which one is a special case of the other."
        )
    if added + more <= 0:
        raise DataError(
            f"{smaller.formula!r} and {larger.formula!r} are one model, written in two ways: "
            "there is nothing to test."
        )
    return _Nested(added + more, at_zero)


def _nested_covariances(smaller, larger):
    """Whether one covariance structure contains the other; zero variances; added parameters.

    The covariance matrix of a cluster's response is linear in its parameters: the sum of each
    times a matrix Z E Z'. Inner products of such matrices need the cross-products of Z only.
    """
    one, other = smaller.random_design, larger.random_design
    along, beside = directions_of(one.blocks), directions_of(other.blocks)

    def products(first, left, second, right):
        crossed = cross_products(first.matrix, second.matrix, one.clusters)
        return np.einsum("iab,cbd,jde,cae->ij", left, crossed, right, crossed, optimize=True)

    own, mixed = products(one, along, one, along), products(other, beside, one, along)
    weights = np.linalg.lstsq(products(other, beside, other, beside), mixed, rcond=1e-12)[0]
    left = np.diag(own - mixed.T @ weights) / np.diag(own)
    at_zero = 0
    elements = weights @ _elements(smaller.solution.covariance, one.blocks)
    covariance, column = np.einsum("k,kab->ab", elements, beside), 0
    for block in other.blocks:
        size = 1 if block.identity else block.size
        values = np.linalg.eigvalsh(covariance[column : column + size, column : column + size])
        at_zero += int((values < 1e-8 * max(values.max(), smaller.sigma**2 * 1e-6)).sum())
        column += block.size
    return bool((left < OUTSIDE).all()), at_zero, len(beside) - len(along)


def _elements(covariance, blocks):
    """Free elements of a covariance matrix, in the order of ``directions_of``."""
    parts, column = [], 0
    for block in blocks:
        own = covariance[column : column + block.size, column : column + block.size]
        parts.append(own[:1, 0] if block.identity else own[block.lower])
        column += block.size
    return np.concatenate(parts)


# ---- criteria --------------------------------------------------------------------------------


def _without_effects(smaller, larger, responses) -> np.ndarray:
    """Criteria of a pooled model: those of the larger model's effects, their variances at zero."""
    random = larger.random_design
    design = Likelihood(
        smaller.fixed_design.matrix,
        random.matrix,
        random.clusters,
        random.blocks,
        reml=larger.reml,
    )
    none = np.zeros((design.n_effects, design.n_effects, responses.shape[1]))
    return design.evaluate(none, design.reduce(responses)).criterion


def _simulated_statistics(smaller, larger, n_datasets, seed, **spread) -> np.ndarray:
    """Statistics of data sets simulated from the smaller fit; each model simulates them anew."""

    def criteria(fit):
        blocks = simulated_blocks(smaller, n_datasets=n_datasets, seed=seed)
        if hasattr(fit, "random_design"):
            return fit_blocks(design_of(fit, reml=larger.reml), blocks, **spread).criterion
        return np.concatenate([_without_effects(fit, larger, block()) for block in blocks])

    return criteria(smaller) - criteria(larger)
