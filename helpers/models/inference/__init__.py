"""How sure an estimate is: small samples, profiles, bootstrap, predictions, tests."""

from helpers.models.inference.comparison import likelihood_ratio_test
from helpers.models.inference.parameters import keys_of, parameters_of, values_of
from helpers.models.inference.prediction import coefficient_variances, prediction_intervals
from helpers.models.inference.profile import profile_curves, profile_limits
from helpers.models.inference.resampling import bootstrap, covariance_root
from helpers.models.inference.small_sample import SmallSample, kenward_roger

__all__ = [
    "SmallSample",
    "bootstrap",
    "coefficient_variances",
    "covariance_root",
    "keys_of",
    "kenward_roger",
    "likelihood_ratio_test",
    "parameters_of",
    "prediction_intervals",
    "profile_curves",
    "profile_limits",
    "values_of",
]
