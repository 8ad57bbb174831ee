"""Make a class's notebooks from a source: draw the data, run the reference, write the key.

Nothing a student is compared with is typed: the reference solution runs on the class's own data,
and what it answers becomes the expectation.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import hashlib
import re
import tempfile
from importlib.util import module_from_spec, spec_from_file_location

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

from classroom import sources

# Beside the notebooks that import it, and handed out with them: not part of any package.
_file = spec_from_file_location("checks", sources.FOLDER / "checks.py")
checks = module_from_spec(_file)
_file.loader.exec_module(checks)
# The class whose numbers the book shows; its seeds are the ones in the sources.
BOOK = "book"
MOST_DRAWS = 20
LINK_TO_PAGE = re.compile(r"\[([^\]]+)\]\([^)\s]+\.md\)")


def draw_seed(class_name, exercise, draw=0):
    """Derive the seed of an exercise's data from the name of the class.

    Parameters
    ----------
    class_name, exercise : str
    draw : int
        0; more after data that the reference rejected.

    Returns
    -------
    int
        1 to 999,999.

    Examples
    --------
    >>> draw_seed("stats501-2027", "e1-shrinkage") == draw_seed("stats501-2028", "e1-shrinkage")
    False
    """
    digest = hashlib.sha256(f"{class_name}/{exercise}/{draw}".encode()).digest()
    return 1 + int.from_bytes(digest[:8]) % 999_999


def reference_notebook(notebook, seed=None):
    """Make the notebook that runs the reference solution and reports its answers at the end.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        From :func:`classroom.sources.read_source`.
    seed : int, optional
        By default the source's own.

    Returns
    -------
    nbformat.NotebookNode
    """
    reference = with_seed(notebook, seed)
    for cell in reference.cells:
        if sources.is_answer(cell):
            cell.source = sources.solution(cell)
        elif sources.is_check(cell):
            cell.source = sources.visible(cell)
    reference.cells.append(report_cell())
    return reference


def report_cell():
    """Make the last cell of a reference, whose output is everything it recorded."""
    return nbformat.v4.new_code_cell("check", metadata={"tags": ["remove-cell"]})


def with_seed(notebook, seed):
    """Copy a notebook, with another seed unless it is None."""
    changed = copy.deepcopy(notebook)
    if seed is not None:
        cell = next(cell for cell in changed.cells if sources.has_tag(cell, "parameters"))
        cell.source = re.sub(r"(?m)^seed = \d+", f"seed = {seed}", cell.source)
    return changed


def execute(notebook):
    """Run a notebook of ours, trusted, beside the sources; raise at the first error."""
    with tempfile.TemporaryDirectory() as folder:
        # Sockets in a folder of ours, not ports, which other users of the machine could listen to.
        connection = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", **connection),
            timeout=120,
            resources={"metadata": {"path": str(sources.FOLDER)}},
        )
        asyncio.run(client.async_execute(cleanup_kc=True))
    return notebook


def find_record(executed):
    """Return what the reference recorded, from the outputs of its last cell.

    Parameters
    ----------
    executed : nbformat.NotebookNode

    Returns
    -------
    dict
        answers, tolerances, mistakes, rejected.
    """
    return executed.cells[-1].outputs[0]["data"][checks.ANSWERS_MIME]


def run_reference(notebook, class_name, exercise):
    """Run the reference on the data of a class, drawing again when it rejects them.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    class_name, exercise : str

    Returns
    -------
    seed : int
    record : dict

    Raises
    ------
    SourceError
        If no draw suits the exercise.
    """
    if class_name == BOOK:
        draws = [None]
    else:
        draws = [draw_seed(class_name, exercise, draw) for draw in range(MOST_DRAWS)]
    for seed in draws:
        record = find_record(execute(reference_notebook(notebook, seed)))
        if not record["rejected"]:
            return seed, record
    raise sources.SourceError(f"{exercise}: no data suit it; the last were {record['rejected']}.")


def instructor_notebook(notebook, seed, record):
    """Make the notebook nbgrader takes as its source: solutions, key, expectations filled in.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    seed : int or None
    record : dict

    Returns
    -------
    nbformat.NotebookNode
    """
    filled = with_seed(notebook, seed)
    filled.cells = [cell for cell in filled.cells if not sources.has_tag(cell, "foreseen")]
    for number, cell in enumerate(filled.cells):
        cell.id = f"cell-{number}"
        if sources.has_tag(cell, "key"):
            key = f'Checks(\n    "{checks.make_key(record)}"\n)'
            cell.source = cell.source.replace("Checks()", key)
            # JupyterLab shows it folded.
            cell.metadata["jupyter"] = {"source_hidden": True}
        elif sources.is_check(cell):
            cell.source = with_hidden_checks(cell, record)
        elif cell.cell_type == "markdown":
            cell.source = LINK_TO_PAGE.sub(r"\1", cell.source)
    filled.metadata = {"kernelspec": dict(notebook.metadata.kernelspec)}
    return filled


def with_hidden_checks(cell, record):
    """Let a check compare once more, out of sight, with what the reference answered.

    What ``check(name=value)`` compares by its fingerprint is compared by its value; checks of the
    source's own that say more follow.

    Parameters
    ----------
    cell : nbformat.NotebookNode
    record : dict

    Returns
    -------
    str
        The source of the check, with nbgrader's markers.
    """
    shown = sources.visible(cell)
    calls = [node for node in ast.walk(ast.parse(shown)) if isinstance(node, ast.Call)]
    hidden = [
        f"assert agrees({ast.unparse(answer.value)}, "
        f'reference("{answer.arg}"), tolerance("{answer.arg}"))'
        for call in calls
        if ast.unparse(call.func) == "check"
        for answer in call.keywords
    ]
    lines = ["from checks import agrees", *hidden, sources.region(cell, sources.HIDDEN)]
    filled = sources.PLACEHOLDER.sub(lambda found: _literal(found, record), "\n".join(lines))
    return "\n".join([shown, sources.HIDDEN[0], filled.rstrip("\n"), sources.HIDDEN[1]])


def _literal(found, record):
    """Write an expectation of a hidden check as the value the reference gave."""
    kind, name = found.groups()
    values = record["answers" if kind == "reference" else "tolerances"]
    if name not in values:
        raise sources.SourceError(f"{found.group()}: the reference never answered {name!r}.")
    return repr(values[name])


def student_notebook(instructor):
    """Take out of an instructor's notebook what students must not see.

    nbgrader does the same for a class; the book, which is built without nbgrader, does it here.

    Parameters
    ----------
    instructor : nbformat.NotebookNode

    Returns
    -------
    nbformat.NotebookNode
    """
    student = copy.deepcopy(instructor)
    for cell in student.cells:
        if sources.is_answer(cell):
            cell.source = sources.starter(cell)
        elif sources.is_check(cell):
            cell.source = sources.visible(cell)
    return student


def handed_in(instructor):
    """Make the submission of somebody who answers as the reference does.

    Parameters
    ----------
    instructor : nbformat.NotebookNode

    Returns
    -------
    nbformat.NotebookNode
        With hidden checks, as they are while grading.
    """
    submission = copy.deepcopy(instructor)
    for cell in submission.cells:
        if sources.is_answer(cell):
            cell.source = sources.solution(cell)
    return submission


def main():
    """Write the notebooks of the book beside their sources, for Binder to open."""
    for path in sources.exercise_files():
        notebook = sources.read_source(path)
        seed, record = run_reference(notebook, BOOK, path.stem)
        student = student_notebook(instructor_notebook(notebook, seed, record))
        nbformat.write(student, path.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
