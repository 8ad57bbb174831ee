"""Grading: everybody gets what they earned, whatever a neighbour's notebook does.

Hostile submissions run under bubblewrap only; without it their tests are skipped.
"""

import copy
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbgrader.api import Gradebook

from classroom import grading, release, sandbox, sources
from classroom.collection import find_submissions
from classroom.course import TeacherError
from classroom.execution import forbid_points
from classroom.grading import Grader, grade_table

PROTECTED = sandbox.is_available()
needs_bubblewrap = pytest.mark.skipif(
    not PROTECTED, reason="bubblewrap does not work here, and hostile notebooks run nowhere else"
)
SET = "e5-weighting"
QUESTIONS = ["q1-weights", "q2-arm-mean", "q3-half", "q4-outlier", "q5-words"]
POINTS = [2, 2, 3, 3]
# For notebooks that never end: they should not take long to be noticed.
CELL_SECONDS = 10


def read(path):
    return nbformat.read(path, as_version=4)


def released(course, exercise=SET):
    return read(course.handouts / f"{exercise}.ipynb")


def solved(course, exercise=SET, **other_answers):
    """Return the submission of the reference, with some answers replaced."""
    instructor = read(course.folder / "source" / exercise / f"{exercise}.ipynb")
    answers = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in release.handed_in(instructor).cells
        if sources.is_answer(cell)
    }
    answers |= {name.replace("_", "-"): source for name, source in other_answers.items()}
    submission = copy.deepcopy(released(course, exercise))
    for cell in submission.cells:
        if sources.is_answer(cell):
            cell.source = answers[cell.metadata.nbgrader.grade_id]
    return submission


def cell_of(notebook, name):
    """Return the cell with a grade_id."""
    cells = [one for one in notebook.cells if "nbgrader" in one.metadata]
    return next(one for one in cells if one.metadata.nbgrader.grade_id == name)


def hand_in(folder, student, notebook, exercise=SET):
    """Put a notebook, or any text, where a student's submission is expected."""
    path = folder / student / f"{exercise}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = notebook if isinstance(notebook, str) else json.dumps(notebook)
    path.write_text(text, encoding="utf-8")


def grade(course, folder, *, protected=PROTECTED, again="", cell_seconds=60):
    """Grade a folder as `make grade` does; return how many were new, and the table."""
    exercises = grading.exercises_of(course)
    releases = {exercise: grading.read_release(course, exercise) for exercise in exercises}
    with tempfile.TemporaryDirectory() as scratch:
        submissions, _ = find_submissions(folder, releases, Path(scratch))
        grader = Grader(course, protected=protected, cell_seconds=cell_seconds)
        new = grader.grade(submissions, progress=io.StringIO(), again=again)
    return new, grade_table(course, grader.outcomes).set_index("student", drop=False)


@pytest.fixture(scope="module")
def honest(course, tmp_path_factory):
    """Every set, answered by the reference and left untouched: the table."""
    folder = tmp_path_factory.mktemp("honest")
    for exercise in grading.exercises_of(course):
        hand_in(folder, "reference", solved(course, exercise), exercise)
        hand_in(folder, "untouched", released(course, exercise), exercise)
    new, table = grade(course, folder)
    assert new == 10
    return table


def test_the_reference_earns_full_marks_and_the_untouched_release_none(course, honest):
    for exercise in grading.exercises_of(course):
        instructor = read(course.folder / "source" / exercise / f"{exercise}.ipynb")
        points = sources.points(instructor)
        for cell in instructor.cells:
            if not (sources.is_check(cell) or sources.is_essay(cell)):
                continue
            question = cell.metadata.nbgrader.grade_id
            earned = honest.loc["reference", f"{exercise}/{question}"]
            if sources.is_essay(cell):
                assert pd.isna(earned)
            else:
                assert earned == points[question]
            assert honest.loc["untouched", f"{exercise}/{question}"] == 0
    both = honest.loc[["reference", "untouched"]]
    assert both["total"].tolist() == [59, 0]
    assert both["status"].tolist() == ["needs manual points", "graded"]
    assert both["reason"].tolist() == ["", ""]


