"""What the appendix says and no cell of its own checks: codebooks, glossary, the solver."""

import os
import re
from pathlib import Path

import jupytext
import numpy as np
import pandas as pd
import pytest

from helpers import create_data, fit_many, load_gpa, load_pupils, load_sleepstudy, true_coefficients
from helpers.data.datasets import DATA_FOLDER, DataFileError, example_file
from helpers.models.likelihood import Likelihood

ROOT = Path(__file__).resolve().parents[1]
APPENDIX = ROOT / "chapters" / "appendix"
TERMS = {
    "cluster", "random effect", "fixed effect", "complete pooling", "no pooling",
    "partial pooling", "shrinkage", "conditional sd", "REML criterion", "random slope",
    "singular fit", "variance component", "compound symmetry", "marginal mean",
    "intraclass correlation", "BLUP", "design matrix", "residual", "singleton",
    "borrowing strength", "balanced design", "AICc", "arm", "bootstrap",
    "cluster-robust standard error", "covariance matrix", "coverage", "effective sample size",
    "eigenvalue", "grouping factor", "informative cluster size", "Kenward-Roger", "likelihood",
    "optimiser", "posterior", "prior", "profile interval", "twin",
}  # fmt: skip


def spreads(gpa, pupils):
    by_occasion = gpa.groupby("occasion")["gpa"].std()
    return {
        "growth of sd": by_occasion[5] - by_occasion[0],
        "school sizes": pupils.groupby("primary_school_id").size().std(),
        "skewness": abs(pupils["achievement"].skew()),
        "kurtosis": abs(pupils["achievement"].kurt()),
    }


def test_codebooks_name_the_columns_of_the_files():
    page = (APPENDIX / "data.md").read_text()
    reading = pd.read_csv(example_file())
    frames = [load_gpa("synthetic"), load_pupils("synthetic"), load_sleepstudy(), reading]
    tables = re.findall(r"\| variable \| type \| meaning \|\n\|[-|]+\n((?:\|.*\n)+)", page)
    named = [re.findall(r"^\| `([^`]+)`", table, flags=re.M) for table in tables]
    assert named == [list(frame.columns) for frame in frames]


def test_codebooks_state_the_values():
    gpa, pupils, sleep = load_gpa("synthetic"), load_pupils("synthetic"), load_sleepstudy()
    assert set(gpa["occasion"]) == set(range(6)) and set(sleep["Days"]) == set(range(10))
    for measured in (gpa["gpa"], pupils["achievement"]):
        np.testing.assert_allclose(measured * 10, (measured * 10).round(), atol=1e-9)
    assert list(pupils["ses"].cat.categories) == ["low", "mid", "high"]
    assert (gpa.groupby("student")["occasion"].nunique() == 6).all()
    assert (sleep.groupby("Subject")["Days"].nunique() == 10).all()


def test_gpa_spreads_more_over_time_in_the_twins():
    assert spreads(load_gpa("synthetic"), load_pupils("synthetic"))["growth of sd"] > 0


def test_the_twin_is_refused_as_an_original():
    with pytest.raises(DataFileError, match="synthetic twin"):
        load_gpa(folder=DATA_FOLDER)


@pytest.mark.skipif("COURSE_DATA_DIR" not in os.environ, reason="needs the original records")
def test_twins_differ_from_the_originals_as_the_page_says():
    twins = spreads(load_gpa("synthetic"), load_pupils("synthetic"))
    originals = spreads(load_gpa("original"), load_pupils("original"))
    assert 0 < originals["growth of sd"] < twins["growth of sd"]
    assert originals["school sizes"] < twins["school sizes"]
    assert originals["skewness"] > twins["skewness"]
    assert originals["kurtosis"] > twins["kurtosis"]


def defined_terms():
    page = (APPENDIX / "glossary.md").read_text()
    body = re.search(r"```\{glossary\}\n(.*?)```", page, flags=re.S).group(1)
    return [line for line in body.splitlines() if line and not line.startswith(" ")]


def test_glossary_defines_each_term_once_in_order():
    terms = defined_terms()
    assert set(terms) == TERMS
    assert terms == sorted(terms, key=str.lower)


def exam_answers(seed):
    """Work out the page of the exam with another seed."""
    names = {}
    for cell in jupytext.read(APPENDIX / "exam.md").cells:
        if cell.cell_type == "code":
            exec(cell.source.replace("seed = 501", f"seed = {seed}"), names)
    keys = "tau2 sigma2 center half_width mean_slope slope_sd low statistic arm_mean row_mean worth"
    return [*(names[key] for key in keys.split()), names["kept"][0], names["moves"].max()]


def test_another_seed_gives_another_exam():
    first, second = exam_answers(501), exam_answers(77)
    assert not np.isclose(first, second, rtol=1e-3).any()


def test_the_plan_of_teaching_fills_its_hours_and_names_questions_that_exist():
    folder = ROOT / "chapters" / "exercises"
    text = (folder / "teaching.md").read_text(encoding="utf-8")
    plans = re.findall(r"\| minutes \|.*?\n\|---.*?\n((?:\|.*\n)+)", text)
    assert len(plans) == 3
    for rows in plans:
        assert sum(int(row.split("|")[1]) for row in rows.splitlines()) == 90
    asked = {path.name[:2].upper(): path.read_text("utf-8") for path in folder.glob("e[1-5]*.md")}
    caught = re.findall(r"(E\d) questions? (\d)(?: and (\d))?", text)
    assert len(caught) > 10
    for exercises, *numbers in caught:
        for number in filter(None, numbers):
            assert f"\n## {number}. " in asked[exercises]


def test_every_term_linked_from_a_page_is_defined():
    for page in (ROOT / "chapters").rglob("*.md"):
        for target in re.findall(r"\{term\}`([^`]+)`", page.read_text()):
            assert re.sub(r"^.*<(.+)>$", r"\1", target) in TERMS, (page.name, target)


def test_four_or_five_steps_of_newton(monkeypatch):
    data = create_data()
    counted = []
    evaluate = Likelihood.evaluate

    def count(self, factor, responses, *rest, **options):
        counted.append(len(responses) if options.get("hessian") else 0)
        return evaluate(self, factor, responses, *rest, **options)

    monkeypatch.setattr(Likelihood, "evaluate", count)
    noise = np.random.default_rng(1).normal(size=(1000, 300))
    fit_many("y ~ x + (x | cluster)", data, true_line(data) + noise)
    assert 3.5 < sum(counted) / 300 < 5.5


def true_line(data):
    truth = true_coefficients().set_index("cluster").loc[data["cluster"]]
    return (truth["Intercept"].to_numpy() + truth["x"].to_numpy() * data["x"].to_numpy())[:, None]
