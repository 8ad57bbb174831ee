"""Read whatever was handed in, and put the set's own cells back where the student's work is.

Editors, platforms and students leave notebooks that are not quite valid: cells split, copied,
merged, deleted or of another kind; marks lost; formats mixed. The student's code and text are
kept, in their order; what belongs to the set comes from the set.
"""

from __future__ import annotations

import ast
import codecs
import copy
import json

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from nbgrader.utils import compute_checksum

from classroom import sources

LARGEST_FILE = 200_000_000
LARGEST_SOURCE = 10_000_000
IMPORTS = "imports: "
STAND_IN = "stand_in"
KINDS = {"code": new_code_cell, "raw": new_raw_cell}
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class UnreadableError(Exception):
    """A file that is no notebook; the message says why."""


def read_notebook(path):
    """Read a notebook, strict or not, without its outputs.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    notebook : nbformat.NotebookNode
        Valid; of the metadata, only nbgrader's are kept.
    notes : list of str
        What had to be repaired.

    Raises
    ------
    UnreadableError
    """
    size = path.stat().st_size
    if size == 0:
        raise UnreadableError("the file is empty")
    if size > LARGEST_FILE:
        raise UnreadableError(
            f"the file has {size / 1e6:.0f} MB; {LARGEST_FILE / 1e6:.0f} MB are allowed"
        )
    text, notes = _decode(path.read_bytes())
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableError("the file is not valid JSON") from None
    cells = _cells_of(document)
    notebook = new_notebook(cells=[_repaired(cell, index) for index, cell in enumerate(cells)])
    if not all(_is_strict(cell, document) for cell in cells):
        notes.append("the file did not keep to the format of notebooks and was repaired")
    written = sum(len(cell.source) for cell in notebook.cells)
    if written > LARGEST_SOURCE:
        raise UnreadableError(f"its cells hold {written / 1e6:.0f} MB of text")
    if size > LARGEST_SOURCE:
        notes.append(f"{(size - written) / 1e6:.0f} MB of outputs were left out")
    return notebook, notes


