"""``make grade CLASS=... SUBMISSIONS=...``: grade what is new, write grades.csv.

nbgrader does the grading: it puts the checks back, keeps the gradebook, writes the feedback. Only
the execution in between is ours, as nbgrader runs student code with the teacher's own rights.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    GetGrades,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from tqdm import tqdm
from traitlets import Unicode

from classroom import sandbox, sources
from classroom.assignments import NOT_SHARED
from classroom.course import Course, TeacherError, call_nbgrader
from classroom.execution import CELL_SECONDS, MEMORY_BYTES, TOTAL_SECONDS, forbid_points, label
from classroom.sources import ROOT

LARGEST_FILE = 10_000_000
FAILED, BY_HAND, GRADED = "failed", "needs manual points", "graded"
UNPROTECTED = f"""\
bubblewrap does not work on this machine, so submissions would run UNPROTECTED: each could read and
change whatever you can, the gradebook included. Install it (Debian, Ubuntu: apt-get install
bubblewrap; it exists for Linux only), or grade in a virtual machine or container that holds nothing
of value and say so with

    make grade CLASS=... SUBMISSIONS=... UNSAFE=1

The limits on time ({CELL_SECONDS} seconds a cell, {TOTAL_SECONDS} in all) hold all the same."""


@dataclass(frozen=True)
class Submission:
    """One notebook of one student."""

    student: str
    exercise: str
    path: Path

    @property
    def digest(self):
        """Fingerprint of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


class TakeExecuted(NbGraderPreprocessor):
    """Take the notebook that was executed in the sandbox, in place of executing it here."""

    folder = Unicode().tag(config=True)

    def preprocess(self, nb, resources):
        """Replace a notebook by its executed version."""
        names = resources["nbgrader"]
        path = Path(self.folder, names["student"], f"{names['notebook']}.ipynb")
        return nbformat.read(path, as_version=4), resources


class Grader:
    """Everything one run of ``make grade`` needs.

    Parameters
    ----------
    course : Course
    protected : bool
        Whether submissions run under bubblewrap.
    cell_seconds : int
        Longest time of a cell.
    """

    def __init__(self, course, *, protected, cell_seconds=CELL_SECONDS):
        self.course = course
        self.options = ["--cell-seconds", str(cell_seconds)]
        self.options += [] if protected else ["--unprotected"]
        self.executed = course.folder / "executed"
        self.outcomes = read_outcomes(course)
        self.sanitizer = course.api(Autograde={"autograde_preprocessors": []})
        self.recorder = course.api(
            Autograde={
                "autograde_preprocessors": [
                    TakeExecuted,
                    LimitOutput,
                    SaveAutoGrades,
                    AssignLatePenalties,
                    CheckCellMetadata,
                ]
            },
            TakeExecuted={"folder": str(self.executed)},
            # Feedback goes back to students, who may hand in again.
            ClearHiddenTests={"enforce_metadata": False},
            GenerateFeedback={
                "preprocessors": [ClearHiddenTests, GetGrades, CSSHTMLHeaderPreprocessor]
            },
        )

    def grade(self, submissions, progress=sys.stderr):
        """Grade those submissions that are new or have changed.

        Parameters
        ----------
        submissions : list of Submission
        progress : file
            Where the progress bar goes.

        Returns
        -------
        int
            How many were new.
        """
        new = [one for one in submissions if self._is_new(one)]
        bar = tqdm(total=len(new), desc="Grade", file=progress, unit="notebook")
        with bar, ThreadPoolExecutor(os.cpu_count()) as pool, shared_folder() as shared:
            running = {}
            for one in new:
                if reason := self._sanitize(one):
                    self._fail(one, reason)
                    bar.update()
                else:
                    running[pool.submit(self._execute, one, shared)] = one
            for future in as_completed(running):
                self._record(running[future], future.result())
                # Kept at once: a run that is interrupted need not start anew.
                write_outcomes(self.course, self.outcomes)
                bar.update()
        self._refresh_feedback()
        write_outcomes(self.course, self.outcomes)
        return len(new)

    def _is_new(self, one):
        known = self.outcomes.get(one.student, {}).get(one.exercise, {})
        return known.get("digest") != one.digest

    def _fail(self, one, reason):
        self._keep(one, FAILED, [reason])

    def _keep(self, one, status, reasons):
        self.outcomes.setdefault(one.student, {})[one.exercise] = {
            "digest": one.digest,
            "status": status,
            "reasons": reasons,
        }

    def _sanitize(self, one):
        """Let nbgrader put back the original checks; return why that is impossible, or None."""
        notebook, reason = read_submission(one)
        if reason:
            return reason
        folder = self.course.folder / "submitted" / one.student / one.exercise
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, folder / f"{one.exercise}.ipynb")
        reason = call_nbgrader(self.sanitizer.autograde, one.exercise, one.student)
        return reason and f"nbgrader cannot read it: {reason}"

    def _autograded(self, one):
        return self.course.folder / "autograded" / one.student / one.exercise

    def _execute(self, one, shared):
        """Run a sanitised notebook in a process of its own; return the reasons it gave."""
        target = self.executed / one.student / f"{one.exercise}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        sanitized = self._autograded(one) / f"{one.exercise}.ipynb"
        command = [sys.executable, "-m", "classroom.execution", sanitized, target, shared]
        command += self.options
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TOTAL_SECONDS + 120,
                check=True,
            )
            return nbformat.read(target, as_version=4).metadata.pop("reasons")
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            return self._give_up(sanitized, target, error)

    def _give_up(self, sanitized, target, error):
        """Write the notebook as one that never ran."""
        notebook = nbformat.read(sanitized, as_version=4)
        reason = f"the notebook could not be run ({type(error).__name__})"
        for cell in notebook.cells:
            if cell.cell_type == "code":
                forbid_points(cell, reason)
        nbformat.write(notebook, target)
        return [reason]

    def _record(self, one, reasons):
        """Let nbgrader take the points of an executed notebook into its gradebook."""
        original = nbformat.read(
            self.course.folder / "submitted" / one.student / one.exercise / f"{one.exercise}.ipynb",
            as_version=4,
        )
        release = nbformat.read(
            self.course.folder / "release" / one.exercise / f"{one.exercise}.ipynb", as_version=4
        )
        executed = nbformat.read(
            self.executed / one.student / f"{one.exercise}.ipynb", as_version=4
        )
        reasons = [*reasons, *differences(original, release), *errors_of(executed)]
        if reason := call_nbgrader(self.recorder.autograde, one.exercise, one.student):
            self._fail(one, f"nbgrader could not record it: {reason}")
            return
        self._keep(one, GRADED, list(dict.fromkeys(reasons)))

    def _refresh_feedback(self):
        """Write feedback for whatever has no feedback yet, or other points than it had."""
        with self.course.gradebook() as book:
            scores = {
                (found.student.id, found.assignment.name): [found.score, found.needs_manual_grade]
                for assignment in book.assignments
                for found in assignment.submissions
            }
        for (student, exercise), score in scores.items():
            outcome = self.outcomes.get(student, {}).get(exercise, {})
            if outcome.get("status") == GRADED and outcome.get("feedback_of") != score:
                call_nbgrader(self.recorder.generate_feedback, exercise, student)
                outcome["feedback_of"] = score


