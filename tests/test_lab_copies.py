"""The notebooks that `make lab` and Binder open."""

import re
from html import unescape

import nbformat
import pytest

import lab
from tests.browsing import SITE

FIGURE = re.compile(r"\b(?:Figure|Table) \d\.\d+")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make the copies."""
    made = tmp_path_factory.mktemp("copies")
    lab.main(made)
    return made


def text_of(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_links_lead_to_notebooks_and_to_headings_in_them(folder):
    for path in folder.rglob("*.ipynb"):
        for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text_of(path)):
            name, _, heading = target.partition("#")
            linked = path.parent / name
            # Students' notebooks are made by python -m classroom.release.
            assert linked.exists() or linked.parent.name == "exercises", (path.name, target)
            if heading and linked.exists():
                headings = re.findall(r"(?m)^#+ (.+)$", text_of(linked))
                assert heading in ["-".join(found.split()) for found in headings], target


def test_numbers_of_figures_are_those_of_the_page(folder):
    for path in folder.glob("*.ipynb"):
        page = unescape((SITE / "chapters" / f"{path.stem}.html").read_text(encoding="utf-8"))
        assert set(FIGURE.findall(text_of(path))) <= set(
            FIGURE.findall(re.sub("<[^>]+>", "", page))
        )


def test_numbers_stay_expressions_and_other_markup_goes(folder):
    text = text_of(folder / "shrinkage.ipynb")
    page = (lab.CHAPTERS / "shrinkage.md").read_text(encoding="utf-8")
    assert lab.EVAL.findall(text) == lab.EVAL.findall(page)
    assert set(re.findall(r"\{[\w:-]+\}`", text)) == {"{eval}`"}
    assert ":::" not in text


def test_folded_and_hidden_cells_are_folded(folder):
    tagged = {"hide-input", "remove-input", "remove-cell"}
    for path in folder.rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
            assert folded == bool(tagged & set(cell.metadata.get("tags", [])))


def test_what_a_reader_has_saved_stays(folder):
    path = folder / "random-slopes.ipynb"
    path.write_text("mine", encoding="utf-8")
    lab.main(folder)
    assert path.read_text(encoding="utf-8") == "mine"
