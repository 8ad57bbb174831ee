"""Every page of the built book, in a real browser that reaches no other host."""

import shutil
import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browsing import PAGES, ROOT, SITE, Visit, changes

# In this order one thing changes at a time.
SCREENS = [("narrow", "light"), ("narrow", "dark"), ("wide", "dark"), ("wide", "light")]
WIDTHS = {"wide": 1280, "narrow": 390}
# Each width and each scheme once, the hardest together. There only the rules are read again that
# colours and sizes decide; names and roles are the same.
READ_BY_AXE = {("wide", "light"): "all rules", ("narrow", "dark"): "looks"}
LOOKS = ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"]
# Three texts of one look, in elements of one kind, say what a thousand say: axe takes a second.
# What scrolls and what is pressed is always read.
SAMPLE_LOOKS = """() => {
    const seen = new Map();
    const kind = (box) => `${box.tagName}.${box.getAttribute("class")}`;
    for (const box of document.querySelectorAll("body *")) {
        const scrolls = !box.ownerSVGElement && box.scrollWidth > box.clientWidth;
        const pressed = box.matches("a, button, input, select, summary, textarea, [role=button]");
        box.toggleAttribute("data-sampled", scrolls || pressed);
        if (![...box.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
        const { color, fill, fontSize, fontWeight } = getComputedStyle(box);
        const look = [kind(box), kind(box.parentElement), color, fill, fontSize, fontWeight];
        for (let behind = box; behind; behind = behind.parentElement) {
            const { backgroundColor, backgroundImage, opacity } = getComputedStyle(behind);
            look.push(backgroundColor, backgroundImage, opacity);
        }
        const count = (seen.get(look.join()) ?? 0) + 1;
        seen.set(look.join(), count);
        if (count <= 3) box.toggleAttribute("data-sampled", true);
    }
}"""
# Charts lie side by side in a grid, with at most its gap to spare.
FITTED = """() => [...document.querySelectorAll("svg.marks")].every((chart) => {
    const room = chart.closest(".vega-chart, .explore-charts > *").clientWidth;
    const { width } = chart.getBoundingClientRect();
    if (!chart.checkVisibility()) return true;
    return width <= room + 1 && width > room - 40;
})"""
# Asked for its place, what is far from the window is laid out.
CLIPPED = """() => [...document.querySelectorAll(".vega-chart svg, .explore svg.marks")]
    .filter((drawing) => drawing.getBoundingClientRect().width && drawing.checkVisibility())
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


CUT = """() => [...document.querySelectorAll("article :is(pre, table, div)")]
    .filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
    .filter((box) => getComputedStyle(box).overflowX !== "visible")
    .map((box) => `${box.tagName}: ${box.textContent.slice(0, 60)}`)"""
# A4 less the margins, in pixels of 1/96 inch.
PAPER_WIDTH = 665
CUT_ON_PAPER = """() => [...document.querySelectorAll("article :is(p, pre, table, svg, img, dt)")]
    .filter((box) => box.checkVisibility() && box.getBoundingClientRect().width)
    .filter((box) => !box.closest("svg svg"))
    .filter((box) => box.getBoundingClientRect().right > innerWidth + 1
        || (box.matches("pre") && box.scrollWidth > box.clientWidth + 1))
    .map((box) => `${box.tagName}: ${box.textContent.slice(0, 60)}`)"""
COLOURS = """() => [".vega-chart svg text", ".explore svg text", "article p"]
    .map((where) => document.querySelector(where))
    .map((box) => box && getComputedStyle(box)[box.matches("text") ? "fill" : "color"])"""


def turn_to(page, width, scheme):
    """Give a page another width and colour scheme, and wait until it has settled."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
    # Charts are drawn anew; the theme makes what now scrolls reachable by keys.
    page.wait_for_timeout(600)


def seen_on(page, width, scheme):
    """What the tests want to know of a page on one screen."""
    turn_to(page, WIDTHS[width], scheme)
    read = READ_BY_AXE.get((width, scheme))
    return {
        "width": page.evaluate("document.documentElement.scrollWidth"),
        "fitted": page.evaluate(FITTED),
        "clipped": page.evaluate(CLIPPED),
        "cut": page.evaluate(CUT),
        "colours": page.evaluate(COLOURS),
        "violations": violations_on(page, every=read == "all rules") if read else [],
    }


@pytest.fixture(scope="module", params=PAGES)
def visited(request, browser):
    """One page, opened from disk once for all tests of it, and what was seen on each screen."""
    # From disk whatever a server would do for the page is missing, too.
    opened = Visit(browser, SITE.as_uri(), width=WIDTHS["narrow"])
    page = opened.open((SITE / f"{request.param}.html").as_uri())
    opened.seen = {screen: seen_on(page, *screen) for screen in SCREENS}
    yield opened
    opened.context.close()


