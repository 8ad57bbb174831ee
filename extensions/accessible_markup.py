"""Mend markup that screen readers stumble over."""

import re

LIST_OF_CITATIONS = '<div role="list" class="citation-list">'
TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
HEAD = re.compile(r"<thead\b.*?</thead>", re.DOTALL)
CELL = re.compile(r"<th(?P<said>(?![^>]*\bscope=)(?:\s[^>]*)?)>")
WIDE = re.compile(r'\b(?P<way>col|row)span="(?!1")')


def setup(app):
    """Connect to Sphinx."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend(app, pagename, templatename, context, doctree):
    """Mend a page."""
    body = context.get("body", "")
    # Citations are called a list by docutils, but a list may hold nothing except list items.
    body = body.replace(LIST_OF_CITATIONS, LIST_OF_CITATIONS.replace(' role="list"', ""))
    # Every fold would be called the same; its own text says what it holds.
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    context["body"] = TABLE.sub(lambda table: scope(table[0]), body)


def scope(table):
    """Say of each heading of a table whether it is one of a column or of a row.

    Examples
    --------
    >>> scope("<table><thead><tr><th>n</th></tr></thead><tr><th>1</th></tr></table>")
    '<table><thead><tr><th scope="col">n</th></tr></thead><tr><th scope="row">1</th></tr></table>'
    """
    table = HEAD.sub(lambda head: CELL.sub(lambda cell: _scoped(cell, "col"), head[0]), table)
    return CELL.sub(lambda cell: _scoped(cell, "row"), table)


def _scoped(cell, way):
    wide = WIDE.search(cell["said"])
    group = "group" if wide and wide["way"] == way else ""
    return f'<th{cell["said"]} scope="{way}{group}">'
