"""The built pages in a real browser that reaches no other host."""

import functools
import http.server
import random
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from playwright.sync_api import sync_playwright

from helpers.explorers import SHRINKAGE_CONTROLS, shrinkage_sample

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
CHROMIUM = "/usr/bin/chromium"
# The widget manager's own validator says this about the widget manager's own schema.
NOT_OURS = re.compile(r"strict mode: use allowUnionTypes .*strictTypes")


def pages():
    """Addresses of the pages in the table of contents."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    return [f"{name}.html" for name in [contents["root"], *chapters]]


WITH_EXPLORER = ["chapters/shrinkage.html"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Keep requests out of the test report."""


@pytest.fixture(scope="session")
def site():
    assert (SITE / "index.html").exists(), "the book is not built: run `make book`"
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    assert Path(CHROMIUM).exists(), f"{CHROMIUM} is missing: sudo apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, site):
    """Open a page, note what it complains about, and wait until its charts are drawn."""
    contexts = []

    def open_(address, *, start=site, change=None, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        listen(page, start)
        if change:
            page.route("**/*.html", change)
        page.goto(f"{start}/{address}", wait_until="load")
        drawn = "document.querySelectorAll('.vega-chart, .explore').length"
        if options.get("java_script_enabled", True):
            page.wait_for_function(
                f"{drawn} <= document.querySelectorAll('.vega-chart svg.marks, "
                ".explore svg.marks').length",
                timeout=30_000,
            )
            page.wait_for_load_state("networkidle")
        return page

    yield open_
    for context in contexts:
        context.close()


def listen(page, start):
    def on_console(message):
        if message.type in ("error", "warning") and not NOT_OURS.search(message.text):
            page.complaints.append(message.text)

    def on_request(request):
        if not request.url.startswith((start, "data:", "blob:")):
            page.complaints.append(f"off host: {request.url}")

    def on_response(response):
        if response.status >= 400:
            page.complaints.append(f"{response.status}: {response.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", on_request)
    page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))
    page.on("response", on_response)
    page.context.route(
        lambda url: not url.startswith((start, "data:", "blob:")), lambda route: route.abort()
    )


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page", pages())
def test_a_page_is_quiet_and_fits(open_page, page, width):
    opened = open_page(page, viewport={"width": width, "height": 800})
    assert opened.complaints == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("page", WITH_EXPLORER)
def test_controls_work_from_disk(open_page, page):
    opened = open_page(page, start=SITE.as_uri())
    assert opened.complaints == []
    assert dead_controls(opened) == []


def drawn(page, explorer):
    """Everything the explorer's chart shows, once it has been repainted."""
    page.evaluate("new Promise(done => setTimeout(() => requestAnimationFrame(done), 60))")
    return explorer.locator("svg.marks").inner_html()


def press(page, explorer, control, key):
    """Press a key on a control; return whether the chart changed."""
    before = drawn(page, explorer)
    control.press(key)
    return drawn(page, explorer) != before


def dead_controls(page):
    """List (control, key) for every key that did not move the chart."""
    dead = []
    for explorer in page.locator(".explore").all():
        for handle in explorer.locator(".noUi-handle").all():
            # From the low end: Home would change nothing there.
            handle.press("Home")
            for key in ("End", "Home", "ArrowRight", "ArrowLeft"):
                if not press(page, explorer, handle, key):
                    dead.append((handle.get_attribute("aria-label"), key))
        for group in explorer.locator(".widget-toggle-buttons").all():
            for button in group.locator("button").all()[::-1]:
                pressed = button.get_attribute("aria-pressed") == "true"
                if not pressed and not press(page, explorer, button, "Enter"):
                    dead.append((group.get_attribute("aria-label"), button.inner_text()))
        for choice in explorer.locator("select").all():
            # Upward lie the reader's own settings, which set nothing.
            choice.press("Home")
            for key in ("End", "ArrowUp"):
                if not press(page, explorer, choice, key):
                    dead.append((choice.get_attribute("id"), key))
    return dead


@pytest.mark.parametrize("page", WITH_EXPLORER)
def test_every_control_moves_its_chart(open_page, page):
    opened = open_page(page, viewport={"width": 1280, "height": 800})
    assert opened.locator(".explore .noUi-handle").count() > 0
    assert dead_controls(opened) == []
    assert opened.complaints == []


def test_a_broken_link_is_noticed(open_page):
    def unlink(route):
        text = route.fetch().text()
        assert text.count("change:${name}") == 1
        route.fulfill(body=text.replace("change:${name}", "unchanged:${name}"), status=200,
                      content_type="text/html")  # fmt: skip

    opened = open_page("chapters/shrinkage.html", change=unlink)
    assert ("pooling", "End") in dead_controls(opened)


