"""Expressions in prose, and the words of claims."""

import re

import jupytext
import numpy as np
import pandas as pd
import pytest

import kernels
import live_prose
from classroom import pages, sources
from helpers import claim, prose
from helpers.charts.theme import BUILDS_THE_BOOK
from helpers.data.datasets import FOLDER_VARIABLE
from tests.browsing import PAGES, ROOT

HEAD = """\
---
jupytext:
  text_representation:
    format_name: myst
kernelspec:
  name: python3
---
"""


def page_source(name):
    """Text of a page of the book."""
    return (ROOT / f"{name}.md").read_text(encoding="utf-8")


def read(body, path="page.md"):
    """Read a page; return its cells."""
    return live_prose.read_live_notebook(HEAD + body, path=path, add_source_map=True).cells


def named(text):
    """Name the expressions of a text; return the text without the lines, and the expressions."""
    return live_prose.name_expressions(text, live_prose.expression_names())


PLACES = {
    "a paragraph": "All {eval}`n` rows.",
    "bold": "**All {eval}`n`** rows.",
    "a heading": "## All {eval}`n` rows",
    "a list": "- one\n- {eval}`n` rows\n  - {eval}`n` more",
    "a table": "| rows |\n|---|\n| {eval}`n` |",
    "a quotation": "> {eval}`n` rows",
    "an admonition": ":::{admonition} Rows\n:class: tip\n\nAll {eval}`n`.\n:::",
    "an admonition's title": ":::{admonition} All {eval}`n`\nRows.\n:::",
    "a dropdown in it": ":::{admonition} A\n\n```{dropdown} B\nAll {eval}`n`, `x`.\n```\n:::",
    "between other roles": "{term}`a` {eval}`n` `code` {eval}`n` {term}`b <c>`",
}


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
def test_expressions_are_found_wherever_a_text_may_have_them(text):
    new, expressions = named(text)
    assert list(expressions.values()) == ["n"] * text.count("{eval}")
    assert "{eval}" not in new
    lines = [line.split("`") for line in text.split("\n")]
    for name, (number, _) in zip(
        expressions,
        [(n, part) for n, line in enumerate(lines, 1) for part in line if part.endswith("{eval}")],
        strict=True,
    ):
        assert f"{{evaluated}}`{number}:{name}`" in new


@pytest.mark.parametrize(
    "text", ["```python\n{eval}`n`\n```", "`` {eval}`n` ``", "    {eval}`n`", "{evaluate}`n`"]
)
def test_code_that_only_looks_like_an_expression_stays(text):
    assert named(text) == (text, {})


def test_an_expression_may_go_on_in_the_next_line():
    assert named("It is {eval}`f'{a:.1f}'\n  + b`.")[1] == {"eval-1": "f'{a:.1f}' + b"}


BODY = """\
# Title

```{code-cell} ipython3
n = 1
```

First {eval}`n`.

- then {eval}`n + 1`

```{code-cell} ipython3
n = 5
```

Last {eval}`n`.
"""


def test_a_hidden_cell_stands_before_each_text_and_lines_stay():
    notebook = live_prose.read_live_notebook(HEAD + BODY, path="page.md", add_source_map=True)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", "code", "code", "markdown", "code", "code", "markdown"]
    hidden = [cell for cell in notebook.cells if "remove-cell" in cell.metadata.get("tags", [])]
    assert len(hidden) == 2 and "'n + 1'" in hidden[0].source
    page = (HEAD + BODY).split("\n")
    for name, text in {"eval-1": "First", "eval-2": "- then", "eval-3": "Last"}.items():
        cell = next(cell for cell in notebook.cells if f":{name}`" in cell.source)
        line = int(cell.source.split(f":{name}`")[0].rpartition("`")[2])
        assert page[line - 1].startswith(text)
    for cell, line in zip(notebook.cells, notebook.metadata["source_map"], strict=True):
        if cell not in hidden:
            assert page[line].startswith(cell.source.split("{")[0].split("\n")[0])


def test_a_name_that_changes_its_value_has_that_of_its_place(monkeypatch):
    shown, namespace = {}, {}
    monkeypatch.setattr(
        prose, "display", lambda data, raw, metadata: shown.update({place(metadata): data})
    )
    for cell in read(BODY):
        if cell.cell_type == "code":
            exec(cell.source, namespace)
    assert [list(data.values()) for data in shown.values()] == [["1"], ["2"], ["5"]]


