"""Offer every page with cells as a notebook: to download, in Binder and in Colab.

Binder opens the copy that extensions/lab.py makes, in JupyterLab. Colab opens the exported
notebook, which the branch ``notebooks`` holds just as the site does. Both need the address of the
repository: that of ``repository.url`` in _config.yml, or of the environment variable REPOSITORY_URL
where it is set. Without one only the download is offered.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path
from urllib.parse import quote

import jupytext
import nbformat
from jupyter_cache import get_cache
from pybtex.backends.markdown import Backend
from sphinx.errors import ExtensionError
from sphinx.util import docname_join

from captions import number_of_label
from classroom import pages
from drawn_charts import draw_images
from kernels import notebook_of
from live_prose import expression_names, name_expressions
from plain_markdown import plain_markdown

REPOSITORY = re.compile(r"https://github\.com/([\w-]+/[\w.-]+)")
NOTEBOOKS_BRANCH = "notebooks"
# The page that tells how this site was built: elsewhere its cells would have nothing to tell.
ABOUT_THE_BUILD = "chapters/appendix/status"
# Its cells are there for the page; JupyterLab shows them folded.
FOLDED = {"remove-cell", "remove-input", "hide-input"}
# What these cells give is not on the page.
SILENT = {"remove-cell", "remove-output"}
# A notebook has no kernel that knows the page's widgets; what text is made of stands in the text.
NOT_KEPT = ("application/vnd.jupyter.widget-view+json", "application/papermill.record/text/plain")


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", read_repository)
    app.connect("html-page-context", add_links)
    app.connect("build-finished", write_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def read_repository(app, config):
    """Let the environment name the repository, and refuse an address nothing could open."""
    configured = config.html_theme_options.get("repository_url")
    address = (os.environ.get("REPOSITORY_URL") or configured or "").rstrip("/")
    if address and not REPOSITORY.fullmatch(address):
        raise ExtensionError(
            f"The repository's address is {address!r}; it must be https://github.com/owner/name, "
            "or empty. Correct repository.url in _config.yml or the variable REPOSITORY_URL."
        )
    config.html_theme_options["repository_url"] = address


def is_notebook(app, docname):
    """Whether a page has cells that a reader could run."""
    return docname != ABOUT_THE_BUILD and "kernelspec" in app.env.metadata.get(docname, {})


def add_links(app, pagename, templatename, context, doctree):
    """Put the links below the title of a page with cells."""
    if is_notebook(app, pagename):
        links = page_links(pagename, app.config.html_theme_options["repository_url"])
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{links}", 1)


def page_links(docname, address):
    """Write the links to a page's notebook.

    Parameters
    ----------
    docname : str
    address : str
        Of the repository, ``https://github.com/owner/name``; empty if it has none.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> page_links("chapters/shrinkage", "")
    '<p class="launch-links"><a href="shrinkage.ipynb" download>Download the notebook</a></p>'
    """
    links = {f'"{docname.rpartition("/")[2]}.ipynb" download': "Download the notebook"}
    if address:
        owner_and_name = REPOSITORY.fullmatch(address)[1]
        binder = f"https://mybinder.org/v2/gh/{owner_and_name}/HEAD?labpath="
        colab = f"https://colab.research.google.com/github/{owner_and_name}/blob/{NOTEBOOKS_BRANCH}"
        lab = f"lab/{docname.partition('/')[2]}.ipynb"
        links[f'"{binder}{quote(lab, safe="")}"'] = "Run it in Binder"
        links[f'"{colab}/{docname}.ipynb"'] = "Run it in Colab"
    anchors = [f"<a href={where}>{text}</a>" for where, text in links.items()]
    return f'<p class="launch-links">{" · ".join(anchors)}</p>'


def write_notebooks(app, exception):
    """Write the notebook of every page with cells beside the page."""
    if exception or app.builder.format != "html":
        return
    for docname in sorted(name for name in app.env.found_docs if is_notebook(app, name)):
        try:
            notebook = portable_notebook(app, docname)
        except ValueError as error:
            raise ExtensionError(f"{docname}.md: {error}") from None
        nbformat.write(notebook, Path(app.outdir, f"{docname}.ipynb"))


def portable_notebook(app, docname):
    """Make a notebook of a page that can be read and run anywhere.

    Parameters
    ----------
    app : sphinx.application.Sphinx
    docname : str

    Returns
    -------
    nbformat.NotebookNode
        Plain Markdown, with the outputs of the page (an exercise has none, they would tell its
        answers); its first cell fetches the course where it is missing, its last lists what it
        cites.
    """
    if pages.is_exercise(app, docname):
        notebook, modules = pages.book_notebook(app, docname), "checks, helpers"
    else:
        notebook, modules = page_notebook(app, docname), "helpers"
        add_outputs(app, docname, notebook)
    roles = page_roles(app, docname)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source, roles)
        elif FOLDED & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}
    if cited := references(app, docname):
        notebook.cells.append(nbformat.v4.new_markdown_cell(cited, id="references"))
    setup_cell = first_cell(app.config.html_theme_options["repository_url"], modules)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(setup_cell, id="setup"))
    notebook.metadata = {"kernelspec": dict(notebook.metadata.kernelspec)}
    return notebook


def page_notebook(app, docname):
    """Read a page as a notebook, with names for the expressions in its text."""
    notebook = jupytext.read(app.env.doc2path(docname), fmt="md:myst")
    names = expression_names()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source, _ = name_expressions(cell.source, names)
    return notebook


def add_outputs(app, docname, notebook):
    """Give each cell of a page's notebook what it gave in the build."""
    # From the cache: myst-nb's own copies have no outputs where a page was not executed anew.
    cache = get_cache(app.config.nb_execution_cache_path)
    _, ran = cache.merge_match_into_notebook(notebook_of(app.env, docname))
    executed = iter(ran.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # Between them stand the hidden cells of live_prose.py.
            same = next(other for other in executed if other.source == cell.source)
            if not SILENT & set(cell.metadata.get("tags", [])):
                cell.outputs = [portable_output(app, out) for out in same.outputs if is_kept(out)]


def is_kept(output):
    """Whether an output can be shown without a kernel."""
    return not set(NOT_KEPT) & set(output.get("data", {}))


def portable_output(app, output):
    """Draw the charts of an output; nothing says when it was run, which was not by the reader."""
    if "execution_count" in output:
        output.execution_count = None
    if "text/html" in output.get("data", {}):
        output.data["text/html"] = draw_images(app, output.data["text/html"])
    return output


def first_cell(address, modules="helpers"):
    """Write the cell that fetches the course where its modules cannot be imported.

    Parameters
    ----------
    address : str
        Of the repository, in any form git understands; empty if it has none.
    modules : str
        Modules of the course that the notebook imports.

    Returns
    -------
    str
        Python code.
    """
    absent = (IN_COLAB, FETCH % address) if address else (NOWHERE_ELSE, NO_ADDRESS)
    return FIRST_CELL.format(*absent, modules=modules)


FIRST_CELL = """\
# Where the course is installed this does nothing; {0}.
try:
    import {modules}
except ImportError:
{1}"""
IN_COLAB = "in Colab it fetches the course, in a minute"
NOWHERE_ELSE = "elsewhere it says what is missing"
FETCH = textwrap.indent(
    """\
import pathlib, subprocess, sys

course = pathlib.Path("borrowing-strength")
if not course.exists():
    subprocess.run(["git", "clone", "--quiet", "--depth=1", "%s", course], check=True)
subprocess.run([sys.executable, course / "binder" / "install_missing.py"], check=True)
sys.path[:0] = [str(course.resolve()), str(course.resolve() / "chapters" / "exercises")]""",
    "    ",
)
NO_ADDRESS = textwrap.indent(
    """\
raise ImportError(
    "This notebook needs the modules of its course. In the folder of the course, run "
    "`make lab`, and open the notebook there."
) from None""",
    "    ",
)


def page_roles(app, docname):
    """Return what each role says in a page's text, by the name of the role."""
    labels = app.env.get_domain("std").labels
    return {
        "term": str,
        "download": lambda file: Path(file).name,
        "ref": lambda label: labels[label][2],
        "numref": lambda label: number_of_label(app.env, label),
        "doc": lambda page: app.env.titles[docname_join(docname, page)].astext(),
        **cite_roles({found.key: found.entry for found in app.env.get_domain("cite").citations}),
        "evaluated": lambda place: _evaluated(app, docname)[place.partition(":")[2]],
    }


def references(app, docname):
    """List what a page cites, as the book's own list does; empty if it cites nothing."""
    domain = app.env.get_domain("cite")
    cited = [place.targets for place in domain.citation_refs if place.docname == docname]
    here = {target.key for targets in cited for target in targets}
    texts = [found.formatted_entry.text for found in domain.citations if found.key in here]
    entries = [f"- {text.render(Backend())}\n" for text in texts]
    return "".join(["## References\n\n", *entries]) if entries else ""


def cite_roles(entries):
    """Name authors and years as the page does, from the entries of the bibliography by key."""

    def cite(keys, form, separator):
        cited = [entries[key.strip()] for key in keys.split(",")]
        return separator.join(
            form.format(names=_names(entry.persons["author"]), year=entry.fields["year"])
            for entry in cited
        )

    return {
        "cite": lambda keys: f"[{cite(keys, '{names}, {year}', '; ')}]",
        "cite:p": lambda keys: f"[{cite(keys, '{names}, {year}', '; ')}]",
        "cite:t": lambda keys: cite(keys, "{names} [{year}]", ", "),
    }


def _names(people):
    last = ["".join(map(str, person.rich_last_names)) for person in people]
    return f"{last[0]} et al." if len(last) > 2 else " and ".join(last)


def _evaluated(app, docname):
    """Read what a page's cells gave to its text, by name."""
    file = Path(app.outdir).parent / "jupyter_execute" / f"{docname}.glue.json"
    glued = json.loads(file.read_text(encoding="utf-8"))
    return {name: output["data"]["text/plain"] for name, output in glued.items()}
