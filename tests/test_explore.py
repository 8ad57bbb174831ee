"""Packing of states, and what explore refuses."""

import base64
import os
import re
import time
import traceback
import zlib

import altair as alt
import ipywidgets as widgets
import numpy as np
import pandas as pd
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers import explore as explore_function
from helpers.charts import BUILDS_THE_BOOK, ChartGrid
from helpers.controls import ExploreError, explore, explorers, grid, widget
from helpers.controls.chart import EVERY, fields_of
from helpers.controls.grid import compress, pack
from helpers.data.datasets import load_gpa


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "borrowing-strength"


def points():
    return alt.Chart().mark_point().encode(x="x:Q", y="y:Q").properties(description="points")


def line(slope=2, shift="none"):
    return pd.DataFrame({"x": [0, 1, 2], "y": slope * np.arange(3) + (shift == "up")})


@given(arrays(float, (4, 3), elements=st.floats(-1e6, 1e6)))
def test_numbers_survive_packing_to_half_a_step(values):
    (column,), states = pack({"y": values})
    half_a_step = (values.max() - values.min()) / 65534 / 2
    for state, expected in enumerate(values):
        error = np.abs(column.unpack(states, state, 3) - expected)
        assert (error <= half_a_step * 1.001 + 1e-9).all()


def test_integers_and_strings_survive_packing_exactly():
    frames = {"n": np.array([[3, 70], [5, -9]]), "who": np.array([["a", "b"], ["b", "it's"]])}
    columns, states = pack(frames)
    for column in columns:
        for state in (0, 1):
            assert list(column.unpack(states, state, 2)) == list(frames[column.name][state])


def test_what_repeats_is_stored_once():
    columns, states = pack(
        {"both": np.array([[1, 2], [3, 4]]), "row": np.array([[1, 2], [1, 2]]),
         "state": np.array([[1, 1], [2, 2]]), "none": np.array([[7, 7], [7, 7]])}
    )  # fmt: skip
    assert [(c.row_stride, c.state_stride) for c in columns] == [(2, 1), (1, 0), (0, 1), (0, 0)]
    assert len(states) == 4 + 2 + 2 + 1


def test_controls_take_interacts_forms_and_the_functions_defaults():
    shown = explore(line, points(), slope=[1, 2, 3], shift=["none", "up"])
    assert [type(control).__name__ for control in shown.controls.values()] == [
        "SelectionSlider",
        "ToggleButtons",
    ]
    assert shown.values == {"slope": 2, "shift": "none"}
    shown.controls["slope"].value = 3
    assert shown.values["slope"] == 3
    labelled = explore(line, points(), slope={"flat": 0, "steep": 9})
    assert labelled.controls["slope"].value == 0
    many = explore(line, points(), shift=["none", "up", "down", "left"])
    assert type(many.controls["shift"]).__name__ == "Dropdown"


def test_folded_controls_stand_below_the_chart():
    shown = explore(line, points(), slope=[1, 2], shift=["none", "up"], folds={"More": ["shift"]})
    above, chart, below = shown._view.children
    assert [control.description for control in above.children] == ["slope"]
    assert chart is shown.chart
    assert below.titles == ("More",) and below.selected_index is None
    assert [control.description for control in below.children[0].children] == ["shift"]


@pytest.mark.parametrize("folds", [{"More": ["size"]}, {"A": ["slope"], "B": ["slope"]}])
def test_folds_name_each_control_once(folds):
    with pytest.raises(TypeError, match="which is no control or is in two folds"):
        explore(line, points(), slope=[1, 2], folds=folds)


def test_what_moves_between_names_is_not_moved_by_a_slider():
    shown = explore(
        line, points(), slope=[1, 2], shift=["none", "up"], presets={"up": {"slope": 2}}
    )
    assert shown.chart.moving == ["preset", "shift"]


def test_a_parameter_of_the_chart_is_not_handed_to_the_function():
    chart = points().add_params(alt.param(name="share", value=40))
    shown = explore(line, chart, slope=[1, 2], share=(0, 100))
    assert shown.values == {"slope": 2, "share": 40}
    assert shown.chart.share == 40


