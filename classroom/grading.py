"""``make grade CLASS=... SUBMISSIONS=...``: grade what is new, write grades.csv.

nbgrader keeps the gradebook and writes the feedback. What comes before is ours: finding what was
handed in, putting the checks back into notebooks that nbgrader would refuse, and the execution, as
nbgrader runs student code with the teacher's own rights.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pandas as pd
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.api import MissingEntry
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    GetGrades,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from tqdm import tqdm
from traitlets import Unicode

from classroom import restore, sandbox, sources
from classroom.assignments import NOT_SHARED
from classroom.collection import Submission, file_table, find_submissions
from classroom.course import PREPARED, Course, TeacherError, call_nbgrader
from classroom.execution import CELL_SECONDS, MEMORY_BYTES, TOTAL_SECONDS, forbid_points, label
from classroom.restore import STAND_IN
from classroom.sources import ROOT

FAILED, BY_HAND, GRADED = "failed", "needs manual points", "graded"
UNPROTECTED = f"""\
bubblewrap does not work on this machine, so submissions would run UNPROTECTED: each could read and
change whatever you can, the gradebook included. Install it (Debian, Ubuntu: apt-get install
bubblewrap; it exists for Linux only), or grade in a virtual machine or container that holds nothing
of value and say so with

    make grade CLASS=... SUBMISSIONS=... UNSAFE=1

