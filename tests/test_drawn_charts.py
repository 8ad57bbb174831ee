"""Charts that are drawn into the page when the book is built."""

import base64
import json
import re
from types import SimpleNamespace

import altair as alt
import pandas as pd
import pytest

from extensions.drawn_charts import draw_charts, draw_images, open_folder, prune

NUMBERS = pd.DataFrame({"x": [0.05, 0.125], "y": [0, 1]})


@pytest.fixture
def app(tmp_path):
    made = SimpleNamespace(srcdir=tmp_path)
    open_folder(made)
    return made


def figure(description="Two points.", **properties):
    axis = alt.Axis(values=[0.05, 0.125], format=".3f")
    chart = alt.Chart(NUMBERS).mark_point().encode(alt.X("x:Q", axis=axis), y="y:Q")
    spec = chart.properties(description=description, width="container", **properties).to_dict()
    payload = json.dumps(spec).replace("</", "<\\/")
    return f'<figure class="vega-chart"><script type="application/json">{payload}</script></figure>'


def drawn(app, body):
    context = {"body": body}
    draw_charts(app, "page", "page.html", context, None)
    return context["body"]


def widths(page):
    return [float(width) for width in re.findall(r'class="marks" width="([\d.]+)"', page)]


def test_a_chart_alone_has_a_wide_and_a_narrow_form(app):
    page = drawn(app, f"<p>{figure()}</p>")
    assert widths(page) == [700, 350]
    assert "<script" not in page and page.startswith('<p><figure class="vega-chart columns-1"')


def test_the_shape_of_a_drawing_is_known_before_it_is_laid_out(app):
    page = drawn(app, figure())
    boxes = re.findall(r'class="marks" width="(\S+)" height="(\S+)"', page)
    shapes = re.findall(r'<span class="(?:wide|narrow)" style="aspect-ratio: (\S+) / (\S+)">', page)
    assert shapes == boxes and len(boxes) == 2


@pytest.mark.parametrize(("columns", "expected"), [(1, [700, 350]), (2, [350]), (3, [350, 225])])
def test_charts_side_by_side_are_narrower(app, columns, expected):
    grid = f'<div class="chart-grid" style="--columns:{columns}">{figure() * 2}</div>'
    assert widths(drawn(app, grid)) == expected * 2


@pytest.mark.parametrize(("columns", "expected"), [(1, 700), (2, 350), (3, 225)])
def test_in_a_notebook_a_chart_is_an_image(app, columns, expected):
    grid = f'<div class="chart-grid" style="--columns:{columns}">{figure("<Two>") * 2}</div>'
    images = re.findall(
        r'<img src="data:image/svg\+xml;base64,(.+?)" alt="&lt;Two&gt;">', draw_images(app, grid)
    )
    drawings = [base64.b64decode(image).decode() for image in images]
    assert widths("".join(drawings)) == [expected] * 2
    assert all(re.match(r'<svg [^>]+><rect [^>]*fill="white"', svg) for svg in drawings)


def test_the_label_is_the_description_and_what_a_computed_title_says(app):
    page = drawn(app, figure("Two <points>."))
    assert 'role="img" aria-label="Two &lt;points&gt;."' in page
    title = alt.Title(alt.expr("['so', 'far']"))
    page = drawn(app, figure("Two points. The slider moves them.", title=title))
    assert 'aria-label="Two points. so far"' in page


def test_places_are_rounded_and_words_are_not(app):
    page = drawn(app, figure(title="0.12345 </script>"))
    assert ">0.12345 &lt;/script&gt;</text>" in page
    assert ">0.050</text>" in page and ">0.125</text>" in page
    assert re.findall(r'transform="[^"]*\d\.\d\d', page) == []


def test_text_and_axes_have_the_pages_colour(app):
    page = drawn(app, figure())
    assert set(re.findall(r'<text[^>]* fill="([^"]*)"', page)) == {"currentColor"}


def test_drawings_are_used_again_and_removed_with_their_chart(app):
    first = drawn(app, figure())
    kept = sorted(app.drawings.iterdir())
    assert len(kept) == 2
    kept[0].write_text(kept[0].read_text().replace("<svg", "<svg data-kept"))
    assert "data-kept" in drawn(app, figure()) and "data-kept" not in first
    app.drawn_now = set()
    drawn(app, figure("Another description."))
    prune(app, None)
    assert len(list(app.drawings.iterdir())) == 2 and not set(kept) & set(app.drawings.iterdir())


def test_charts_drawn_twice_are_clipped_by_their_own_frames(app):
    points = alt.Chart(NUMBERS).mark_point(clip=True).encode(x="x:Q", y="y:Q")
    spec = json.dumps(points.properties(width=200, description="Two points.").to_dict())
    one = f'<figure class="vega-chart"><script type="application/json">{spec}</script></figure>'
    page = drawn(app, one * 2)
    names = re.findall(r'<clipPath id="([^"]+)"', page)
    assert len(names) == len(set(names)) == 4
    assert {f"url(#{name})" for name in names} == set(re.findall(r"url\(#[^)]+\)", page))
