"""What the explorers compute for one setting of their controls."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.fit import fit_mixed
from helpers.simulate import SCENARIOS, create_data
from helpers.tables import shrinkage, summarize_fits

#: Values the shrinkage explorer offers; its grid holds all their combinations.
SHRINKAGE_CONTROLS = {
    "observations_per_cluster": [3, 5, 10, 20, 50, 100],
    "sd_of_intercepts": [0.25, 0.5, 1],
    "sd_of_slopes": [0.25, 0.5, 1],
    "residual_sd": [0.25, 1],
    "cluster_sizes": ["equal", "unequal"],
    "sample": {"A": 888, "B": 889},
}
_N_CLUSTERS = 100


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
        One row per cluster: group, n, no_Intercept, no_x, partial_Intercept, partial_x, and the
        estimates of the whole fit, the same in all rows. A cluster without a line of its own
        (fewer than two rows) stands where the mixed model puts it.

    Examples
    --------
    >>> shrinkage_sample()[["group", "n", "no_x", "partial_x", "sd_x"]].round(2).head(1)
       group   n  no_x  partial_x  sd_x
    0      1  10  0.08       0.33  0.24
    """
    unequal = cluster_sizes == "unequal"
    data = create_data(
        obs_per_cluster=observations_per_cluster * (2 if unequal else 1),
        n_cluster=_N_CLUSTERS,
        sigma=residual_sd,
        sd_int=sd_of_intercepts,
        sd_slope=sd_of_slopes,
        balanced=0.5 if unequal else 1,
        seed=sample,
    )
    fit = fit_mixed("y ~ x + (x | cluster)", data)
    return _clusters(fit).assign(**_read_outs(fit))


def _clusters(fit) -> pd.DataFrame:
    table = shrinkage(fit)
    wide = table.pivot(index="group", columns="effect", values=["no_pooling", "partial_pooling"])
    wide.columns = [f"{which.removesuffix('_pooling')}_{effect}" for which, effect in wide.columns]
    wide.insert(0, "n", table.groupby("group")["n"].first())
    wide = wide.reindex(np.arange(1, _N_CLUSTERS + 1))
    wide["n"] = wide["n"].fillna(0).astype(int)
    for effect, center in fit.fixed.items():
        # No rows at all: a new cluster, for which the best guess is the fixed effect.
        wide[f"partial_{effect}"] = wide[f"partial_{effect}"].fillna(center)
        wide[f"no_{effect}"] = wide[f"no_{effect}"].fillna(wide[f"partial_{effect}"])
    return wide.rename_axis("group").reset_index()


def _read_outs(fit) -> dict[str, float]:
    estimates = summarize_fits({"fit": fit}).loc["fit"]
    correlation = estimates["cor Intercept, x"]
    return {
        "fixed_Intercept": estimates["fixed Intercept"],
        "fixed_x": estimates["fixed x"],
        "sd_Intercept": estimates["sd Intercept"],
        "sd_x": estimates["sd x"],
        "sd_residual": estimates["sd Residual"],
        # A variance of zero has no correlation.
        "correlation": correlation if np.isfinite(correlation) else 0.0,
        "shrinkage_Intercept": estimates["shrinkage Intercept"],
        "shrinkage_x": estimates["shrinkage x"],
    }
