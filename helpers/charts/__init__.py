"""Figures of the course: data frames in, charts out."""

from helpers.charts.categorical import (
    compare_predictions,
    effect_intervals,
    level_profiles,
    matrix_heatmaps,
)
from helpers.charts.explorer_charts import (
    density_explorer,
    effect_explorer,
    pull_explorer,
    school_explorer,
    shrinkage_explorer,
    student_explorer,
    weight_explorer,
    worlds_explorer,
)
from helpers.charts.fit_explorers import (
    fit_line_explorer,
    fit_path_explorer,
    ribbon_explorer,
    what_if_explorer,
)
from helpers.charts.inference import (
    bootstrap_histogram,
    density_curves,
    interval_forest,
    prediction_ribbons,
    profile_panels,
    quantile_plots,
    residual_ranges,
)
from helpers.charts.inference_explorers import correlation_explorer, posterior_explorer
from helpers.charts.likelihood import criterion_surface, speed_bars, speed_curves
from helpers.charts.linked_explorer import MOVES, PER_UNIT, linked_explorer
from helpers.charts.shrinkage import (
    cluster_lines,
    count_outside,
    estimator_errors,
    shrinkage_paths,
)
from helpers.charts.slopes import (
    effect_densities,
    prediction_lines,
    setting_densities,
    student_paths,
)
from helpers.charts.studies import bias_and_variance, treatment_panels
from helpers.charts.theme import (
    BUILDS_THE_BOOK,
    LIVE_WIDTH,
    POOLING_COLOURS,
    ChartGrid,
    image_html,
)
from helpers.charts.weighting import arm_means, distance_lines

__all__ = [
    "MOVES",
    "PER_UNIT",
    "BUILDS_THE_BOOK",
    "LIVE_WIDTH",
    "POOLING_COLOURS",
    "ChartGrid",
    "arm_means",
    "bias_and_variance",
    "bootstrap_histogram",
    "cluster_lines",
    "compare_predictions",
    "correlation_explorer",
    "count_outside",
    "criterion_surface",
    "density_curves",
    "density_explorer",
    "distance_lines",
    "effect_densities",
    "effect_explorer",
    "effect_intervals",
    "estimator_errors",
    "fit_line_explorer",
    "fit_path_explorer",
    "image_html",
    "interval_forest",
    "level_profiles",
    "linked_explorer",
    "matrix_heatmaps",
    "posterior_explorer",
    "prediction_lines",
    "prediction_ribbons",
    "profile_panels",
    "pull_explorer",
    "quantile_plots",
    "residual_ranges",
    "ribbon_explorer",
    "school_explorer",
    "setting_densities",
    "shrinkage_explorer",
    "shrinkage_paths",
    "speed_bars",
    "speed_curves",
    "student_explorer",
    "student_paths",
    "treatment_panels",
    "weight_explorer",
    "what_if_explorer",
    "worlds_explorer",
]
