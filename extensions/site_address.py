"""Titles of the pages, and what other sites show of them once the book's address is known.

With an address each page names it and carries a preview (OpenGraph), and search engines get a
sitemap; both packages would write half an address, or warn, without one.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

CARD = "_static/card.png"
CARD_TAGS = (
    '<meta property="og:image:width" content="1200" />',
    '<meta property="og:image:height" content="630" />',
    '<meta name="twitter:card" content="summary_large_image" />',
)
# The page's own background, so that a phone's bars match it.
THEME_COLORS = "".join(
    f'<meta name="theme-color" content="{color}" media="(prefers-color-scheme: {scheme})" />\n'
    for scheme, color in (("light", "#ffffff"), ("dark", "#121212"))
)
NO_CONTENT = ["search.html", "genindex.html", "py-modindex.html"]
FRONT_PAGE = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8" />
<meta http-equiv="refresh" content="0; url={target}" />
<title>{title}</title>
{metatags}
</head>
<body><p><a href="{target}">{title}</a></p></body>
</html>
"""


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", use_address)
    app.connect("html-page-context", describe, priority=100)
    app.connect("html-page-context", keep_front_page, priority=900)
    app.connect("build-finished", write_front_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def site_address(environment, repository_url=""):
    """Tell where the site is published.

    Parameters
    ----------
    environment : mapping of str to str
        Its SITE_URL is the address; its REPOSITORY_URL goes before `repository_url`.
    repository_url : str
        A repository on GitHub is published by GitHub Pages.

    Returns
    -------
    str
        With a slash at its end; empty if nothing says it.

    Raises
    ------
    ExtensionError
        If SITE_URL is no web address.

    Examples
    --------
    >>> site_address({"SITE_URL": "https://course.example.org"})
    'https://course.example.org/'
    >>> site_address({}, "https://github.com/Owner/name")
    'https://owner.github.io/name/'
    """
    address = environment.get("SITE_URL", "")
    if not address:
        return pages_address(environment.get("REPOSITORY_URL") or repository_url or "")
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", address):
        raise ExtensionError(
            f"SITE_URL is {address!r}; it must be the whole address of the site, such as "
            "https://owner.github.io/name/."
        )
    return address.rstrip("/") + "/"


def pages_address(repository_url):
    """Tell where GitHub Pages publishes a repository; empty if it is not on GitHub.

    Examples
    --------
    >>> pages_address("https://github.com/owner/owner.github.io")
    'https://owner.github.io/'
    >>> pages_address("https://example.org/owner/name")
    ''
    """
    found = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+?)(\.git)?/?", repository_url)
    if not found:
        return ""
    host = f"{found[1].lower()}.github.io"
    return f"https://{host}/" if found[2].lower() == host else f"https://{host}/{found[2]}/"


def use_address(app, config):
    """Hand the address, if there is one, to those who write it."""
    address = site_address(os.environ, config.html_theme_options.get("repository_url"))
    if not address:
        return
    for extension in ("sphinx_sitemap", "sphinxext.opengraph"):
        app.setup_extension(extension)
    config.html_baseurl = config.ogp_site_url = address
    config.sitemap_url_scheme = "{link}"
    config.sitemap_excludes = NO_CONTENT
    config.ogp_site_name = config.html_title
    config.ogp_image = CARD
    config.ogp_image_alt = "Estimates of a hundred clusters, pulled toward what all have in common"
    config.ogp_social_cards = {"enable": False}
    config.ogp_custom_meta_tags = CARD_TAGS


def describe(app, pagename, templatename, context, doctree):
    """Give the landing page the book's title, and previews the page's own description."""
    context["metatags"] = context.get("metatags", "") + THEME_COLORS
    if pagename == app.config.root_doc:
        context["title"], context["docstitle"] = app.config.project, ""
    for meta in doctree.findall(nodes.meta) if doctree else ():
        if meta.get("name") == "description":
            context["meta"] = {"og:description": meta["content"], **(context["meta"] or {})}


def keep_front_page(app, pagename, templatename, context, doctree):
    """Keep what the site's own address says: the same as the landing page it leads to."""
    if pagename == app.config.root_doc:
        app.front_page = FRONT_PAGE.format(
            language=app.config.language,
            target=app.builder.get_target_uri(pagename),
            title=html.escape(app.config.project),
            metatags=context["metatags"].strip(),
        )


def write_front_page(app, exception):
    """Replace the bare redirection that the table of contents has left."""
    if not exception and app.builder.format == "html":
        Path(app.outdir, "index.html").write_text(app.front_page, encoding="utf-8")
