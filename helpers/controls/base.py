"""What the rooms of the controls share: their error, and the names nobody else may use."""

from __future__ import annotations

#: Largest size of the packed states of one explorer, in bytes.
SIZE_LIMIT = 1_500_000
#: Names that a chart's expressions give another meaning to: this package's own, then Vega's.
RESERVED = frozenset(
    "row state states width height preset presets specs "
    "datum item event parent padding autosize background cursor "
    "E PI LN2 LN10 LOG2E LOG10E SQRT2 SQRT1_2 NaN MAX_VALUE MIN_VALUE Infinity undefined "
    "null true false".split()
)


class ExploreError(ValueError):
    """The grid cannot be evaluated or packed; the message says why and what to do."""
