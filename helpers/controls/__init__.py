"""Charts with controls that answer without Python, and what each explorer computes."""

from helpers.controls import explorers
from helpers.controls.base import ExploreError
from helpers.controls.widget import explore

__all__ = ["ExploreError", "explore", "explorers"]