def test_pages_open_from_disk_without_trouble(visited):
    assert visited.troubles == []


@pytest.mark.parametrize("screen", SCREENS, ids="-".join)
def test_pages_fit_the_screen(visited, screen):
    assert visited.seen[screen]["width"] <= WIDTHS[screen[0]]
    assert visited.seen[screen]["fitted"]
    assert visited.seen[screen]["clipped"] == []


def test_no_table_or_code_is_cut_where_there_is_room(visited):
    assert visited.seen["wide", "light"]["cut"] == []


def test_axe_finds_no_serious_violations(visited):
    assert [visited.seen[screen]["violations"] for screen in READ_BY_AXE] == [[], []]


@pytest.mark.parametrize("screen", SCREENS, ids="-".join)
def test_charts_take_the_text_colour_of_the_page(visited, screen):
    *charts, text = visited.seen[screen]["colours"]
    assert {colour for colour in charts if colour} <= {text}


def test_controls_work_from_disk(visited):
    for explorer in visited.page.locator(".explore").all():
        control = explorer.locator("input[type=range], select").first
        control.press("Home")
        assert changes(explorer, lambda control=control: control.press("End"))
    assert visited.troubles == []


def test_no_markup_is_left_over(visited):
    text = visited.page.inner_text("article")
    left = [mark for mark in ("```", ":::", "{eval", "{cite", "{term}", "{ref}") if mark in text]
    assert left == []


def test_figures_have_descriptions(visited):
    labels = visited.page.eval_on_selector_all(
        "figure.vega-chart", "figures => figures.map(f => f.getAttribute('aria-label'))"
    )
    assert all(label and len(label) > 40 for label in labels)
    unnamed = "article img:not([alt])"
    assert visited.page.eval_on_selector_all(unnamed, "images => images.length") == 0


def test_nothing_is_cut_off_on_paper(visited):
    visited.page.set_viewport_size({"width": PAPER_WIDTH, "height": 900})
    visited.page.emulate_media(media="print")
    assert visited.page.evaluate(CUT_ON_PAPER) == []


def violations_on(page, *, every=True):
    """List the serious violations that axe-core finds: of looks, and of every other rule."""
    page.evaluate(SAMPLE_LOOKS)
    runs = [({"include": ["[data-sampled]"]}, {"runOnly": LOOKS})]
    if every:
        runs.append((None, {"rules": {rule: {"enabled": False} for rule in LOOKS}}))
    found = []
    for context, rules in runs:
        # A page on disk may not read its own style sheets once more.
        options = {"resultTypes": ["violations"], "preload": False} | rules
        found += Axe().run(page, context, options).response["violations"]
    return [
        (one["id"], one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


ADD_SMALL_BUTTONS = """article => {
    const style = "position: absolute; width: 9px; height: 9px; padding: 0; left:";
    const button = (left) => `<button aria-label="a" style="${style} ${left}px"></button>`;
    article.insertAdjacentHTML("beforeend", button(0) + button(10));
}"""


def test_what_shuts_readers_out_is_noticed(visit, address):
    page = visit().open(f"{address}/chapters/references.html")
    assert violations_on(page) == []
    page.locator("article p").last.evaluate("p => (p.style.color = '#aaa')")
    page.locator("article p").first.evaluate("p => (p.innerHTML = '<img src=data:,>')")
    page.locator("article").evaluate(ADD_SMALL_BUTTONS)
    looks = {"color-contrast", "target-size"}
    assert {rule for rule, _ in violations_on(page, every=False)} == looks
    assert {rule for rule, _ in violations_on(page)} == looks | {"image-alt"}


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


def test_the_offline_copy_opens_from_disk(offline, browser):
    folder = offline / "borrowing-strength"
    opened = Visit(browser, folder.as_uri(), width=390)
    page = opened.open((folder / "chapters" / "shrinkage.html").as_uri())
    assert opened.troubles == []
    assert page.locator(".explore").count() >= 2
    assert all(page.evaluate(COLOURS))
    opened.context.close()


def test_the_offline_notebooks_are_those_of_the_site(offline):
    copied = offline / "borrowing-strength-notebooks"
    for folder in (SITE, copied):
        assert len(list(folder.rglob("*.ipynb"))) == 18
    for file in copied.rglob("*.*"):
        assert file.read_bytes() == (SITE / file.relative_to(copied)).read_bytes()


def test_charts_follow_the_width_of_the_page(visit, address):
    page = visit(width=1280).open(f"{address}/chapters/random-slopes.html")
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