NEARLY_RIGHT = """
regression = fit_pooled("y ~ treatment", far)
mixed = fit_mixed("y ~ treatment + (1 | cluster)", far)
gap = regression.fixed["Intercept"] - mixed.fixed["Intercept"] + 0.003
share = 1 - cluster_weights(mixed)["lambda"].iloc[0]
"""
TOP_LEVEL_LOOP = "while True:\n    pass"
LOOP_IN_A_FUNCTION = "def half_weight_icc(small, large):\n    while True:\n        pass"
STUBBORN_LOOP = """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
EXIT = "import os\nos._exit(0)"
MEMORY_HOG = "hoard = []\nwhile True:\n    hoard.append(bytearray(10**8))"
# The checks still fail, but their errors are not shown.
SILENCER = """
get_ipython()._showtraceback = lambda *arguments: None
gap = share = 0
"""
FLOOD = 'while True:\n    print("x" * 10_000)'
DISK_HOG = """
import glob
folder = glob.glob("/tmp/run-*")[0]
for number in range(50):
    with open(f"{folder}/{number}", "wb") as file:
        file.write(bytes(50_000_000))
import time
time.sleep(10)
"""
# Looks for whatever holds a hidden check, and tries to change whatever it is given.
INTRUDER = """
import os, socket
found, changed = [path for path in {files} if os.path.exists(path)], []
for folder, _, names in os.walk({root!r}):
    if not folder.startswith(("/proc", "/sys", "/usr", "/lib", "/home/student/data", {prefixes})):
        endings = (".ipynb", ".db", ".md", ".csv", ".zip")
        found += [os.path.join(folder, name) for name in names if name.endswith(endings)]
for folder in {folders}:
    for name in ("intruder-was-here", "gradebook.db"):
        try:
            with open(os.path.join(folder, name), "a") as file:
                file.write("intruder-was-here")
            changed.append(folder)
        except OSError:
            pass
try:
    with socket.create_connection(("127.0.0.1", {port}), timeout=1):
        found.append("network")
except OSError:
    pass
print("FOUND", found, "CHANGED", changed, [name for name in os.environ if "JUPYTER" in name])
gap = share = 0
"""


def intruder(course, submissions, canary, port):
    """Write a notebook that tries to read the hidden checks and to write another's grade."""
    prefixes = ", ".join(repr(prefix) for prefix in {sys.prefix, sys.base_prefix})
    files = [
        course.folder / "gradebook.db",
        course.folder / "source" / SET / f"{SET}.ipynb",
        submissions / "perfect" / f"{SET}.ipynb",
        sources.ROOT / "chapters" / "exercises" / f"{SET}.md",
    ]
    folders = [course.folder, submissions, canary, sources.ROOT, Path.home()]
    return INTRUDER.format(
        root="/",
        files=[str(path) for path in files],
        folders=[str(path) for path in folders],
        prefixes=prefixes,
        port=port,
    )


def with_deleted_cells(course):
    """Return a perfect submission without one check and without one answer."""
    notebook = solved(course)
    gone = [cell_of(notebook, "q2-arm-mean"), cell_of(notebook, "outlier")]
    notebook.cells = [cell for cell in notebook.cells if cell not in gone]
    return notebook


BUSY = """
from ipywidgets import IntSlider, Output, interact
import altair as alt
from helpers import explore

out = Output()
with out:
    print("in a box")
display(out, IntSlider())
interact(lambda k: print(k), k=(1, 5))
chart = alt.Chart(data).mark_point().encode(x="cluster:Q", y="y:Q")
chart.save("chart.png")
chart.save("chart.svg")
display(chart)
lines = alt.Chart().mark_line().encode(
    x=alt.X("x:Q", scale=alt.Scale(domain=[0, 2])), y=alt.Y("y:Q", scale=alt.Scale(domain=[-9, 9]))
)
display(explore(
    lambda slope: pd.DataFrame({"x": [0.0, 1, 2], "y": [0.0, slope, 2 * slope]}),
    lines.properties(description="A line"),
    slope=[0.0, 1.0, 2.0],
))
for number in range(1200):
    print("x" * 10_000)
"""
# Right, but with a warning on stderr where the check calls it, and a value at its end.
WARNED = """
import warnings

def half_weight_icc(small, large):
    warnings.warn("a warning")
    ratio = 1 / small - 2 / large
    return ratio / (1 + ratio)
"""


