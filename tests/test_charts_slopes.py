"""Figures of the random-slopes chapter: marks, rows, description, bad input."""

import re

import numpy as np
import pandas as pd
import pytest
import vl_convert

from helpers import charts, fit_mixed, gpa_setting, load_gpa, shrinkage
from helpers.charts.slopes import all_paths

FORMULA = "gpa ~ occasion + (1 + occasion | student)"


@pytest.fixture(scope="module")
def gpa():
    return load_gpa("synthetic")


@pytest.fixture(scope="module")
def table(gpa):
    return shrinkage(fit_mixed(FORMULA, gpa))


@pytest.fixture(scope="module")
def tables(table):
    name = "10 occasions with dropout"
    return {"as is": table, name: shrinkage(fit_mixed(FORMULA, gpa_setting(name)))}


def frames_of(chart):
    return [pd.DataFrame(rows) for rows in chart.to_dict()["datasets"].values()]


def test_path_panels_draw_everybody_and_the_student(gpa):
    grid = charts.student_paths(gpa, {17: "rises", 3: "stays flat"})
    assert grid.columns == 3 and len(grid.charts) == 2
    everybody, own = (pd.DataFrame(layer.data) for layer in grid.charts[1].layer)
    assert len(everybody) == 200 and set("012345") <= set(everybody.columns)
    grades = gpa[gpa["student"] == 3].sort_values("occasion")["gpa"]
    assert own.sort_values("occasion")["gpa"].tolist() == grades.tolist()
    assert everybody.set_index("number").loc[2, list("012345")].tolist() == grades.tolist()
    spec = grid.charts[1].to_dict()
    assert spec["title"] == "student 3: stays flat"
    assert ", ".join(f"{grade:.1f}" for grade in grades) in spec["description"]
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["line", "line"]


def test_path_panels_unfold_exactly_the_occasions(gpa):
    chart = charts.student_paths(gpa[gpa["occasion"] < 4], {1: "short"}).charts[0]
    fold = chart.to_dict()["layer"][0]["transform"][0]
    assert fold["fold"] == [*"0123", "gap"]


def test_a_path_ends_where_the_next_student_begins(gpa):
    svg = vl_convert.vegalite_to_svg(all_paths(gpa).to_dict())
    paths = re.findall(r'mark-line[^>]*><path[^>]* d="([^"]*)"', svg)
    pieces = [piece for path in paths for piece in path.split("M")[1:]]
    assert len(paths) == 20 and len(pieces) == 200
    assert {piece.count("L") for piece in pieces} == {5}


@pytest.mark.parametrize("students", [{201: "nobody"}, {1: "rises", -1: "nobody"}, {}])
def test_path_panels_refuse_unknown_or_no_students(gpa, students):
    with pytest.raises(ValueError, match="must name one or more of the column 'student'"):
        charts.student_paths(gpa, students)


def test_densities_have_a_panel_per_effect_and_integrate_to_one(table):
    grid = charts.effect_densities(table)
    assert [chart.to_dict()["title"] for chart in grid.charts] == ["intercept", "slope of occasion"]
    for chart in grid.charts:
        curves = next(frame for frame in frames_of(chart) if "density" in frame)
        assert set(curves["pooling"]) == {"no pooling", "partial pooling"}
        for _, curve in curves.groupby("pooling"):
            assert np.trapezoid(curve["density"], curve["value"]) == pytest.approx(1, abs=0.02)


def test_densities_mark_the_fixed_effect_and_tell_the_spread(table):
    spec = charts.effect_densities(table).charts[1].to_dict()
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["area", "line", "rule"]
    slopes = table[table["effect"] == "occasion"]
    rule = next(
        frame
        for frame in frames_of(charts.effect_densities(table).charts[1])
        if "density" not in frame
    )
    assert rule["value"].tolist() == [slopes["complete_pooling"].iloc[0]]
    assert f"{slopes['no_pooling'].std():.3f} without pooling" in spec["description"]
    assert f"{slopes['partial_pooling'].std():.3f} with partial pooling" in spec["description"]


def test_settings_share_both_scales_and_show_their_shrinkage(tables):
    grid = charts.setting_densities(tables, "occasion")
    assert len(grid.charts) == len(tables) + 1
    panels = [chart.to_dict() for chart in grid.charts[:-1]]
    scales = [
        tuple(tuple(panel["layer"][0]["encoding"][channel]["scale"]["domain"]) for channel in "xy")
        for panel in panels
    ]
    assert len(set(scales)) == 1
    highest = max(
        frame["density"].max()
        for chart in grid.charts[:-1]
        for frame in frames_of(chart)
        if "density" in frame
    )
    assert scales[0][1] == (0, highest)
    for name, panel in zip(tables, panels, strict=True):
        slopes = tables[name][tables[name]["effect"] == "occasion"]
        assert panel["title"] == [name, f"{slopes['shrinkage_factor'].mean():.0%} given up"]


