"""Every page of the built book, in a real browser that reaches no other host."""

import shutil
import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browsing import PAGES, ROOT, SITE, Visit

SCREENS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
CLIPPED = """() => [...document.querySelectorAll(".vega-chart svg, .explore svg.marks")]
    .filter((drawing) => drawing.checkVisibility())
    .flatMap((drawing) => {
        const frame = drawing.getBoundingClientRect();
        const room = drawing.closest("figure, .explore").getBoundingClientRect();
        const texts = [...drawing.querySelectorAll("text")].filter((text) => {
            const box = text.getBoundingClientRect();
            return text.textContent && box.width
                && (box.right > frame.right + 1 || box.left < frame.left - 1);
        });
        const fits = frame.width >= 100 && frame.right <= room.right + 1;
        return [...(fits ? [] : ["a chart"]), ...texts.map((text) => text.textContent)];
    })"""


@pytest.fixture(scope="module", params=[(name, *screen) for name in PAGES for screen in SCREENS])
def visited(request, browser, address):
    """One page on one screen, opened once for all tests of it."""
    name, width, scheme = request.param
    opened = Visit(browser, address, width=width, scheme=scheme)
    opened.open(f"{address}/{name}.html")
    yield opened
    opened.context.close()


def test_pages_open_without_trouble(visited):
    assert visited.troubles == []


def test_pages_fit_the_screen(visited):
    width = visited.page.viewport_size["width"]
    assert visited.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visited.page.evaluate(CLIPPED) == []


def test_nothing_of_the_markup_is_left_over(visited):
    text = visited.page.inner_text("article")
    left = [mark for mark in ("```", ":::", "{glue", "{cite", "{term}", "{ref}") if mark in text]
    assert left == []


def test_every_figure_says_what_it_shows(visited):
    labels = visited.page.eval_on_selector_all(
        "figure.vega-chart", "figures => figures.map(f => f.getAttribute('aria-label'))"
    )
    assert all(label and len(label) > 40 for label in labels)
    unnamed = "article img:not([alt])"
    assert visited.page.eval_on_selector_all(unnamed, "images => images.length") == 0


def violations_on(page):
    """List the serious violations that axe-core finds."""
    return [
        (found["id"], found["nodes"][0]["html"][:200])
        for found in Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("name", PAGES)
def test_nobody_is_shut_out(visit, address, name):
    page = visit(width=1280, scheme="light").open(f"{address}/{name}.html")
    assert violations_on(page) == []
    page.set_viewport_size({"width": 390, "height": 900})
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    # The theme makes what now scrolls reachable by keys once the size has settled.
    page.wait_for_timeout(600)
    assert violations_on(page) == []


def open_from_disk(visited, file):
    """Open a page without a server."""
    visited.page.unroute("**/*")
    visited.open(file.as_uri())
    return visited


@pytest.mark.parametrize("name", PAGES)
def test_pages_open_from_disk(visit, name):
    assert open_from_disk(visit(), SITE / f"{name}.html").troubles == []


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """Unpack what `make dist` makes of the built site."""
    built = (SITE / "index.html").stat().st_mtime_ns
    command = ["make", "--no-print-directory", "dist", f"VENV={sys.prefix}"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert (SITE / "index.html").stat().st_mtime_ns == built, "make dist built the site again"
    folder = tmp_path_factory.mktemp("offline")
    for name in ("borrowing-strength", "borrowing-strength-notebooks"):
        assert f"_build/dist/{name}.zip: " in said
        shutil.unpack_archive(ROOT / "_build" / "dist" / f"{name}.zip", folder)
    return folder


def test_the_offline_copy_opens_from_disk(offline, visit):
    file = offline / "borrowing-strength" / "chapters" / "shrinkage.html"
    visited = open_from_disk(visit(), file)
    assert visited.troubles == []
    assert visited.page.locator(".explore").count() >= 2


def test_the_offline_notebooks_are_those_of_the_site(offline):
    copied = offline / "borrowing-strength-notebooks"
    for folder in (SITE, copied):
        assert len(list(folder.rglob("*.ipynb"))) == 14
    for file in copied.rglob("*.*"):
        assert file.read_bytes() == (SITE / file.relative_to(copied)).read_bytes()


@pytest.mark.parametrize("box", [".vega-chart", ".explore"])
def test_charts_take_the_text_colour_of_the_page(visit, address, box):
    for scheme in ("light", "dark"):
        page = visit(scheme=scheme).open(f"{address}/chapters/shrinkage.html")
        chart, text = page.evaluate(
            f"""['{box} svg text', 'article p'].map(
                (where) => getComputedStyle(document.querySelector(where))
            ).map((style, at) => at ? style.color : style.fill)"""
        )
        assert chart == text


# Charts lie side by side in a grid, with at most its gap to spare.
FITTED = """() => [...document.querySelectorAll("svg.marks")].every((chart) => {
    if (!chart.checkVisibility()) return true;
    const spare = chart.closest(".vega-chart, .explore-charts > *").clientWidth - chart.clientWidth;
    return 0 <= spare && spare < 40;
})"""


@pytest.mark.parametrize("name", ["shrinkage", "random-slopes"])
def test_charts_follow_the_width_of_the_page(visit, address, name):
    page = visit(width=1280).open(f"{address}/chapters/{name}.html")
    for width in (390, 1280, 800, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"document.documentElement.scrollWidth === {width}")
        page.wait_for_function(FITTED)
    text = "document.querySelector('article').clientWidth"
    before = page.evaluate(text)
    page.locator(".primary-toggle").click()
    page.wait_for_function(f"{text} > {before} + 100")
    page.wait_for_function(FITTED)


def test_trouble_is_noticed(visit, address):
    visited = visit()
    visited.page.goto(f"{address}/chapters/index.html")
    visited.page.evaluate("console.error('planted')")
    visited.page.evaluate("fetch('https://example.org/').catch(() => 0)")
    visited.page.wait_for_timeout(200)
    assert "planted" in visited.troubles
    assert "off host: https://example.org/" in visited.troubles