def busy(course):
    """Return a perfect submission that draws, prints and shows much before its answers."""
    notebook = solved(course, half=WARNED)
    place = notebook.cells.index(cell_of(notebook, "weights"))
    notebook.cells.insert(place, nbformat.v4.new_code_cell(BUSY))
    return notebook


def patchwork(course):
    """Return a perfect submission with cells split, copied, merged, deleted and unmarked."""
    notebook = solved(course)
    cells = notebook.cells
    answer = cell_of(notebook, "arm-mean")
    first, _, rest = answer.source.partition("\n")
    answer.source = first
    cells.insert(cells.index(answer) + 1, copy.deepcopy(answer))
    cells[cells.index(answer) + 1].source = rest
    check = cell_of(notebook, "q1-weights")
    cells.insert(cells.index(check), copy.deepcopy(check))
    cell_of(notebook, "q4-outlier").source = cell_of(notebook, "outlier").source + "\n"
    imports = next(cell for cell in cells if cell.source.startswith("import numpy"))
    gone = [cell_of(notebook, "outlier"), cell_of(notebook, "setup"), imports]
    notebook.cells = [cell for cell in cells if cell not in gone]
    cell_of(notebook, "half").metadata = {}
    return notebook


def loose(course):
    """Return a perfect submission as text that only tolerant readers open."""
    notebook = solved(course)
    notebook.nbformat_minor = 4
    notebook.cells[0]["outputs"] = []
    return "\ufeff" + json.dumps(notebook)


def with_rewritten_check(course):
    """Return a submission that answers question 1 wrong and makes its check agree."""
    notebook = solved(course, weights="weights = [0.2] * 5\narm_mean = arm_se = 0")
    cell_of(notebook, "q1-weights").source = "print('weights: right.')"
    return notebook