def place(metadata):
    """Name of a value that is given to the page."""
    return metadata["scrapbook"]["name"]


@pytest.fixture
def evaluated(monkeypatch):
    """What an expression gives to the page: kind and text."""

    def one(expression, **names):
        shown = []
        monkeypatch.setattr(prose, "display", lambda data, raw, metadata: shown.append(data))
        prose.evaluate(names, {"eval-1": expression})
        ((kind, text),) = shown[0].items()
        return kind.rpartition("/")[2], text

    return one


def test_strings_come_without_quotes_and_keep_their_zeros(evaluated):
    assert evaluated('f"{x:.2f}"', x=0.1) == ("plain", "0.10")
    assert evaluated("len(x)", x="four") == ("plain", "4")


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("lost", "NameError: name 'lost'"),
        ("1 +", "SyntaxError"),
        ('f"{nan:.1f}"', "it is 'nan'; only finite numbers"),
        ('f"{-inf:.0f} %"', "it is '-inf %'; only finite numbers"),
        ('f"{None}"', "it is 'None'; only finite numbers"),
        ("nan", "it is a float; only a text or a plain int"),
        ("0.25", "it is a float; only a text or a plain int"),
        ("numpy.int64(3)", "it is a int64; only a text or a plain int"),
        ("True", "it is a bool; only a text or a plain int"),
    ],
)
def test_an_expression_that_gives_no_number_to_show_is_named(evaluated, expression, cause):
    kind, text = evaluated(expression, nan=np.nan, inf=np.inf, numpy=np)
    assert kind == "x-failure"
    assert text.startswith(f"{{eval}}`{expression}` fails: ") and cause in text


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("-3", "−3"),
        ("f'{-0.296:.3f} to {0.128:.3f}'", "−0.296 to 0.128"),
        ("f'({-1234:,}, {-0.5})'", "(−1,234, −0.5)"),
        ("f'{-0.001:.2f}'", "0.00"),
        ("'2026-11-25 and a-1, 3-5'", "2026-11-25 and a-1, 3-5"),
    ],
)
def test_negative_numbers_have_a_minus_and_zero_has_none(evaluated, expression, shown):
    assert evaluated(expression) == ("plain", shown)


def test_words_like_nan_are_no_numbers(evaluated):
    assert evaluated("'None of the infants'") == ("plain", "None of the infants")


# ---- claims ----------------------------------------------------------------------------------


@pytest.fixture
def building(monkeypatch):
    monkeypatch.setenv(BUILDS_THE_BOOK, "1")


@pytest.fixture
def reading(monkeypatch):
    monkeypatch.delenv(BUILDS_THE_BOOK, raising=False)


@pytest.mark.parametrize("true", [True, np.bool_(True), lambda: True])
def test_a_true_claim_says_nothing(true, building, capsys):
    claim(true, "Words.")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("false", [False, np.bool_(False), lambda: False, lambda: {}["lost"]])
def test_a_false_claim_fails_a_build_and_names_the_sentence(false, building):
    with pytest.raises(prose.ClaimError, match='does not hold: "Few rows are lost."'):
        claim(false, "Few rows are lost.")


def test_a_reader_is_told_which_sentence_no_longer_holds(reading, capsys):
    claim(False, "Few rows are lost.")
    claim(lambda: {}["lost"], "Some are found.")
    assert capsys.readouterr().out.split("\n")[:2] == [
        "No longer true with what was changed above: “Few rows are lost.”",
        "Cannot be checked with what was changed above (KeyError: 'lost'): “Some are found.”",
    ]


def test_a_notice_shows_words_as_they_are():
    assert "a &lt; b" in prose._Notice("a < b")._repr_html_()


@pytest.mark.parametrize("condition", [1, None, "yes", np.array([True]), pd.Series([True, True])])
def test_a_condition_that_is_neither_true_nor_false_is_refused(condition, reading):
    with pytest.raises(TypeError, match=r'"Words\." has a \w+ for a condition.* \.all\(\)'):
        claim(condition, "Words.")


