"""The status page: each notebook's last run, and the packages that made the numbers."""

import re
from importlib.metadata import version

import pytest

from tests.browsing import PAGES, ROOT, SITE


@pytest.fixture(scope="module")
def status():
    return (SITE / "chapters" / "appendix" / "status.html").read_text(encoding="utf-8")


def rows_of(status):
    """Return the cells' texts of each row of the page's tables."""
    rows = re.findall("<tr.*?</tr>", status, re.DOTALL)
    cells = [re.findall("<t[dh].*?</t[dh]>", row, re.DOTALL) for row in rows]
    return [[re.sub("<.*?>", "", cell).strip() for cell in row] for row in cells]


def test_every_notebook_has_run(status):
    notebooks = [
        name for name in PAGES if "{code-cell}" in (ROOT / f"{name}.md").read_text(encoding="utf-8")
    ]
    runs = {row[0]: row[1:] for row in rows_of(status) if row[0].startswith("chapters/")}
    assert sorted(runs) == sorted(notebooks)
    for when, _, seconds, success in runs.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", when)
        assert float(seconds) > 0
        assert success == "✅"


def test_the_packages_of_the_numbers_are_named(status):
    versions = {row[0]: row[1] for row in rows_of(status) if len(row) == 2}
    for package in ("numpy", "scipy", "pandas", "statsmodels", "altair", "anywidget", "ipywidgets"):
        assert versions[package] == version(package)
