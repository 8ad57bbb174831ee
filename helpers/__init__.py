"""Shrinkage in mixed-effects models: data, fits, tables and figures of the course."""

from helpers.datasets import data_note, load_gpa, load_pupils, load_sleepstudy
from helpers.design import DataError
from helpers.explore import ExploreError, explore
from helpers.fit import ConvergenceError, fit_by_cluster, fit_many, fit_mixed, fit_pooled
from helpers.formula import FormulaError
from helpers.prose import glue_numbers
from helpers.r_random import RRandom
from helpers.simulate import (
    GPA_SETTINGS,
    SCENARIOS,
    create_data,
    gpa_setting,
    treatment_clusters,
    true_coefficients,
)
from helpers.studies import pooling_study, treatment_study
from helpers.tables import (
    cluster_means,
    cluster_weights,
    coefficients,
    compare_models,
    compound_symmetry,
    estimation_errors,
    fixed_effects,
    marginal_means,
    random_covariance,
    random_effect_correlations,
    random_effects,
    reparameterize,
    shrinkage,
    summarize_fits,
    summarize_model,
    variance_components,
)

__all__ = [
    "GPA_SETTINGS",
    "SCENARIOS",
    "ConvergenceError",
    "DataError",
    "ExploreError",
    "FormulaError",
    "RRandom",
    "cluster_means",
    "cluster_weights",
    "coefficients",
    "compare_models",
    "compound_symmetry",
    "create_data",
    "data_note",
    "estimation_errors",
    "explore",
    "fit_by_cluster",
    "fit_many",
    "fit_mixed",
    "fit_pooled",
    "fixed_effects",
    "glue_numbers",
    "gpa_setting",
    "load_gpa",
    "load_pupils",
    "load_sleepstudy",
    "marginal_means",
    "pooling_study",
    "random_covariance",
    "random_effect_correlations",
    "random_effects",
    "reparameterize",
    "shrinkage",
    "summarize_fits",
    "summarize_model",
    "treatment_clusters",
    "treatment_study",
    "true_coefficients",
    "variance_components",
]
