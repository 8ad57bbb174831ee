"""Read an exercise source and take it apart; refuse one whose markers are not exactly right.

A source is a MyST notebook. Two tags mark a cell that nbgrader has to know, what it is and its
name: `[answer, weights]`, `[check, q1-weights]` or `[given, data]`; the points stand in the text
before it. Two markers of nbgrader's, each with its end, say what students must not see. Three tags
stand alone: `parameters` (the seed, drawn for each class), `key` (makes `check`) and `foreseen`
(expectations and mistakes, run in the reference only).
"""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "chapters" / "exercises"
FILES = "e[0-9]*.md"
SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
MARKERS = (*SOLUTION, *HIDDEN)
KINDS = ("answer", "check", "given")
# Cells that are given in every set, and their names.
ALONE = {"parameters": "seed", "key": "setup", "foreseen": None}
POINTS = re.compile(r"(?m)^\*\*(\d+) points?, ")
# What a marker looks like to somebody who mistyped it.
LIKE_A_MARKER = re.compile(r"^\s*#+\s*(begin|end)\b|^\s*###", re.IGNORECASE)
# An expectation, which the reference fills in.
PLACEHOLDER = re.compile(r'\b(reference|tolerance)\(\s*"(\w+)"\s*\)')
# The starter code itself says where to write, with three dots.
CODE_STUB = ""
TEXT_STUB = "*Your answer here*"


class SourceError(ValueError):
    """An exercise source that would leak, or could not be graded."""


def exercise_files():
    """List the sources of the exercise sets, in order.

    Returns
    -------
    list of pathlib.Path
    """
    return sorted(FOLDER.glob(FILES))


def read_source(path):
    """Read a source and check it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    nbformat.NotebookNode

    Raises
    ------
    SourceError
        If a marker or tag is misspelt, misplaced or missing.
    """
    return parse_source(Path(path).read_text(encoding="utf-8"), Path(path).name)


def parse_source(text, file):
    """Read a source from its text; `file` is named in errors."""
    notebook = jupytext.reads(text, fmt="md:myst")
    points = None
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown" and (found := POINTS.search(cell.source)):
            points = int(found[1])
        try:
            _mark(cell, points)
            _check_cell(cell)
        except SourceError as error:
            name = cell.metadata.get("nbgrader", {}).get("grade_id", f"cell {number}")
            raise SourceError(f"{file}, {name}: {error}") from None
    _check_notebook(notebook, file)
    return notebook


def _mark(cell, points):
    """Write out for nbgrader what the tags of a cell say in short."""
    tags = cell.metadata.get("tags", [])
    if not tags:
        return
    if len(tags) == 1 and tags[0] in ALONE:
        kind, name = "given", ALONE[tags[0]]
    elif len(tags) == 2 and tags[0] in KINDS and tags[1] not in (*KINDS, *ALONE):
        kind, name = cell.metadata.pop("tags")
    else:
        raise SourceError(
            f"has the tags {tags}; allowed are {', '.join(KINDS)}, each with a name, and "
            f"{', '.join(ALONE)}, alone."
        )
    if name is None:
        return
    graded = kind == "check" or (kind == "answer" and cell.cell_type == "markdown")
    cell.metadata["nbgrader"] = NotebookNode(
        grade=graded,
        grade_id=name,
        locked=kind != "answer",
        schema_version=3,
        solution=kind == "answer",
        task=False,
    )
    if graded and points is None:
        raise SourceError("the text before it does not say its points: **2 points, 8 minutes.**")
    if graded:
        cell.metadata.nbgrader.points = points


def is_answer(cell):
    """Whether students write into this cell."""
    return cell.metadata.get("nbgrader", {}).get("solution", False)


def is_check(cell):
    """Whether this cell earns points by itself."""
    return cell.metadata.get("nbgrader", {}).get("grade", False) and not is_answer(cell)


def is_essay(cell):
    """Whether somebody has to read this answer."""
    return is_answer(cell) and cell.metadata.nbgrader.grade


def has_tag(cell, tag):
    """Whether a cell has one of the tags of this module."""
    return tag in cell.metadata.get("tags", [])


def region(cell, markers):
    """Return the lines between two markers, without them.

    Parameters
    ----------
    cell : nbformat.NotebookNode
    markers : tuple of str
        :data:`SOLUTION` or :data:`HIDDEN`.

    Returns
    -------
    str
        Empty if the cell has no such region.
    """
    lines = cell.source.split("\n")
    if markers[0] not in lines:
        return ""
    return "\n".join(lines[lines.index(markers[0]) + 1 : lines.index(markers[1])])


def replace_region(cell, markers, text):
    """Replace a marked region, markers included, and return the new source of the cell."""
    lines = cell.source.split("\n")
    if markers[0] not in lines:
        return cell.source
    start, end = lines.index(markers[0]), lines.index(markers[1])
    return "\n".join([*lines[:start], *([text] if text else []), *lines[end + 1 :]]).rstrip("\n")


def starter(cell):
    """Return what a student finds in an answer cell."""
    return TEXT_STUB if is_essay(cell) else replace_region(cell, SOLUTION, CODE_STUB)


def solution(cell):
    """Return the reference solution of an answer cell."""
    return cell.source if is_essay(cell) else region(cell, SOLUTION)


def visible(cell):
    """Return what a student sees of a check."""
    return replace_region(cell, HIDDEN, "")


def points(notebook):
    """Return the points of each question, by name, in order.

    Parameters
    ----------
    notebook : nbformat.NotebookNode

    Returns
    -------
    dict
        grade_id to points.
    """
    graded = [cell.metadata.nbgrader for cell in notebook.cells if is_check(cell) or is_essay(cell)]
    return {question.grade_id: question.points for question in graded}


def _check_cell(cell):
    """Check the markers of one cell against what nbgrader is told about it."""
    lines = cell.source.split("\n") if cell.cell_type == "code" else []
    for line in lines:
        if LIKE_A_MARKER.match(line) and line not in MARKERS:
            allowed = ", ".join(MARKERS)
            raise SourceError(f"{line.strip()!r} is not a marker; allowed are {allowed}.")
    found = [line for line in lines if line in MARKERS]
    wanted = list(SOLUTION) if cell.cell_type == "code" and is_answer(cell) else []
    if found != wanted and not (is_check(cell) and found == list(HIDDEN)):
        raise SourceError(f"has the markers {found}; with its tags it must have {wanted}.")
    if is_check(cell) and not re.search(r"(?m)^check\(", visible(cell)):
        raise SourceError("checks nothing: it needs check(name=value).")
    if is_check(cell) and PLACEHOLDER.search(visible(cell)):
        raise SourceError(f"shows an expectation: put it between {' and '.join(HIDDEN)}.")


def _check_notebook(notebook, file):
    """Check that every part is there once."""
    for tag in ("parameters", "key"):
        if (count := sum(has_tag(cell, tag) for cell in notebook.cells)) != 1:
            raise SourceError(f"{file}: {count} cells have the tag {tag!r}; it must be one.")
    names = [
        cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata
    ]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise SourceError(f"{file}: several cells have the grade_id {', '.join(sorted(doubled))}.")
    if not any(is_essay(cell) for cell in notebook.cells):
        raise SourceError(f"{file}: no question is left for a reader to grade.")