def test_the_state_is_looked_up_in_the_order_of_the_grid():
    shown = explore(line, points(), slope=[1, 2, 3], shift=["none", "up"])
    parameters = {p["name"]: p for p in shown.chart.specs[0]["params"]}
    assert parameters["state"]["expr"] == "slope * 2 + shift * 1"
    columns, states = pack({"y": np.stack([line(s, h)["y"] for s in (1, 2, 3)
                                           for h in ("none", "up")])})  # fmt: skip
    assert columns[0].unpack(states, 2 * 2 + 1, 3).tolist() == line(3, "up")["y"].tolist()


def repeated(parts):
    rows = alt.Chart().transform_calculate(part=parts).transform_flatten(["part"])
    drawn = rows.transform_calculate(end="[datum.lifted, 0][datum.part]").mark_line()
    whole = alt.layer(drawn.encode(x="x:Q", y="end:Q"), points())
    return whole.transform_calculate(lifted="datum.y + 1").properties(description="ends")


def test_constants_repeat_rows_before_they_are_looked_up():
    spec = explore(line, repeated("[0, 1]"), slope=[1, 2, 3]).chart.specs[0]
    ends, whole = spec["layer"]
    assert ends["data"] == spec["data"]
    steps = [step.get("as", "flatten") for step in ends["transform"]]
    assert steps == ["part", "flatten", "x", "y", "lifted", "end"]
    assert "data" not in whole
    assert [step["as"] for step in spec["transform"]] == ["x", "y", "lifted"]


def test_rows_repeated_by_a_column_are_looked_up_first():
    spec = explore(line, repeated("sequence(datum.y)"), slope=[1, 2, 3]).chart.specs[0]
    assert all("data" not in layer for layer in spec["layer"])
    filtered = repeated("[0, 1]").transform_filter("datum.y > 0")
    spec = explore(line, filtered, slope=[1, 2, 3]).chart.specs[0]
    assert all("data" not in layer for layer in spec["layer"])


def only(condition):
    """Layers of the rows of a condition, which belongs to all of them, and a layer of all rows."""
    some = alt.layer(points(), points().mark_line()).transform_filter(condition)
    return alt.layer(some, points()).properties(description="some of the points")


@pytest.mark.parametrize("condition", ["datum.x == 1", "datum['x'] == 1", alt.datum.x == 1])
def test_rows_are_chosen_by_constants_before_they_are_looked_up(condition):
    spec = explore(line, only(condition), slope=[1, 2, 3]).chart.specs[0]
    some, whole = spec["layer"]
    assert some["data"] == spec["data"]
    assert [step.get("as", "filter") for step in some["transform"]] == ["x", "filter", "y"]
    assert all("data" not in layer for layer in [whole, *some["layer"]])


def test_rows_chosen_by_what_a_control_changes_are_looked_up_first():
    spec = explore(line, only("datum.y > 1"), slope=[1, 2, 3]).chart.specs[0]
    assert all("data" not in layer for layer in spec["layer"])
    assert [step["as"] for step in spec["transform"]] == ["x", "y"]


def test_layers_keep_data_of_their_own():
    floor = alt.Chart(pd.DataFrame({"x": [0, 2], "floor": [0, 0]})).transform_filter("true")
    both = alt.layer(floor.mark_line().encode(x="x:Q", y="floor:Q"), points())
    explorer = explore(line, both.properties(description="above a floor"), slope=[1, 2, 3])
    own, whole = explorer.chart.specs[0]["layer"]
    assert own["data"]["name"] in explorer.chart.specs[0]["datasets"]
    assert own["transform"] == [{"filter": "true"}] and "data" not in whole


def test_the_number_of_a_row_is_a_field_for_print_too():
    shown = explore(line, only("datum.row == 2"), slope=[1, 2, 3])
    some, _ = shown.chart.specs[0]["layer"]
    assert [step.get("as", "filter") for step in some["transform"]] == ["filter", "x", "y"]
    # The line of the last row, whose point lies in the upper right corner.
    svg = vl_convert.vegalite_to_svg({**shown.first_state[0], "width": 640})
    assert "M640,0Z" in svg


def level(heights=1):
    return pd.DataFrame(
        {"x": [0, 1, 2], "tall": heights, "low": -heights, "word": f"height {heights}"}
    )


