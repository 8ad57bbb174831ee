"""Mend markup that screen readers stumble over."""

LIST_OF_CITATIONS = '<div role="list" class="citation-list">'


def setup(app):
    """Connect to Sphinx."""
    app.connect("html-page-context", free_citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def free_citations(app, pagename, templatename, context, doctree):
    """Call citations no list: docutils does, but a list may hold nothing except list items."""
    plain = LIST_OF_CITATIONS.replace(' role="list"', "")
    context["body"] = context.get("body", "").replace(LIST_OF_CITATIONS, plain)
