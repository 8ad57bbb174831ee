"""Charts with controls that answer without Python, and what each explorer computes."""

from helpers.controls import explorers
from helpers.controls.base import ExploreError
from helpers.controls.fit_explorers import explore_fit, explore_predictions, explore_what_if
from helpers.controls.widget import explore

__all__ = [
    "ExploreError",
    "explore",
    "explore_fit",
    "explore_predictions",
    "explore_what_if",
    "explorers",
]