def test_a_column_that_is_only_a_parameter_is_not_looked_up_in_every_row():
    chart = (
        alt.Chart(title=alt.Title(text=alt.expr("word")))
        .transform_filter("tall > 0")
        .transform_calculate(lifted="tall", floor="datum.low")
        .mark_point()
        .encode(
            alt.X("x:Q", scale=alt.Scale(domain=[0, alt.expr("tall")])),
            y="lifted:Q",
            y2="floor:Q",
            opacity=alt.condition("tall > 1", alt.value(1), alt.value(0.5)),
        )
        .properties(description="points at one height")
    )
    spec = explore(level, chart, heights=[1, 2, 3]).chart.specs[0]
    looked_up = [step["as"] for step in spec["transform"] if "calculate" in step]
    assert looked_up == ["x", "low", "lifted", "floor"]
    assert {"tall", "low", "word"} <= {parameter["name"] for parameter in spec["params"]}


def failing(slope=1):
    if slope == 3:
        raise ZeroDivisionError("planted")
    return line(slope)


def growing(slope=1):
    return line(slope).head(1 if slope < 3 else 3)


def renaming(slope=1):
    return line(slope).rename(columns={"y": "y" if slope < 3 else "z"})


def infinite(slope=1):
    return line(slope).assign(y=[0, 1, np.inf if slope == 3 else slope])


def missing(slope=1):
    return line(slope).assign(who=["a", "b", None if slope == 3 else "c"])


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (failing, "ZeroDivisionError: planted"),
        (growing, "3 rows of .*the first combination 1 rows"),
        (renaming, r"3 rows of \['x', 'z'\]"),
        (infinite, "missing or infinite values in its column y"),
        (missing, "missing or infinite values in its column who"),
    ],
)
def test_the_failing_combination_is_named(function, cause):
    with pytest.raises(ExploreError, match=rf"{function.__name__}\(slope=3\) .*{cause}"):
        explore(function, points(), slope=[1, 2, 3])


def test_a_grid_too_large_is_refused_before_it_is_evaluated():
    calls = []

    def counted(a=0, b=0):
        calls.append(a)
        return pd.DataFrame({"x": range(1000), "y": range(1000)})

    with pytest.raises(ExploreError, match=r"400 states \(20 a x 20 b\).*1,600,000 bytes.*limit"):
        explore(counted, points(), a=list(range(20)), b=list(range(20)))
    assert len(calls) == 1


def test_a_worker_leaves_no_traceback_before_the_message(monkeypatch):
    monkeypatch.setattr(grid, "_WORTH_PROCESSES", -1)
    monkeypatch.setattr(grid, "_TRIAL", 0)
    with pytest.raises(ExploreError) as caught:
        explore(failing, points(), slope=[1, 2, 3])
    shown = "".join(traceback.format_exception(caught.value))
    assert "RemoteTraceback" not in shown and "direct cause" not in shown


def test_one_slow_result_that_helps_all_others_starts_no_processes(monkeypatch):
    monkeypatch.setattr(grid, "_WORTH_PROCESSES", 0.5)
    monkeypatch.setattr(grid, "_TRIAL", 0.01)
    asked = []

    def slow_at_first(slope=1):
        if not asked:
            time.sleep(0.1)
        asked.append(slope)
        return line(slope)

    explore(slow_at_first, points(), slope=list(range(20)))
    # A worker's list would not be this one.
    assert asked == list(range(20))


@pytest.mark.parametrize("name", ["datum", "PI", "state", "layout", "not a name"])
def test_names_with_another_meaning_are_refused(name):
    def renamed(slope=1):
        return line(slope).rename(columns={"y": name})

    with pytest.raises((TypeError, ExploreError), match="another"):
        explore(lambda **values: line(), points(), **{name: [1, 2]})
    if name != "layout":
        with pytest.raises(ExploreError, match=f"column {name!r}.*another name"):
            explore(renamed, points(), slope=[1, 2])