def _decode(data):
    """Return the text of a file and what was odd about it."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            note = "the file began with a byte-order mark"
            return data.decode(encoding, errors="replace"), [note]
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), ["the file was not written in UTF-8"]


def _cells_of(document):
    """Return the cells of a notebook of any version."""
    if isinstance(document, dict) and "worksheets" in document and "cells" not in document:
        try:
            document = nbformat.convert(nbformat.from_dict(document), 4)
        except Exception:
            # Whatever a malformed document makes the conversion stumble over.
            raise UnreadableError("the file is not a notebook") from None
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise UnreadableError("the file is not a notebook")
    return [cell for cell in document["cells"] if isinstance(cell, dict)]


def _repaired(cell, index):
    """Make a valid cell of something like one."""
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    source = source.replace("\r\n", "\n").replace("\r", "\n") if isinstance(source, str) else ""
    make = KINDS.get(cell.get("cell_type"), new_markdown_cell)
    made = make(source, id=f"own-{index}")
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(marks, dict) and isinstance(marks.get("grade_id"), str):
        made.metadata["nbgrader"] = {"grade_id": marks["grade_id"]}
    if made.cell_type == "markdown" and _are_attachments(cell.get("attachments")):
        made.attachments = cell["attachments"]
    return made


def _are_attachments(given):
    """Whether these are pictures as a text cell may carry them."""
    return isinstance(given, dict) and all(
        isinstance(file, dict) and all(isinstance(data, str) for data in file.values())
        for file in given.values()
    )


def _is_strict(cell, document):
    """Whether a cell has the fields of its kind and no others that readers stumble over."""
    of_code = {"outputs", "execution_count"} if cell.get("cell_type") == "code" else set()
    ids = document.get("nbformat_minor", 0) >= 5 if document.get("nbformat") == 4 else None
    return (
        cell.get("cell_type") in ("code", "markdown", "raw", "heading")
        and isinstance(cell.get("metadata"), dict)
        and ("source" in cell or "input" in cell)
        and {"outputs", "execution_count"} & set(cell) == of_code
        and ids in (None, "id" in cell)
    )


def find_set(notebook, releases):
    """Tell from its cells which set a notebook is.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    releases : dict
        Set to the notebook that was handed out.

    Returns
    -------
    str or None
        The set that shares most cells with it, if it is one alone.
    """
    names = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells}
    texts = {cell.source.strip() for cell in notebook.cells}
    shared = {
        name: sum(
            cell.metadata.get("nbgrader", {}).get("grade_id", "") in names
            or cell.source.strip() in texts
            for cell in release.cells
        )
        for name, release in releases.items()
    }
    ranked = sorted(shared, key=shared.get)
    # Two cells, such as those that make the checks, are in every set.
    if shared[ranked[-1]] <= 2 or (len(ranked) > 1 and shared[ranked[-2]] == shared[ranked[-1]]):
        return None
    return ranked[-1]


def restore(submitted, instructor):
    """Put the cells of a set back into a student's notebook.

    Parameters
    ----------
    submitted : nbformat.NotebookNode
        From :func:`read_notebook`.
    instructor : nbformat.NotebookNode
        nbgrader's source: with hidden checks.

    Returns
    -------
    notebook : nbformat.NotebookNode
        The student's cells in their order; every given cell and check is the original, every
        graded cell is there once.
    reasons : list of str
        Which cells had been deleted, copied or rewritten.
    """
    work = _Restoration(submitted, instructor)
    is_empty = not work.match()
    work.place()
    work.put_back()
    work.move_checks()
    notebook = new_notebook(cells=work.cells, metadata=copy.deepcopy(instructor.metadata))
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index}"
    return notebook, ["no question of the set was found in the file"] if is_empty else work.reasons


class _Restoration:
    """One notebook on its way: what was found where, and the cells that become of it."""

    def __init__(self, submitted, instructor):
        self.submitted = submitted.cells
        self.originals = [_named(cell) for cell in instructor.cells if _must_be_there(cell)]
        self.texts = {cell.source.strip() for cell in instructor.cells if not _must_be_there(cell)}
        self.shown = {_name(cell): _shown(cell).strip() for cell in self.originals}
        self.found = {}
        self.cells, self.reasons = [], []

    def match(self):
        """Find each original's copies: by its name, else by its text, else by its place.

        Returns
        -------
        bool
            Whether any question was found.
        """
        for index, cell in enumerate(self.submitted):
            if (name := _name(cell)) in self.shown:
                self.found.setdefault(name, []).append(index)
        taken = {index for copies in self.found.values() for index in copies}
        for index, cell in enumerate(self.submitted):
            for name, text in self.shown.items():
                if index not in taken and name not in self.found and cell.source.strip() == text:
                    self.found[name] = [index]
                    taken.add(index)
        for cell in self.originals:
            if sources.is_essay(cell) and _name(cell) not in self.found:
                if copies := self._written_in_place_of(cell, taken):
                    self.found[_name(cell)] = copies
                    taken |= set(copies)
        return any(
            _name(cell) in self.found
            for cell in self.originals
            if sources.is_check(cell) or sources.is_answer(cell)
        )

    def _written_in_place_of(self, essay, taken):
        """Find text cells without marks between an essay's neighbours."""
        names = [_name(cell) for cell in self.originals]
        before = names[: names.index(_name(essay))]
        after = names[names.index(_name(essay)) + 1 :]
        start = max((self.found[name][-1] for name in before if name in self.found), default=-1)
        end = min(
            (self.found[name][0] for name in after if name in self.found),
            default=len(self.submitted),
        )
        # Without the check before it, nothing says where the texts of earlier questions end.
        if before and before[-1] not in self.found:
            return []
        return [
            index
            for index in range(start + 1, end)
            if index not in taken
            and self.submitted[index].cell_type != "code"
            and self.submitted[index].source.strip()
            and self.submitted[index].source.strip() not in self.texts
        ]

    def place(self):
        """Take over the student's cells; of an original's copies the last one counts."""
        last = {self._copy_that_counts(name): name for name in self.found}
        originals = {_name(cell): cell for cell in self.originals}
        for index, cell in enumerate(self.submitted):
            own = copy.deepcopy(cell)
            own.metadata = {}
            if index in last:
                self._place_original(originals[last[index]], own)
            elif own.source.strip():
                self.cells.append(own)

    def _copy_that_counts(self, name):
        """Return the index of the last copy, of an essay the last one that says something."""
        copies = self.found[name]
        if len(copies) > 1:
            self.reasons.append(f"{name} was split or copied; the last part counts")
        blank = ("", self.shown[name])
        written = [index for index in copies if self.submitted[index].source.strip() not in blank]
        essays = {_name(cell) for cell in self.originals if sources.is_essay(cell)}
        if name in essays and written:
            return self._join(name, written)
        return copies[-1]

    def _join(self, name, written):
        """Join the parts of an essay that was split; return the index of the last."""
        parts, last = [], written[-1]
        for index in reversed(written):
            if index != last - len(parts):
                break
            parts.insert(0, self.submitted[index].source.strip())
        self.submitted[last].source = "\n\n".join(dict.fromkeys(parts))
        for index in range(last - len(parts) + 1, last):
            self.submitted[index].source = ""
        return last

    def _place_original(self, original, own):
        """Place an original with what the student made of it."""
        name, made = _name(original), _copy_of(original)
        if sources.is_answer(original):
            if own.cell_type != made.cell_type:
                kind = "text" if made.cell_type == "markdown" else "code"
                self.reasons.append(f"{name} was of another kind; it counts as {kind}")
            blank = sources.is_essay(original) and not own.source.strip()
            made.source = sources.TEXT_STUB if blank else own.source
            if made.cell_type == own.cell_type == "markdown" and "attachments" in own:
                made.attachments = own.attachments
            self.cells.append(made)
            return
        added = ""
        if own.source.strip() != self.shown[name]:
            added = own_part(self.shown[name], own.source)
            kept = "; what was added runs as a cell of its own" if added else ""
            if not name.startswith(IMPORTS):
                self.reasons.append(f"{name} was rewritten; the original was used{kept}")
        beside = [new_code_cell(added)] if added else []
        # An answer that was merged into a check has to come before it.
        is_check = sources.is_check(original)
        self.cells += [*beside, made] if is_check else [made, *beside]

    def put_back(self):
        """Put back what is missing, each behind the original it followed."""
        previous = None
        for original in self.originals:
            name = _name(original)
            if name in self.found:
                previous = name
                continue
            is_code_answer = sources.is_answer(original) and not sources.is_essay(original)
            if is_code_answer:
                self.reasons.append(f"{name} was not found")
                continue
            if not name.startswith(IMPORTS):
                self.reasons.append(f"{name} was deleted and put back")
            made = _copy_of(original)
            if sources.is_essay(original):
                made.source = sources.TEXT_STUB
            at = 0 if previous is None else self._index(previous) + 1
            self.cells.insert(at, made)
            previous = name

    def _index(self, name):
        return next(index for index, cell in enumerate(self.cells) if _name(cell) == name)

    def move_checks(self):
        """Move each check behind its answer, wherever that was written."""
        answers = []
        for original in self.originals:
            if sources.is_answer(original):
                answers.append(original)
            elif sources.is_check(original):
                self._move_check(original, answers)
                self._stand_in(original, answers)
                answers = []

    def _move_check(self, check, answers):
        start = self._index(_name(check))
        placed = [self._index(_name(cell)) for cell in answers if _name(cell) in self.found]
        target = max([start, *placed])
        answered = [self.cells[index].source.strip() for index in placed]
        untouched = [self.shown[_name(cell)] for cell in answers]
        if not answered or answered == untouched:
            target = self._answered_below(check, target)
        if target > start:
            self.cells.insert(target, self.cells.pop(start))

    def _stand_in(self, check, answers):
        """Where a question was deleted, let those behind it find what they may rest on.

        The reference's solution comes behind the check, which fails without it, and is taken out
        again once the notebook has run.
        """
        solution = "\n".join(sources.solution(cell) for cell in answers)
        needed = _names(solution, ast.Store) & _names(sources.visible(check), ast.Load)
        stored = [_names(cell.source, ast.Store) for cell in self.cells if cell.cell_type == "code"]
        if any(_name(cell) in self.found for cell in answers) or needed & set().union(*stored):
            return
        cell = new_code_cell(solution, metadata={STAND_IN: True})
        self.cells.insert(self._index(_name(check)) + 1, cell)

    def _answered_below(self, check, index):
        """Return where a question without an answer above its check is answered below it."""
        needed = _names(sources.visible(check), ast.Load)
        for below in range(index + 1, len(self.cells)):
            cell = self.cells[below]
            if _name(cell) is not None or cell.source.strip() in self.texts:
                break
            if cell.cell_type == "code" and _names(cell.source, ast.Store) & needed:
                index = below
        return index


