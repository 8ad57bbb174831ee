"""How sure a prediction is: of the mean line, of a cluster's line, of a new observation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from helpers.data.r_random import check_number
from helpers.models.inference.small_sample import cross_products, gain

INTERVALS = ("mean", "cluster", "observation")


def prediction_intervals(
    fit, data: pd.DataFrame | None = None, *, interval: str, level: float = 0.95
) -> pd.DataFrame:
    r"""Predict rows, with standard errors and intervals.

    Parameters
    ----------
    fit : MixedFit
    data : DataFrame, optional
        Rows to predict; by default those fitted.
    interval : {"mean", "cluster", "observation"}
        What the interval is for: the mean over all clusters (fixed effects alone), the row's own
        cluster, or a new observation in it.
    level : float
        Coverage, between 0 and 1.

    Returns
    -------
    DataFrame
        prediction, se, lower and upper, indexed as the rows of `data`. ``se`` is the sd of what is
        predicted less its prediction, given the variances.

    Raises
    ------
    ValueError
        If `interval` is none of the three or `level` is out of range.
    DataError
        If a column is missing or incomplete, or a predictor has an unknown level.

    Notes
    -----
    Of a known cluster fixed and random effects are uncertain together (Henderson 1975): with
    :math:`B = \Sigma Z'V^{-1}X` of the cluster, the squared error of :math:`x'\beta + z'b` is
    :math:`u'\mathrm{Var}(\hat\beta)u + z'\mathrm{Var}(b\mid y)z`, where :math:`u = x - B'z`. A new
    cluster, or a new nested level, has :math:`z'\Sigma z` instead. An observation adds the residual
    variance. That the variances are estimates is left out, and limits are a normal's.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> rows = pd.DataFrame({"x": 0.0, "cluster": [1, 101]}, index=["known", "new"])
    >>> print(prediction_intervals(fit, rows, interval="cluster").round(2))
           prediction    se  lower  upper
    known        0.62  0.29   0.06   1.18
    new          0.94  0.54  -0.13   2.00
    """
    if interval not in INTERVALS:
        raise ValueError(f"interval is {interval!r}; it must be one of {', '.join(INTERVALS)}.")
    level = check_number("level", level, minimum=0, maximum=1)
    data = fit.data if data is None else data
    fixed = fit.fixed_design.rows(data)
    prediction, covariance = fixed @ fit.fixed.to_numpy(), fit.fixed_covariance.to_numpy()
    if interval == "mean":
        variance = np.einsum("np,pq,nq->n", fixed, covariance, fixed)
    else:
        random, clusters = _random_rows(fit, data)
        effects, given, moved = _known_clusters(fit)
        known = (clusters >= 0)[:, None]
        prediction = prediction + (random * known * effects[clusters]).sum(axis=1)
        apart = fixed - np.einsum("nq,nqp->np", random * known, moved[clusters])
        variance = np.einsum("np,pq,nq->n", apart, covariance, apart)
        spread = np.where(known[:, :, None], given[clusters], fit.solution.covariance)
        variance += np.einsum("na,nab,nb->n", random, spread, random)
        variance += _new_levels(fit, random, clusters)
    if interval == "observation":
        variance = variance + fit.sigma**2
    se = np.sqrt(np.clip(variance, 0, None))
    margin = special.ndtri((1 + level) / 2) * se
    return pd.DataFrame(
        {
            "prediction": prediction,
            "se": se,
            "lower": prediction - margin,
            "upper": prediction + margin,
        },
        index=data.index,
    )


def _random_rows(fit, data):
    """Rows of the random-effects design; the nested levels of a new cluster have no columns."""
    random, clusters = fit.random_design.rows(data)
    random = random.copy()
    random[clusters < 0, len(fit.random_design.names) :] = 0
    return random, clusters


def _new_levels(fit, random, clusters):
    """Variance that a nested level nobody has seen adds."""
    if not fit.terms.nested:
        return 0.0
    unseen = ~random[:, len(fit.random_design.names) :].any(axis=1)
    return unseen * fit.solution.covariance[-1, -1]


def _known_clusters(fit):
    """Modes of each cluster's random effects, their covariance given the data, and B."""
    solution, design = fit.solution, fit.random_design
    z_z = cross_products(design.matrix, design.matrix, design.clusters)
    z_x = cross_products(design.matrix, fit.fixed_design.matrix, design.clusters)
    weights = gain(solution.covariance, solution.sigma, z_z)
    given = solution.covariance - weights @ z_z @ solution.covariance
    return solution.effects, given, weights @ z_x


def coefficient_variances(fit, covariance, sigma) -> dict[str, np.ndarray]:
    """Variances of clusters' coefficients, for many estimates of one design.

    Parameters
    ----------
    fit : MixedFit
        Gives the design; without nested terms.
    covariance : ndarray, shape (n_datasets, q, q)
        Covariance matrices of a cluster's random effects; they may be singular.
    sigma : ndarray, shape (n_datasets,)
        Residual standard deviations.

    Returns
    -------
    dict
        Arrays of shape (q, n_datasets, n_clusters or 1) by what they are the variance of and how:
        ("mean", "joint"), the fixed effect of each random effect's name; ("random effect",
        "conditional"), the random effect given the estimates, and ("random effect", "joint"), the
        fixed effects' uncertainty included; likewise "coefficient", the sum of both effects;
        ("new cluster", "joint"), the coefficient of a cluster not in the data.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> some = coefficient_variances(fit, fit.solution.covariance[None], np.array([fit.sigma]))
    >>> some["coefficient", "joint"].shape
    (2, 1, 100)
    """
    random, x = fit.random_design, fit.fixed_design.matrix
    z_z = cross_products(random.matrix, random.matrix, random.clusters)
    z_x = cross_products(random.matrix, x, random.clusters)
    scale = (sigma**2)[:, None, None]
    weights = np.linalg.solve(
        scale[:, None] * np.eye(len(z_z[0])) + covariance[:, None] @ z_z, covariance[:, None]
    )
    fixed = scale * np.linalg.inv(x.T @ x - np.einsum("cap,dcab,cbq->dpq", z_x, weights, z_x))
    given = covariance[:, None] - weights @ z_z @ covariance[:, None]
    conditional = np.clip(np.einsum("dcii->idc", given), 0, None)
    own = np.array([fit.fixed.index == name for name in random.names], float)
    moved = weights @ z_x

    def joint(rows):
        return np.einsum("dcip,dpq,dciq->idc", rows, fixed, rows, optimize=True) + conditional

    mean = np.einsum("ip,dpq,iq->id", own, fixed, own)[..., None]
    return {
        ("mean", "joint"): mean,
        ("random effect", "conditional"): conditional,
        ("random effect", "joint"): joint(moved),
        ("coefficient", "conditional"): conditional,
        ("coefficient", "joint"): joint(own - moved),
        ("new cluster", "joint"): mean + np.einsum("dii->id", covariance)[..., None],
    }
