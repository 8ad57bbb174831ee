"""Restoring: whatever was done to a notebook's cells, the student's work meets the set's checks."""

import copy
import json

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom import release, restore, sources

SMALL = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A small set

```{code-cell} ipython3
:tags: [key]

from checks import Checks

check = Checks()
```

```{code-cell} ipython3
import math
```

```{code-cell} ipython3
:tags: [parameters]

seed = 1
```

```{code-cell} ipython3
:tags: [given, data]

data = [seed, 2, 3]
```

## 1. A number

**2 points, 8 minutes.** Practises: adding.

```{code-cell} ipython3
:tags: [answer, sum]

total = ...
### BEGIN SOLUTION
part = sum(data)
total = part
### END SOLUTION
```

```{code-cell} ipython3
:tags: [check, q1-sum]

check(total=total)
```

## 2. Two numbers

**3 points, 8 minutes.** Practises: roots.

```{code-cell} ipython3
:tags: [answer, roots]

roots = ...
### BEGIN SOLUTION
first = math.sqrt(data[0]) + 0 * total
roots = [first, math.sqrt(4)]
### END SOLUTION
```

```{code-cell} ipython3
:tags: [check, q2-roots]

check(roots=roots)
```

## 3. In words

**1 point, 2 minutes.** Read by your teacher.

+++ {"tags": ["answer", "q3-words"]}

