"""Packing of states, and what explore refuses."""

import zlib

import altair as alt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers import explore as explore_function
from helpers.charts import ChartGrid
from helpers.controls.explore import STATIC_WIDTH, ExploreError, compress, explore, pack


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
    assert f"M{STATIC_WIDTH},0Z" in shown.static_figure


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


def test_the_figure_for_print_is_the_default_state():
    shown = explore(line, points(), slope=[1, 2])
    html = shown.static_figure
    assert 'alt="points"' in html
    chart = points().properties(
        title=alt.Title(alt.expr("['read', 'out']")),
        description="Points. The slider above moves them.",
    )
    assert 'alt="Points. read out"' in explore(line, chart, slope=[1, 2]).static_figure
    assert "http" not in html.replace("http://www.w3.org", "")


def test_it_starts_with_the_first_preset():
    shown = explore(line, points(), presets={"steep": {"slope": 3}}, slope=[1, 2, 3])
    assert shown.values == {"preset": "steep", "slope": 3}
    assert shown.chart.slope == 2


def test_a_grid_of_charts_shares_its_states():
    shown = explore(line, ChartGrid(points(), points()), slope=[1, 2])
    assert len(shown.chart.specs) == 2
    assert shown.static_figure.count("<figure") == 2


def test_what_is_compressed_is_inflated_as_the_browser_does():
    states = np.array([0, 1, -1, 2**15 - 1, -(2**15), 300], "<i2")
    planes = np.frombuffer(zlib.decompress(compress(states)), np.uint8).astype(int)
    low, high = planes[:6], planes[6:]
    assert ((low | high << 8) == states.view("<u2")).all()


def test_the_package_offers_it():
    assert explore_function is explore
