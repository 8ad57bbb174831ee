"""Charts with controls that answer without Python, and what each explorer computes."""

from helpers.controls import explorers
from helpers.controls.explore import ExploreError, explore

__all__ = ["ExploreError", "explore", "explorers"]