@contextmanager
def shared_folder():
    """Yield a folder with all that notebooks import, and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("helpers", "data"):
            shutil.copytree(ROOT / part, folder / part, ignore=NOT_SHARED)
        shutil.copy(sources.FOLDER / "checks.py", folder)
        yield folder


def find_submissions(folder, exercises):
    """Find notebooks: in a folder per student, or side by side with the student's name in front.

    Parameters
    ----------
    folder : pathlib.Path
        With ``<student>/e1-shrinkage.ipynb`` or ``<student>_e1-shrinkage.ipynb``; anything around
        the exercise's name, as learning platforms add it, is allowed.
    exercises : list of str

    Returns
    -------
    found : list of Submission
        The newest file of each student and exercise.
    others : list of pathlib.Path
        Notebooks that belong to no exercise or no student.
    """
    found, others = {}, []
    files = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    for path in sorted(files, key=lambda path: (path.stat().st_mtime, path)):
        exercise = next((name for name in exercises if name in path.stem), None)
        student = exercise and student_of(path, folder, exercise)
        if student and not path.is_symlink():
            found[student, exercise] = Submission(student, exercise, path)
        else:
            others.append(path)
    return [found[key] for key in sorted(found)], others


def student_of(path, folder, exercise):
    """Return whose submission a file is: from its folder, else from the beginning of its name."""
    inside = path.relative_to(folder)
    name = inside.parts[0] if len(inside.parts) > 1 else path.stem.partition(exercise)[0]
    return re.sub(r"[^\w.@-]+", "_", name).strip("_-. ")


def read_submission(one):
    """Read a notebook that may be anything.

    Parameters
    ----------
    one : Submission

    Returns
    -------
    notebook : nbformat.NotebookNode or None
    reason : str or None
        Why it cannot be read.
    """
    size = one.path.stat().st_size
    if size == 0:
        return None, "the file is empty"
    if size > LARGEST_FILE:
        return None, f"the file has {size / 1e6:.0f} MB; {LARGEST_FILE / 1e6:.0f} MB are allowed"
    try:
        notebook = nbformat.reads(one.path.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(notebook)
    # nbformat's own errors, and whatever a malformed document makes it stumble over.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        kind = "not valid JSON" if "JSON" in str(error) else "not a notebook"
        return None, f"the file is {kind}"
    except nbformat.ValidationError:
        return None, "the file is not a notebook"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook, None


def differences(submitted, release):
    """Say which locked cells a student has deleted or changed."""
    given = {
        cell.metadata.nbgrader.get("grade_id"): cell
        for cell in submitted.cells
        if "nbgrader" in cell.metadata
    }
    reasons = []
    for cell in release.cells:
        settings = cell.metadata.get("nbgrader")
        if not settings:
            continue
        name = settings.grade_id
        if name not in given:
            put_back = sources.is_check(cell) or sources.is_essay(cell)
            reasons.append(f"{name} was deleted" + (" and put back" if put_back else ""))
        elif not sources.is_answer(cell) and given[name].source.strip() != cell.source.strip():
            reasons.append(f"{name} was rewritten; the original was used")
    return reasons


def errors_of(executed):
    """Name the errors in cells that are not checks, unless the limits made them."""
    reasons = []
    for index, cell in enumerate(executed.cells):
        for output in cell.get("outputs", []):
            is_error = output.output_type == "error"
            ours = is_error and output.ename in ("NotRun", "KeyboardInterrupt")
            if is_error and not ours and not sources.is_check(cell):
                message = f"{output.ename}: {output.evalue}".splitlines()[0][:120]
                readable = "".join(letter for letter in message if letter.isprintable())
                reasons.append(f"{label(cell, index)}: {readable}")
    return reasons


def read_outcomes(course):
    """Return what earlier runs did: student to exercise to digest, status and reasons."""
    path = course.folder / "outcomes.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_outcomes(course, outcomes):
    """Keep what this run and earlier ones did."""
    text = json.dumps(outcomes, indent=1, sort_keys=True)
    (course.folder / "outcomes.json").write_text(text, encoding="utf-8")


def grade_table(course, outcomes):
    """Tabulate the grades of a class.

    Parameters
    ----------
    course : Course
    outcomes : dict
        From :func:`read_outcomes`.

    Returns
    -------
    pandas.DataFrame
        student, one column per question of every exercise handed in, total, status, reason.
        Questions still to be graded by hand are missing and count 0.
    """
    rows = [grade_row(course, student, outcomes[student]) for student in sorted(outcomes)]
    handed_in = sorted({exercise for done in outcomes.values() for exercise in done})
    questions = [
        f"{exercise}/{question}"
        for exercise in handed_in
        for question in sources.points(read_release(course, exercise))
    ]
    return pd.DataFrame(rows, columns=["student", *questions, "total", "status", "reason"])


def grade_row(course, student, done):
    """Return one student's row."""
    points, statuses, reasons = {}, [], []
    for exercise, outcome in sorted(done.items()):
        if outcome["status"] == FAILED:
            found = dict.fromkeys(sources.points(read_release(course, exercise)), 0.0)
        else:
            found = gradebook_points(course, exercise, student)
        points |= {f"{exercise}/{question}": value for question, value in found.items()}
        waits = any(value is None for value in found.values())
        statuses.append(BY_HAND if waits else outcome["status"])
        prefix = f"{exercise}: " if len(done) > 1 else ""
        reasons += [prefix + reason for reason in outcome["reasons"]]
    return {
        "student": student,
        **points,
        "total": sum(value or 0 for value in points.values()),
        "status": next(status for status in (FAILED, BY_HAND, GRADED) if status in statuses),
        "reason": "; ".join(reasons),
    }