def test_last_panel_has_the_mean_shrinkage_of_all_effects(tables):
    chart = charts.setting_densities(tables, "occasion").charts[-1]
    (points,) = frames_of(chart)
    assert len(points) == 4
    for name, table in tables.items():
        expected = table.groupby("effect")["shrinkage_factor"].mean()
        shown = points[points["setting"] == name].set_index("effect")["shrinkage_factor"]
        assert shown["intercept"] == pytest.approx(expected["Intercept"])
        assert shown["slope of occasion"] == pytest.approx(expected["occasion"])
        assert f"{name}: intercept {expected['Intercept']:.0%}" in chart.to_dict()["description"]


def test_settings_refuse_an_effect_that_is_not_there(tables):
    with pytest.raises(ValueError, match=r"effect is 'time', which the tables \['as is', "):
        charts.setting_densities(tables, "time")


def test_prediction_lines_draw_one_two_hundred_and_two_hundred(table):
    grid = charts.prediction_lines(table, "occasion", (0, 5))
    frames = [frames_of(chart)[0] for chart in grid.charts]
    assert [len(frame) for frame in frames] == [1, 200, 200] and grid.columns == 3
    own = table.pivot(index="cluster", columns="effect", values="no_pooling")
    drawn = frames[2].set_index("cluster").loc[own.index]
    assert np.allclose(drawn["start"], own["Intercept"], atol=5e-4)
    assert np.allclose(drawn["end"], own["Intercept"] + 5 * own["occasion"], atol=5e-4)
    domains = {tuple(chart.to_dict()["encoding"]["y"]["scale"]["domain"]) for chart in grid.charts}
    assert len(domains) == 1


def test_falling_lines_are_counted_and_strong(table):
    for chart, column in zip(
        charts.prediction_lines(table, "occasion", (0, 5)).charts[1:],
        ["partial_pooling", "no_pooling"],
        strict=True,
    ):
        slopes = table.loc[table["effect"] == "occasion", column].round(8)
        spec = chart.to_dict()
        assert f"{(slopes < 0).sum()} of 200 fall" in spec["title"]
        assert spec["title"].split(": ")[1] in spec["description"]
        falls = frames_of(chart)[0]["falls"]
        assert falls.sum() == (slopes < 0).sum() and falls.is_monotonic_increasing
        assert spec["encoding"]["opacity"]["condition"]["test"] == "datum.falls"


def test_a_level_line_does_not_fall():
    rows = [
        (1, "Intercept", 2.0),
        (1, "occasion", -1e-15),
        (2, "Intercept", 3.0),
        (2, "occasion", -0.1),
    ]
    table = pd.DataFrame(rows, columns=["cluster", "effect", "no_pooling"])
    table = table.assign(partial_pooling=table["no_pooling"], complete_pooling=1.0)
    titles = [
        chart.to_dict()["title"]
        for chart in charts.prediction_lines(table, "occasion", (0, 5)).charts
    ]
    assert titles == [
        "complete pooling: one line for all",
        "partial pooling: 1 of 2 fall",
        "no pooling: 1 of 2 fall",
    ]


def test_prediction_lines_refuse_a_missing_predictor(table):
    with pytest.raises(ValueError, match=r"lacks the effects \['x'\]"):
        charts.prediction_lines(table, "x", (0, 1))


def test_paths_have_the_reader_s_names_sizes_and_times():
    stream = np.random.default_rng(3)
    data = pd.DataFrame({"pain (0-10)": stream.uniform(0, 10, 30), "ward [no.]": list("abc") * 10})
    data["months"] = stream.uniform(0, 24, 30)
    names = {"response": "pain (0-10)", "predictor": "months", "cluster": "ward [no.]"}
    dropout = data.drop(index=[0, 3, 6])
    for rows in (data, dropout, dropout.assign(months=np.arange(27) // 3)):
        chart = charts.student_paths(rows, {"b": "up and down"}, **names).charts[0]
        spec = chart.to_dict()
        assert spec["title"] == "ward [no.] b: up and down"
        axes = [spec["layer"][0]["encoding"][axis]["title"] for axis in "xy"]
        assert axes == ["months", "pain (0-10)"]
        svg = vl_convert.vegalite_to_svg(spec)
        lines = re.findall(r'mark-line[^>]*><path[^>]* d="([^"]*)"', svg)
        # Of every path but the chosen one, which is drawn twice, one step less than it has points.
        assert sum(line.count("L") for line in lines) == len(rows) - 3 + 9
    with pytest.raises(ValueError, match="no column 'gpa', 'occasion', 'student'.*response="):
        charts.student_paths(data, {"b": ""})


def test_lines_are_named_by_the_fit_s_response(gpa):
    data = gpa.rename(columns={"gpa": "marks"})
    table = shrinkage(fit_mixed("marks ~ occasion + (occasion | student)", data))
    panel = charts.prediction_lines(table, "occasion", (0, 5)).charts[0].to_dict()
    assert panel["encoding"]["y"]["title"] == "predicted marks"
    with pytest.raises(ValueError, match=r"lacks the effects \['weeks'\]"):
        charts.prediction_lines(table, "weeks", (0, 5))
