"""A reader who copies the cells that a page shows, in order, must get what the page shows."""

import builtins
import re
import symtable

import jupytext
import pytest

from tests.browsing import PAGES, ROOT

# Sources of exercises hold what no student sees; their notebooks are run as students get them.
SHOWN = [name for name in PAGES if not name.startswith("chapters/exercises/")]


def cells_of(name, *, visible):
    """List the symbol tables of the cells that a page shows, folded or not, or does not show."""
    cells = jupytext.read(ROOT / f"{name}.md").cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    chosen = [
        cell for cell in code if visible == ("remove-cell" not in cell.metadata.get("tags", []))
    ]
    return [symtable.symtable(cell.source, name, "exec") for cell in chosen]


def imported(cell):
    """Names that a cell imports."""
    return {name.get_name() for name in cell.get_symbols() if name.is_imported()}


def assigned(cell):
    """Names that a cell gives a value to."""
    return {name.get_name() for name in cell.get_symbols() if name.is_assigned()}


def used(scope):
    """Names of the notebook that a cell looks up, also within its functions."""
    top = scope.get_type() == "module"
    names = [name for name in scope.get_symbols() if name.is_referenced()]
    own = {name.get_name() for name in names if top or name.is_global()}
    return own.union(*map(used, scope.get_children()))


def union(names_of, cells):
    """Names of several cells."""
    return set().union(*map(names_of, cells))


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_rests_on_what_is_shown(name):
    known = set(dir(builtins))
    for cell in cells_of(name, visible=True):
        known |= imported(cell) | assigned(cell)
        assert used(cell) - known == set()


@pytest.mark.parametrize("name", SHOWN)
def test_no_import_is_shown_that_only_hidden_cells_use(name):
    shown, hidden = cells_of(name, visible=True), cells_of(name, visible=False)
    only_hidden = union(used, hidden) - union(used, shown)
    assert union(imported, shown) & only_hidden == set()


def reading_minutes(name):
    """Minutes that a page takes: words at 120 a minute, cells, captions, questions to answer."""
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    cells = jupytext.reads(text, fmt="md:myst").cells
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    words = re.findall(r"[A-Za-z][\w’'-]*", re.sub(r"\{[a-z:_]+\}`+[^`]*`+", " x ", prose))
    away = {"remove-cell", "hide-input", "remove-input"}
    tags = [set(cell.metadata.get("tags", [])) for cell in cells if cell.cell_type == "code"]
    n_cells = sum(not away & of_cell for of_cell in tags)
    n_captions, n_questions = (
        len(re.findall(rf"^:{{3,}}\{{(?:{kinds})\}}", text, re.M))
        for kinds in ("caption", "predict|check-yourself")
    )
    return len(words) / 120 + (n_cells + n_captions) / 4 + n_questions / 2


@pytest.mark.parametrize("name", SHOWN)
def test_the_reading_time_is_measured(name):
    said = re.findall(
        r"\*\*Time:\*\* about (\d+) minutes", (ROOT / f"{name}.md").read_text("utf-8")
    )
    assert said in ([], [str(5 * max(1, round(reading_minutes(name) / 5)))])