def gradebook_points(course, exercise, student):
    """Return the points of each question; None where somebody has yet to read the answer."""
    with course.gradebook() as book:
        grades = book.find_submission_notebook(exercise, exercise, student).grades
        return {
            grade.name: None
            if grade.needs_manual_grade and grade.manual_score is None
            else grade.score
            for grade in grades
        }


def read_release(course, exercise):
    """Read the notebook that was handed out."""
    return nbformat.read(course.folder / "release" / exercise / f"{exercise}.ipynb", as_version=4)


def exercises_of(course):
    """List the exercises a class has been given."""
    folder = course.folder / "release"
    if not folder.is_dir():
        raise TeacherError(
            f"{course.name} has no assignments. Run: make assignments CLASS={course.name}"
        )
    return sorted(path.name for path in folder.iterdir())


def main(class_name, folder, unsafe=""):
    """Run the command."""
    course = Course(class_name)
    exercises = exercises_of(course)
    if not folder or not Path(folder).is_dir():
        raise TeacherError(f"SUBMISSIONS is {folder!r}; it must be a folder with notebooks.")
    protected = sandbox.is_available()
    if not protected and unsafe != "1":
        raise TeacherError(UNPROTECTED)
    if not protected:
        print("Submissions run UNPROTECTED, as you asked with UNSAFE=1.")
    submissions, others = find_submissions(Path(folder), exercises)
    for path in others:
        print(f"Left out, no exercise or no student in its name: {path}")
    grader = Grader(course, protected=protected)
    new = grader.grade(submissions)
    table = grade_table(course, grader.outcomes)
    table.to_csv(course.folder / "grades.csv", index=False)
    print(
        f"{len(submissions)} notebooks, {new} of them new; memory {MEMORY_BYTES / 2**30:.0f} GB, "
        f"{CELL_SECONDS} seconds a cell, {TOTAL_SECONDS} a notebook."
    )
    print(table["status"].value_counts().to_string())
    print(f"\nPoints:   {course.folder / 'grades.csv'}\nFeedback: {course.folder / 'feedback'}/")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (TeacherError, sources.SourceError) as error:
        sys.exit(f"make grade: {error}")
