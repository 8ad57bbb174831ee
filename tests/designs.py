"""Random-effects designs, and unbalanced data for them, that tests of the engine share."""

import numpy as np
import pytest

from helpers.models.likelihood import Block

BLOCKS = {
    "intercept": [Block(1)],
    "intercept and slope": [Block(2)],
    "three correlated effects": [Block(3)],
    "uncorrelated": [Block(1), Block(1)],
    "nested": [Block(1), Block(3, identity=True)],
    "slope and nested": [Block(2), Block(3, identity=True)],
}
every_design = pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS.keys())
both_criteria = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def unbalanced(blocks, stream, *, n_clusters, most=8):
    """Draw X (intercept and two predictors), Z, and clusters of 4 to `most` rows."""
    clusters = np.repeat(np.arange(n_clusters), stream.integers(4, most + 1, n_clusters))
    n = len(clusters)
    fixed = np.column_stack([np.ones(n), stream.normal(size=(n, 2))])
    columns, taken = [], 0
    for block in blocks:
        if block.identity:
            columns.append(np.eye(block.size)[stream.integers(0, block.size, n)])
        else:
            columns.append(fixed[:, taken : taken + block.size])
            taken += block.size
    return fixed, np.hstack(columns), clusters
