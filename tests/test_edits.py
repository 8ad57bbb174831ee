"""What a reader may change in a chapter: every cell still runs, and every sentence follows.

A claim that no longer holds becomes a notice, as in a notebook; anything that raises is a fault.
"""

import contextlib
import io
import re
from pathlib import Path

import pytest

from helpers import prose
from live_prose import read_live_notebook

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
# Ten thousand data sets say no more of whether the cells run.
SMALLER = [(r"n_datasets = 10_000", "n_datasets = 60"), (r"n_datasets=\d+", "n_datasets=60")]


def setting(name, value):
    """Give a setting of chapter 1 another value."""
    return rf'("{name}"): [\d.]+', rf"\1: {value}"


EDITS = {
    "the seed": ("shrinkage", [setting("seed", 7)]),
    "fewer clusters": ("shrinkage", [setting("n_cluster", 50)]),
    "slopes far apart": ("shrinkage", [setting("sd_slope", 1)]),
    "noisier rows, on another line": ("shrinkage", [setting("sigma", 3), setting("beta", -1)]),
    "four rows in ten": ("shrinkage", [(r'"seed": 888,', '"seed": 888, "balanced": 0.4,')]),
    "rows per cluster": ("shrinkage", [setting("obs_per_cluster", 4)]),
}


def changed(text, edits):
    """Edit a chapter; what is edited must be there."""
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text, count=1)
        assert count == 1, f"the chapter has nothing like {pattern}"
    for pattern, replacement in SMALLER:
        text = re.sub(pattern, replacement, text)
    return text


def run_chapter(name, edits, monkeypatch):
    """Run the cells of an edited chapter; return what it shows and which sentences fail."""
    shown, failures = [], []

    def display(data=None, metadata=None, **options):
        if metadata and "scrapbook" in metadata:
            (kind, text), *_ = data.items()
            (failures if prose.FAILURE in kind else shown).append(text)
        else:
            shown.append(repr(data))

    monkeypatch.delenv(prose.BUILDS_THE_BOOK, raising=False)
    monkeypatch.setattr(prose, "display", display)
    text = changed((CHAPTERS / f"{name}.md").read_text(encoding="utf-8"), edits)
    namespace = {"display": display}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for cell in read_live_notebook(text, path=name, add_source_map=True).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, name, "exec"), namespace)
    return shown, failures


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("edit", EDITS)
def test_a_chapter_follows_what_a_reader_changes(edit, monkeypatch):
    name, edits = EDITS[edit]
    as_printed, _ = run_chapter(name, [], monkeypatch) if edit is None else ([], [])
    shown, failures = run_chapter(name, edits, monkeypatch)
    assert failures == []
    assert shown != as_printed
