"""What a reader may change in a chapter: every cell still runs, and every sentence follows.

A claim that no longer holds becomes a notice, as in a notebook; anything that raises is a fault.
"""

import contextlib
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest

from helpers import prose
from helpers.controls import grid, widget
from live_prose import read_live_notebook

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
# Ten thousand data sets say no more of whether the cells run.
SMALLER = [
    (r"n_datasets = 10_000", "n_datasets = 60"),
    (r"n_datasets=\d+", "n_datasets=60"),
    (r"coverage_study\(fit", "coverage_study(fit, n_datasets=60"),
]


def setting(name, value):
    """Give a setting of chapter 1 another value."""
    return rf'("{name}"): [\d.]+', rf"\1: {value}"


EDITS = {
    "another seed, fewer clusters, others chosen": (
        "shrinkage",
        [
            setting("seed", 7),
            setting("n_cluster", 50),
            (r"extremes = \[.*\]", "extremes = [3, 11, 24, 50]"),
        ],
    ),
    "slopes far apart, fewer rows per cluster": (
        "shrinkage",
        [setting("sd_slope", 1), setting("obs_per_cluster", 6)],
    ),
    "noisier rows on another line, four in ten": (
        "shrinkage",
        [
            setting("sigma", 3),
            setting("beta", -1),
            ('"seed": 888,', '"seed": 888, "balanced": 0.4,'),
        ],
    ),
    "seed and slope of the simulations": (
        "random-slopes",
        [("seed = 888", "seed = 7"), ("true_slope = 4, 0.5", "true_slope = 3, 0")],
    ),
    "another school": ("categorical-effects", [("school = 10", "school = 3")]),
    "another reference category": (
        "categorical-effects",
        [(r"C\(ses, Treatment\('mid'\)\)", "C(ses, Treatment('high'))")],
    ),
    "another seed for chapter 3": ("categorical-effects", [('"seed": 888', '"seed": 7')]),
    "sizes": (
        "cluster-weighting",
        [(r"sizes = \[2, 10, 10, 10, 2, 10, 10, 10\]", "sizes = [3, 8, 8, 20, 5, 10]")],
    ),
    "sizes all alike": (
        "cluster-weighting",
        [(r"sizes = \[2, 10, 10, 10, 2, 10, 10, 10\]", "sizes = [10] * 8")],
    ),
    "seeds": ("cluster-weighting", [("824523, 1324523, 888", "1, 2, 3")]),
    "clusters alike, no effect": (
        "cluster-weighting",
        [('"sd_cluster": 3, "effect": 5', '"sd_cluster": 0.5, "effect": 0')],
    ),
}


def changed(text, edits):
    """Edit a chapter; what is edited must be there."""
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text, count=1)
        assert count == 1, f"the chapter has nothing like {pattern}"
    for pattern, replacement in SMALLER:
        text = re.sub(pattern, replacement, text)
    return text


def without_most_states(function, offered, taken):
    """Compute two states of a large explorer: a build computes them all, whatever is edited."""
    n_states = math.prod(map(len, offered.values()))
    if n_states <= 10:
        return grid.evaluate(function, offered, taken)
    ends = [{name: [values[end]] for name, values in offered.items()} for end in (-1, 0)]
    _, first = (grid.evaluate(function, end, taken) for end in ends)
    return {name: np.repeat(values, n_states, axis=0) for name, values in first.items()}


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
    monkeypatch.setattr(widget, "evaluate", without_most_states)
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
    shown, failures = run_chapter(name, edits, monkeypatch)
    assert failures == []
    assert len(shown) > 20
