"""Figures of the chapter on categorical random effects."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers import charts


def rows_of(chart):
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def layers_of(chart, mark):
    return [layer for layer in chart.to_dict()["layer"] if layer["mark"]["type"] == mark]


@pytest.fixture
def matrix():
    return pd.DataFrame([[0.5, -0.25], [-0.25, 2.0]], index=["a", "b"], columns=["c", "d"])


@pytest.fixture
def profiles():
    panels = [("each school alone", "no pooling"), ("model 2", "partial pooling")]
    return pd.DataFrame([
        {"panel": panel, "pooling": pooling, "cluster": cluster, "level": level,
         "value": cluster + number * cluster}
        for panel, pooling in panels
        for cluster in [1, 2, 3]
        for number, level in enumerate(["low", "mid", "high"])
    ])  # fmt: skip


@pytest.fixture
def intervals():
    return pd.DataFrame(
        {
            "model": ["model 1", "model 1", "model 3"],
            "label": ["sesmid", "Intercept", "10:mid"],
            "value": [0.1, -0.2, 0.3],
            "lower_2.5": [-0.1, -0.4, 0.1],
            "upper_97.5": [0.3, 0.0, 0.5],
        }
    )


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {
            "cluster": [1, 2, 1, 2],
            "level": ["low", "low", "high", "high"],
            "n": [4, 5, 0, 3],
            "model 2": [5.0, 6.0, 5.5, 8.0],
            "model 3": [5.1, 6.0, 5.5, 7.5],
        }
    )


def test_heatmap_shows_every_entry_in_its_place(matrix):
    chart = charts.matrix_heatmaps({"M": matrix}, full_shade=1).charts[0]
    entries = {(row["row"], row["column"]): row["entry"] for row in rows_of(chart)}
    assert entries == {
        ("a", "c"): "0.50",
        ("a", "d"): "-0.25",
        ("b", "c"): "-0.25",
        ("b", "d"): "2",
    }
    encoding = layers_of(chart, "rect")[0]["encoding"]
    assert encoding["x"]["sort"] == ["c", "d"] and encoding["y"]["sort"] == ["a", "b"]


def test_heatmap_shade_follows_size_up_to_the_full_shade(matrix):
    chart = charts.matrix_heatmaps({"M": matrix}, full_shade=1).charts[0]
    shade = {row["value"]: row["shade"] for row in rows_of(chart)}
    assert shade[-0.25] == pytest.approx(shade[0.5] / 2)
    assert shade[2.0] == pytest.approx(2 * shade[0.5])


def test_heatmap_marks_negative_entries_with_another_colour(matrix):
    chart = charts.matrix_heatmaps({"M": matrix}, full_shade=1).charts[0]
    colour = layers_of(chart, "rect")[0]["encoding"]["color"]
    assert colour["condition"]["test"] == "datum.value < 0"
    used = {colour["value"], colour["condition"]["value"]}
    assert len(used) == 2 and not used & set(charts.POOLING_COLOURS.values())


def test_heatmap_has_a_panel_and_a_description_per_matrix(matrix):
    grid = charts.matrix_heatmaps({"M": matrix, "N": 2 * matrix}, full_shade=1, columns=2)
    assert [chart.title for chart in grid.charts] == ["M", "N"] and grid.columns == 2
    assert grid.charts[1].description == (
        "Matrix N, columns c, d. Row a: 1, -0.50; row b: -0.50, 4."
    )


def test_heatmap_refuses_what_it_cannot_show(matrix):
    with pytest.raises(ValueError, match="at least one"):
        charts.matrix_heatmaps({}, full_shade=1)
    with pytest.raises(ValueError, match="positive"):
        charts.matrix_heatmaps({"M": matrix}, full_shade=0)
    with pytest.raises(ValueError, match="'M' has missing"):
        charts.matrix_heatmaps({"M": matrix.replace(2.0, np.nan)}, full_shade=1)


def test_profiles_have_a_line_per_cluster_in_the_colour_of_the_pooling(profiles):
    grid = charts.level_profiles(profiles, highlight=[2])
    assert [chart.title for chart in grid.charts] == ["each school alone", "model 2"]
    for chart, pooling in zip(grid.charts, ["no pooling", "partial pooling"], strict=True):
        line, thick = layers_of(chart, "line")
        assert line["mark"]["color"] == charts.POOLING_COLOURS[pooling]
        assert line["encoding"]["detail"]["field"] == "cluster"
        assert line["encoding"]["x"]["sort"] == ["low", "mid", "high"]
        assert thick["transform"] == [{"filter": {"field": "cluster", "oneOf": [2]}}]
        assert len(rows_of(chart)) == 9


def test_profiles_share_the_vertical_axis(profiles):
    profiles.loc[0, "value"] = -7.0
    scales = [
        layers_of(chart, "line")[0]["encoding"]["y"]["scale"]
        for chart in charts.level_profiles(profiles).charts
    ]
    assert scales[0] == scales[1] and scales[0]["domain"] == [-7.0, 9.0]


def test_profiles_describe_the_spread(profiles):
    # Values 1, 2, 3 at low, twice that at mid, three times at high.
    description = charts.level_profiles(profiles).charts[0].description
    assert "3 clusters" in description
    assert description.endswith("low 1.00, mid 2.00, high 3.00.")


def test_profiles_refuse_bad_input(profiles):
    with pytest.raises(ValueError, match=r"no cluster \[10\]"):
        charts.level_profiles(profiles, highlight=[10])
    with pytest.raises(ValueError, match=r"unknown pooling \['some'\]"):
        charts.level_profiles(profiles.assign(pooling="some"))
    with pytest.raises(ValueError, match="no column 'value'"):
        charts.level_profiles(profiles.drop(columns="value"))


def test_intervals_run_from_lower_to_upper(intervals):
    grid = charts.effect_intervals(intervals)
    assert [chart.title for chart in grid.charts] == ["model 1", "model 3"]
    ends = [
        rule["encoding"] for rule in layers_of(grid.charts[0], "rule") if "x2" in rule["encoding"]
    ]
    assert [(end["x"]["field"], end["x2"]["field"]) for end in ends] == [("lower", "upper")]
    drawn = {row["label"]: row for row in rows_of(grid.charts[0]) if "label" in row}
    assert drawn["sesmid"]["lower"] == -0.1 and drawn["sesmid"]["upper"] == 0.3
    assert layers_of(grid.charts[0], "point")[0]["encoding"]["x"]["field"] == "value"


def test_intervals_keep_order_and_one_axis(intervals):
    first, second = charts.effect_intervals(intervals).charts
    assert layers_of(first, "point")[0]["encoding"]["y"]["sort"] == ["sesmid", "Intercept"]
    domains = [
        layers_of(chart, "point")[0]["encoding"]["x"]["scale"]["domain"]
        for chart in (first, second)
    ]
    assert domains == [[-0.4, 0.5]] * 2


def test_intervals_always_show_zero(intervals):
    chart = charts.effect_intervals(intervals.query("model == 'model 3'")).charts[0]
    assert layers_of(chart, "point")[0]["encoding"]["x"]["scale"]["domain"] == [0, 0.5]


def test_intervals_describe_every_effect(intervals):
    assert charts.effect_intervals(intervals).charts[0].description == (
        "Dots with 95 % intervals, model 1: sesmid 0.100 (-0.100 to 0.300); "
        "Intercept -0.200 (-0.400 to 0.000)."
    )


def test_intervals_refuse_bad_input(intervals):
    with pytest.raises(ValueError, match="no column 'label'"):
        charts.effect_intervals(intervals.drop(columns="label"))
    with pytest.raises(ValueError, match="no rows"):
        charts.effect_intervals(intervals[:0])


def test_predictions_have_a_panel_per_level_with_equal_axes(predictions):
    grid = charts.compare_predictions(predictions, "model 2", "model 3", highlight=[2])
    assert [chart.title for chart in grid.charts] == ["low", "high"]
    for chart in grid.charts:
        for layer in chart.to_dict()["layer"]:
            for channel, name in [("x", "model 2"), ("y", "model 3")]:
                assert layer["encoding"][channel]["title"] == name
                assert layer["encoding"][channel]["scale"]["domain"] == [5.0, 8.0]
    rows = [row for row in rows_of(grid.charts[1]) if "cluster" in row]
    assert [(row["horizontal"], row["vertical"]) for row in rows] == [(5.5, 5.5), (8.0, 7.5)]


def test_predictions_mark_empty_cells_and_chosen_clusters(predictions):
    grid = charts.compare_predictions(predictions, "model 2", "model 3", highlight=[2])
    rows = {row["cluster"]: row for row in rows_of(grid.charts[1]) if "cluster" in row}
    assert rows[1]["observed"] == "no" and rows[2]["observed"] == "yes"
    assert rows[1]["chosen"] == "no" and rows[2]["chosen"] == "yes"
    dots, empty, ring = layers_of(grid.charts[1], "point")
    assert dots["transform"] == [{"filter": "datum.observed == 'yes'"}]
    assert empty["transform"] == [{"filter": "datum.observed == 'no'"}]
    assert empty["mark"]["shape"] == "diamond"
    assert ring["transform"] == [{"filter": "datum.chosen == 'yes'"}]


def test_predictions_describe_the_differences(predictions):
    low, high = charts.compare_predictions(predictions, "model 2", "model 3").charts
    assert low.description.endswith("difference 0.05, largest 0.10; 0 without observations.")
    assert high.description.endswith("difference 0.25, largest 0.50; 1 without observations.")


def test_predictions_refuse_bad_input(predictions):
    with pytest.raises(ValueError, match="no column 'model 9'"):
        charts.compare_predictions(predictions, "model 2", "model 9")
    with pytest.raises(ValueError, match=r"no cluster \[3\]"):
        charts.compare_predictions(predictions, "model 2", "model 3", highlight=[3])


def test_figures_reach_the_page_in_its_width_and_text_colour(
    matrix, profiles, intervals, predictions
):
    grids = [
        charts.matrix_heatmaps({"M": matrix}, full_shade=1),
        charts.level_profiles(profiles),
        charts.effect_intervals(intervals),
        charts.compare_predictions(predictions, "model 2", "model 3"),
    ]
    for chart in [chart for grid in grids for chart in grid.charts]:
        spec = chart.to_dict()
        assert spec["width"] == "container" and spec["description"]
        assert "black" not in json.dumps(spec) and spec["config"]["background"] == "transparent"
