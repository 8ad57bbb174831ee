"""What a fitted model says, as tidy data frames.

Columns follow the sources' tables (R packages mixedup, emmeans and MuMIn): one row per term,
variance, random effect, cluster, level or model.
"""

from helpers.tables.base import POOLINGS
from helpers.tables.checks import normal_quantiles, residuals_by_cluster
from helpers.tables.comparison import compare_models, summarize_fits, summarize_model
from helpers.tables.contrasts import marginal_slopes, pairwise_contrasts
from helpers.tables.data_checks import check_data, check_response, complete_rows
from helpers.tables.data_design import check_roles, describe_design
from helpers.tables.densities import ESTIMATES, density_grid, estimate_densities
from helpers.tables.display import show_numbers_plainly
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
from helpers.tables.pooling import cluster_curves, shrinkage
from helpers.tables.report import report
from helpers.tables.variance_shares import (
    compare_with_pooled,
    intraclass_correlation,
    r_squared,
)

__all__ = [
    "ESTIMATES",
    "POOLINGS",
    "check_data",
    "check_response",
    "check_roles",
    "describe_design",
    "cluster_curves",
    "cluster_means",
    "cluster_weights",
    "coefficients",
    "compare_models",
    "compare_with_pooled",
    "complete_rows",
    "compound_symmetry",
    "density_grid",
    "estimate_densities",
    "fixed_effects",
    "intervals",
    "intraclass_correlation",
    "normal_quantiles",
    "residuals_by_cluster",
    "marginal_means",
    "marginal_slopes",
    "pairwise_contrasts",
    "r_squared",
    "random_covariance",
    "random_effect_correlations",
    "random_effects",
    "reparameterize",
    "report",
    "shrinkage",
    "summarize_fits",
    "summarize_model",
    "variance_components",
]

show_numbers_plainly()
