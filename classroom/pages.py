"""The exercises as pages of the book: a Sphinx extension.

A page shows text, starter and visible checks. Solutions are folded, or absent when the environment
says ``SOLUTIONS=no``; hidden checks are never on it. Its cells run the reference, whose answers
become the key of the notebook that the page offers.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import jupytext
import nbformat
from jupyter_cache import get_cache
from sphinx.errors import ExtensionError

from classroom import release, sources

PROMPTS = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}


def setup(app):
    """Connect to Sphinx."""
    app.connect("source-read", show_exercise)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def with_solutions():
    """Whether the pages show solutions, from the environment variable SOLUTIONS."""
    wish = os.environ.get("SOLUTIONS", "yes")
    if wish not in ("yes", "no"):
        raise ExtensionError(f"SOLUTIONS is {wish!r}; allowed are yes and no.")
    return wish == "yes"


def is_exercise(app, docname):
    """Whether a page is an exercise set."""
    path = Path(app.env.doc2path(docname)).relative_to(app.srcdir)
    return path.match(f"chapters/exercises/{sources.FILES}")


def show_exercise(app, docname, source):
    """Replace the text of an exercise source by that of its page."""
    if not is_exercise(app, docname):
        return
    try:
        notebook = sources.parse_source(source[0], f"{docname}.md")
    except sources.SourceError as error:
        raise ExtensionError(str(error)) from None
    page = page_notebook(notebook, solutions=with_solutions())
    source[0] = jupytext.writes(page, fmt="md:myst")


def page_notebook(notebook, *, solutions):
    """Make the notebook that becomes the page.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        The source.
    solutions : bool
        Whether solutions are on the page, folded.

    Returns
    -------
    nbformat.NotebookNode
    """
    page = copy.deepcopy(notebook)
    # The description for search engines, which jupytext would leave out.
    page.metadata.jupytext["notebook_metadata_filter"] = "myst"
    cells = [part for cell in page.cells for part in _page_cells(cell, solutions)]
    page.cells = [*cells, release.report_cell()]
    return page


def _page_cells(cell, solutions):
    """Return what a cell of the source is on the page."""
    if sources.has_tag(cell, "foreseen"):
        return [_code(cell.source, tags=["remove-cell"])]
    if sources.is_essay(cell):
        model = [_text(f":::{{dropdown}} A model answer\n{cell.source}\n:::")]
        return [_text(":::{text-answer}\n:::"), *(model if solutions else [])]
    if sources.is_answer(cell):
        tag = "hide-input" if solutions else "remove-cell"
        return [
            _text(f"```python\n{sources.starter(cell)}\n```"),
            _code(sources.solution(cell), tags=[tag], mystnb=PROMPTS),
        ]
    if sources.is_check(cell):
        visible = sources.visible(cell)
        return [_code(visible), _text(f":::{{answer-box}}\n{visible}\n:::")]
    cell.metadata.pop("nbgrader", None)
    return [cell]


def _code(source, **metadata):
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def _text(source):
    return nbformat.v4.new_markdown_cell(source)


def book_notebook(app, docname):
    """Make the notebook that an exercise's page offers: a student's, with the numbers of the book.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        Once the page's cells are executed.
    docname : str

    Returns
    -------
    nbformat.NotebookNode
    """
    notebook = sources.read_source(app.env.doc2path(docname))
    record = executed_record(app, docname)
    return release.student_notebook(release.instructor_notebook(notebook, None, record))


def executed_record(app, docname):
    """Return what the reference answered when the page's cells were executed.

    Parameters
    ----------
    app : sphinx.application.Sphinx
    docname : str

    Returns
    -------
    dict
        From :meth:`checks.Checks.recorded`.
    """
    executed = Path(app.outdir).parent / "jupyter_execute" / f"{docname}.ipynb"
    # A page that was not executed anew is written there without its outputs.
    cache = get_cache(app.env.mystnb_config.execution_cache_path)
    cells = nbformat.read(executed, as_version=4)
    record = release.find_record(cache.merge_match_into_notebook(cells)[1])
    if record["rejected"]:
        raise ExtensionError(f"{docname}.md: its seed does not suit it: {record['rejected']}.")
    return record
