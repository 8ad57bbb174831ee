"""Mixed models: formula, design matrices, likelihood, optimum and fits."""

from helpers.models.batch import BatchFits
from helpers.models.design import DataError, check_columns
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
from helpers.models.formula import FormulaError, parse
from helpers.models.inference import kenward_roger

__all__ = [
    "BatchFits",
    "ConvergenceError",
    "DataError",
    "FittedModel",
    "FormulaError",
    "MixedFit",
    "PooledFit",
    "check_columns",
    "fit_by_cluster",
    "fit_many",
    "fit_mixed",
    "fit_pooled",
    "kenward_roger",
    "least_squares_by_cluster",
    "parse",
]
