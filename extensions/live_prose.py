"""Work out the expressions in a page's text, and look for the words of its claims.

`` {eval}`f"{fit.criterion:.1f}"` `` in a text becomes what the expression is where it stands: a
hidden cell before the text gives the value a name, and a role shows it. JupyterLab with
jupyterlab-myst does the same by itself, in the notebook's own kernel.
"""

from __future__ import annotations

import ast
import re
from copy import deepcopy
from itertools import count

import nbformat
from docutils import nodes
from markdown_it.tree import SyntaxTreeNode
from myst_nb.core import read
from myst_nb.core.read import read_myst_markdown_notebook
from myst_nb.core.variables import RetrievalError, create_warning
from myst_nb.ext.glue.utils import retrieve_glue_data
from myst_nb.ext.utils import RoleBase
from sphinx.util import logging

from helpers.prose import FAILURE
from plain_markdown import DIRECTIVE, PARSER

LOGGER = logging.getLogger(__name__)
# Code between backticks, with its role if it has one; it does not reach over a paragraph's end.
CODE = re.compile(
    r"(?P<role>\{[\w:-]+\})?(?<!`)(?P<ticks>`+)(?!`)"
    r"(?P<code>(?:(?!\n\s*(?:\n|```|:::)).)+?)(?<!`)(?P=ticks)(?!`)",
    re.DOTALL,
)
TITLE_AND_TARGET = re.compile(r"(.+?)\s*<[^>]+>", re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
COMMENT = re.compile(r"^%.*$|<!--.*?-->", re.MULTILINE | re.DOTALL)
MARKUP = re.compile(r"[*_`$\\]")
# Pages are asked for by kernels.py, by myst-nb, and by launch.py.
READ = {}
HIDDEN_CELL = """\
from helpers.prose import evaluate as _evaluate

_evaluate(globals(), {expressions})"""


def setup(app):
    """Connect to myst-nb, which reads a page's cells in one place and has no option for it."""
    read.read_myst_markdown_notebook = read_live_notebook
    app.add_role("evaluated", Evaluated())
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def read_live_notebook(text, path=None, **options):
    """Read a page as myst-nb does, with a hidden cell before each text that has expressions.

    The texts keep their lines, so that whatever Sphinx has to say of them names the right ones.

    Parameters
    ----------
    text : str
        MyST Markdown.
    path : str, optional
        Of the page, for the messages.
    **options
        Of ``myst_nb.core.read.read_myst_markdown_notebook``.

    Returns
    -------
    nbformat.NotebookNode
    """
    asked = (text, path, repr(options))
    if asked not in READ:
        READ[asked] = _read(text, path, options)
    return deepcopy(READ[asked])


def _read(text, path, options):
    notebook = read_myst_markdown_notebook(text, path=path, **options)
    page = text.split("\n")
    lines = [first_line(page, line) for line in notebook.metadata["source_map"]]
    for line, problem in wrong_claims(notebook.cells, lines):
        LOGGER.warning(problem, location=f"{path}:{line}", type="live_prose")
    names, cells, starts = expression_names(), [], []
    for cell, start in zip(notebook.cells, lines, strict=True):
        if cell.cell_type == "markdown":
            cell.source, expressions = name_expressions(cell.source, names, start)
            if expressions:
                cells.append(hidden_cell(expressions))
                starts.append(start)
        cells.append(cell)
        starts.append(start)
    notebook.cells, notebook.metadata["source_map"] = cells, starts
    return notebook


def first_line(page, line):
    """Skip blank lines and options, which myst-nb leaves out of a cell and yet counts as its."""
    while line < len(page) - 1 and (not page[line].strip() or re.match(r":[\w-]+:", page[line])):
        line += 1
    return line


def expression_names():
    """Yield the names of a page's expressions, in their order."""
    return (f"eval-{number}" for number in count(1))


def name_expressions(text, names, start=0):
    """Put names in the place of expressions.

    Parameters
    ----------
    text : str
        MyST Markdown.
    names : iterator of str
        A new name for each expression.
    start : int
        The page's lines above the text.

    Returns
    -------
    text : str
        With the role ``evaluated`` for each ``eval``; its content is the line and the name.
    expressions : dict of str to str
        Python code by name.

    Examples
    --------
    >>> name_expressions("All {eval}`len(gpa)` rows.", iter(["eval-1"]))
    ('All {evaluated}`1:eval-1` rows.', {'eval-1': 'len(gpa)'})
    """
    literal, expressions = set(literal_lines(text)), {}

    def name(found):
        line = text.count("\n", 0, found.start())
        if found["role"] != "{eval}" or line in literal:
            return found[0]
        new = next(names)
        expressions[new] = re.sub(r"\s*\n\s*", " ", found["code"]).strip()
        return f"{{evaluated}}`{start + line + 1}:{new}`"

    return CODE.sub(name, text), expressions


def literal_lines(text, start=0):
    """Yield the lines of blocks that show code as it stands; a directive is looked into."""
    for block in SyntaxTreeNode(PARSER.parse(text)).walk():
        if block.type not in ("fence", "colon_fence", "code_block"):
            continue
        first, end = block.map
        if block.type != "code_block" and DIRECTIVE.fullmatch(block.info.strip()):
            yield from literal_lines(block.content, start + first + 1)
        else:
            yield from range(start + first, start + end)


def hidden_cell(expressions):
    """Make the cell that works the expressions of a text out."""
    code = HIDDEN_CELL.format(expressions=repr(expressions))
    return nbformat.v4.new_code_cell(code, metadata={"tags": ["remove-cell"]})


class Evaluated(RoleBase):
    """Show what an expression came to; one that failed is a warning, which fails the build."""

    def run(self):
        """Return the text, or the expression itself if it failed."""
        line, _, name = self.text.partition(":")
        try:
            data = retrieve_glue_data(self.document, name).data
        except RetrievalError as missing:
            data = {FAILURE: str(missing)}
        if FAILURE in data:
            return [create_warning(data[FAILURE], self.document, int(line), "eval")], []
        node = nodes.inline(text=data["text/plain"], classes=["evaluated"])
        self.set_source_info(node)
        return [node], []


def wrong_claims(cells, lines):
    """Yield line and problem of each claim whose words a reader does not find on the page.

    Parameters
    ----------
    cells : list of nbformat.NotebookNode
        Of a page.
    lines : list of int
        Of the page above each cell.
    """
    page = plain_words("\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))
    for cell, start in zip(cells, lines, strict=True):
        for call in claims_in(cell):
            words = words_of(call)
            line = start + call.lineno
            if words is None:
                yield line, "the words of a claim must be a text, written where claim() is called"
            elif not plain_words(words):
                yield line, "a claim has no words"
            elif plain_words(words) not in page:
                yield line, f'the words of a claim are not on the page: "{words}"'


def claims_in(cell):
    """List the calls of ``claim`` in a cell."""
    if cell.cell_type != "code":
        return []
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:  # a magic command; or a fault, which executing the cell will name
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).rpartition(".")[2] == "claim"]


def words_of(call):
    """Return the words of a claim, None if they are not written out."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "words"]
    words = [*call.args[1:2], *named]
    if len(words) == 1 and isinstance(words[0], ast.Constant) and isinstance(words[0].value, str):
        return words[0].value
    return None


def plain_words(text):
    r"""Strip a text of its markup; each expression becomes an ellipsis.

    Examples
    --------
    >>> plain_words("**Few** of {eval}`len(gpa)` {term}`rows <row>`\nare *[lost](data.md)*.")
    'Few of … rows are lost.'
    """
    text = CODE.sub(_plain_code, COMMENT.sub("", text))
    return " ".join(MARKUP.sub("", LINK.sub(r"\1", text)).split())


def _plain_code(found):
    if found["role"] == "{eval}":
        return "…"
    titled = TITLE_AND_TARGET.fullmatch(found["code"]) if found["role"] else None
    return titled[1] if titled else found["code"]