The limits on time ({CELL_SECONDS} seconds a cell, {TOTAL_SECONDS} in all) hold all the same."""

NO_FEEDBACK = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<p>Your notebook of {name} could not be graded, so there is no feedback: {reason}.</p>
</html>
"""


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
        self.sources = {
            exercise: read(course.folder / "source" / exercise / f"{exercise}.ipynb")
            for exercise in exercises_of(course)
        }
        self.recorder = course.api(
            Autograde={
                "sanitize_preprocessors": [],
                "autograde_preprocessors": [
                    TakeExecuted,
                    LimitOutput,
                    SaveAutoGrades,
                    CheckCellMetadata,
                ],
            },
            TakeExecuted={"folder": str(self.executed)},
            # Feedback goes back to students, who may hand in again.
            ClearHiddenTests={"enforce_metadata": False},
            GenerateFeedback={
                "preprocessors": [ClearHiddenTests, GetGrades, CSSHTMLHeaderPreprocessor]
            },
        )

    def grade(self, submissions, progress=sys.stderr, again=""):
        """Grade those submissions that are new or have changed.

        Parameters
        ----------
        submissions : list of Submission
        progress : file
            Where the progress bar goes.
        again : str
            ``all``, or the name of a student, to grade what has not changed too.

        Returns
        -------
        int
            How many were graded.
        """
        new = [one for one in submissions if again in ("all", one.student) or self._is_new(one)]
        bar = tqdm(total=len(new), desc="Grade", file=progress, unit="notebook")
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            with bar, shared_folder() as shared:
                running = {pool.submit(self._execute, one, shared): one for one in new}
                for future in as_completed(running):
                    self._record(running[future], *future.result())
                    # Kept at once: a run that is interrupted need not start anew.
                    self._refresh_feedback(running[future])
                    write_outcomes(self.course, self.outcomes)
                    bar.update()
        finally:
            pool.shutdown(cancel_futures=True)
        # Of all hand-ins: points may have been given by hand since.
        for student, done in self.outcomes.items():
            for exercise in done:
                self._refresh_feedback(Submission(student, exercise, Path()))
        write_outcomes(self.course, self.outcomes)
        return len(new)

    def _digest(self, one):
        """Return the fingerprint of a file and of the checks it is graded by."""
        checks = nbformat.writes(self.sources[one.exercise]).encode()
        return hashlib.sha256(one.path.read_bytes() + checks).hexdigest()

    def _outcome(self, one):
        return self.outcomes.get(one.student, {}).get(one.exercise, {})

    def _is_new(self, one):
        return self._outcome(one).get("digest") != self._digest(one)

    def _keep(self, one, status, reasons, **more):
        outcome = {"digest": self._digest(one), "file": one.file, "id": one.id, "status": status}
        outcome |= {"reasons": list(dict.fromkeys([*one.notes, *reasons])), **more}
        self.outcomes.setdefault(one.student, {})[one.exercise] = outcome

    def _in_course(self, step, one):
        return self.course.folder / step / one.id / one.exercise

    def _execute(self, one, shared):
        """Restore a notebook and run it in a process of its own.

        Returns
        -------
        restored : nbformat.NotebookNode or None
        reasons : list of str
        """
        try:
            submitted, notes = restore.read_notebook(one.path)
        except restore.UnreadableError as error:
            return None, [str(error)]
        try:
            restored, changes = restore.restore(submitted, self.sources[one.exercise])
        except Exception as error:
            # Whatever one notebook holds, the others are graded.
            return None, [f"the checks could not be put back ({type(error).__name__}: {error})"]
        prepared = self._in_course(PREPARED, one) / f"{one.exercise}.ipynb"
        target = self.executed / one.id / f"{one.exercise}.ipynb"
        for path in (prepared, target):
            path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(restored, prepared)
        target.unlink(missing_ok=True)
        return restored, [*notes, *self._run(prepared, target, shared), *changes]

    def _run(self, prepared, target, shared):
        """Run a restored notebook; return why cells did not run as they should."""
        command = [sys.executable, "-m", "classroom.execution", prepared, target, shared]
        command += self.options
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TOTAL_SECONDS + 120,
                check=True,
            )
            executed = read(target)
            executed.cells = [cell for cell in executed.cells if STAND_IN not in cell.metadata]
            nbformat.write(executed, target)
            return [*executed.metadata.pop("reasons"), *errors_of(executed)]
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            reason = f"the notebook could not be run ({type(error).__name__})"
        notebook = read(prepared)
        notebook.cells = [cell for cell in notebook.cells if STAND_IN not in cell.metadata]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                forbid_points(cell, reason)
        nbformat.write(notebook, target)
        return [reason]

    def _record(self, one, restored, reasons):
        """Let nbgrader take the points of an executed notebook into its gradebook."""
        if restored is None:
            self._fail(one, reasons)
        elif reason := call_nbgrader(self.recorder.autograde, one.exercise, one.id):
            self._fail(one, [f"nbgrader could not record it: {reason}"])
        else:
            answers = {
                name: hashlib.sha256(answer.encode()).hexdigest()
                for name, answer in restore.fingerprints(restored).items()
            }
            outdated = self._settle_manual_points(one, answers)
            self._keep(one, GRADED, reasons, answers=answers, outdated=outdated)

    def _fail(self, one, reasons):
        """Give no points; what nbgrader knows of an earlier hand-in is not this one's."""
        with self.course.gradebook() as book, suppress(MissingEntry):
            book.remove_submission(one.exercise, one.id)
        for step in (PREPARED, "autograded", "feedback"):
            shutil.rmtree(self._in_course(step, one), ignore_errors=True)
        self._keep(one, FAILED, reasons)

    def _settle_manual_points(self, one, answers):
        """Keep points given by hand for the same answer; take back those for another.

        Returns
        -------
        dict
            Question to what had been given for an earlier answer.
        """
        earlier = self._outcome(one).get("answers", {})
        outdated = {}
        with self.course.gradebook() as book:
            for grade in book.find_submission_notebook(one.exercise, one.exercise, one.id).grades:
                comments = self._comments(book, one, grade.name)
                said = [comment.manual_comment for comment in comments if comment.manual_comment]
                if grade.manual_score is None and not said:
                    continue
                if earlier.get(grade.name) == answers[grade.name]:
                    grade.needs_manual_grade = (
                        grade.manual_score is None and grade.needs_manual_grade
                    )
                    continue
                points = [] if grade.manual_score is None else [f"{grade.manual_score:g} points"]
                outdated[grade.name] = " and ".join([*points, *(f"'{text}'" for text in said)])
                grade.manual_score, grade.extra_credit = None, None
                grade.needs_manual_grade = grade.needs_manual_grade or bool(points)
                for comment in comments:
                    comment.manual_comment = None
            book.db.commit()
        return outdated

    def _comments(self, book, one, question):
        """Return the comments on the answers of a question."""
        names = []
        for cell in self.sources[one.exercise].cells:
            if sources.is_answer(cell):
                names.append(cell.metadata.nbgrader.grade_id)
            if cell.metadata.get("nbgrader", {}).get("grade_id") == question:
                break
            if sources.is_check(cell):
                names = []
        comments = book.find_submission_notebook(one.exercise, one.exercise, one.id).comments
        return [comment for comment in comments if comment.name in names]

    def _refresh_feedback(self, one):
        """Write feedback where there is none yet, or where it says other points."""
        outcome = self._outcome(one)
        folder = self._in_course("feedback", one)
        if outcome["status"] == FAILED:
            if not folder.exists():
                folder.mkdir(parents=True)
                page = NO_FEEDBACK.format(
                    name=one.exercise, reason=html.escape(outcome["reasons"][-1])
                )
                (folder / f"{one.exercise}.html").write_text(page, encoding="utf-8")
            return
        with self.course.gradebook() as book:
            found = book.find_submission_notebook(one.exercise, one.exercise, one.id)
            said = [comment.manual_comment for comment in found.comments]
            shown = [found.score, found.needs_manual_grade, said]
        if outcome.get("feedback_of") != shown or not folder.exists():
            call_nbgrader(self.recorder.generate_feedback, one.exercise, one.id)
            outcome["feedback_of"] = shown


