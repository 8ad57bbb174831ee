"""Data and fits that several test modules share; each is computed once."""

import io
import json
import os
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from helpers.data.simulate import create_data, treatment_clusters
from helpers.models.fits import fit_mixed
from tests.browsing import SITE, Visit, chromium, served

ROOT = Path(__file__).parents[1]


def get_data(recipe):
    """Make or read the data of an entry of lme4_fits.json."""
    if "create_data" in recipe:
        return create_data(**recipe["create_data"])
    if "treatment_clusters" in recipe:
        return treatment_clusters(**recipe["treatment_clusters"])
    data = pd.read_csv(ROOT / recipe["csv"])
    levels = recipe.get("levels", {})
    return data.assign(
        **{name: pd.Categorical(data[name], order) for name, order in levels.items()}
    )


@pytest.fixture(scope="session")
def lme4():
    """Fits by R's lme4 at their exact optima (tests/reference/make_lme4_fits.R)."""
    path = ROOT / "tests" / "reference" / "lme4_fits.json"
    return json.loads(path.read_text(encoding="utf-8"))["fits"]


@pytest.fixture(scope="session")
def data_of(lme4):
    """Data of a named entry of lme4_fits.json."""
    return cache(lambda name: get_data(lme4[name]["data"]))


@pytest.fixture(scope="session")
def fit_of(lme4, data_of):
    """Our fit of a named entry of lme4_fits.json."""
    return cache(
        lambda name: fit_mixed(lme4[name]["formula"], data_of(name), reml=lme4[name]["reml"])
    )


@pytest.fixture(scope="session")
def table_values():
    """Values of emmeans and of formulas computed in R (tests/reference/make_table_values.R)."""
    path = ROOT / "tests" / "reference" / "table_values.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def table_data(table_values):
    """Eighteen clusters in three arms, of those values."""
    return pd.DataFrame(table_values["data"])


@pytest.fixture(scope="session")
def baseline(fit_of):
    """The course's first fit: y ~ x + (x | cluster) to create_data()."""
    return fit_of("baseline")


@pytest.fixture(scope="module")
def browser():
    """Start the Chromium of this machine, for the tests of one module."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address():
    """Serve the built book; give its address."""
    assert (SITE / "index.html").exists(), "the book is not built: run `make book`"
    with served(SITE) as address:
        yield address


@pytest.fixture
def visit(browser, address):
    """Start visits of pages; close them after the test."""
    visits = []

    def start(**options):
        visits.append(Visit(browser, address, **options))
        return visits[-1]

    yield start
    for opened in visits:
        opened.context.close()


# Worker-minutes; a worker takes whole files, so the longest come first and both end together.
LONGEST = ["lab", "site", "grading", "controls", "book", "answers", "launch", "edits"]


def pytest_collection_modifyitems(items):
    """Bring the longest files to the front."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """Make a class with its assignments, by the command's own function."""
    # nbgrader is the teacher's; tests of the course itself run without it.
    from classroom.assignments import make_assignments
    from classroom.course import Course

    root = tmp_path_factory.getbasetemp()
    # The processes of one run share the class: whoever comes first makes it.
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "classes"
    made = Course("stats501-2027", root)
    with FileLock(f"{root}.lock"):
        if not root.exists():
            make_assignments(made, progress=io.StringIO())
    return made
