"""What a fitted model says, as tidy data frames.

Columns follow the sources' tables (R packages mixedup, emmeans and MuMIn): one row per term,
variance, random effect, cluster, level or model.
"""

from helpers.tables.comparison import compare_models, summarize_fits, summarize_model
from helpers.tables.densities import ESTIMATES, density_grid, estimate_densities
from helpers.tables.effects import (
    coefficients,
    compound_symmetry,
    fixed_effects,
    random_covariance,
    random_effect_correlations,
    random_effects,
    reparameterize,
    variance_components,
)
from helpers.tables.intervals import intervals
from helpers.tables.means import cluster_means, cluster_weights, marginal_means
from helpers.tables.pooling import estimation_errors, shrinkage

__all__ = [
    "ESTIMATES",
    "cluster_means",
    "cluster_weights",
    "coefficients",
    "compare_models",
    "compound_symmetry",
    "density_grid",
    "estimate_densities",
    "estimation_errors",
    "fixed_effects",
    "intervals",
    "marginal_means",
    "random_covariance",
    "random_effect_correlations",
    "random_effects",
    "reparameterize",
    "shrinkage",
    "summarize_fits",
    "summarize_model",
    "variance_components",
]