def test_a_column_may_not_have_the_name_of_a_control():
    def returning(slope=1):
        return line(slope).assign(slope=slope)

    with pytest.raises(ExploreError, match="column 'slope', and a control .*another name"):
        explore(returning, points(), slope=[1, 2])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"encoding": {"x": {"field": "y", "value": "x", "sort": "-x", "title": "x"}}}, {"y"}),
        ({"encoding": {"color": {"field": "kind", "legend": {"labelExpr": "datum.value"}}}},
         {"kind"}),
        ({"encoding": {"y": {"field": "y", "axis": {"labelColor": {"condition": {
            "test": "datum.value > 0", "value": "red"}}}}}}, {"y"}),
        ({"mark": {"type": "text", "text": {"expr": "datum.words"}}}, {"words"}),
        ({"mark": "point", "encoding": {"size": {"condition": {"test": "datum['n'] > 1",
                                                               "value": 4}}}}, {"n"}),
        ({"transform": [{"filter": "'datum.no' == \"datum.no\" && datum.yes"}]}, {"yes"}),
        ({"transform": [{"filter": {"field": "value", "oneOf": ["x", "y"]}}]}, {"value"}),
        ({"transform": [{"window": [{"op": "sum", "field": "value", "as": "total"}],
                         "groupby": ["kind"], "sort": [{"field": "x"}]}]},
         {"value", "kind", "x"}),
        ({"transform": [{"pivot": "kind", "value": "value", "groupby": ["x"]}]},
         {"kind", "value", "x"}),
        ({"transform": [{"fold": ["x", "y"], "as": ["key", "value"]}]}, {"x", "y"}),
        ({"transform": [{"calculate": "datum[chosen]", "as": "x"}]}, {EVERY}),
        ({"transform": [{"calculate": "keys(datum)", "as": "x"}]}, {EVERY}),
        ({"mark": {"type": "bar", "tooltip": {"content": "data"}}}, {EVERY}),
        ({"data": {"values": [{"field": "x"}]}, "params": [{"name": "x", "expr": "datum.x"}]},
         set()),
    ],
)  # fmt: skip
def test_fields_are_told_from_words(part, expected):
    # Other texts may be taken for fields in transforms; nothing that is used is missed.
    found = fields_of(part)
    assert found == expected


def test_words_of_vega_are_names_of_columns_like_others():
    def worded(slope=2):
        return line(slope).rename(columns={"x": "value", "y": "field"}).assign(type="point", key=1)

    chart = alt.Chart().mark_point().encode(x="value:Q", y="field:Q").properties(description="d")
    spec = explore(worded, chart, slope=[1, 2]).chart.specs[0]
    assert {step["as"] for step in spec["transform"]} == {"value", "field"}


def test_a_bool_is_a_box_to_tick_and_ipywidgets_are_taken_as_they_are():
    chart = points().add_params(alt.param(name="truth", value=True))
    radio = widgets.RadioButtons(options=["none", "up"])
    shown = explore(line, chart, shift=radio, truth=False)
    assert shown.controls["shift"] is radio and radio.description == "shift"
    assert shown.values == {"shift": "none", "truth": True}
    assert shown.chart.truth == 1


@pytest.mark.parametrize("values", [3, "abc", [], {}, None])
def test_other_forms_of_controls_are_explained(values):
    with pytest.raises(TypeError, match="the control slope is .*give a list"):
        explore(line, points(), slope=values)


def test_a_name_nobody_knows_is_an_error():
    with pytest.raises(TypeError, match="neither line nor the chart has a parameter slpe"):
        explore(line, points(), slpe=[1, 2])
    with pytest.raises(TypeError, match="the chart has no parameter share"):
        explore(line, points(), share=(0, 100))


def test_a_preset_must_be_on_offer():
    with pytest.raises(ExploreError, match="the preset 'steep' sets {'slope': 9}"):
        explore(line, points(), presets={"steep": {"slope": 9}}, slope=[1, 2])


def test_results_are_kept_until_content_changes(own_cache):
    explore(line, points(), slope=[1, 2])
    explore(line, points(), slope=[1, 2])
    assert len(list(own_cache.iterdir())) == 1
    explore(line, points(), slope=[1, 2, 3])
    assert len(list(own_cache.iterdir())) == 2


def test_the_content_of_a_function_is_all_that_it_names():
    def double(x):
        return factor * x

    def through(slope=1):
        return line(double(slope))

    factor = 2
    before = grid._cache_file(through, {"slope": [1, 2]})
    assert before == grid._cache_file(through, {"slope": [1, 2]})
    factor = 3
    assert before != grid._cache_file(through, {"slope": [1, 2]})