Because it is so.
"""
RECORD = {
    "answers": {"total": 6.0, "roots": [1.0, 2.0]},
    "tolerances": {"total": 0.1, "roots": 0.1},
    "mistakes": {},
    "hidden": [],
}
NAMES = ["setup", "seed", "data", "sum", "q1-sum", "roots", "q2-roots", "q3-words"]
ALL = {"q1-sum": True, "q2-roots": True, "q3-words": "Because it is so."}


def instructor():
    return release.instructor_notebook(sources.parse_source(SMALL, "small.md"), None, RECORD)


INSTRUCTOR = instructor()


def solved():
    """Return the small set as somebody hands it in who answers as the reference does."""
    notebook = release.student_notebook(INSTRUCTOR)
    answers = {name_of(cell): cell.source for cell in release.handed_in(INSTRUCTOR).cells}
    for cell in notebook.cells:
        if sources.is_answer(cell):
            cell.source = answers[name_of(cell)]
    return notebook


def name_of(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def at(notebook, name):
    return [name_of(cell) for cell in notebook.cells].index(name)


def code(source, **marks):
    return nbformat.v4.new_code_cell(source, metadata={"nbgrader": marks} if marks else {})


def handed_in(tmp_path, notebook):
    """Write a notebook and read it back as a submission."""
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return restore.read_notebook(path)[0]


def earned(submitted):
    """Restore a notebook, run it here, and tell what it earns: harmless code only."""
    restored, reasons = restore.restore(submitted, INSTRUCTOR)
    nbformat.validate(restored)
    names = [name_of(cell) for cell in restored.cells if name_of(cell)]
    assert len(names) == len(set(names))
    space, found = {}, {}
    for cell in restored.cells:
        passed = True
        if cell.cell_type == "code":
            try:
                exec(cell.source, space)
            except Exception:
                passed = False
        if sources.is_check(cell):
            assert cell.source == INSTRUCTOR.cells[at(INSTRUCTOR, name_of(cell))].source
            found[name_of(cell)] = passed
        elif sources.is_essay(cell):
            found[name_of(cell)] = cell.source
    return found, reasons


def test_what_nothing_was_done_to_is_left_as_it_is(tmp_path):
    restored, reasons = restore.restore(handed_in(tmp_path, solved()), INSTRUCTOR)
    assert reasons == []
    assert [cell.source for cell in restored.cells] == [
        cell.source for cell in release.handed_in(INSTRUCTOR).cells
    ]


def split(notebook):
    cell = notebook.cells[at(notebook, "sum")]
    below = copy.deepcopy(cell)
    cell.source, below.source = cell.source.split("\n")
    notebook.cells.insert(at(notebook, "sum") + 1, below)


def another(cell, source):
    """Return a copy of a cell with another source."""
    return nbformat.from_dict(copy.deepcopy(cell) | {"source": source})


def split_essay(notebook):
    cell = notebook.cells[at(notebook, "q3-words")]
    cell.source = "Because"
    notebook.cells.insert(at(notebook, "q3-words") + 1, another(cell, "it is so."))


def copy_check(notebook):
    notebook.cells.insert(0, copy.deepcopy(notebook.cells[at(notebook, "q1-sum")]))
    notebook.cells.append(copy.deepcopy(notebook.cells[at(notebook, "q2-roots")]))


def correct_in_a_copy(notebook):
    """Answer wrong, then copy the cell below its check and answer right."""
    place = at(notebook, "sum")
    right = copy.deepcopy(notebook.cells[place])
    notebook.cells[place].source = "total = 7"
    notebook.cells.insert(place + 2, right)


def copy_essay_without_an_answer(notebook):
    essay = notebook.cells[at(notebook, "q3-words")]
    notebook.cells.append(another(essay, sources.TEXT_STUB))


def merge_check_into_answer(notebook):
    place = at(notebook, "sum")
    notebook.cells[place].source += "\n\n" + notebook.cells.pop(place + 1).source


def merge_answer_into_check(notebook):
    place = at(notebook, "roots")
    above = notebook.cells.pop(place).source
    notebook.cells[place].source = above + "\n\n" + notebook.cells[place].source


def merge_next_answer_into_check(notebook):
    answer = notebook.cells.pop(at(notebook, "roots"))
    notebook.cells[at(notebook, "q1-sum")].source += "\n" + answer.source


def merge_into_given(notebook):
    answer = notebook.cells.pop(at(notebook, "sum"))
    notebook.cells[at(notebook, "data")].source += "\n" + answer.source


def lose_marks(notebook):
    for cell in notebook.cells:
        cell.metadata = {}


def empty_marks(notebook):
    notebook.cells.insert(3, nbformat.v4.new_code_cell("x = 1", metadata={"nbgrader": {}}))
    notebook.cells[at(notebook, "sum")].metadata.nbgrader = {"grade_id": "sum"}
    notebook.cells[at(notebook, "roots")].metadata.nbgrader = None


def delete_given(notebook):
    notebook.cells = [
        cell for cell in notebook.cells if name_of(cell) not in ("setup", "seed", "data")
    ]


def delete_imports(notebook):
    notebook.cells = [cell for cell in notebook.cells if cell.source != "import math"]


def change_given(notebook):
    notebook.cells[at(notebook, "seed")].source = "seed = 9"
    notebook.cells[at(notebook, "data")].source = "data = [7]\ndata[0] = 8"


def change_kinds(notebook):
    notebook.cells[at(notebook, "sum")].cell_type = "markdown"
    notebook.cells[at(notebook, "q1-sum")].cell_type = "raw"
    notebook.cells[-1].cell_type = "code"


def retype(notebook):
    """Delete an answer and type it anew, below the check."""
    answer = notebook.cells.pop(at(notebook, "sum"))
    notebook.cells.insert(at(notebook, "q1-sum") + 1, code(answer.source))


def answer_below(notebook):
    place = at(notebook, "roots")
    notebook.cells.insert(place + 2, code(notebook.cells[place].source))
    notebook.cells[place].source = "roots = ..."


def retype_essay(notebook):
    text = notebook.cells.pop().source
    notebook.cells.append(nbformat.v4.new_markdown_cell(text))


def play_afterwards(notebook):
    """Change variables in a cell of one's own, once the check has passed."""
    notebook.cells.insert(at(notebook, "q1-sum") + 1, code("total = 99"))


def mark_as_skipped(notebook):
    notebook.cells[at(notebook, "q1-sum")].metadata["tags"] = ["skip-execution"]


KEPT = [
    split,
    split_essay,
    copy_check,
    correct_in_a_copy,
    copy_essay_without_an_answer,
    merge_check_into_answer,
    merge_answer_into_check,
    merge_next_answer_into_check,
    merge_into_given,
    lose_marks,
    empty_marks,
    delete_given,
    delete_imports,
    change_given,
    change_kinds,
    retype,
    answer_below,
    retype_essay,
    play_afterwards,
    mark_as_skipped,
]


@pytest.mark.parametrize("change", KEPT, ids=lambda change: change.__name__)
def test_honest_work_keeps_its_points(tmp_path, change):
    notebook = solved()
    change(notebook)
    found, _ = earned(handed_in(tmp_path, notebook))
    text = found.pop("q3-words").replace("\n\n", " ")
    assert found == {"q1-sum": True, "q2-roots": True}
    assert text == "Because it is so."


