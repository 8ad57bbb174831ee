"""Figures of the course: data frames in, charts out."""

from helpers.charts.categorical import (
    compare_predictions,
    effect_intervals,
    level_profiles,
    matrix_heatmaps,
)
from helpers.charts.shrinkage import (
    cluster_lines,
    count_outside,
    estimator_errors,
    moved_against,
    shrinkage_paths,
)
from helpers.charts.theme import POOLING_COLOURS, ChartGrid
from helpers.charts.weighting import distance_lines, group_means, weight_curves

__all__ = [
    "POOLING_COLOURS",
    "ChartGrid",
    "cluster_lines",
    "compare_predictions",
    "count_outside",
    "distance_lines",
    "effect_intervals",
    "estimator_errors",
    "group_means",
    "level_profiles",
    "matrix_heatmaps",
    "moved_against",
    "shrinkage_paths",
    "weight_curves",
]
