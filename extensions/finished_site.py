"""The last touches to a site: a page for wrong addresses, checksums, excerpts of the search."""

from __future__ import annotations

import html
import re
import zlib
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

# Sphinx writes a checksum behind the scripts it knows of; these it does not.
BARE_SCRIPT = re.compile(r'(<script[^>]* src=")([^":?#]+\.js)(")')
NOT_FOUND = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="robots" content="noindex" />
<title>No such page — {short}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 36rem; margin: 15vh auto; padding: 0 1rem; }}
body {{ font: 1.1rem/1.6 system-ui, sans-serif; }}
</style>
</head>
<body>
<main>
<h1>There is no such page</h1>
<p>It may have moved. The course begins on its <a href="{home}">first page</a>; its
<a href="{home}search.html">search</a> finds the rest.</p>
</main>
</body>
</html>
"""
# The search shows what it finds of a page's text: not the contents for printing, nor buttons.
EXCERPTS = """
document.addEventListener("DOMContentLoaded", () => {
  const textOf = Search.htmlToText;
  Search.htmlToText = (page, anchor) => {
    const parsed = new DOMParser().parseFromString(page, "text/html");
    const parts = parsed.querySelectorAll("#jb-print-docs-body, .launch-links, svg, button");
    for (const part of parts) part.remove();
    return textOf(parsed.documentElement.outerHTML, anchor).replaceAll(/\\s+/g, " ");
  };
});
"""


def setup(app):
    """Connect to Sphinx."""
    app.connect("html-page-context", mend_excerpts)
    app.connect("build-finished", finish, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend_excerpts(app, pagename, templatename, context, doctree):
    """Let the search page show excerpts of the text."""
    if pagename == "search":
        app.add_js_file(None, body=EXCERPTS)


def finish(app, exception):
    """Write the page for wrong addresses, and the checksums."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    site.joinpath("404.html").write_text(not_found(app.config), encoding="utf-8")
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        marked = BARE_SCRIPT.sub(partial(with_checksum, folder=page.parent), text)
        if marked != text:
            page.write_text(marked, encoding="utf-8")


def not_found(config):
    """Write the page for wrong addresses.

    It is shown at any address, however deep, so its links begin at the root of the host.
    """
    home = urlsplit(config.html_baseurl or "").path or "/"
    return NOT_FOUND.format(
        language=config.language, short=html.escape(config.html_title), home=home
    )


def with_checksum(found, folder):
    """Add the checksum of a script to its address, so that no old copy meets a new page."""
    before, address, after = found.groups()
    script = folder / address
    if not script.exists():
        return found[0]
    return f"{before}{address}?v={zlib.crc32(script.read_bytes()):08x}{after}"