def test_claims_of_the_twins_are_not_asked_of_the_originals(building, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(prose.ClaimError):
        claim(False, "Words.", only="twins")
    monkeypatch.setenv(FOLDER_VARIABLE, "originals")
    claim(False, "Words.", only="twins")
    with pytest.raises(prose.ClaimError):
        claim(False, "Words.")


def test_only_twins_can_be_said(reading):
    with pytest.raises(ValueError, match="only is 'originals'; allowed are None and 'twins'"):
        claim(True, "Words.", only="originals")


TEXT = """\
**Few** of {eval}`n` {term}`rows <row>`
are *[lost](data.md)*, `n` in $n$.

- Some are
  found.

<!-- Never said. -->
% Nor this.
"""


@pytest.mark.parametrize(
    "words", ["Few of … rows are lost, n in n.", "**Few** of … rows", "Some are found."]
)
def test_words_on_the_page_are_found(words):
    cells = live_prose.read_myst_markdown_notebook(HEAD + TEXT).cells
    code = live_prose.nbformat.v4.new_code_cell(f"claim(True, {words!r})")
    assert list(live_prose.wrong_claims([*cells, code], [0] * (len(cells) + 1))) == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ('claim(True, "Many of … rows")', 'not on the page: "Many of … rows"'),
        ('claim(True, words="Many rows")', 'not on the page: "Many rows"'),
        ('helpers.claim(True, "Many rows")', 'not on the page: "Many rows"'),
        ('for x in y:\n    claim(x, "Many rows")', 'not on the page: "Many rows"'),
        ('claim(True, "Never said.")', "not on the page"),
        ('claim(True, "Nor this.")', "not on the page"),
        ('claim(True, f"{n} rows")', "must be a text"),
        ("claim(True, words)", "must be a text"),
        ("claim(True)", "must be a text"),
        ('claim(True, " ")', "has no words"),
    ],
)
def test_words_that_no_reader_finds_are_named(code, problem):
    page = f"{HEAD}{TEXT}\n```{{code-cell}} ipython3\n{code}\n```\n"
    notebook = live_prose.read_live_notebook(page, path="page.md", add_source_map=True)
    ((line, said),) = live_prose.wrong_claims(
        live_prose.read_myst_markdown_notebook(page).cells, notebook.metadata["source_map"][-2:]
    )
    assert problem in said
    assert "claim(" in page.split("\n")[line - 1]


def test_a_cell_that_is_no_python_has_no_claims():
    cells = [live_prose.nbformat.v4.new_code_cell("%matplotlib inline\nclaim(True, 'x')")]
    assert list(live_prose.wrong_claims(cells, [0])) == []


# ---- on each page of the book ----------------------------------------------------------------


WITH_CELLS = [name for name in PAGES if "\n```{code-cell}" in page_source(name)]


def planted(name, code):
    """Text of a page, as the build reads it, with a hidden cell before its first one."""
    text = page_source(name)
    if name.startswith("chapters/exercises/"):
        notebook = sources.parse_source(text, f"{name}.md")
        text = jupytext.writes(pages.page_notebook(notebook, solutions=True), fmt="md:myst")
    cell = f"```{{code-cell}} ipython3\n:tags: [remove-cell]\n\n{code}\n```\n\n"
    return text.replace("```{code-cell}", f"{cell}```{{code-cell}}", 1)


@pytest.fixture
def warnings_of(monkeypatch):
    """Read a page; return its notebook, and the places and messages of the warnings."""

    def read_page(name, code):
        said = []
        monkeypatch.setattr(
            live_prose.LOGGER, "warning", lambda text, location, type: said.append((location, text))
        )
        path = str(ROOT / f"{name}.md")
        text = planted(name, code)
        return live_prose.read_live_notebook(text, path=path, add_source_map=True), said

    return read_page


@pytest.mark.parametrize("name", WITH_CELLS)
def test_a_false_claim_on_any_page_is_named(name, building, warnings_of):
    title = re.search(r"^# (.+)$", page_source(name), re.MULTILINE)[1]
    code = f"from helpers import claim\nclaim(False, {title!r})"
    notebook, said = warnings_of(name, code)
    assert said == []
    folder = str(ROOT / "chapters")
    result = kernels.execute(notebook, cwd=folder, timeout=100, allow_errors=False)
    assert f'This sentence of the page does not hold: "{title}"' in str(result.err)


@pytest.mark.parametrize("name", WITH_CELLS)
def test_words_that_are_not_on_a_page_are_named_with_it(name, warnings_of):
    _, said = warnings_of(name, "claim(True, 'Nobody says so.')")
    ((place, problem),) = said
    assert place.startswith(str(ROOT / f"{name}.md:"))
    assert problem == 'the words of a claim are not on the page: "Nobody says so."'
