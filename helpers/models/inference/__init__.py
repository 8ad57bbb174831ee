"""How sure an estimate is: small samples, profiles, bootstrap, predictions, tests."""

from helpers.models.inference.small_sample import SmallSample, kenward_roger

__all__ = ["SmallSample", "kenward_roger"]