# Those that leave the order of the student's own lines.
APART = [
    split,
    split_essay,
    copy_check,
    copy_essay_without_an_answer,
    merge_check_into_answer,
    delete_imports,
    delete_given,
    change_given,
    mark_as_skipped,
]


@settings(max_examples=25, deadline=None)
@given(changes=st.lists(st.sampled_from(APART), max_size=4))
def test_changes_add_up_without_a_loss(tmp_path_factory, changes):
    notebook = solved()
    for change in dict.fromkeys(changes):
        # What one has taken apart, the next may not find.
        try:
            change(notebook)
        except ValueError:
            continue
    found, _ = earned(handed_in(tmp_path_factory.mktemp("changes"), notebook))
    assert {**found, "q3-words": ""} == {**ALL, "q3-words": ""}


def without(*names):
    notebook = solved()
    notebook.cells = [cell for cell in notebook.cells if name_of(cell) not in names]
    return notebook


def test_only_the_question_that_is_missing_is_lost(tmp_path):
    found, reasons = earned(handed_in(tmp_path, without("sum", "q1-sum")))
    assert found == {**ALL, "q1-sum": False}
    assert reasons == ["sum was not found", "q1-sum was deleted and put back"]
    found, reasons = earned(handed_in(tmp_path, without("q3-words")))
    assert found == {**ALL, "q3-words": sources.TEXT_STUB}
    assert reasons == ["q3-words was deleted and put back"]


def test_the_reference_stands_in_for_a_deleted_answer_behind_its_check_alone(tmp_path):
    restored, _ = restore.restore(handed_in(tmp_path, without("sum", "q1-sum")), INSTRUCTOR)
    (place,) = [index for index, cell in enumerate(restored.cells) if "stand_in" in cell.metadata]
    assert name_of(restored.cells[place - 1]) == "q1-sum"
    assert restored.cells[place].source == "part = sum(data)\ntotal = part"
    assert "stand_in" not in str(restore.restore(handed_in(tmp_path, solved()), INSTRUCTOR)[0])
    blank = solved()
    blank.cells[at(blank, "sum")].source = "total = ..."
    assert "stand_in" not in str(restore.restore(handed_in(tmp_path, blank), INSTRUCTOR)[0])


@pytest.mark.parametrize("cells", [[], [nbformat.v4.new_markdown_cell("Hello")]])
def test_a_notebook_without_any_question_says_so(tmp_path, cells):
    found, reasons = earned(handed_in(tmp_path, nbformat.v4.new_notebook(cells=cells)))
    assert found == {"q1-sum": False, "q2-roots": False, "q3-words": sources.TEXT_STUB}
    assert reasons == ["no question of the set was found in the file"]


def test_a_wrong_answer_stays_wrong(tmp_path):
    notebook = solved()
    notebook.cells[at(notebook, "sum")].source = "total = 7"
    notebook.cells[at(notebook, "q1-sum")].source = "print('total: right.')"
    found, reasons = earned(handed_in(tmp_path, notebook))
    assert found == {**ALL, "q1-sum": False}
    assert "q1-sum was rewritten; the original was used" in reasons[0]


def test_an_untouched_essay_has_the_checksum_by_which_nbgrader_knows_it(tmp_path):
    from nbgrader.utils import determine_grade

    for source, points in ((sources.TEXT_STUB, 0), (" \n", 0), ("It is so.", None)):
        notebook = solved()
        notebook.cells[-1].source = source
        restored, _ = restore.restore(handed_in(tmp_path, notebook), INSTRUCTOR)
        assert determine_grade(restored.cells[-1]) == (points, 1)


def test_a_fingerprint_changes_with_its_own_answer_only(tmp_path):
    before = restore.fingerprints(restore.restore(handed_in(tmp_path, solved()), INSTRUCTOR)[0])
    assert list(before) == list(ALL)
    notebook = solved()
    notebook.cells[at(notebook, "roots")].source += " "
    notebook.cells[-1].source = "Another text."
    notebook.cells[at(notebook, "sum")].source += " + 0"
    after = restore.fingerprints(restore.restore(handed_in(tmp_path, notebook), INSTRUCTOR)[0])
    assert [name for name in before if before[name] != after[name]] == ["q1-sum", "q3-words"]


