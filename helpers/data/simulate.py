"""Simulated clustered data: the sources' own data sets, row for row, and variations on them.

Random numbers are R's (:mod:`helpers.data.r_random`), drawn in the order in which the sources draw
them, so a seed means here what it means there.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from helpers.data.r_random import RRandom, check_integer, check_number

#: Arguments of :func:`create_data` for the six scenarios of Clark (2019).
SCENARIOS = {
    "baseline": {},
    "more cluster variance": {"sd_int": 1, "sd_slope": 1},
    "more slope variance": {"sd_int": 0.25, "sd_slope": 1},
    "3 observations per cluster": {"obs_per_cluster": 3},
    "100 observations per cluster": {"obs_per_cluster": 100},
    "unbalanced": {"balanced": 0.5, "sd_int": 0.5, "sd_slope": 0.5, "sigma": 0.25},
}

_N_STUDENTS = 200
_GPA_FIXED = (2.599, 0.106)
_GPA_RANDOM_SDS = np.array([0.213, 0.067])
_GPA_CORRELATION = -0.1
_GPA_RESIDUAL_SD = 0.206
_GPA_DESIGNS = {
    "as is": {"n_occasions": 6},
    "many occasions": {"n_occasions": 20},
    "strong clusters": {"n_occasions": 6, "random_factor": 2, "residual_factor": 0.5},
    "4 occasions": {"n_occasions": 4},
    "10 occasions with dropout": {"n_occasions": 10, "dropout": True},
}
#: The names :func:`gpa_setting` knows.
GPA_SETTINGS = tuple(_GPA_DESIGNS)


def create_data(
    obs_per_cluster=10,
    n_cluster=100,
    intercept=1,
    beta=0.5,
    sigma=1,
    sd_int=0.5,
    sd_slope=0.25,
    cor=0,
    balanced=1,
    seed=888,
):
    """Simulate clusters whose intercept and slope vary.

    Parameters
    ----------
    obs_per_cluster, n_cluster : int
        Observations in each cluster and number of clusters, 1 or more.
    intercept, beta : float
        Fixed intercept and fixed slope of x.
    sigma : float
        Residual standard deviation, 0 or more.
    sd_int, sd_slope : float
        Standard deviations of the random intercepts and of the random slopes, 0 or more.
    cor : float
        **Covariance** of random intercepts and slopes, in spite of its name: the source puts it
        into the covariance matrix as it is. The correlation is ``cor / (sd_int * sd_slope)``.
    balanced : float
        Share of all rows to keep, from 0 to 1. Below 1 the rows kept are random, so clusters
        differ in size and a few may vanish.
    seed : int
        As in R's ``set.seed``.

    Returns
    -------
    pandas.DataFrame
        Columns y, x (standard normal) and cluster (1 to `n_cluster`). Rows stand in the source's
        order, which is shuffled even when all are kept.

    Raises
    ------
    TypeError
        If an argument is not a number, or a count or the seed not an integer.
    ValueError
        If an argument is out of range, the covariance larger than the sds allow, or no row left.

    Notes
    -----
    y_ic = (b0 + re0_c) + (b1 + re1_c) x_ic + e_ic, as in Clark, M. (2019). *Shrinkage in Mixed
    Effects Models*. Draws in his order: x, random effects, residuals, then the rows to keep.

    Examples
    --------
    >>> create_data().round(3).head(2)
           y      x  cluster
    0 -0.133 -0.446       19
    1  1.385  0.950       45
    """
    sigma = check_number("sigma", sigma, minimum=0)
    balanced = check_number("balanced", balanced, minimum=0, maximum=1)
    truth, x, stream = _start(
        obs_per_cluster, n_cluster, intercept, beta, sd_int, sd_slope, cor, seed
    )
    n_kept = round(len(x) * balanced)
    if n_kept == 0:
        raise ValueError(
            f"balanced is {balanced:g}, which keeps none of the {len(x)} rows; it must keep at "
            "least one. Choose a larger share or more observations."
        )
    residual = stream.normal(len(x), sd=sigma)
    row = truth.loc[truth.index.repeat(obs_per_cluster)].reset_index(drop=True)
    y = row["Intercept"] + row["x"] * x + residual
    data = pd.DataFrame({"y": y, "x": x, "cluster": row["cluster"]})
    return data.iloc[stream.sample(len(x), n_kept) - 1].reset_index(drop=True)


def true_coefficients(
    obs_per_cluster=10,
    n_cluster=100,
    intercept=1,
    beta=0.5,
    sigma=1,
    sd_int=0.5,
    sd_slope=0.25,
    cor=0,
    balanced=1,
    seed=888,
):
    """Tell the coefficients behind :func:`create_data` called with the same arguments.

    Parameters
    ----------
    obs_per_cluster, n_cluster, intercept, beta, sigma, sd_int, sd_slope, cor, balanced, seed
        As in :func:`create_data`; `sigma` and `balanced` change nothing here.

    Returns
    -------
    pandas.DataFrame
        One row per cluster, also for a cluster that `balanced` left without rows. Columns
        cluster, Intercept and x: fixed effect plus simulated random effect.

    Raises
    ------
    TypeError, ValueError
        As :func:`create_data`.

    Examples
    --------
    >>> true_coefficients(n_cluster=2).round(3)
       cluster  Intercept      x
    0        1      0.974  0.430
    1        2      0.626  0.694
    """
    check_number("sigma", sigma, minimum=0)
    check_number("balanced", balanced, minimum=0, maximum=1)
    return _start(obs_per_cluster, n_cluster, intercept, beta, sd_int, sd_slope, cor, seed)[0]


def treatment_clusters(sizes, seed, *, sigma=1, sd_cluster=3, effect=5):
    """Simulate clusters of given sizes, the first half control and the second half intervention.

    Parameters
    ----------
    sizes : iterable of int
        Observations in each cluster, 1 or more; an even number of clusters.
    seed : int
        As in R's ``set.seed``.
    sigma, sd_cluster : float
        Standard deviations of the residuals and of the clusters' random effects, 0 or more.
    effect : float
        What the intervention adds.

    Returns
    -------
    pandas.DataFrame
        Columns y, treatment (categorical: control, intervention) and cluster (1, 2, ...), one row
        per observation, cluster after cluster.

    Raises
    ------
    TypeError, ValueError
        If `sizes` is not such a list, or another argument not such a number.

    Notes
    -----
    y_ic = effect * intervention_c + re_c + e_ic, as in the Cross Validated question on mixed
    models and small clusters (November 2023). All residuals are drawn before the random effects.

    Examples
    --------
    >>> treatment_clusters([2, 1], 824523).round(3)
           y     treatment  cluster
    0  0.341       control        1
    1  2.414       control        1
    2  6.462  intervention        2
    """
    sizes = _cluster_sizes(sizes)
    sigma = check_number("sigma", sigma, minimum=0)
    sd_cluster = check_number("sd_cluster", sd_cluster, minimum=0)
    effect = check_number("effect", effect)
    stream = RRandom(seed)
    residual = stream.normal(sum(sizes), sd=sigma)
    random_effect = stream.normal(len(sizes), sd=sd_cluster)
    intervention = np.arange(len(sizes)) >= len(sizes) // 2
    row = np.repeat(np.arange(len(sizes)), sizes)
    treatment = pd.Categorical.from_codes(
        intervention[row].astype(int), ["control", "intervention"]
    )
    y = (effect * intervention + random_effect)[row] + residual
    return pd.DataFrame({"y": y, "treatment": treatment, "cluster": row + 1})


def gpa_setting(name, seed=888):
    """Simulate students' grades in one of five settings around the fit to the GPA data.

    Parameters
    ----------
    name : str
        One of :data:`GPA_SETTINGS`. "as is": 200 students, 6 occasions. "many occasions": 20.
        "strong clusters": random-effect sds doubled, residual sd halved. "4 occasions".
        "10 occasions with dropout": a student stays for 2 to 10 occasions, 6 on average, so there
        are about the 1,200 rows of the original.
    seed : int
        As in R's ``set.seed``.

    Returns
    -------
    pandas.DataFrame
        Columns student (1 to 200), occasion (0, 1, ...) and gpa. The model knows no scale, so
        over 20 occasions gpa leaves the range of real grades.

    Raises
    ------
    TypeError, ValueError
        If `name` is not a setting or `seed` not an integer.

    Notes
    -----
    The five settings follow Clark, M. *Mixed Models with R*, "More Random Effects". Parameters are
    the published estimates: intercept 2.599, slope .106, random-effect sds .213 and .067, their
    correlation -.1, residual sd .206.

    Examples
    --------
    >>> len(gpa_setting("as is"))
    1200
    """
    if name not in GPA_SETTINGS:
        raise ValueError(
            f"name is {name!r}; the settings are {', '.join(GPA_SETTINGS)}. Choose one of them."
        )
    return _simulate_grades(RRandom(seed), **_GPA_DESIGNS[name])


def _start(obs_per_cluster, n_cluster, intercept, beta, sd_int, sd_slope, cor, seed):
    """Check the arguments, draw x and the random effects; hand on the stream after them."""
    obs_per_cluster = check_integer("obs_per_cluster", obs_per_cluster, minimum=1)
    n_cluster = check_integer("n_cluster", n_cluster, minimum=1)
    fixed = [check_number("intercept", intercept), check_number("beta", beta)]
    covariance = _covariance(sd_int, sd_slope, cor)
    stream = RRandom(seed)
    x = stream.normal(obs_per_cluster * n_cluster)
    coefficients = fixed + stream.multivariate_normal(n_cluster, covariance)
    truth = pd.DataFrame(coefficients, columns=["Intercept", "x"])
    truth.insert(0, "cluster", np.arange(1, n_cluster + 1))
    return truth, x, stream


def _covariance(sd_int, sd_slope, cor):
    sd_int = check_number("sd_int", sd_int, minimum=0)
    sd_slope = check_number("sd_slope", sd_slope, minimum=0)
    cor = check_number("cor", cor)
    largest = sd_int * sd_slope
    # Rounding alone must not refuse a correlation of exactly 1.
    if abs(cor) > largest * (1 + 1e-12):
        raise ValueError(
            f"cor is {cor:g}, but it is a covariance: with sd_int {sd_int:g} and sd_slope "
            f"{sd_slope:g} it must be from {-largest:g} to {largest:g}, else the covariance is "
            "not positive semi-definite. Give correlation * sd_int * sd_slope."
        )
    return [[sd_int**2, cor], [cor, sd_slope**2]]


def _cluster_sizes(sizes):
    if isinstance(sizes, str) or not isinstance(sizes, Iterable):
        raise TypeError(
            f"sizes is {sizes!r}; it must be a list of integers. Give one size for each cluster."
        )
    sizes = [check_integer("each of sizes", size, minimum=1) for size in sizes]
    if not sizes or len(sizes) % 2:
        raise ValueError(
            f"sizes has {len(sizes)} clusters; their number must be even and not 0, half of them "
            "control and half intervention. Add or leave out a cluster."
        )
    return sizes


def _simulate_grades(stream, *, n_occasions, random_factor=1, residual_factor=1, dropout=False):
    sds = random_factor * _GPA_RANDOM_SDS
    correlation = np.array([[1, _GPA_CORRELATION], [_GPA_CORRELATION, 1]])
    random_effects = stream.multivariate_normal(_N_STUDENTS, correlation * np.outer(sds, sds))
    student, occasion = np.divmod(np.arange(_N_STUDENTS * n_occasions), n_occasions)
    coefficients = (_GPA_FIXED + random_effects)[student]
    residual = stream.normal(len(student), sd=residual_factor * _GPA_RESIDUAL_SD)
    gpa = coefficients[:, 0] + coefficients[:, 1] * occasion + residual
    data = pd.DataFrame({"student": student + 1, "occasion": occasion, "gpa": gpa})
    if not dropout:
        return data
    n_stayed = 2 + np.floor((n_occasions - 1) * stream.uniform(_N_STUDENTS))
    return data[occasion < n_stayed[student]].reset_index(drop=True)