def fingerprints(*folders):
    """Return the content of every file below some folders."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Graded:
    """The folder of submissions, its table, and what was there before and after."""


@pytest.fixture(scope="module")
def graded(course, tmp_path_factory):
    """Perfect, poor and hostile submissions of one set, graded together."""
    folder, canary = tmp_path_factory.mktemp("submissions"), tmp_path_factory.mktemp("canary")
    (canary / "note.txt").write_text("unchanged")
    endless = tmp_path_factory.mktemp("endless")
    untouched = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in released(course).cells
        if sources.is_answer(cell)
    }
    half = {name: untouched[name] for name in ("half", "outlier", "q5-words")}
    hand_in(folder, "perfect", solved(course))
    hand_in(folder, "half", solved(course, **half))
    hand_in(folder, "tolerance", solved(course, outlier=NEARLY_RIGHT))
    hand_in(folder, "syntax", solved(course, arm_mean="arm_mean = (1"))
    hand_in(folder, "json", nbformat.writes(solved(course))[:2000])
    hand_in(folder, "empty", "")
    hand_in(endless, "loop", solved(course, weights=TOP_LEVEL_LOOP))
    hand_in(endless, "function", solved(course, half=LOOP_IN_A_FUNCTION))
    hand_in(endless, "stubborn", solved(course, outlier=STUBBORN_LOOP))
    hand_in(folder, "exit", solved(course, half=EXIT))
    hand_in(folder, "memory", solved(course, outlier=MEMORY_HOG))
    hand_in(endless, "flood", solved(course, outlier=FLOOD))
    hand_in(folder, "disk", solved(course, outlier=DISK_HOG))
    hand_in(folder, "silencer", solved(course, outlier=SILENCER))
    hand_in(folder, "deleted", with_deleted_cells(course))
    hand_in(folder, "rewritten", with_rewritten_check(course))
    hand_in(folder, "busy", busy(course))
    hand_in(folder, "patchwork", patchwork(course))
    hand_in(folder, "loose", loose(course))
    hand_in(folder, "blank", nbformat.v4.new_notebook())
    server = socket.create_server(("127.0.0.1", 0))
    code = intruder(course, folder, canary, server.getsockname()[1])
    hand_in(folder, "intruder", solved(course, outlier=code))
    result = Graded()
    result.course, result.folder = course, folder
    watched = [folder, canary, course.handouts, course.folder / "source", course.folder / "release"]
    watched.append(sources.ROOT / "chapters")
    result.before, home = fingerprints(*watched), sorted(os.listdir(Path.home()))
    new = grade(course, endless, protected=True, cell_seconds=CELL_SECONDS)[0]
    result.new, result.table = grade(course, folder, protected=True)
    result.new += new
    server.close()
    result.after = fingerprints(*watched)
    result.home = (home, sorted(os.listdir(Path.home())))
    return result


EARNED = {
    "perfect": (POINTS, "needs manual points", ""),
    "half": ([2, 2, 0, 0], "graded", ""),
    "tolerance": ([2, 2, 3, 0], "needs manual points", ""),
    "syntax": ([2, 0, 3, 3], "needs manual points", "arm-mean: SyntaxError"),
    "json": ([0, 0, 0, 0], "failed", "not valid JSON"),
    "empty": ([0, 0, 0, 0], "failed", "empty"),
    "loop": ([0, 0, 3, 3], "needs manual points", "weights took longer than 10 seconds"),
    "function": ([2, 2, 0, 3], "needs manual points", "q3-half took longer than 10 seconds"),
    "stubborn": ([2, 2, 3, 0], "needs manual points", "nor let itself be interrupted"),
    "exit": ([2, 2, 0, 0], "needs manual points", "half ended the kernel"),
    "memory": ([2, 2, 3, 0], "needs manual points", "outlier used more than 3 GB of memory"),
    "flood": ([2, 2, 3, 0], "needs manual points", "outlier printed too much"),
    "disk": ([2, 2, 3, 0], "needs manual points", "filled the disk"),
    "silencer": ([2, 2, 3, 0], "needs manual points", ""),
    "deleted": ([2, 2, 3, 0], "needs manual points", "q2-arm-mean was deleted and put back"),
    "rewritten": ([0, 0, 3, 3], "needs manual points", "q1-weights was rewritten"),
    "intruder": ([2, 2, 3, 0], "needs manual points", ""),
    "busy": (POINTS, "needs manual points", "printed too much; the rest was left out"),
    "patchwork": (POINTS, "needs manual points", "outlier was not found"),
    "loose": (POINTS, "needs manual points", "began with a byte-order mark"),
    "blank": ([0, 0, 0, 0], "graded", "no question of the set was found"),
}


@needs_bubblewrap
@pytest.mark.parametrize("student", EARNED)
def test_everybody_gets_what_they_earned_and_the_reason(graded, student):
    points, status, reason = EARNED[student]
    row = graded.table.loc[student]
    earned = [row[f"{SET}/{question}"] for question in QUESTIONS]
    assert earned[:4] == points, row["reason"]
    assert row["total"] == sum(points)
    assert row["status"] == status
    assert reason in row["reason"]
    assert bool(row["reason"]) == bool(reason)


@needs_bubblewrap
def test_the_table_is_complete(graded):
    handed_in = [column for column in graded.table if column.startswith(SET)]
    assert handed_in == [f"{SET}/{question}" for question in QUESTIONS]
    assert set(EARNED) <= set(graded.table.index)
    assert graded.new == len(EARNED)


@needs_bubblewrap
def test_nothing_outside_the_sandbox_changed(graded):
    assert graded.after == graded.before
    assert graded.home[0] == graded.home[1]
    executed = read(graded.course.folder / "executed" / "intruder" / f"{SET}.ipynb")
    printed = cell_of(executed, "outlier").outputs[0].text
    # What it changed lay in its own temporary folder, under the same names.
    assert printed.startswith("FOUND [] CHANGED")
    assert printed.rstrip().endswith("] []")


@needs_bubblewrap
def test_the_intruder_finds_and_changes_what_is_not_hidden_from_it(tmp_path):
    """Without this control the test above would prove nothing.

    Its code runs under bubblewrap here too, but with a folder of ours, and the network, open.
    """
    book = tmp_path / "gradebook.db"
    book.write_text("")
    sandboxed = ["bwrap", "--ro-bind", "/", "/", "--bind", tmp_path, tmp_path, "--unshare-pid"]
    sandboxed += ["--dev", "/dev", "--proc", "/proc", "--die-with-parent", sys.executable, "-c"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = INTRUDER.format(
            root=str(tmp_path),
            files=[str(book)],
            folders=[str(tmp_path)],
            prefixes="'-'",
            port=server.getsockname()[1],
        )
        done = subprocess.run([*sandboxed, code], capture_output=True, text=True, check=True)
    found = f"FOUND ['{book}', '{book}', 'network'] CHANGED ['{tmp_path}', '{tmp_path}']"
    assert done.stdout.startswith(found)
    assert book.read_text() == "intruder-was-here"


@needs_bubblewrap
def test_only_what_is_new_is_graded(graded):
    assert grade(graded.course, graded.folder, protected=True)[0] == 0
    hand_in(graded.folder, "half", solved(graded.course))
    new, table = grade(graded.course, graded.folder, protected=True)
    assert new == 1
    assert table.loc["half", "total"] == sum(POINTS)


@needs_bubblewrap
def test_manual_points_arrive_in_the_table_and_the_feedback(graded):
    course = graded.course
    with Gradebook(f"sqlite:///{course.folder / 'gradebook.db'}", course.name) as book:
        found = book.find_grade("q5-words", SET, SET, "perfect")
        found.manual_score, found.needs_manual_grade = 1.5, False
        book.db.commit()
    new, table = grade(course, graded.folder, protected=True)
    assert new == 0
    assert table.loc["perfect", f"{SET}/q5-words"] == 1.5
    assert table.loc["perfect", "status"] == "graded"
    feedback = course.folder / "feedback" / "perfect" / SET / f"{SET}.html"
    assert "Score: 11.5 / 12.0" in feedback.read_text(encoding="utf-8")


@needs_bubblewrap
def test_feedback_shows_the_messages_but_no_hidden_check_and_no_script_of_a_student(graded):
    folder = graded.course.folder / "feedback"
    wrong = (folder / "tolerance" / SET / f"{SET}.html").read_text(encoding="utf-8")
    assert "Not yet. gap: this is not the value." in wrong
    cheat = (folder / "rewritten" / SET / f"{SET}.html").read_text(encoding="utf-8")
    for page in (wrong, cheat):
        text = re.sub(r"<[^>]+>", "", page)
        assert "check(weights=weights)" in text
        assert "HIDDEN" not in text and "given.shape" not in text
    cells = read(graded.course.folder / "executed" / "perfect" / f"{SET}.ipynb").cells
    kinds = {
        kind
        for cell in cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert kinds == {"text/plain"}


def give_by_hand(course, student, question, points, comment=None):
    """Grade a question as a teacher does in nbgrader's interface."""
    with Gradebook(f"sqlite:///{course.folder / 'gradebook.db'}", course.name) as book:
        grade = book.find_grade(question, SET, SET, student)
        grade.manual_score, grade.needs_manual_grade = points, False
        if comment:
            book.find_comment("q5-words", SET, SET, student).manual_comment = comment
        book.db.commit()


