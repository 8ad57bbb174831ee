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
    app.connect("build-finished", write_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def with_solutions():
    """Whether the pages show solutions, from the environment variable SOLUTIONS."""
    wish = os.environ.get("SOLUTIONS", "yes")
    if wish not in ("yes", "no"):
        raise ExtensionError(f"SOLUTIONS is {wish!r}; allowed are yes and no.")
    return wish == "yes"


def is_exercise(app, docname):
    """Whether a page is an exercise set."""
    return Path(app.env.doc2path(docname)) in sources.exercise_files()


def show_exercise(app, docname, source):
    """Replace the text of an exercise source by that of its page."""
    if not is_exercise(app, docname):
        return
    try:
        notebook = sources.parse_source(source[0], f"{docname}.md")
    except sources.SourceError as error:
        raise ExtensionError(str(error)) from None
    links = page_links(docname, app.config.html_theme_options.get("repository_url"))
    page = page_notebook(notebook, links, solutions=with_solutions())
    source[0] = jupytext.writes(page, fmt="md:myst")


def page_links(docname, repository_url):
    """Write the links to the notebook: to download, and to launch once the repository has a home.

    Binder finds the notebook where ``python -m classroom.release`` puts it.

    Parameters
    ----------
    docname : str
    repository_url : str or None
        As in _config.yml, for instance https://github.com/owner/name.

    Returns
    -------
    str
        HTML.
    """
    name = docname.rpartition("/")[2]
    links = [f'<a href="{name}.ipynb" download>Download the notebook</a>']
    if repository_url:
        owner_and_name = "/".join(repository_url.rstrip("/").split("/")[-2:])
        address = f"https://mybinder.org/v2/gh/{owner_and_name}/HEAD?labpath={docname}.ipynb"
        links.append(f'<a href="{address}">Run it in Binder</a>')
    return f'<p class="exercise-links">{" · ".join(links)}</p>'


def page_notebook(notebook, links, *, solutions):
    """Make the notebook that becomes the page.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        The source.
    links : str
        HTML that goes below the title.
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
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{links}\n{rest}"
    page.cells = [*cells, release.report_cell()]
    return page


def _page_cells(cell, solutions):
    """Return what a cell of the source is on the page."""
    if sources.has_tag(cell, "foreseen"):
        return [_code(cell.source, tags=["remove-cell"])]
    if sources.is_essay(cell):
        return [_text(f":::{{dropdown}} A model answer\n{cell.source}\n:::")] if solutions else []
    if sources.is_answer(cell):
        tag = "hide-input" if solutions else "remove-cell"
        return [
            _text(f"```python\n{sources.starter(cell)}\n```"),
            _code(sources.solution(cell), tags=[tag], mystnb=PROMPTS),
        ]
    if sources.is_check(cell):
        return [_code(sources.visible(cell))]
    cell.metadata.pop("nbgrader", None)
    return [cell]


def _code(source, **metadata):
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def _text(source):
    return nbformat.v4.new_markdown_cell(source)


def write_notebooks(app, exception):
    """Write each exercise's notebook beside its page, as a student gets it."""
    if exception or app.builder.format != "html":
        return
    cache = get_cache(app.env.mystnb_config.execution_cache_path)
    for docname in sorted(filter(lambda name: is_exercise(app, name), app.env.found_docs)):
        notebook = sources.read_source(app.env.doc2path(docname))
        executed = Path(app.outdir).parent / "jupyter_execute" / f"{docname}.ipynb"
        # A page that was not executed anew is written there without its outputs.
        cells = nbformat.read(executed, as_version=4)
        record = release.find_record(cache.merge_match_into_notebook(cells)[1])
        if record["rejected"]:
            raise ExtensionError(f"{docname}.md: its seed does not suit it: {record['rejected']}.")
        student = release.student_notebook(release.instructor_notebook(notebook, None, record))
        nbformat.write(student, Path(app.outdir, f"{docname}.ipynb"))
