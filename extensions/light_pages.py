"""Leave out of the finished pages what they do not need, and mend what the theme writes into each.

The theme loads Font Awesome, as scripts and as fonts two thirds of a megabyte, for a dozen icons:
they are drawn into the pages and the style sheet. It loads the index of the search where nothing is
searched. Its scripts fail where a browser forbids to store anything: they get a store that forgets.
Every script carries the checksum of its content, so a new page never meets an old script. A page
for addresses that lead nowhere is added.
"""

from __future__ import annotations

import hashlib
import html
import re
from functools import cache
from pathlib import Path
from urllib.parse import quote

import pydata_sphinx_theme
from sphinx.errors import ExtensionError

ICONS = Path(
    pydata_sphinx_theme.__file__,
    "../theme/pydata_sphinx_theme/static/scripts/fontawesome.js",
).resolve()
ICON = re.compile(
    r'<(?P<tag>i|span) class="(?P<classes>[^"]*\b'
    r'(?P<style>fa-solid|fas|far|fa-regular|fab|fa-brands)\b[^"]*)"(?P<rest>[^>]*)>\s*</(?P=tag)>'
)
SIZES = {"fa-lg", "fa-fw", "fa-solid", "fa-regular", "fa-brands"}
FONT_AWESOME = re.compile(r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>')
# The theme's own digests are of its version, whatever we change in its files.
LOCAL = re.compile(
    r'(?P<before><(?:script|link)\b[^>]*? (?:src|href)=")'
    r'(?P<path>[^":?#]+\.(?:js|css))(?:\?digest=\w+)?"'
)
# For a search while the reader types, which the theme offers and the book does not.
TYPED_SEARCH = re.compile(
    r'\s*<script [^>]*src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>'
)
NO_TYPED_SEARCH = "DOCUMENTATION_OPTIONS.search_as_you_type = false"
# In the theme's style sheet: a class for each of 1,400 icons, the icons that it uses itself, and
# where it uses them.
ICON_CLASSES = re.compile(r'(?:\.fa-[\w-]+:before,?)+\{content:"[^"]*"\}')
NAMED_ICON = re.compile(r'(--pst-icon-[\w-]+):"(?:\\([0-9a-f]+)|([^"\\]))"')
USED_ICON = re.compile(r"content:(var\(--pst-icon-[\w-]+\))")
ICON_FONT = "font:var(--fa-font-solid)"
MASKED = (
    'content:"";display:inline-block;width:1em;height:1em;background:currentcolor;'
    "mask:{0} center/contain no-repeat"
)
# Text need not wait for the theme's scripts. Those of the search are called where they stand.
# The options are read by scripts in the text.
WAITED_FOR = re.compile(
    r'<script (?=[^>]*\bsrc="(?!https?:))(?![^>]*(?:\bdefer\b|\basync\b|documentation_options))'
)
SEARCHES = 'id="search-results"'
STORE = """<script>try { localStorage } catch {
    const kept = new Map();
    const store = {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => kept.set(key, `${value}`),
      removeItem: (key) => kept.delete(key),
    };
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, { value: store });
    }
  }</script>
  """
# What Sphinx' search leaves out of the words it shows of a page.
LEFT_OUT = '[".headerlink", "script", "style"]'
ALSO_LEFT_OUT = '[".headerlink", "script", "style", "svg", ".onlyprint"]'
NOWHERE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>Page not found \u2014 {title}</title>
<style>:root {{ color-scheme: light dark; }} body {{ max-width: 36rem; margin: 15vh auto;
padding: 0 1rem; font: 1.1rem/1.6 system-ui, sans-serif; }}</style></head>
<body><main><h1>There is no such page</h1>
<p>It may have moved. <a href="{root}chapters/index.html">Go to the first page of the course</a>,
or <a href="{root}search.html">search</a>.</p></main></body></html>
"""
FIRST_SCRIPT = '<script data-cfasync="false">'
# Else the theme's script says light or dark after the first paint, and all styles are found anew.
LATE_THEME = 'dataset.theme = localStorage.getItem("theme") || "auto";'
EARLY_THEME = """dataset.theme =
      { light: "light", dark: "dark" }[document.documentElement.dataset.mode] ??
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");"""


def setup(app):
    """Connect to Sphinx."""
    app.connect("build-finished", mend_pages, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend_pages(app, exception):
    """Rewrite every page of the site."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    search = site / "_static" / "searchtools.js"
    script = search.read_text(encoding="utf-8")
    if LEFT_OUT not in script:
        raise ExtensionError(f"{search} no longer says {LEFT_OUT}")
    search.write_text(script.replace(LEFT_OUT, ALSO_LEFT_OUT), encoding="utf-8")
    # It is shown at any address, so its links start at the root of the site.
    nowhere = NOWHERE.format(title=app.config.html_title, root=app.config.html_baseurl or "/")
    (site / "404.html").write_text(nowhere, encoding="utf-8")
    sheet = site / "_static" / "styles" / "pydata-sphinx-theme.css"
    sheet.write_text(mended_styles(sheet.read_text(encoding="utf-8")), encoding="utf-8")
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if FIRST_SCRIPT in text:
            path.write_text(mended(text, path.parent), encoding="utf-8")


def mended(text, folder):
    """Return a page with its icons, its store and the checksums of its scripts."""
    text = FONT_AWESOME.sub("", text)
    text = ICON.sub(drawn_icon, text)
    if SEARCHES not in text:
        text = WAITED_FOR.sub("<script defer ", text)
        if NO_TYPED_SEARCH in text:
            text = TYPED_SEARCH.sub("", text)
    text = text.replace(LATE_THEME, EARLY_THEME, 1)
    text = text.replace(FIRST_SCRIPT, STORE + FIRST_SCRIPT, 1)
    return LOCAL.sub(lambda found: with_checksum(found, folder), text)


def drawn_icon(found):
    """Return the icon as Font Awesome's own script would draw it."""
    classes = found["classes"].split()
    (name,) = (each[3:] for each in classes if each.startswith("fa-") and each not in SIZES)
    width, height, path = icon(name, found["style"])
    kept = " ".join(each for each in classes if each not in {"fa-solid", "fas"})
    rest = re.sub(r' (?:title|aria-hidden)="[^"]*"', "", found["rest"])
    return (
        f'<svg class="svg-inline--fa {kept}"{rest} aria-hidden="true" focusable="false" '
        f'viewBox="0 0 {width} {height}"><path fill="currentColor" d="{path}"></path></svg>'
    )


def mended_styles(sheet):
    """Return the theme's style sheet with its icons as drawings instead of letters of a font."""
    if not USED_ICON.search(sheet):
        raise ExtensionError("the theme's style sheet no longer says content:var(--pst-icon-...)")
    sheet = ICON_CLASSES.sub("", sheet)
    sheet = USED_ICON.sub(lambda found: MASKED.format(found[1]), sheet)
    sheet = sheet.replace(ICON_FONT, "line-height:1")
    return NAMED_ICON.sub(named_drawing, sheet)


def named_drawing(found):
    """Return the variable that holds an icon, with its drawing."""
    code = found[2] or f"{ord(found[3]):x}"
    width, height, path = icon("", "fa-solid", code)
    box = f"viewBox='0 0 {width} {height}'"
    drawing = f"<svg xmlns='http://www.w3.org/2000/svg' {box}><path d='{path}'/></svg>"
    return f'{found[1]}:url("data:image/svg+xml,{quote(drawing)}")'


@cache
def icon(name, style, code=""):
    """Look up width, height and path of an icon in the theme's copy of Font Awesome."""
    named, coded = re.escape(name) or r"[\w-]+", code or "[0-9a-f]*"
    pattern = rf'[{{,]"?{named}"?:\[(\d+),(\d+),\[[^\]]*\],"{coded}","([^"]*)"\]'
    found = re.findall(pattern, ICONS.read_text(encoding="utf-8"))
    if not found:
        raise ExtensionError(f"Font Awesome has no icon {name or code!r}")
    # Of an icon that comes in two styles, the outlined one stands first.
    return found[0] if style in {"far", "fa-regular"} else found[-1]


def with_checksum(found, folder):
    """Add the checksum of a script's or style sheet's content to its address."""
    path = (folder / html.unescape(found["path"])).resolve()
    if not path.is_file():
        return found[0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return f'{found["before"]}{found["path"]}?v={digest}"'
