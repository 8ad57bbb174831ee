"""``make assignments CLASS=...``: write a class's notebooks, and the course they are graded in."""

from __future__ import annotations

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import nbformat
from tqdm import tqdm

from classroom import release, sources
from classroom.course import Course, TeacherError, call_nbgrader

SHARED = ("helpers", "data", "requirements.txt", "LICENSE")
NOT_SHARED = shutil.ignore_patterns("__pycache__", "*.pyc")
READ_ME = """\
# Exercises of {name}

1. Install, with Python 3.11 or later: `python -m venv .venv`, then
   `.venv/bin/pip install -r requirements.txt`.
2. Start `.venv/bin/jupyter lab` in this folder and open a notebook.
3. Hand in the notebook under the name it has.

On Windows the programs lie elsewhere: `.venv\\Scripts\\pip`, `.venv\\Scripts\\jupyter lab`.

The notebooks import `checks.py` and `helpers`, so keep them in one folder.
"""


def make_assignments(course, progress=sys.stderr):
    """Write notebooks to hand out and the nbgrader course behind them.

    Parameters
    ----------
    course : Course
    progress : file
        Where the progress bar goes.

    Returns
    -------
    dict
        Exercise to the points of its questions.
    """
    files = sources.exercise_files()
    notebooks = {path.stem: sources.read_source(path) for path in files}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        prepared = pool.map(lambda item: prepare(*item, course.name), notebooks.items())
        done = list(tqdm(prepared, "Run the references", len(files), file=progress, unit="set"))
    api = course.api()
    for exercise, (instructor, record) in zip(notebooks, done, strict=True):
        hand_to_nbgrader(course, api, exercise, instructor)
        write_answers(course, exercise, record)
    course.write_settings()
    write_handouts(course, list(notebooks))
    return {exercise: sources.points(notebook) for exercise, notebook in notebooks.items()}


def prepare(exercise, notebook, class_name):
    """Draw a class's data, fill in what the reference answers, and see it earn full marks.

    Parameters
    ----------
    exercise : str
    notebook : nbformat.NotebookNode
    class_name : str

    Returns
    -------
    instructor : nbformat.NotebookNode
        nbgrader's source.
    record : dict
        The answers, their tolerances, and the foreseen mistakes.
    """
    seed, record = release.run_reference(notebook, class_name, exercise)
    instructor = release.instructor_notebook(notebook, seed, record)
    release.execute(release.handed_in(instructor))
    return instructor, record


def hand_to_nbgrader(course, api, exercise, instructor):
    """Let nbgrader make the release version and enter the questions into its gradebook."""
    source = course.folder / "source" / exercise
    source.mkdir(parents=True, exist_ok=True)
    nbformat.write(instructor, source / f"{exercise}.ipynb")
    if reason := call_nbgrader(api.generate_assignment, exercise):
        raise TeacherError(f"nbgrader could not make {exercise}: {reason}")


def write_answers(course, exercise, record):
    """Write the answers of this class, for the teacher to look up."""
    folder = course.folder / "answers"
    folder.mkdir(exist_ok=True)
    (folder / f"{exercise}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def write_handouts(course, exercises):
    """Write the folder that students get, and the same as a zip file in it."""
    shutil.rmtree(course.handouts, ignore_errors=True)
    course.handouts.mkdir(parents=True)
    for name in SHARED:
        copy = shutil.copy if (sources.ROOT / name).is_file() else copy_folder
        copy(sources.ROOT / name, course.handouts / name)
    shutil.copy(sources.FOLDER / "checks.py", course.handouts)
    for exercise in exercises:
        shutil.copy(course.folder / "release" / exercise / f"{exercise}.ipynb", course.handouts)
    read_me = READ_ME.format(name=course.name)
    (course.handouts / "README.md").write_text(read_me, encoding="utf-8")
    packed = shutil.make_archive(
        str(course.folder / course.name), "zip", course.handouts.parent, course.name
    )
    shutil.move(packed, course.handouts)


def copy_folder(source, target):
    """Copy a folder without what Python left in it."""
    shutil.copytree(source, target, ignore=NOT_SHARED)


def main(arguments):
    """Run the command; return its exit code."""
    if len(arguments) != 1 or not arguments[0]:
        raise TeacherError("Name the class: make assignments CLASS=stats501-2027")
    course = Course(arguments[0])
    points = make_assignments(course)
    for exercise, questions in points.items():
        print(f"{exercise}: {len(questions)} questions, {sum(questions.values())} points")
    print(f"\nHand out: {course.handouts}/ or {course.handouts}/{course.name}.zip")
    print(f"Keep to yourself (solutions, hidden checks): {course.folder}/")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (TeacherError, sources.SourceError) as error:
        sys.exit(f"make assignments: {error}")