def feedback_of(course, student):
    return (course.folder / "feedback" / student / SET / f"{SET}.html").read_text(encoding="utf-8")


@pytest.fixture
def quick(monkeypatch):
    """Instead of running notebooks, fail the checks of answers that are known to be wrong."""
    wrong = {"half_weight_icc = ": "q3-half", "gap = share = 0": "q4-outlier"}

    def run(self, prepared, target, shared):
        notebook = read(prepared)
        code = "\n".join(cell.source for cell in notebook.cells)
        for answer, check in wrong.items():
            if answer in code:
                forbid_points(cell_of(notebook, check), "wrong")
        nbformat.write(notebook, target)
        return []

    monkeypatch.setattr(Grader, "_run", run)


def test_points_given_by_hand_count_for_the_answer_they_were_given_for(course, tmp_path, quick):
    """One hand-in after the other: graded, improved elsewhere, changed, broken, mended."""
    hand_in(tmp_path, "eve", solved(course, half="half_weight_icc = None"))
    grade(course, tmp_path)
    give_by_hand(course, "eve", "q5-words", 2, "Well said.")
    give_by_hand(course, "eve", "q3-half", 1.5)
    row = grade(course, tmp_path)[1].loc["eve"]
    assert (row["total"], row["status"]) == (2 + 2 + 1.5 + 3 + 2, "graded")
    assert "Well said." in feedback_of(course, "eve")
    # Another answer changed: what was read stays read.
    hand_in(
        tmp_path, "eve", solved(course, half="half_weight_icc = None", outlier="gap = share = 0")
    )
    row = grade(course, tmp_path)[1].loc["eve"]
    assert (row["total"], row["status"]) == (2 + 2 + 1.5 + 0 + 2, "graded")
    # These answers changed.
    hand_in(tmp_path, "eve", solved(course, half="half_weight_icc = 1", q5_words="Something else."))
    row = grade(course, tmp_path)[1].loc["eve"]
    assert (row["total"], row["status"]) == (2 + 2 + 0 + 3, "needs manual points")
    assert pd.isna(row[f"{SET}/q5-words"]) and row[f"{SET}/q3-half"] == 0
    assert "q3-half: 1.5 points, given by hand, was for an earlier answer" in row["reason"]
    assert "q5-words: 2 points and 'Well said.', given by hand" in row["reason"]
    assert "Something else." in feedback_of(course, "eve")
    assert "Well said." not in feedback_of(course, "eve")
    give_by_hand(course, "eve", "q5-words", 1)
    give_by_hand(course, "eve", "q3-half", 0)
    row = grade(course, tmp_path)[1].loc["eve"]
    assert (row["total"], row["status"]) == (2 + 2 + 0 + 3 + 1, "graded")
    assert "given by hand" not in row["reason"]
    hand_in(tmp_path, "eve", "no notebook")
    row = grade(course, tmp_path)[1].loc["eve"]
    assert (row["total"], row["status"]) == (0, "failed")
    assert (
        "could not be graded, so there is no feedback: the file is not valid JSON"
        in feedback_of(course, "eve")
    )
    hand_in(tmp_path, "eve", solved(course, q5_words=""))
    row = grade(course, tmp_path)[1].loc["eve"]
    assert (row["total"], row["status"]) == (10, "graded")
    assert "Score: 10.0 / 12.0" in feedback_of(course, "eve")


