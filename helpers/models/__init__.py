"""Mixed models: formula, design matrices, likelihood, optimum and fits."""

from helpers.models.batch import BatchFits
from helpers.models.design import DataError
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
    "BatchFits",
    "ConvergenceError",
    "DataError",
    "FormulaError",
    "MixedFit",
    "PooledFit",
    "fit_by_cluster",
    "fit_many",
    "fit_mixed",
    "fit_pooled",
    "parse",
]
