"""Mixed models: formula, design matrices, likelihood, optimum and fits."""

from helpers.models.as_statsmodels import ResultsError
from helpers.models.columns import DataError, check_columns, free_names
from helpers.models.estimates import Estimates
from helpers.models.fits import (
    ConvergenceError,
    FittedModel,
    MixedFit,
    PooledFit,
    fit_by_cluster,
    fit_many,
    fit_mixed,
    fit_pooled,
    least_squares_by_cluster,
)
from helpers.models.formula import FormulaError, column_names, mixed_formula, parse
from helpers.models.inference import (
    bootstrap,
    coefficient_variances,
    covariance_root,
    kenward_roger,
    keys_of,
    likelihood_ratio_test,
    parameters_of,
    prediction_intervals,
    profile_curves,
    profile_limits,
    values_of,
)

__all__ = [
    "ConvergenceError",
    "DataError",
    "Estimates",
    "FittedModel",
    "FormulaError",
    "MixedFit",
    "PooledFit",
    "ResultsError",
    "bootstrap",
    "check_columns",
    "coefficient_variances",
    "column_names",
    "covariance_root",
    "fit_by_cluster",
    "fit_many",
    "fit_mixed",
    "fit_pooled",
    "free_names",
    "kenward_roger",
    "keys_of",
    "least_squares_by_cluster",
    "likelihood_ratio_test",
    "mixed_formula",
    "parameters_of",
    "parse",
    "prediction_intervals",
    "profile_curves",
    "profile_limits",
    "values_of",
]