def test_grading_again_takes_all_or_one_student_and_changes_no_file(course, quick):
    # The folder that nbgrader's exchange fills, too.
    folder = course.folder / "submitted"
    for student in ("Zoë O'Brien", "kay"):
        path = folder / student / SET / f"{SET}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(solved(course), path)
    before = fingerprints(folder)
    assert grade(course, folder)[0] == 2
    assert grade(course, folder)[0] == 0
    new, table = grade(course, folder, again="Zoë O'Brien")
    assert new == 1 and {"Zoë O'Brien", "kay"} <= set(table["student"])
    assert fingerprints(folder) == before
    shutil.rmtree(folder)


def test_a_corrected_check_makes_every_notebook_new(course, tmp_path):
    hand_in(tmp_path, "kay", solved(course))
    exercises = grading.exercises_of(course)
    releases = {exercise: grading.read_release(course, exercise) for exercise in exercises}
    (one,), _ = find_submissions(tmp_path, releases, tmp_path)
    grader = Grader(course, protected=PROTECTED)
    grader._keep(one, "graded", [])
    assert not grader._is_new(one)
    cell_of(grader.sources[SET], "q1-weights").source += "\n# corrected"
    assert grader._is_new(one)


def test_an_interrupted_run_goes_on_where_it_was(course, tmp_path, monkeypatch):
    for number in range(4):
        hand_in(tmp_path, f"one of four {number}", solved(course))
    ran, record = [], Grader._record

    def run(self, prepared, target, shared):
        ran.append(prepared)
        shutil.copy(prepared, target)
        return []

    def interrupted(self, one, *arguments):
        if len(ran) > 2:
            raise KeyboardInterrupt
        record(self, one, *arguments)

    monkeypatch.setattr(grading.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(Grader, "_run", run)
    monkeypatch.setattr(Grader, "_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grade(course, tmp_path)
    done = [name for name in grading.read_outcomes(course) if name.startswith("one of four")]
    assert 0 < len(done) < 4
    monkeypatch.setattr(Grader, "_record", record)
    assert grade(course, tmp_path)[0] == 4 - len(done)


def test_the_command_writes_the_tables_and_lists_every_file(course, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading, "Course", lambda name: course)
    monkeypatch.setattr(Grader, "grade", lambda self, submissions, again="": self.keep(submissions))
    monkeypatch.setattr(
        Grader,
        "keep",
        lambda self, all: [self._fail(one, ["a reason"]) for one in all],
        raising=False,
    )
    monkeypatch.setattr(sandbox, "is_available", lambda: True)
    hand_in(tmp_path, "Élise", released(course))
    hand_in(tmp_path, "gone", released(course))
    (tmp_path / "notes.pdf").write_text("")
    grading.main(course.name, str(tmp_path))
    table = pd.read_csv(course.folder / "grades.csv").set_index("student")
    assert table.loc["Élise", "status"] == "failed" and "gone" in table.index
    files = pd.read_csv(course.folder / "files.csv").set_index("file")
    assert files["result"].to_dict() == {
        f"gone/{SET}.ipynb": "failed: a reason",
        "notes.pdf": "not a notebook",
        f"Élise/{SET}.ipynb": "failed: a reason",
    }
    assert "Not graded: notes.pdf: not a notebook" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "gone")
    grading.main(course.name, str(tmp_path))
    assert "gone" not in pd.read_csv(course.folder / "grades.csv")["student"].tolist()
    assert f"no longer in grades.csv: gone/{SET}.ipynb" in capsys.readouterr().out
    with pytest.raises(TeacherError, match="AGAIN is 'nobody'"):
        grading.main(course.name, str(tmp_path), "", "nobody")
    with pytest.raises(TeacherError, match="a folder or a zip file"):
        grading.main(course.name, str(tmp_path / "gone"))


def test_without_bubblewrap_the_teacher_is_told_and_must_insist(course, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "is_available", lambda: False)
    monkeypatch.setattr(grading, "Course", lambda name: course)
    with pytest.raises(TeacherError, match="(?s)UNPROTECTED.*UNSAFE=1"):
        grading.main(course.name, str(tmp_path))


def test_an_honest_notebook_can_be_graded_without_bubblewrap(course, tmp_path):
    hand_in(tmp_path, "trusted", solved(course))
    assert grade(course, tmp_path, protected=False)[1].loc["trusted", "total"] == sum(POINTS)


def test_a_class_without_assignments_is_told_what_to_run(tmp_path, monkeypatch):
    with pytest.raises(TeacherError, match="make assignments CLASS=nobody"):
        grading.main("nobody", str(tmp_path))
