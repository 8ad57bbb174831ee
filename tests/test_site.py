"""Every page of the built book, in a real browser that reaches no other host."""

import functools
import http.server
import threading
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
SCREENS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


def pages_of(entry):
    """Every file of the table of contents, in order."""
    if isinstance(entry, list):
        return [page for part in entry for page in pages_of(part)]
    if isinstance(entry, dict):
        own = [entry[key] for key in ("root", "file") if key in entry]
        nested = [entry[key] for key in ("parts", "chapters", "sections") if key in entry]
        return own + pages_of(nested)
    return []


PAGES = pages_of(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line of log per request."""

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    assert (SITE / "index.html").exists(), "the book is not built: run `make book`"
    handler = functools.partial(QuietHandler, directory=SITE)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Visit:
    """A page in the browser, with everything that went wrong on it."""

    def __init__(self, browser, address, *, width=1280, scheme="light"):
        viewport = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.page = self.context.new_page()
        self.troubles = []
        self.page.route("**/*", lambda route: self._answer(route, address))
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("requestfailed", lambda request: self.troubles.append(request.url))
        self.page.on(
            "response",
            lambda response: response.status >= 400 and self.troubles.append(response.url),
        )

    def _answer(self, route, address):
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            self.troubles.append(f"off host: {route.request.url}")
            route.abort()

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.troubles.append(message.text)

    def open(self, url):
        """Load a page and wait until each of its charts is drawn."""
        self.page.goto(url)
        self.page.wait_for_function(
            "[...document.querySelectorAll('.vega-chart')].every(f => f.querySelector('svg'))"
        )
        return self.page


@pytest.fixture
def visit(browser, address):
    visits = []

    def start(**options):
        visits.append(Visit(browser, address, **options))
        return visits[-1]

    yield start
    for opened in visits:
        opened.context.close()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_pages_open_without_trouble_and_fit_the_screen(visit, address, name, width, scheme):
    visited = visit(width=width, scheme=scheme)
    page = visited.open(f"{address}/{name}.html")
    assert visited.troubles == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clipped = page.evaluate(
        """[...document.querySelectorAll('.vega-chart')].filter(figure => {
            const drawn = figure.querySelector('svg').getBoundingClientRect();
            return drawn.width < 100 || drawn.right > figure.getBoundingClientRect().right + 1;
        }).map(figure => figure.getAttribute('aria-label'))"""
    )
    assert clipped == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_the_markup_is_left_over(visit, address, name):
    text = visit().open(f"{address}/{name}.html").inner_text("article")
    left = [mark for mark in ("```", ":::", "{glue", "{cite", "{term}", "{ref}") if mark in text]
    assert left == []


@pytest.mark.parametrize("name", PAGES)
def test_every_figure_says_what_it_shows(visit, address, name):
    page = visit().open(f"{address}/{name}.html")
    labels = page.eval_on_selector_all(
        "figure.vega-chart", "figures => figures.map(f => f.getAttribute('aria-label'))"
    )
    assert all(label and len(label) > 40 for label in labels)
    assert page.eval_on_selector_all("article img:not([alt])", "images => images.length") == 0


@pytest.mark.parametrize("name", PAGES)
def test_pages_open_from_disk(visit, name):
    visited = visit()
    visited.page.unroute("**/*")
    visited.open((SITE / f"{name}.html").as_uri())
    assert visited.troubles == []


def test_charts_take_the_text_colour_of_the_page(visit, address):
    colours = {}
    for scheme in ("light", "dark"):
        page = visit(scheme=scheme).open(f"{address}/chapters/shrinkage.html")
        colours[scheme] = page.evaluate(
            "getComputedStyle(document.querySelector('.vega-chart svg text')).fill"
        )
    assert colours["light"] != colours["dark"]


def test_charts_follow_the_width_of_the_window(visit, address):
    visited = visit(width=1280)
    page = visited.open(f"{address}/chapters/shrinkage.html")
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_function("document.querySelector('.vega-chart svg').clientWidth < 380")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_trouble_is_noticed(visit, address):
    visited = visit()
    visited.page.goto(f"{address}/chapters/index.html")
    visited.page.evaluate("console.error('planted')")
    visited.page.evaluate("fetch('https://example.org/').catch(() => 0)")
    visited.page.wait_for_timeout(200)
    assert "planted" in visited.troubles
    assert "off host: https://example.org/" in visited.troubles