def _must_be_there(cell):
    """Whether a cell of the set belongs into every submission: all but its texts."""
    return "nbgrader" in cell.metadata or cell.cell_type == "code"


def _named(cell):
    """Give imports, which nbgrader need not know, a name to be found by."""
    cell = copy.deepcopy(cell)
    if "nbgrader" not in cell.metadata:
        cell.metadata["imports"] = IMPORTS + cell.source
    return cell


def _name(cell):
    """Return the name of an original or of its copy; None of a cell of the student's own."""
    marks = cell.metadata.get("nbgrader") or {}
    return marks.get("grade_id", cell.metadata.get("imports"))


def _shown(cell):
    """Return what a student was handed."""
    return sources.starter(cell) if sources.is_answer(cell) else sources.visible(cell)


def _copy_of(original):
    """Copy an original; nbgrader tells by the checksum whether an answer is untouched."""
    made = copy.deepcopy(original)
    if sources.is_answer(original):
        blank = copy.deepcopy(original)
        blank.source = _shown(original)
        made.metadata.nbgrader.checksum = compute_checksum(blank)
    return made


def own_part(original, rewritten):
    r"""Return what somebody added to a given cell.

    Parameters
    ----------
    original, rewritten : str
        Python code.

    Returns
    -------
    str
        The statements that are not the original's, without those that check or that set anew what
        the original sets.

    Examples
    --------
    >>> own_part("seed = 1", "seed = 2\nx = 3\nprint(x)")
    'x = 3\nprint(x)'
    """
    code = TransformerManager().transform_cell(rewritten)
    try:
        statements = ast.parse(code).body
        known = {ast.dump(statement) for statement in ast.parse(original).body}
    except (SyntaxError, ValueError, RecursionError):
        return ""
    fixed = _names(original, ast.Store)
    kept = [
        ast.get_source_segment(code, statement)
        for statement in statements
        if ast.dump(statement) not in known
        and not _is_check_call(statement)
        and not (_names(statement, ast.Store) & fixed and not _is_import(statement))
    ]
    return "\n".join(kept)