@pytest.mark.parametrize("page", WITH_EXPLORER)
def test_controls_speak_their_name_and_value(open_page, page):
    opened = open_page(page)
    for handle in opened.locator(".explore .noUi-handle").all():
        control = handle.locator("xpath=ancestor::*[contains(@class, 'slider')][last()]")
        handle.press("End")
        opened.wait_for_timeout(60)
        readout = control.locator(".widget-readout").inner_text()
        assert handle.get_attribute("aria-valuetext") == readout
        assert handle.get_attribute("aria-label")
        assert min(handle.bounding_box()[side] for side in ("width", "height")) >= 24
        assert handle.evaluate("e => parseFloat(getComputedStyle(e).outlineWidth)") >= 2
    for button in opened.locator(".explore button:visible").all():
        assert button.inner_text().strip() or button.get_attribute("aria-label")


def set_slider(page, name, position):
    handle = page.get_by_role("slider", name=name.replace("_", " "), exact=True)
    handle.press("Home")
    for _ in range(position):
        handle.press("ArrowRight")


def positions(page, layer):
    """Pixel coordinates of a layer's points, shape (points, 2)."""
    transforms = page.locator(f".explore .layer_{layer}_marks path").evaluate_all(
        "points => points.map(point => point.getAttribute('transform'))"
    )
    return np.array([re.findall(r"-?[\d.]+(?:e-?\d+)?", text)[:2] for text in transforms], float)


def to_pixels(page, intercepts, slopes):
    frame = page.locator(".explore .root path.background").first.get_attribute("d")
    width, height = (float(re.search(rf"{way}([\d.]+)", frame).group(1)) for way in "hv")
    return np.column_stack([(intercepts + 1.5) / 5 * width, height - (slopes + 2) / 5 * height])


@pytest.mark.parametrize("seed", range(5))
def test_drawn_positions_are_pythons(open_page, seed):
    page = open_page("chapters/shrinkage.html", viewport={"width": 1280, "height": 800})
    chance = random.Random(seed)
    settings = {}
    for name, options in SHRINKAGE_CONTROLS.items():
        values = list(options.values()) if isinstance(options, dict) else options
        settings[name] = chance.choice(values)
        if name == "cluster_sizes":
            page.get_by_role("button", name=settings[name], exact=True).press("Enter")
        else:
            set_slider(page, name, values.index(settings[name]))
    share = chance.randrange(5)
    set_slider(page, "pooling", share)
    drawn(page, page.locator(".explore"))
    frame = shrinkage_sample(**settings)
    own = to_pixels(page, frame["no_Intercept"], frame["no_x"])
    mixed = to_pixels(page, frame["partial_Intercept"], frame["partial_x"])
    assert np.abs(positions(page, 1) - own).max() <= 0.5
    assert np.abs(positions(page, 2) - (own + share / 100 * (mixed - own))).max() <= 0.5


def test_presets_set_the_controls_and_controls_name_the_preset(open_page):
    page = open_page("chapters/shrinkage.html")
    preset = page.locator(".explore select").first
    preset.select_option("unbalanced")
    page.wait_for_timeout(100)
    slider = functools.partial(page.get_by_role, "slider", exact=True)
    assert slider(name="observations per cluster").get_attribute("aria-valuetext") == "5"
    assert page.get_by_role("button", name="unequal", exact=True).get_attribute("aria-pressed")
    slider(name="observations per cluster").press("End")
    page.wait_for_timeout(100)
    assert preset.evaluate("choice => choice.selectedIndex") == 0


def test_play_runs_when_asked_and_not_before(open_page):
    page = open_page("chapters/shrinkage.html", reduced_motion="reduce")
    handle = page.get_by_role("slider", name="pooling", exact=True)
    handle.press("Home")
    page.wait_for_timeout(300)
    assert handle.get_attribute("aria-valuetext") == "0"
    page.get_by_role("button", name="play pooling").press("Enter")
    page.wait_for_timeout(600)
    assert int(handle.get_attribute("aria-valuetext")) > 0


@pytest.mark.parametrize("page", WITH_EXPLORER)
def test_a_figure_stands_in_print_and_without_scripts(open_page, page):
    opened = open_page(page)
    figures = opened.locator(".explore-static").all()
    assert len(figures) == opened.locator(".explore").count()
    assert not any(figure.is_visible() for figure in figures)
    opened.emulate_media(media="print")
    assert all(figure.is_visible() for figure in figures)
    assert not opened.locator(".explore").first.is_visible()
    assert all(
        image.evaluate("image => image.naturalWidth") > 300
        for image in opened.locator(".explore-static img").all()
    )
    plain = open_page(page, java_script_enabled=False)
    assert plain.locator(".explore-static").first.is_visible()


def test_pages_without_controls_load_no_widget_file():
    for page in pages():
        text = (SITE / page).read_text(encoding="utf-8")
        for script in ("embed-amd.js", "require.js", "widgets.js"):
            assert (script in text) == ("widget-view+json" in text) == (page in WITH_EXPLORER)
