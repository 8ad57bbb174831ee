"""What browsers, search engines and previews are told about each page; the site's own search."""

import html
import re
import struct

import pytest

from extensions.site_address import ExtensionError, site_address
from tests.browsing import PAGES, ROOT, SITE

ADDRESS = "https://course.example.org/book/"
BOOK = "Borrowing Strength: shrinkage in mixed-effects models, in Python"


def head_of(page):
    return page.read_text(encoding="utf-8").partition("</head>")[0]


def title_of(head):
    return html.unescape(re.search("<title>(.*?)</title>", head)[1])


def metas_of(head):
    """Return the content of the page's <meta> elements by name or property."""
    metas = {}
    for tag in re.findall("<meta [^>]+>", head):
        says = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        metas[says.get("name") or says.get("property")] = html.unescape(says.get("content", ""))
    return metas


@pytest.fixture(scope="module")
def heads():
    """Heads of all pages of the built book, by name."""
    return {name: head_of(SITE / f"{name}.html") for name in PAGES}


def test_titles_name_the_page_then_the_book(heads):
    titles = {name: title_of(head) for name, head in heads.items()}
    assert titles.pop("chapters/index") == BOOK
    assert title_of(head_of(SITE / "index.html")) == BOOK
    assert all(re.fullmatch("[^—]+ — Borrowing Strength", title) for title in titles.values())
    assert len(set(titles.values())) == len(titles)


def test_each_page_has_a_description_of_its_own(heads):
    descriptions = {name: metas_of(head)["description"] for name, head in heads.items()}
    assert [name for name, said in descriptions.items() if not 50 <= len(said) <= 165] == []
    assert len(set(descriptions.values())) == len(descriptions)


def test_pages_say_their_language_and_have_an_icon(heads):
    for name, head in heads.items():
        assert '<html lang="en"' in head
        icon = re.search('<link rel="icon" href="([^"]+)"', head)[1]
        assert (SITE / name).parent.joinpath(icon).resolve().exists()


def test_the_card_has_the_size_that_previews_are_told():
    start = (SITE / "_static" / "card.png").read_bytes()[:24]
    assert struct.unpack(">II", start[16:]) == (1200, 630)


@pytest.mark.parametrize("wrong", ["course.example.org", "https://", "https://a.org/?page=1"])
def test_what_is_no_address_is_refused(wrong):
    with pytest.raises(ExtensionError, match="SITE_URL is .*; it must be the whole address"):
        site_address({"SITE_URL": wrong})


def test_the_environment_goes_before_the_settings():
    settings = "https://github.com/owner/settings"
    repository = {"REPOSITORY_URL": "https://github.com/owner/name.git"}
    assert site_address(repository, settings) == "https://owner.github.io/name/"
    assert site_address(repository | {"SITE_URL": ADDRESS}, settings) == ADDRESS


@pytest.mark.parametrize("kind", ["served", "from disk"])
def test_the_search_finds_pages(visit, address, kind):
    visited = visit()
    if kind == "from disk":
        address = SITE.as_uri()
    visited.page.goto(f"{address}/search.html?q=shrinkage")
    found = visited.page.locator("#search-results li")
    visited.page.wait_for_function("document.querySelector('#search-results .search-summary')")
    found.first.wait_for()
    links = found.locator("a").evaluate_all("links => links.map((link) => link.href)")
    assert any("chapters/shrinkage.html" in link for link in links)
    if kind == "served":
        # Browsers let no page on disk read another.
        found.locator(".context").first.wait_for()
        assert "shrinkage" in found.locator(".context").first.inner_text().lower()
        assert visited.troubles == []


def test_the_repository_has_the_card_of_the_site():
    card = ROOT / "chapters" / "_static" / "card.png"
    assert card.read_bytes() == (SITE / "_static" / "card.png").read_bytes()