@pytest.mark.parametrize(
    "function",
    [
        explorers.shrinkage_sample,
        explorers.correlation_intervals,
        explorers.pulled_worlds,
        explorers.one_effect,
        explorers.own_path(load_gpa()),
    ],
)
def test_what_an_explorer_of_the_course_computes_is_kept(function):
    assert grid._cache_file(function, {}) is not None


def test_only_the_latest_grids_are_kept(own_cache, monkeypatch):
    monkeypatch.setattr(grid, "GRIDS_KEPT", 3)
    for top in range(2, 8):
        explore(line, points(), slope=list(range(top)))
        for path in own_cache.iterdir():
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert len(list(own_cache.iterdir())) == 3


def test_a_cut_file_of_the_cache_is_computed_again(own_cache):
    explore(line, points(), slope=[1, 2])
    (kept,) = own_cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    assert explore(line, points(), slope=[1, 2]).values == {"slope": 2}
    assert len(kept.read_bytes()) > 40


def test_it_goes_on_without_a_cache(tmp_path, monkeypatch):
    # A file where the folder would be: not even root can write there.
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert explore(line, points(), slope=[1, 2]).values == {"slope": 2}
    made = {}
    exec("import pandas as pd\ndef typed(a=1): return pd.DataFrame({'x': [a]})", made)
    assert explore(made["typed"], points(), a=[1, 2]).values == {"a": 1}


def test_the_first_state_holds_its_rows_and_parameters():
    chart = (
        points()
        .properties(title=alt.Title(alt.expr("who")))
        .add_params(alt.param(name="share", value=40))
    )

    def named(slope=2):
        return line(slope).assign(who=f"slope {slope}")

    (spec,) = explore(named, chart, slope=[1, 2], share=(0, 100)).first_state
    assert pd.DataFrame(spec["data"]["values"])[["x", "y"]].equals(line(2)[["x", "y"]])
    parameters = {parameter["name"]: parameter["value"] for parameter in spec["params"]}
    assert parameters == {"who": "slope 2", "share": 40}
    assert ">slope 2</text>" in vl_convert.vegalite_to_svg(spec)


def test_it_starts_with_the_first_preset():
    shown = explore(line, points(), presets={"steep": {"slope": 3}}, slope=[1, 2, 3])
    assert shown.values == {"preset": "steep", "slope": 3}
    assert shown.chart.slope == 2


def test_a_grid_of_charts_shares_its_states():
    shown = explore(line, ChartGrid(points(), points()), slope=[1, 2])
    assert len(shown.chart.specs) == len(shown.first_state) == 2


def test_what_is_compressed_is_inflated_as_the_browser_does():
    states = np.array([0, 1, -1, 2**15 - 1, -(2**15), 300], "<i2")
    planes = np.frombuffer(zlib.decompress(compress(states)), np.uint8).astype(int)
    low, high = planes[:6], planes[6:]
    assert ((low | high << 8) == states.view("<u2")).all()


def test_the_package_offers_it():
    assert explore_function is explore


@pytest.fixture
def displayed(monkeypatch):
    """Outputs of a cell that ends in an explorer, in a notebook."""
    monkeypatch.delenv(BUILDS_THE_BOOK, raising=False)
    outputs = []
    monkeypatch.setattr(widget, "display", lambda shown, **options: outputs.append(shown))
    named = points().properties(description="A <steep> line.", width="container")
    explore(line, ChartGrid(named, named), slope=[1, 2, 3])._ipython_display_()
    return outputs


def test_a_notebook_without_its_kernel_shows_a_picture_of_the_first_state(displayed):
    live, still = displayed
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert live["text/plain"] == "Run the cell: its controls need a kernel."
    images = re.findall(
        r'<img src="data:image/svg\+xml;base64,(.+?)" alt="A &lt;steep&gt; line.">', still.data
    )
    assert len(images) == 2
    svg = base64.b64decode(images[0]).decode()
    assert svg.count("M") > 3 and re.match(r'<svg [^>]*width="3\d\d"', svg)
