"""What is left out of the finished pages, and what is mended in them."""

import re

import pytest
from sphinx.errors import ExtensionError

from extensions.light_pages import FIRST_SCRIPT, mended, mended_styles
from tests.browsing import PAGES, SITE


def test_icons_are_drawn_with_their_classes_and_data(tmp_path):
    page = '<i class="theme-switch fa-solid fa-sun fa-lg" data-mode="light" title="Light"></i>'
    drawn = mended(page, tmp_path)
    assert drawn.startswith('<svg class="svg-inline--fa theme-switch fa-sun fa-lg"')
    assert 'data-mode="light"' in drawn and "title" not in drawn and '<path fill="cur' in drawn
    with pytest.raises(ExtensionError, match="no icon 'no-such-thing'"):
        mended('<span class="fas fa-no-such-thing"></span>', tmp_path)


def test_scripts_carry_the_checksum_of_their_content(tmp_path):
    (tmp_path / "a.js").write_text("1")
    page = '<script defer src="a.js"></script><script src="a.js?v=1"></script><script src="b.js">'
    before = mended(page, tmp_path)
    assert re.search(r'src="a\.js\?v=\w{8}">', before)
    assert 'src="a.js?v=1"' in before and 'src="b.js"' in before
    (tmp_path / "a.js").write_text("2")
    assert mended(page, tmp_path) != before


def test_font_awesome_is_left_out_and_no_icon_is_missing():
    for name in PAGES:
        text = (SITE / f"{name}.html").read_text(encoding="utf-8")
        assert "fontawesome.js" not in text
        assert not re.search(r'<(i|span) class="[^"]*\bfa(s|b|r|-solid|-brands|-regular)\b', text)
        assert FIRST_SCRIPT in text and text.count("kept.get(key)") == 1


def test_the_digest_of_the_theme_gives_way_to_the_checksum_of_the_content(tmp_path):
    (tmp_path / "a.css").write_text("1")
    page = mended('<link href="a.css?digest=55c2" rel="stylesheet" />', tmp_path)
    assert re.fullmatch(r'<link href="a\.css\?v=\w{8}" rel="stylesheet" />', page)


def test_icons_of_the_style_sheet_are_drawn():
    sheet = mended_styles(
        r'html{--pst-icon-bell:"\f0f3"}.fa-bell:before,.fa-bells:before{content:"\f0f3"}'
        ".title:after{content:var(--pst-icon-bell);font:var(--fa-font-solid)}"
    )
    assert "fa-bell" not in sheet and "fa-font-solid" not in sheet and "f0f3" not in sheet
    assert sheet.startswith('html{--pst-icon-bell:url("data:image/svg+xml,%3Csvg')
    assert "mask:var(--pst-icon-bell) center" in sheet
    with pytest.raises(ExtensionError, match="no icon 'abcde'"):
        mended_styles(r':root{--pst-icon-x:"\abcde"}a:after{content:var(--pst-icon-x)}')
    with pytest.raises(ExtensionError, match="no longer says"):
        mended_styles("a:after{content:none}")


def test_no_page_loads_a_font_or_the_index_of_the_search(visit, address):
    visited, asked = visit(), []
    visited.page.on("request", lambda request: asked.append(request.url))
    page = visited.open(f"{address}/chapters/shrinkage.html")
    title = page.locator(".admonition > .admonition-title:visible").first
    icon = "title => getComputedStyle(title, '::after').maskImage"
    assert title.evaluate(icon).startswith('url("data:image/svg+xml')
    assert [url for url in asked if re.search(r"woff|ttf|searchindex|searchtools", url)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_known_before_the_first_paint(visit, address, scheme):
    page = visit(scheme=scheme).page
    page.route("**/*.js*", lambda route: route.abort())
    page.goto(f"{address}/chapters/references.html")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme


def test_every_script_of_the_site_carries_a_checksum():
    for path in SITE.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        bare = re.findall(r'<script[^>]* src="(?!https?:)[^"?]*"', text)
        # The theme's own templates lie there too.
        assert bare == [] or "_static" in path.parts, path


def test_text_waits_for_no_script():
    for name in PAGES:
        head = (SITE / f"{name}.html").read_text(encoding="utf-8").partition("</head>")[0]
        scripts = re.findall(r"<script[^>]* src=[^>]*>", head)
        assert len(scripts) > 5
        assert [
            script for script in scripts if not re.search("defer|documentation_options", script)
        ] == []


def test_search_shows_words_of_the_text(visit, address):
    page = visit().page
    page.goto(f"{address}/search.html?q=shrinkage")
    page.locator("#search-results p.context").first.wait_for()
    page.wait_for_timeout(1000)
    excerpts = page.locator("#search-results p.context").all_inner_texts()
    assert len(excerpts) > 3
    assert [text for text in excerpts if "Contents" in text] == []


def test_an_address_that_leads_nowhere_has_a_page():
    text = (SITE / "404.html").read_text(encoding="utf-8")
    assert re.search(r'href="[^"]*/chapters/index\.html"', text)


def test_theme_and_search_work_where_nothing_may_be_stored(visit, address):
    visited = visit()
    visited.page.add_init_script(
        """Object.defineProperty(window, "localStorage", { configurable: true,
            get() { throw new DOMException("blocked", "SecurityError"); } });"""
    )
    page = visited.open(f"{address}/chapters/references.html")
    page.locator(".theme-switch-button:visible").first.click()
    page.wait_for_function("document.documentElement.dataset.mode === 'dark'")
    page = visited.open(f"{address}/search.html?q=shrinkage")
    page.wait_for_selector("#search-results li a")
    assert visited.troubles == []
