"""Thirty ordinary submissions of E2 are graded in at most five minutes on two cores."""

import io
import time

from classroom import grading, release, sandbox, sources
from classroom.assignments import make_assignments
from classroom.course import Course

STUDENTS = 30
LIMIT = 300


def test_thirty_submissions_take_at_most_five_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr(grading.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(sources, "exercise_files", lambda: sorted(sources.FOLDER.glob("e2-*.md")))
    course = Course("speed", tmp_path)
    make_assignments(course, progress=io.StringIO())
    instructor = grading.nbformat.read(
        course.folder / "source" / "e2-sleep" / "e2-sleep.ipynb", as_version=4
    )
    notebook = release.handed_in(instructor)
    for number in range(STUDENTS):
        path = tmp_path / "submissions" / f"student-{number}_e2-sleep.ipynb"
        path.parent.mkdir(exist_ok=True)
        grading.nbformat.write(notebook, path)
    releases = {"e2-sleep": grading.read_release(course, "e2-sleep")}
    found, _ = grading.find_submissions(tmp_path / "submissions", releases, tmp_path)
    grader = grading.Grader(course, protected=sandbox.is_available())
    start = time.monotonic()
    assert grader.grade(found, progress=io.StringIO()) == STUDENTS
    seconds = time.monotonic() - start
    table = grading.grade_table(course, grader.outcomes)
    assert table["total"].tolist() == [10.0] * STUDENTS
    print(f"{STUDENTS} submissions: {seconds:.0f} seconds")
    assert seconds <= LIMIT