def written(tmp_path, document):
    path = tmp_path / "one.ipynb"
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    path.write_bytes(data)
    return restore.read_notebook(path)


def ids_in_an_old_minor_version(document):
    document["nbformat_minor"] = 4


def outputs_on_a_text_cell(document):
    document["cells"][0]["outputs"] = []


def code_without_outputs(document):
    for cell in document["cells"]:
        cell.pop("outputs", None)


def no_metadata(document):
    del document["metadata"], document["cells"][0]["metadata"]


def empty_source(document):
    document["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": None})


def an_unknown_kind(document):
    document["cells"].insert(0, {"cell_type": "sql", "metadata": [], "source": ["a", 1]})


@pytest.mark.parametrize(
    "change",
    [
        ids_in_an_old_minor_version,
        outputs_on_a_text_cell,
        code_without_outputs,
        no_metadata,
        empty_source,
        an_unknown_kind,
    ],
    ids=lambda change: change.__name__,
)
def test_what_is_not_strictly_valid_is_repaired_and_said(tmp_path, change):
    document = json.loads(json.dumps(solved()))
    change(document)
    notebook, notes = written(tmp_path, document)
    assert notes == ["the file did not keep to the format of notebooks and was repaired"]
    assert earned(notebook)[0] == ALL


def as_colab_writes(document):
    document["nbformat_minor"] = 0
    document["metadata"] = {"colab": {"provenance": []}, "kernelspec": {"name": "python3"}}
    for cell in document["cells"]:
        cell["metadata"] |= {"id": cell.pop("id"), "colab": {"base_uri": "https://localhost:8080/"}}
        cell["source"] = cell["source"].splitlines(keepends=True)


def as_vs_code_writes(document):
    document["nbformat_minor"] = 2
    document["metadata"]["language_info"] = {"name": "python", "version": "3.12.1"}
    for cell in document["cells"]:
        del cell["id"]
        cell["metadata"]["vscode"] = {"languageId": "python"}


def with_windows_ends(document):
    for cell in document["cells"]:
        cell["source"] = cell["source"].replace("\n", "\r\n")


@pytest.mark.parametrize("change", [as_colab_writes, as_vs_code_writes, with_windows_ends])
def test_what_other_editors_write_is_nothing_to_speak_of(tmp_path, change):
    document = json.loads(json.dumps(solved()))
    change(document)
    notebook, notes = written(tmp_path, document)
    found, reasons = earned(notebook)
    assert (found, notes, reasons) == (ALL, [], [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_fault(tmp_path, encoding):
    notebook, notes = written(tmp_path, json.dumps(solved()).encode(encoding))
    assert earned(notebook)[0] == ALL
    assert notes == ["the file began with a byte-order mark"]


def test_a_notebook_of_version_3_is_read(tmp_path):
    old = nbformat.convert(copy.deepcopy(solved()), 3)
    assert "worksheets" in old
    assert earned(written(tmp_path, old)[0])[0] == ALL


def test_large_outputs_are_left_out_before_the_file_is_measured(tmp_path):
    notebook = solved()
    stream = nbformat.v4.new_output("stream", text="x" * 12_000_000)
    notebook.cells[at(notebook, "sum")].outputs = [stream]
    read, notes = written(tmp_path, notebook)
    assert notes == ["12 MB of outputs were left out"]
    assert earned(read)[0] == ALL


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"{", "not valid JSON"),
        (b"[]", "not a notebook"),
        (b"{}", "not a notebook"),
        (b'{"cells": 3, "nbformat": 4}', "not a notebook"),
        (b'{"worksheets": 3, "nbformat": 3}', "not a notebook"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"PK\x03\x04", "not valid JSON"),
        (b'{"cells": [{"source": "' + b"x" * 10_000_001 + b'"}]}', "10 MB of text"),
    ],
)
def test_what_is_no_notebook_is_refused_with_the_reason(tmp_path, content, reason):
    with pytest.raises(restore.UnreadableError, match=reason):
        written(tmp_path, content)


def test_the_set_is_known_by_its_cells():
    other = copy.deepcopy(INSTRUCTOR)
    other.cells = other.cells[:5]
    releases = {"small": release.student_notebook(INSTRUCTOR), "other": other}
    assert restore.find_set(solved(), releases) == "small"
    assert restore.find_set(nbformat.v4.new_notebook(), releases) is None
