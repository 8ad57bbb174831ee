"""Figures of the shrinkage chapter, and what all figures share."""

import json
import re

import altair as alt
import pandas as pd
import pytest
import vl_convert

from helpers import charts, create_data, fit_mixed, shrinkage
from helpers.charts.shrinkage import cluster_paths
from helpers.charts.theme import BUILDS_THE_BOOK, page_html

VIEW = {"Intercept": (-1.0, 3.0), "x": (-0.5, 1.5)}


@pytest.fixture(scope="module")
def table():
    return shrinkage(fit_mixed("y ~ x + (x | cluster)", create_data()))


@pytest.mark.parametrize("in_build", [True, False])
def test_a_readers_own_chart_needs_no_description(monkeypatch, in_build):
    if in_build:
        monkeypatch.setenv(BUILDS_THE_BOOK, "1")
    else:
        monkeypatch.delenv(BUILDS_THE_BOOK, raising=False)
    plain = alt.Chart(pd.DataFrame({"x": [1], "y": [2]})).mark_point().encode(x="x:Q", y="y:Q")
    for chart in (plain, plain + plain, plain | plain, plain.facet("x:N"), plain.repeat(["x"])):
        shown, _ = alt.renderers.get()(chart.to_dict())
        assert shown["text/plain"] == "A chart without a description."
        assert len(shown) == 2
    bundle, _ = charts.ChartGrid(plain, plain)._repr_mimebundle_()
    assert len(bundle) == 2


def rows_of(chart_dict):
    return [row for rows in chart_dict["datasets"].values() for row in rows]


def test_paths_run_from_no_pooling_to_partial_pooling(table):
    spec = charts.shrinkage_paths(table, VIEW, title="baseline").to_dict()
    rule = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "rule")
    encoding = {channel: rule["encoding"][channel]["field"] for channel in ("x", "y", "x2", "y2")}
    assert encoding == {
        "x": "no_Intercept",
        "y": "no_x",
        "x2": "partial_Intercept",
        "y2": "partial_x",
    }
    row = next(row for row in rows_of(spec) if row.get("cluster") == 7)
    expected = table[table["cluster"] == 7].set_index("effect")
    assert row["no_x"] == pytest.approx(expected.loc["x", "no_pooling"])
    assert row["partial_Intercept"] == pytest.approx(expected.loc["Intercept", "partial_pooling"])


def test_view_is_kept_whatever_the_data(table):
    spec = charts.shrinkage_paths(table, VIEW, title="baseline").to_dict()
    scale = spec["layer"][0]["encoding"]["x"]["scale"]
    assert scale["domain"] == [-1.0, 3.0] and scale["nice"] is False


def test_count_outside_counts_clusters_once(table):
    wide = cluster_paths(table)
    outside = ~(wide["no_Intercept"].between(*VIEW["Intercept"]) & wide["no_x"].between(*VIEW["x"]))
    assert charts.count_outside(table, VIEW) == outside.sum() > 0
    everything = {"Intercept": (-99, 99), "x": (-99, 99)}
    assert charts.count_outside(table, everything) == 0


def test_description_gives_the_numbers(table):
    description = charts.shrinkage_paths(table, VIEW, title="baseline").to_dict()["description"]
    mean = table.groupby("effect")["shrinkage_factor"].mean()
    assert "100 clusters" in description
    assert f"{mean['Intercept']:.0%} in the intercept" in description
    assert f"{charts.count_outside(table, VIEW)} paths start outside" in description


def test_cluster_lines_has_a_panel_and_three_lines_per_cluster(table):
    grid = charts.cluster_lines(create_data(), table, clusters=[42, 67])
    assert len(grid.charts) == 2
    spec = grid.charts[0].to_dict()
    lines = [row for row in rows_of(spec) if "pooling" in row]
    assert {row["pooling"] for row in lines} == set(charts.POOLING_COLOURS)
    own = table[(table["cluster"] == 42)].set_index("effect")["no_pooling"]
    drawn = [row for row in lines if row["pooling"] == "no pooling"]
    for row in drawn:
        assert row["y"] == pytest.approx(own["Intercept"] + own["x"] * row["x"])


def test_cluster_lines_refuses_an_unknown_cluster(table):
    with pytest.raises(ValueError, match=r"no cluster \[101\]"):
        charts.cluster_lines(create_data(), table, clusters=[101])


