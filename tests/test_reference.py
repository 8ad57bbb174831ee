"""The reference of the helpers: every public name is on its pages, and says all a reader needs."""

import inspect
import re

import pytest
from numpydoc.validate import validate

import helpers
from helpers import charts
from tests.browsing import SITE

PUBLIC = [getattr(helpers, name) for name in helpers.__all__]
PUBLIC += [getattr(charts, name) for name in charts.__all__]
CALLABLE = {f"{thing.__module__}.{thing.__name__}": thing for thing in PUBLIC if callable(thing)}
# No docstring; undocumented, unknown or disordered parameters; no returns.
FAULTS = {"GL08", "PR01", "PR02", "PR03", "RT01"}
# What the explorers' charts draw is shown by the example of `explore`.
NO_EXAMPLE = (
    "helpers.charts.explorer_charts.",
    "helpers.charts.fit_explorers.",
    "helpers.charts.inference_explorers.",
    "helpers.charts.linked_explorer.",
)


def faults_of(name, wanted):
    """List what numpydoc finds wrong with a docstring, of the wanted kinds."""
    return [(code, said) for code, said in validate(name)["errors"] if code in wanted]


@pytest.mark.parametrize("name", CALLABLE)
def test_a_docstring_says_all_a_reader_needs(name):
    is_error = inspect.isclass(CALLABLE[name]) and issubclass(CALLABLE[name], Exception)
    example = set() if is_error or name.startswith(NO_EXAMPLE) else {"EX01"}
    assert faults_of(name, FAULTS | example) == []


def documented_names():
    """Return the names that the pages of the reference define."""
    pages = sorted((SITE / "chapters" / "appendix").glob("api*.html"))
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    return set(re.findall(r'<dt class="sig[^>]* id="(helpers\.[^"]+)"', text))


def test_every_public_name_is_on_a_page():
    documented = {name.rpartition(".")[2] for name in documented_names()}
    drawing = {name for name in charts.__all__ if callable(getattr(charts, name))}
    public = {name for name in helpers.__all__ if not inspect.ismodule(getattr(helpers, name))}
    assert {*public, *drawing} - documented == {"__version__"}


def test_each_module_has_one_sentence_in_the_overview():
    overview = (SITE / "chapters" / "appendix" / "api.html").read_text(encoding="utf-8")
    for module in re.findall(r"automodule:: (helpers[\w.]+)", sources_of_the_reference()):
        row = re.search(rf'title="{module}".*?</td>\s*<td><p>(.*?)</p>', overview, re.DOTALL)
        assert row and row[1].strip().endswith("."), module


def sources_of_the_reference():
    """Return the Markdown of all pages of the reference."""
    folder = SITE.parents[1] / "chapters" / "appendix"
    return "".join(path.read_text(encoding="utf-8") for path in folder.glob("api-*.md"))
