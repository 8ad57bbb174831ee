"""Collecting: nothing handed in is lost, no two students become one, and none becomes two."""

import json
import os
import unicodedata
import zipfile
from pathlib import Path

import nbformat
import pytest

from classroom.collection import file_table, find_submissions


def notebook(exercise, text=""):
    """Return a notebook that holds the cells of a set, and a text of its own."""
    cells = [nbformat.v4.new_markdown_cell(f"{exercise}: part {part}") for part in range(4)]
    cells.append(nbformat.v4.new_code_cell(f"print({text!r})"))
    return nbformat.v4.new_notebook(cells=cells)


SETS = ["e1-shrinkage", "e2-sleep"]
RELEASES = {name: notebook(name) for name in SETS}
E1 = json.dumps(notebook("e1-shrinkage", "mine"))
E2 = json.dumps(notebook("e2-sleep", "mine"))
NOWHERE = json.dumps(nbformat.v4.new_notebook())


def lay_out(folder, files, start=1_700_000_000):
    """Write files by their names, each a minute newer than the one before."""
    contents = files if isinstance(files, dict) else dict.fromkeys(files)
    for number, (name, content) in enumerate(contents.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            content = E2 if "e2" in name.lower() else E1
        path.write_text(content, encoding="utf-8")
        os.utime(path, (start + 60 * number,) * 2)


def collected(tmp_path, files):
    """Lay files out, collect them; return the submissions and the result of every file."""
    folder, scratch = tmp_path / "handed in", tmp_path / "scratch"
    folder.mkdir(exist_ok=True)
    scratch.mkdir()
    lay_out(folder, files)
    found, all_files = find_submissions(folder, RELEASES, scratch)
    table = file_table(all_files).set_index("file")
    assert len(all_files) == len(table)
    return found, table


def students(tmp_path, files):
    found, _ = collected(tmp_path, files)
    return [(one.student, one.exercise) for one in found]


def pairs(names, exercises=("e1-shrinkage",)):
    return [(name, exercise) for name in sorted(names) for exercise in exercises]


LAYOUTS = {
    "a folder per student": ["ada/e1-shrinkage.ipynb", "kay/e1-shrinkage.ipynb"],
    "a folder per set": ["e1/ada/e1-shrinkage.ipynb", "e1/kay/e1-shrinkage.ipynb"],
    "a folder per set, its whole name": [
        "e1-shrinkage/ada/e1-shrinkage.ipynb",
        "e1-shrinkage/kay/x.ipynb",
    ],
    "a folder per set, as people write it": [
        "Exercise E1 (2)/ada/a.ipynb",
        "Exercise E1 (2)/kay/b.ipynb",
    ],
    "a folder per class": ["Monday/ada/e1-shrinkage.ipynb", "Tuesday/kay/e1-shrinkage.ipynb"],
    "class and set": ["Monday/e1/ada/e1-shrinkage.ipynb", "Tuesday/e1/kay/e1-shrinkage.ipynb"],
    "nbgrader's": [
        "submitted/ada/e1-shrinkage/e1-shrinkage.ipynb",
        "submitted/kay/e1-shrinkage/e1-shrinkage.ipynb",
    ],
    "flat": ["ada_e1-shrinkage.ipynb", "kay_e1-shrinkage.ipynb"],
    "flat, in a folder per set": ["e1/ada_e1-shrinkage.ipynb", "e1/kay_e1-shrinkage.ipynb"],
    "flat, the name behind": ["e1-shrinkage_ada.ipynb", "e1-shrinkage - kay.ipynb"],
    "flat, the set's short name": ["ada e1.ipynb", "kay-E1.ipynb"],
    "Moodle": [
        "ada_481516_assignsubmission_file_/e1-shrinkage.ipynb",
        "kay_481517_assignsubmission_file_/my homework.ipynb",
    ],
    "Moodle, flat": [
        "ada_481516_assignsubmission_file_e1-shrinkage.ipynb",
        "kay_481517_assignsubmission_file_e1-shrinkage (1).ipynb",
    ],
    "Canvas": ["ada_1234_99001_e1-shrinkage.ipynb", "kay_LATE_1235_99002_e1-shrinkage-1.ipynb"],
    "Blackboard": [
        "Exercise 1_ada_attempt_2027-05-01-10-11-12_e1-shrinkage.ipynb",
        "Exercise 1_kay_attempt_2027-05-01-10-11-13_e1-shrinkage.ipynb",
    ],
    "Brightspace": [
        "1234-5678 - ada - May 1, 2027 1011 AM/e1-shrinkage.ipynb",
        "1235-5678 - kay - May 1, 2027 1012 AM/e1-shrinkage.ipynb",
    ],
    "folders in a student's folder": [
        "ada/e1-shrinkage.ipynb",
        "kay/from my laptop/e1-shrinkage.ipynb",
    ],
    "renamed, in a folder": ["ada/homework.ipynb", "kay/Untitled3.ipynb"],
    "another ending": ["ada/e1-shrinkage.ipynb.txt", "kay/e1-shrinkage.json"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_students_are_found_in_every_layout(tmp_path, layout):
    assert students(tmp_path, LAYOUTS[layout]) == pairs(["ada", "kay"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_zip_file_is_as_good_as_a_folder(tmp_path, layout):
    lay_out(tmp_path / "inside", LAYOUTS[layout])
    folder = tmp_path / "handed in"
    folder.mkdir()
    for name in ("STATS501-E1 Shrinkage-481516.zip", "e1.zip"):
        with zipfile.ZipFile(folder / name, "w") as packed:
            for path in LAYOUTS[layout]:
                packed.write(tmp_path / "inside" / path, path)
                packed.writestr(f"__MACOSX/{Path(path).parent}/._{Path(path).name}", "x")
        scratch = tmp_path / f"scratch {name}"
        scratch.mkdir()
        source = folder / name if name == "e1.zip" else folder
        found, files = find_submissions(source, RELEASES, scratch)
        assert [(one.student, one.exercise) for one in found] == pairs(["ada", "kay"])
        results = file_table(files)["result"]
        assert results.tolist().count("graded") == 2
        assert results.tolist().count("left by a program, no hand-in") == 2


def test_zip_files_of_students_and_their_time(tmp_path):
    folder, scratch = tmp_path / "handed in", tmp_path / "scratch"
    folder.mkdir(), scratch.mkdir()
    member = zipfile.ZipInfo("work/e1-shrinkage.ipynb", (2027, 5, 1, 10, 11, 12))
    for student in ("ada", "kay"):
        with zipfile.ZipFile(folder / f"{student}.zip", "w") as packed:
            packed.writestr(member, E1)
            packed.writestr("../../outside.txt", "x")
    found, files = find_submissions(folder, RELEASES, scratch)
    assert [one.student for one in found] == ["ada", "kay"]
    table = file_table(files).set_index("file")
    assert table.loc["ada.zip/work/e1-shrinkage.ipynb", "time"] == "2027-05-01 10:11:12"
    assert table.loc["ada.zip/outside.txt", "result"] == "not a notebook"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["handed in", "scratch"]


def test_a_zip_file_that_cannot_be_unpacked_is_listed(tmp_path):
    found, table = collected(tmp_path, {"ada.zip": "no zip file", "kay/e1-shrinkage.ipynb": E1})
    assert [one.student for one in found] == ["kay"]
    assert table.loc["ada.zip", "result"].startswith("not to be unpacked")


DISTINCT = {
    "vowel signs": ["किरण/e1.ipynb", "करण/e1.ipynb", "कारण/e1.ipynb"],
    "blank and underscore": ["Anna Lee/e1.ipynb", "Anna_Lee/e1.ipynb"],
    "apostrophe": ["O'Brien/e1.ipynb", "O Brien/e1.ipynb", "OBrien/e1.ipynb"],
    "marks": ["Muller/e1.ipynb", "Müller/e1.ipynb"],
    "signs": ["a+b/e1.ipynb", "a b/e1.ipynb", "a&b/e1.ipynb", "a%b/e1.ipynb", "a%2Bb/e1.ipynb"],
    "patterns": ["a[1]/e1.ipynb", "a*/e1.ipynb", "a?/e1.ipynb"],
    "numbers": ["12345678_e1.ipynb", "12345679_e1.ipynb"],
    "a word and numbers": [
        "student_10001_e1.ipynb",
        "student_10002_e1.ipynb",
        "student_10003_e1.ipynb",
    ],
    "short numbers": ["student-1_e1.ipynb", "student-2_e1.ipynb"],
    "a number of their own in two sets": [
        "kay_10001_e1.ipynb",
        "kay_10002_e1.ipynb",
        "kay_10001_e2.ipynb",
        "kay_10002_e2.ipynb",
    ],
    "one name in Moodle": [
        "Anna Lee_11111_assignsubmission_file_/e1.ipynb",
        "Anna Lee_11112_assignsubmission_file_/e1.ipynb",
    ],
    "one name in Canvas": ["leeanna_111_900_e1.ipynb", "leeanna_112_901_e1.ipynb"],
    "an address": ["ada@a.example/e1.ipynb", "ada@b.example/e1.ipynb"],
}


@pytest.mark.parametrize("kind", DISTINCT)
def test_two_students_never_become_one(tmp_path, kind):
    found, _ = collected(tmp_path, DISTINCT[kind])
    of_first = [one for one in found if one.exercise == "e1-shrinkage"]
    expected = sum("e1" in name for name in DISTINCT[kind])
    assert len({one.student for one in of_first}) == expected
    assert len({one.id for one in of_first}) == expected
    assert not any(set(one.id) & set("/*?[]%+") - {"%"} for one in of_first)


ONE = {
    "NFC and NFD": [
        unicodedata.normalize("NFC", "Zoë/e1.ipynb"),
        unicodedata.normalize("NFD", "Zoë/e2.ipynb"),
    ],
    "NFD in file names": [
        unicodedata.normalize("NFC", "Søren Å_e1.ipynb"),
        unicodedata.normalize("NFD", "Søren Å_e2.ipynb"),
    ],
    "blanks": ["Anna Lee/e1.ipynb", "Anna\u00a0 Lee/e2.ipynb"],
    "Moodle's number of each set": [
        "e1/Ada_11111_assignsubmission_file_/e1.ipynb",
        "e2/Ada_22222_assignsubmission_file_/e2.ipynb",
    ],
    "Canvas's number of each hand-in": ["ada_111_900_e1.ipynb", "ada_111_901_e2.ipynb"],
    "a number of each hand-in": ["kay_481516_e1.ipynb", "kay_481999_e2.ipynb"],
    "sets in folders of their own": ["e1/ada/e1.ipynb", "e2/ada/e2.ipynb"],
    "a folder and a file": ["ada/e1.ipynb", "ada_e2.ipynb"],
}


@pytest.mark.parametrize("kind", ONE)
def test_one_student_never_becomes_two(tmp_path, kind):
    found, _ = collected(tmp_path, ONE[kind])
    assert len({one.student for one in found}) == 1
    assert [one.exercise for one in found] == SETS


@pytest.mark.parametrize(
    "files",
    [
        ["ada/e1-shrinkage.ipynb", "ada/e1-shrinkage-Copy1.ipynb"],
        ["ada/old/e1-shrinkage.ipynb", "ada/e1-shrinkage.ipynb"],
        ["kay_481516_e1-shrinkage.ipynb", "kay_481999_e1-shrinkage-1.ipynb"],
        ["kay_111_900_e1-shrinkage.ipynb", "kay_late_111_901_e1-shrinkage-1.ipynb"],
        ["ada/draft_e1-shrinkage.ipynb", "ada/final_e1-shrinkage.ipynb"],
    ],
)
def test_the_newest_counts_and_the_others_are_listed(tmp_path, files):
    found, table = collected(tmp_path, files)
    (one,) = found
    assert one.file == files[1]
    assert table.loc[files[1], "result"] == "graded"
    assert table.loc[files[0], "result"] == f"superseded by {files[1]}"


def test_of_files_of_one_time_the_later_attempt_counts(tmp_path):
    names = ["ada/e1-shrinkage-2.ipynb", "ada/e1-shrinkage.ipynb", "ada/e1-shrinkage-1.ipynb"]
    lay_out(tmp_path / "handed in", names)
    for name in names:
        os.utime(tmp_path / "handed in" / name, (1_800_000_000,) * 2)
    (tmp_path / "scratch").mkdir()
    (one,), _ = find_submissions(tmp_path / "handed in", RELEASES, tmp_path / "scratch")
    assert one.file == names[0]


def test_an_earlier_file_counts_if_the_newest_cannot_be_read(tmp_path):
    files = {"ada/e1-shrinkage.ipynb": E1, "ada/e1-shrinkage-1.ipynb": E1[:200]}
    (one,), table = collected(tmp_path, files)
    assert one.file == "ada/e1-shrinkage.ipynb"
    assert one.notes == ("a later file, ada/e1-shrinkage-1.ipynb, cannot be read",)
    assert table.loc["ada/e1-shrinkage-1.ipynb", "result"].startswith("not readable")


def test_a_notebook_counts_for_the_set_it_holds(tmp_path):
    (one,), _ = collected(tmp_path, {"ada/e1-shrinkage.ipynb": E2})
    assert one.exercise == "e2-sleep"
    assert one.notes == ("the file is named e1-shrinkage but holds e2-sleep",)


def test_a_renamed_file_beside_others_belongs_to_whom_its_name_begins_with(tmp_path):
    files = ["Anna Lee_e1.ipynb", "Anna_e1.ipynb", "Anna Lee_homework.ipynb"]
    contents = {name: E2 if "home" in name else E1 for name in files}
    found, _ = collected(tmp_path, contents)
    assert [(one.student, one.exercise) for one in found] == [
        ("Anna", "e1-shrinkage"),
        ("Anna Lee", "e1-shrinkage"),
        ("Anna Lee", "e2-sleep"),
    ]


def test_every_other_file_is_listed_with_the_reason(tmp_path):
    (tmp_path / "handed in" / "ada").mkdir(parents=True)
    (tmp_path / "handed in" / "ada" / "e2-sleep.ipynb").symlink_to("/etc/hostname")
    reasons = {
        "ada/e1-shrinkage.ipynb": "graded",
        "ada/report.pdf": "not a notebook",
        "ada/notes.txt": "not a notebook",
        "ada/other.ipynb": "a notebook of none of the sets e1-shrinkage, e2-sleep",
        "ada/broken.ipynb": "the file is not valid JSON",
        "e1-shrinkage.ipynb": "no student in its name or folder",
        "homework.ipynb": "no student in its name or folder",
        "ada/._e1-shrinkage.ipynb": "left by a program, no hand-in",
        "__MACOSX/ada/e1-shrinkage.ipynb": "left by a program, no hand-in",
        "ada/.ipynb_checkpoints/e1-shrinkage-checkpoint.ipynb": "left by a program, no hand-in",
        "ada/.DS_Store": "left by a program, no hand-in",
    }
    contents = dict.fromkeys(reasons, None)
    contents |= {"ada/other.ipynb": NOWHERE, "ada/broken.ipynb": "{", "ada/notes.txt": "Notes"}
    _, table = collected(tmp_path, contents)
    assert table["result"].to_dict() == {**reasons, "ada/e2-sleep.ipynb": "a link, not a file"}
