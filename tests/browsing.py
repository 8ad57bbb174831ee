"""The built book in a browser that reaches no other host: what several test modules need."""

import functools
import http.server
import os
import re
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
# No name of a host is looked up: nothing but what a test serves can be reached.
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", ALONE]
# The widget manager's validator says this of the widget manager's own schema.
NOT_OURS = re.compile(r"strict mode: use allowUnionTypes .*strictTypes")
SHOW_PREDICTED = "localStorage.setItem('borrowing-strength.open', 'yes')"
# Every chart stands in the page. Each explorer announced by a first state has controls, and once it
# has come near the window, its live charts instead of that state.
DRAWN = """(near) => {
    const has = (selector) => (box) => box.querySelector(selector);
    const announced = document.querySelectorAll(".explore-static").length;
    const every = [...document.querySelectorAll(".explore")];
    const explorers = near == null ? every : [every.at(near)];
    const charts = explorers.flatMap((box) => [...box.querySelectorAll(".explore-charts > div")]);
    return [...document.querySelectorAll(".vega-chart")].every(has("svg.marks"))
        && every.length === announced
        && explorers.every(has(".explore-charts > div"))
        && charts.every(has("svg.marks"))
        && document.querySelectorAll(".explore-replaced").length >= explorers.length;
}"""
UNFOLD = "document.querySelectorAll('.explore-fold').forEach((fold) => (fold.open = true))"
# Bring the explorers near the window, one after the other, and return to where the page was. Each
# has time to draw: on a busy machine the browser may not look at the window for a second or more.
APPROACH = """async (near) => {
    const top = scrollY;
    const drawn = (box) => {
        const charts = [...box.querySelectorAll(".explore-charts > div")];
        return charts.length && charts.every((chart) => chart.querySelector("svg.marks"));
    };
    const every = [...document.querySelectorAll(".explore")];
    for (const place of near == null ? every : [every.at(near)]) {
        const late = performance.now() + 20000;
        while (!drawn(place) && performance.now() < late) {
            place.scrollIntoView({ behavior: "instant" });
            await new Promise((seen) => setTimeout(seen, 30));
        }
    }
    scrollTo({ top, behavior: "instant" });
}"""


# Looks within the page: what charts show may be a megabyte, and is compared up to fifty times.
REMEMBER = """box => {
    const shown = () => [...box.querySelectorAll("svg.marks")].map((e) => e.innerHTML).join("");
    const before = shown();
    box.changed = async () => {
        for (let round = 0; round < 50; round += 1) {
            if (shown() !== before) return true;
            await new Promise((again) => setTimeout(again, 40));
        }
        return false;
    };
}"""


def changes(explorer, act):
    """Whether the charts change within two seconds of an action."""
    explorer.evaluate(REMEMBER)
    act()
    return explorer.evaluate("box => box.changed()")


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


@contextmanager
def served(folder):
    """Serve a folder; give its address."""
    handler = functools.partial(QuietHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def chromium():
    """Start the Chromium of this machine."""
    wish = os.environ.get("CHROMIUM")
    names = [wish] if wish else ["chromium-headless-shell", "chromium"]
    program = next(filter(None, map(shutil.which, names)), None)
    assert program, f"the browser tests need {' or '.join(names)}: run `make browser`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page in the browser, with everything that went wrong on it."""

    def __init__(self, browser, address, *, width=1280, scheme="light", asks=False, **options):
        viewport = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme, **options)
        if not asks:
            # What predictions hide is shown, as a reader of the page Progress may wish.
            self.context.add_init_script(SHOW_PREDICTED)
        self.page = self.context.new_page()
        # Four browsers on two cores: what takes a second alone may take twenty.
        self.page.set_default_timeout(90_000)
        self.troubles = []
        self.page.on("request", lambda request: self._see(request.url, address))
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("requestfailed", lambda request: self.troubles.append(request.url))
        self.page.on(
            "response",
            lambda response: response.status >= 400 and self.troubles.append(response.url),
        )

    def _see(self, url, address):
        if not url.startswith((address, SITE.as_uri(), "data:", "blob:")):
            self.troubles.append(f"off host: {url}")

    def _hear(self, message):
        if message.type in ("error", "warning") and not NOT_OURS.search(message.text):
            self.troubles.append(message.text)

    def open(self, url, *, folded=False, near=None):
        """Load a page, unfold its controls, and wait until its charts are drawn.

        Of its explorers all are, or the one at the place ``near``: drawing takes a second for each.
        """
        self.page.goto(url)
        if not folded:
            self.page.evaluate(UNFOLD)
        self.page.evaluate(APPROACH, near)
        self.page.wait_for_function(DRAWN, arg=near)
        return self.page
