"""Where a class's files are, and how nbgrader is to work on them.

What is handed out lies in ``assignments/<class>``; what is not (solutions, hidden checks,
submissions, grades) in ``grading/<class>``, which is an nbgrader course folder.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from nbformat.warnings import MissingIDFieldWarning
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from classroom import sources
from classroom.sources import ROOT

# What is graded: copies of what was handed in, which itself is never changed.
PREPARED = "prepared"
SETTINGS = """\
# Open this folder in JupyterLab to grade by hand: Nbgrader, Formgrader.
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import ClearHiddenTests, GetGrades

c = get_config()
c.GenerateFeedback.preprocessors = [ClearHiddenTests, GetGrades, CSSHTMLHeaderPreprocessor]
c.CourseDirectory.course_id = {name!r}
c.CourseDirectory.submitted_directory = {prepared!r}
c.ClearSolutions.code_stub = {{"python": {code!r}}}
c.ClearSolutions.text_stub = {text!r}
"""


class TeacherError(Exception):
    """Something the teacher can put right; shown without a traceback."""


def call_nbgrader(function, *arguments):
    """Call a function of nbgrader's interface, and return why it failed.

    Parameters
    ----------
    function : callable
        For instance ``api.autograde``.
    *arguments
        Its arguments.

    Returns
    -------
    str or None
        One line; None if it succeeded.
    """
    with warnings.catch_warnings():
        # nbgrader's own queries make SQLAlchemy remark on the order of its objects.
        warnings.simplefilter("ignore", SAWarning)
        # A check that it puts back has no cell id yet.
        warnings.simplefilter("ignore", MissingIDFieldWarning)
        result = function(*arguments)
    if result["success"]:
        return None
    said = (result.get("log") or result["error"]).splitlines()
    errors = [line.strip() for line in said if re.match(r"\s*[\w.]*(Error|Exception)\b", line)]
    return (errors or said)[-1][:200]


@dataclass(frozen=True)
class Course:
    """The folders of one class.

    Attributes
    ----------
    name : str
        Letters, digits, dots, dashes and underscores.
    root : pathlib.Path
        Folder that holds ``assignments`` and ``grading``.
    """

    name: str
    root: Path = ROOT

    def __post_init__(self):
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise TeacherError(
                f"CLASS is {self.name!r}; allowed are letters, digits, dots, dashes and "
                "underscores, for instance CLASS=stats501-2027."
            )

    @property
    def handouts(self):
        """Folder of what students get."""
        return self.root / "assignments" / self.name

    @property
    def folder(self):
        """Folder that students must not get: nbgrader's course."""
        return self.root / "grading" / self.name

    def api(self, **settings):
        """Return nbgrader's own interface to the course.

        Parameters
        ----------
        **settings
            Further settings by class name, each a dict.

        Returns
        -------
        nbgrader.apps.NbGraderAPI
        """
        config = Config(
            CourseDirectory={
                "root": str(self.folder),
                "course_id": self.name,
                "submitted_directory": PREPARED,
            },
            ClearSolutions={
                "code_stub": {"python": sources.CODE_STUB},
                "text_stub": sources.TEXT_STUB,
            },
            **settings,
        )
        # nbgrader calls alembic by its name, which is that of this environment.
        programs = str(Path(sys.executable).parent)
        if programs not in os.environ["PATH"].split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join([programs, os.environ["PATH"]])
        api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
        api.log_level = logging.ERROR
        return api

    def gradebook(self):
        """Open nbgrader's gradebook; a context manager."""
        return Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}", self.name)

    def write_settings(self):
        """Write the settings that nbgrader's own interface reads."""
        stubs = {"code": sources.CODE_STUB, "text": sources.TEXT_STUB}
        text = SETTINGS.format(name=self.name, prepared=PREPARED, **stubs)
        (self.folder / "nbgrader_config.py").write_text(text, encoding="utf-8")