def _is_import(statement):
    return isinstance(statement, (ast.Import, ast.ImportFrom))


def _is_check_call(statement):
    call = getattr(statement, "value", None)
    return isinstance(call, ast.Call) and ast.unparse(call.func) == "check"


def _names(code, context):
    """Return the names that some code loads or stores, changed tables among the latter."""
    if isinstance(code, str):
        try:
            code = ast.parse(TransformerManager().transform_cell(code))
        except (SyntaxError, ValueError, RecursionError):
            return set()
    names = set()
    for node in ast.walk(code):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            while isinstance(node, (ast.Subscript, ast.Attribute)):
                node = node.value
            if isinstance(node, ast.Name) and context is ast.Store:
                names.add(node.id)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, context):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and context is ast.Store:
            names.add(node.name)
    return names


def fingerprints(notebook):
    """Return what each question was answered with, as a text to compare.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Restored.

    Returns
    -------
    dict
        Question to the student's code since the question before, or to the essay.
    """
    answers, code = {}, []
    for cell in notebook.cells:
        if sources.is_essay(cell):
            answers[_name(cell)] = cell.source.strip()
        elif sources.is_check(cell):
            answers[_name(cell)] = "\n".join(code)
            code = []
        elif cell.cell_type != "code" or STAND_IN in cell.metadata:
            continue
        elif sources.is_answer(cell) or _name(cell) is None:
            code.append(cell.source.strip())
    return answers
