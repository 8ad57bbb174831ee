"""Mixed models: formula, design matrices, likelihood, optimum and fits."""

from helpers.models.as_statsmodels import ResultsError
from helpers.models.columns import DataError
from helpers.models.estimates import Estimates
from helpers.models.fits import (
    ConvergenceError,
    MixedFit,
    PooledFit,
    fit_by_cluster,
    fit_many,
    fit_mixed,
    fit_pooled,
)
from helpers.models.formula import FormulaError, parse

__all__ = [
    "ConvergenceError",
    "DataError",
    "Estimates",
    "FormulaError",
    "MixedFit",
    "PooledFit",
    "ResultsError",
    "fit_by_cluster",
    "fit_many",
    "fit_mixed",
    "fit_pooled",
    "parse",
]