@contextmanager
def shared_folder():
    """Yield a folder with all that notebooks import, and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("helpers", "data"):
            shutil.copytree(ROOT / part, folder / part, ignore=NOT_SHARED)
        shutil.copy(sources.FOLDER / "checks.py", folder)
        yield folder


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
    """Keep what this run and earlier ones did: the old file is there until the new one is whole."""
    text = json.dumps(outcomes, indent=1, sort_keys=True)
    path = course.folder / "outcomes.json"
    path.with_suffix(".new").write_text(text, encoding="utf-8")
    path.with_suffix(".new").replace(path)


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
        said = list(outcome["reasons"])
        if outcome["status"] == FAILED:
            found = dict.fromkeys(sources.points(read_release(course, exercise)), 0.0)
            waiting = set()
        else:
            found, waiting = gradebook_points(course, exercise, outcome["id"])
            said += [
                f"{question}: {given}, given by hand, was for an earlier answer; grade it again"
                for question, given in outcome.get("outdated", {}).items()
                if question in waiting
            ]
        points |= {f"{exercise}/{question}": value for question, value in found.items()}
        statuses.append(BY_HAND if waiting else outcome["status"])
        prefix = f"{exercise}: " if len(done) > 1 else ""
        reasons += [prefix + reason for reason in said]
    return {
        "student": student,
        **points,
        "total": sum(value or 0 for value in points.values()),
        "status": next(status for status in (FAILED, BY_HAND, GRADED) if status in statuses),
        "reason": "; ".join(reasons),
    }


def gradebook_points(course, exercise, student_id):
    """Return the points of each question, None where somebody has yet to read the answer.

    Returns
    -------
    points : dict
    waiting : set of str
        The questions that somebody has yet to grade by hand.
    """
    with course.gradebook() as book:
        grades = book.find_submission_notebook(exercise, exercise, student_id).grades
        waiting = {grade.name for grade in grades if grade.needs_manual_grade}
        unread = {grade.name for grade in grades if grade.auto_score is None}
        points = {
            grade.name: None if grade.name in waiting & unread else grade.score for grade in grades
        }
    return points, waiting


def read(path):
    """Read a notebook of ours."""
    return nbformat.read(path, as_version=4)


def read_release(course, exercise):
    """Read the notebook that was handed out."""
    return read(course.folder / "release" / exercise / f"{exercise}.ipynb")


def exercises_of(course):
    """List the exercises a class has been given."""
    folder = course.folder / "release"
    if not folder.is_dir():
        raise TeacherError(
            f"{course.name} has no assignments. Run: make assignments CLASS={course.name}"
        )
    return sorted(path.name for path in folder.iterdir())


def main(class_name, folder, unsafe="", again=""):
    """Run the command."""
    course = Course(class_name)
    exercises = exercises_of(course)
    if not folder or not Path(folder).exists():
        raise TeacherError(f"SUBMISSIONS is {folder!r}; it must be a folder or a zip file.")
    protected = sandbox.is_available()
    if not protected and unsafe != "1":
        raise TeacherError(UNPROTECTED)
    if not protected:
        print("Submissions run UNPROTECTED, as you asked with UNSAFE=1.")
    course.write_settings()
    releases = {exercise: read_release(course, exercise) for exercise in exercises}
    with tempfile.TemporaryDirectory(prefix="unzipped-") as scratch:
        submissions, files = find_submissions(Path(folder), releases, Path(scratch))
        again = "all" if again == "1" else again
        if again not in ("", "all", *(one.student for one in submissions)):
            raise TeacherError(f"AGAIN is {again!r}; it must be 1, or a student as in grades.csv.")
        grader = Grader(course, protected=protected)
        new = grader.grade(submissions, again=again)
    report(course, folder, submissions, files, grader, new)


def report(course, folder, submissions, files, grader, new):
    """Write the tables and say what is in them."""
    forget_absent(course, grader.outcomes, submissions, str(Path(folder).resolve()))
    for file in files:
        outcome = grader.outcomes.get(file.student, {}).get(file.exercise, {})
        if not file.result and outcome.get("status") == FAILED:
            file.result = f"failed: {outcome['reasons'][-1]}"
    table = grade_table(course, grader.outcomes)
    table.to_csv(course.folder / "grades.csv", index=False)
    file_table(files).to_csv(course.folder / "files.csv", index=False)
    print(
        f"{len(files)} files, {len(submissions)} notebooks to grade, {new} of them new or changed; "
        f"memory {MEMORY_BYTES / 2**30:.0f} GB, {CELL_SECONDS} seconds a cell, "
        f"{TOTAL_SECONDS} a notebook."
    )
    for file in files:
        if file.result and "left by a program" not in file.result:
            print(f"Not graded: {file.shown}: {file.result}")
    print(table["status"].value_counts().to_string())
    print(f"\nPoints:     {course.folder / 'grades.csv'}")
    print(f"Every file: {course.folder / 'files.csv'}")
    print(f"Feedback:   {course.folder / 'feedback'}/")


def forget_absent(course, outcomes, submissions, root):
    """Take out of the outcomes what this folder held and no longer holds.

    What came from other folders stays; so do nbgrader's own records.
    """
    here = {(one.student, one.exercise) for one in submissions}
    for student in list(outcomes):
        for exercise, outcome in list(outcomes[student].items()):
            if (student, exercise) in here:
                outcome["root"] = root
            elif outcome.get("root") == root:
                print(f"No longer there, so no longer in grades.csv: {outcome['file']}")
                shutil.rmtree(
                    course.folder / "feedback" / outcome["id"] / exercise, ignore_errors=True
                )
                del outcomes[student][exercise]
        if not outcomes[student]:
            del outcomes[student]
    write_outcomes(course, outcomes)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (TeacherError, sources.SourceError) as error:
        sys.exit(f"make grade: {error}")
    except KeyboardInterrupt:
        sys.exit("make grade: interrupted; the same command goes on where it was.")