@pytest.mark.parametrize("index", [range(6), [0, 1, 2] * 2], ids=["one table", "two joined"])
def test_estimator_errors_counts_wins(index):
    errors = pd.DataFrame(
        {
            "scenario": ["one"] * 3 + ["two"] * 3,
            "effect": "x",
            "pooling": list(charts.POOLING_COLOURS) * 2,
            "rmse": [3.0, 2.0, 1.0, 3.0, 1.0, 2.0],
        },
        index=index,
    )
    spec = charts.estimator_errors(errors).charts[0].to_dict()
    assert "best in 1 of 2 scenarios" in spec["description"]


def test_page_html_is_labelled_and_cannot_end_its_script_early():
    spec = {"description": 'a "quoted" <label>', "text": "</script><b>"}
    page = page_html(spec)
    assert 'aria-label="a &quot;quoted&quot; &lt;label&gt;"' in page
    assert page.count("</script>") == 1
    inside = page.partition('json">')[2].partition("</script>")[0]
    assert json.loads(inside) == spec


@pytest.fixture
def building(monkeypatch):
    monkeypatch.setenv(BUILDS_THE_BOOK, "1")


@pytest.fixture
def live(monkeypatch):
    monkeypatch.delenv(BUILDS_THE_BOOK, raising=False)


def test_the_page_gets_a_figure(table, building):
    chart = charts.shrinkage_paths(table, VIEW, title="baseline")
    bundle, _ = alt.renderers.get()(chart.to_dict())
    assert bundle["text/html"].startswith('<figure class="vega-chart" role="img"')
    assert bundle["text/plain"].startswith("Scatter plot")
    assert len(bundle) == 2


def test_jupyterlab_gets_a_chart_and_no_html_it_would_prefer(table, live):
    chart = charts.shrinkage_paths(table, VIEW, title="baseline")
    bundle, _ = alt.renderers.get()(chart.to_dict())
    spec = bundle["application/vnd.vegalite.v5+json"]
    assert spec["title"] == "baseline" and spec["width"] == 600
    assert "text/html" not in bundle


def test_chart_grid_reflows_on_the_page(table, building):
    bundle, _ = charts.cluster_lines(create_data(), table, clusters=[42, 67])._repr_mimebundle_()
    assert bundle["text/html"].count("<figure") == 2


def test_chart_grid_concatenates_in_jupyterlab(table, live):
    grid = charts.cluster_lines(create_data(), table, clusters=[42, 67, 22])
    bundle, _ = grid._repr_mimebundle_()
    spec = bundle["application/vnd.vegalite.v5+json"]
    assert len(spec["concat"]) == 3 and spec["columns"] == 2


def test_poolings_are_three_distinct_colours_everywhere(table):
    spec = charts.shrinkage_paths(table, VIEW, title="baseline").to_dict()
    scales = [
        layer["encoding"]["color"]["scale"]
        for layer in spec["layer"]
        if "color" in layer["encoding"]
    ]
    # The diamond is the mixed model's fixed effect, in the colour of complete pooling.
    colours = {
        name.replace("complete pooling", "fixed effect"): colour
        for name, colour in charts.POOLING_COLOURS.items()
    }
    assert scales and all(
        dict(zip(scale["domain"], scale["range"], strict=True)) == colours for scale in scales
    )
    assert len(set(charts.POOLING_COLOURS.values())) == 3


def contrast(one, other):
    """Contrast ratio of two colours, WCAG 2.1."""
    lights = sorted(map(relative_luminance, (one, other)), reverse=True)
    return (lights[0] + 0.05) / (lights[1] + 0.05)


def relative_luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#ffffff", "#14181e"])
@pytest.mark.parametrize("colour", charts.POOLING_COLOURS.values())
def test_colours_stand_out_in_light_and_dark(colour, background):
    assert contrast(colour, background) >= 3


@pytest.mark.parametrize(("columns", "label"), [(2, "complete pooling"), (3, "-1.25")])
def test_charts_side_by_side_fit_a_cell_of_jupyterlab(columns, label, live):
    """A cell has 840 pixels in a window of 1280; JupyterLab takes up to 66 around the charts."""
    chart = alt.Chart(pd.DataFrame({"arm": [label], "error": [0.125]})).mark_bar()
    chart = chart.encode(x="error", y="arm").properties(width="container", description="A bar.")
    bundle, _ = charts.ChartGrid(*[chart] * columns, columns=columns)._repr_mimebundle_()
    svg = vl_convert.vegalite_to_svg(bundle["application/vnd.vegalite.v5+json"])
    assert 500 < float(re.search(r'width="([\d.]+)"', svg)[1]) < 840 - 66
