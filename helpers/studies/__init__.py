"""Simulation studies: what estimators do over thousands of data sets whose truth is known.

Every number comes with its Monte Carlo standard error: how far it may be off because the data sets
are thousands, not infinitely many.
"""

from helpers.studies.coverage import coverage_study
from helpers.studies.pooling import estimation_errors, pooling_study
from helpers.studies.treatment import treatment_study
from helpers.studies.what_if import what_if_study

__all__ = [
    "coverage_study",
    "estimation_errors",
    "pooling_study",
    "treatment_study",
    "what_if_study",
]
