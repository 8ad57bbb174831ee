"""How often an interval holds what it is for: of the mean, of a cluster, of a new cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special
from tqdm import tqdm

from helpers.data import check_integer, check_number
from helpers.models import DataError, coefficient_variances, covariance_root, fit_many

#: Data sets drawn and fitted together.
BLOCK = 500
METHODS = [
    ("mean", "joint"),
    ("random effect", "conditional"),
    ("random effect", "joint"),
    ("coefficient", "conditional"),
    ("coefficient", "joint"),
    ("new cluster", "joint"),
]


def coverage_study(
    fit,
    *,
    fixed=None,
    covariance=None,
    sigma=None,
    n_datasets=2000,
    level=0.95,
    seed=888,
    progress=False,
) -> pd.DataFrame:
    """Simulate data sets of a fit's design, and count which intervals hold the truth.

    Parameters
    ----------
    fit : MixedFit
        Gives formula, predictors and clusters; without nested terms.
    fixed : sequence of float, optional
        True fixed effects; by default, as for the next two, the fit's own estimates.
    covariance : array-like, shape (q, q), optional
        True covariance matrix of a cluster's random effects.
    sigma : float, optional
        True residual standard deviation.
    n_datasets : int
        2 or more.
    level : float
        Nominal coverage.
    seed : int
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row for each random effect, target and uncertainty. Targets: "mean", the fixed effect;
        "random effect", a cluster's deviation from it; "coefficient", their sum; "new cluster",
        the coefficient of a cluster that is not in the data. Where a random effect has no fixed
        one, only the random effect itself is a target. Uncertainty: "conditional", the sd of the
        random effect given the estimates; "joint", of fixed and random effects together. All take
        a normal's quantile. Columns effect, target, uncertainty, coverage (share of intervals that
        hold the truth), coverage_error (its Monte Carlo standard error), width (on average),
        singular (share of data sets with a singular fit).

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or has the wrong shape.
    DataError
        If the fit has a nested term.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> fit = fit_mixed("y ~ 1 + (1 | cluster)", create_data(n_cluster=8))
    >>> study = coverage_study(fit, covariance=[[9]], sigma=1, n_datasets=500)
    >>> study.set_index(["target", "uncertainty"])["coverage"].round(1)["random effect"].to_dict()
    {'conditional': 0.4, 'joint': 0.9}
    """
    n_datasets = check_integer("n_datasets", n_datasets, minimum=2)
    level = check_number("level", level, minimum=0, maximum=1)
    truth = _truth(fit, fixed, covariance, sigma)
    quantile, stream = special.ndtri((1 + level) / 2), np.random.default_rng(seed)
    held, widths, singular = [], [], []
    with tqdm(total=n_datasets, unit=" fits", disable=not progress) as bar:
        for start in range(0, n_datasets, BLOCK):
            size = min(BLOCK, n_datasets - start)
            errors, sds, at_edge = _one_block(fit, truth, size, stream)
            held.append((errors <= quantile * sds).mean(axis=2))
            widths.append(2 * quantile * sds.mean(axis=2))
            singular.append(at_edge)
            bar.update(size)
    # The clusters of a data set share its estimates: data sets count, not clusters.
    held, widths = np.concatenate(held, axis=1), np.concatenate(widths, axis=1)
    names = fit.random_design.names
    targets, uncertainties = zip(*METHODS, strict=True)
    table = pd.DataFrame(
        {
            "effect": np.tile(names, len(METHODS)),
            "target": np.repeat(targets, len(names)),
            "uncertainty": np.repeat(uncertainties, len(names)),
            "coverage": held.mean(axis=1).ravel(),
            "coverage_error": held.std(axis=1, ddof=1).ravel() / np.sqrt(n_datasets),
            "width": widths.mean(axis=1).ravel(),
            "singular": np.concatenate(singular).mean(),
        }
    )
    meant = table["effect"].isin(fit.fixed.index) | (table["target"] == "random effect")
    return table[meant].reset_index(drop=True)


def _truth(fit, fixed, covariance, sigma):
    if fit.terms.nested:
        raise DataError(f"{fit.formula!r} has a nested term; this study is of one level only.")
    fixed = fit.fixed.to_numpy() if fixed is None else np.asarray(fixed, float)
    covariance = fit.solution.covariance if covariance is None else np.asarray(covariance, float)
    for name, given, wanted in (
        ("fixed", fixed, fit.fixed.shape),
        ("covariance", covariance, fit.solution.covariance.shape),
    ):
        if given.shape != wanted:
            raise ValueError(f"{name} has shape {given.shape}; this fit's has {wanted}.")
    values = np.linalg.eigvalsh(covariance)
    if not np.allclose(covariance, covariance.T) or values.min() < -1e-8 * abs(values).max():
        raise ValueError("covariance must be symmetric, and no variance in it negative.")
    sigma = check_number("sigma", fit.sigma if sigma is None else sigma, minimum=0)
    return fixed, covariance_root(covariance), sigma


def _one_block(fit, truth, size, stream):
    """Errors and sds, shape (methods, effects, data sets, clusters), and which fits are singular.

    The axes of methods and effects are one: rows of the table.
    """
    fixed, root, sigma = truth
    random = fit.random_design
    # The last cluster is the new one.
    effects = np.einsum(
        "ij,jcd->icd", root, stream.standard_normal((len(root), len(random.labels) + 1, size))
    )
    responses = sigma * stream.standard_normal((fit.n_obs, size))
    responses += (fit.fixed_design.matrix @ fixed)[:, None]
    for column, own in zip(random.matrix.T, effects, strict=True):
        responses += column[:, None] * own[random.clusters]
    fits = fit_many(fit.formula, fit.data, responses, reml=fit.reml, effects=True)
    variances = coefficient_variances(fit, fits.covariance, fits.sigma)
    at = fit.fixed.index.get_indexer(random.names)
    shift = np.where(at[:, None] < 0, 0, fits.fixed.T[at] - fixed[at][:, None])[..., None]
    deviation = np.moveaxis(fits.effects, -1, 0) - effects[:, :-1].swapaxes(1, 2)
    errors = {
        "mean": shift,
        "random effect": deviation,
        "coefficient": shift + deviation,
        "new cluster": shift - effects[:, -1][..., None],
    }
    shape = deviation.shape
    return (
        np.abs(np.concatenate([np.broadcast_to(errors[target], shape) for target, _ in METHODS])),
        np.sqrt(np.concatenate([np.broadcast_to(variances[each], shape) for each in METHODS])),
        fits.singular,
    )
