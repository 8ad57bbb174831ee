"""Chapters on paper: printed by Chromium, read back from the PDF."""

import io
import unicodedata

import pytest
from pypdf import PdfReader

from tests.browsing import Visit

CHAPTER = "chapters/shrinkage"
EXERCISES = "chapters/exercises/e1-shrinkage"


def printed(page):
    """Print a page on A4; return the reader of its PDF."""
    return PdfReader(io.BytesIO(page.pdf(format="A4")))


def words(text):
    """Return the text with single blanks and without ligatures, both of which are the PDF's."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


@pytest.fixture(scope="module")
def chapter(browser, address):
    """Chapter 1 printed from a dark screen: its page, still open, and the text of each sheet."""
    visited = Visit(browser, address, scheme="dark")
    page = visited.open(f"{address}/{CHAPTER}.html")
    sheets = [sheet.extract_text() for sheet in printed(page).pages]
    yield page, sheets
    visited.context.close()


def test_a_chapter_is_a_handful_of_sheets(chapter):
    assert 15 <= len(chapter[1]) <= 30


def test_figures_are_on_paper(chapter):
    page, sheets = chapter
    text = words(" ".join(sheets))
    lines = ":is(text:not(:has(tspan)), tspan)"
    # Of the two drawings of a figure, the one for a wide place, where there are two.
    drawing = ".vega-chart > :is(.wide, :first-child)"
    axes = page.locator(f"{drawing} .role-axis-title {lines}").all_text_contents()
    assert len(axes) > 20
    assert [axis for axis in set(axes) if text.count(axis) < axes.count(axis)] == []
    assert "Estimated sds: intercepts" in text, "the figure in the place of the last controls"


@pytest.mark.parametrize(
    "control", ["your own settings", "Show the code of Figure", "Exercises 5: Weighting", "Search"]
)
def test_what_only_a_screen_can_do_is_not_on_paper(chapter, control):
    page, sheets = chapter
    assert control in page.content()
    assert control not in words(" ".join(sheets))


def test_answers_are_on_paper(chapter):
    text = words(" ".join(chapter[1]))
    assert "The one with 40: it has more influence." in text
    assert "Its own slope is well supported" in text


def test_no_sheet_ends_with_a_heading(chapter):
    page, sheets = chapter
    headings = page.locator("article :is(h2, h3)").evaluate_all(
        "all => all.map((heading) => heading.innerText.replace('#', ''))"
    )
    ends = [words(sheet)[-120:] for sheet in sheets]
    assert len(headings) > 10
    assert [(end, at) for at in map(words, headings) for end in ends if end.endswith(at)] == []


def test_paper_is_light_whatever_the_screen_shows(visit, address):
    drawn = [
        [sheet.get_contents().get_data() for sheet in printed(page).pages]
        for scheme in ("light", "dark")
        for page in [visit(scheme=scheme).open(f"{address}/{EXERCISES}.html")]
    ]
    assert drawn[0] == drawn[1]


def test_the_theme_is_light_while_a_page_is_printed(visit, address):
    page = visit(scheme="dark").open(f"{address}/{EXERCISES}.html")
    themes = page.evaluate(
        """["beforeprint", "afterprint"].map((event) => {
            dispatchEvent(new Event(event));
            return document.documentElement.dataset.theme;
        })"""
    )
    assert themes == ["light", "dark"]
