"""The exercise sets: complete, right for a class, and silent about their solutions."""

import json
import re
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from checks import Checks, NotYet, agrees, make_key
from classroom import release, sources
from classroom.course import Course, TeacherError

REFERENCE = Path(__file__).parent / "reference"
BY_LME4 = json.loads((REFERENCE / "exercises.json").read_text(encoding="utf-8"))
SETS = {path.stem: path for path in sources.exercise_files()}
# Shorter lines, such as closing brackets, are everywhere.
SHORTEST_LINE = 4


def source_of(name):
    return sources.read_source(SETS[name])


def text_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_five_sets():
    assert [name.partition("-")[0] for name in SETS] == ["e1", "e2", "e3", "e4", "e5"]


@pytest.mark.parametrize("name", SETS)
def test_each_question_says_its_points_its_time_and_what_it_practises(name):
    notebook = source_of(name)
    points = list(sources.points(notebook).values())
    text = text_of(notebook)
    said = re.findall(r"(?m)^\*\*(\d+) points, (\d+) minutes\.\*\* .*Practises: ", text)
    assert 3 <= len(points) <= 7
    assert [int(number) for number, _ in said] == points
    intro = " ".join(text.split())
    minutes = sum(int(time) for _, time in said)
    assert f"give {sum(points)} points" in intro
    assert int(re.search(r"about (\d+) minutes", intro)[1]) == pytest.approx(minutes, abs=4)


@pytest.mark.parametrize("name", SETS)
def test_each_set_has_checks_with_foreseen_mistakes_and_a_text_to_be_read(name):
    cells = source_of(name).cells
    assert sum(sources.is_essay(cell) for cell in cells) >= 1
    checks = [cell for cell in cells if sources.is_check(cell)]
    foreseen = "\n".join(cell.source for cell in cells if sources.has_tag(cell, "foreseen"))
    for cell in checks:
        answers = re.search(r"(?m)^check\((.*)\)$", cell.source)[1]
        for answer in re.findall(r"(\w+)=", answers):
            assert re.search(rf'check\.expect\(\s*"{answer}",\s*tolerance=.*\s*mistakes', foreseen)


MISSPELT = {
    "one letter": ("### BEGIN HIDDEN TESTS", "### BEGIN HIDEN TESTS"),
    "case": ("### BEGIN HIDDEN TESTS", "### Begin Hidden Tests"),
    "two hashes": ("### BEGIN SOLUTION", "## BEGIN SOLUTION"),
    "singular": ("### END HIDDEN TESTS", "### END HIDDEN TEST"),
    "another word": ("### BEGIN HIDDEN TESTS", "# hidden checks from here"),
    "blank at the end": ("### END SOLUTION\n", "### END SOLUTION \n"),
    "lost": ("### BEGIN SOLUTION\n", ""),
    "exchanged": ("### BEGIN SOLUTION", "### BEGIN HIDDEN TESTS"),
    "indented": ("### BEGIN SOLUTION", "    ### BEGIN SOLUTION"),
    "a shown expectation": ("check(half=", 'assert reference("half")\ncheck(half='),
    "nothing to check": ("check(half=", "print(half="),
    "a tag": ("[answer, half]", "[anwser, half]"),
    "another tag": ("[answer, half]", "[given, half]"),
    "no name": ("[answer, half]", "[answer]"),
    "no tags": (":tags: [answer, half]\n", ""),
    "two of a kind": ("[answer, half]", "[answer, check]"),
    "no points": ("**2 points, 8", "**8"),
}


@pytest.mark.parametrize("fault", MISSPELT)
def test_a_misspelt_marker_is_refused(fault):
    right, wrong = MISSPELT[fault]
    text = SETS["e5-weighting"].read_text(encoding="utf-8")
    assert right in text
    with pytest.raises(sources.SourceError, match="e5-weighting.md, "):
        sources.parse_source(text.replace(right, wrong, 1), "e5-weighting.md")


def test_a_doubled_or_missing_part_is_refused():
    text = SETS["e1-shrinkage"].read_text(encoding="utf-8")
    for old, new, message in (
        ("[given, four]", "[given, data]", "several cells"),
        (":tags: [key]\n", "", "0 cells have the tag 'key'"),
        ('+++ {"tags": ["answer", "q5-own-world"]}', "", "left for a reader"),
    ):
        with pytest.raises(sources.SourceError, match=message):
            sources.parse_source(text.replace(old, new, 1), "e1-shrinkage.md")


def test_an_unknown_expectation_is_refused():
    notebook = source_of("e1-shrinkage")
    with pytest.raises(sources.SourceError, match="never answered"):
        release.instructor_notebook(notebook, 1, Checks().recorded())


@pytest.mark.parametrize("name", SETS)
def test_each_foreseen_mistake_is_recognised(course, name):
    record = json.loads((course.folder / "answers" / f"{name}.json").read_text())
    check = Checks(make_key(record))
    for answer, mistakes in record["mistakes"].items():
        right, tolerance = record["answers"][answer], record["tolerances"][answer]
        for _, wrong in mistakes:
            # With some data a wrong way leads to the right answer.
            if same_as(wrong, right, tolerance):
                continue
            with pytest.raises(NotYet) as caught:
                check(**{answer: wrong})
            first = next(text for text, other in mistakes if same_as(wrong, other, tolerance))
            assert str(caught.value) == f"{answer}: {first}"


@pytest.mark.parametrize("name", ["e1-shrinkage", "e2-sleep"])
def test_the_answers_of_the_book_are_lme4_s(name):
    """tests/reference/make_exercises.R; the limits of the third set are in test_intervals."""
    _, record = release.run_reference(source_of(name), release.BOOK, name)
    compared = set(BY_LME4[name]) & set(record["answers"])
    assert len(compared) >= 2
    for answer in compared:
        np.testing.assert_allclose(record["answers"][answer], BY_LME4[name][answer], rtol=1e-4)


def test_the_third_set_says_how_unlucky_its_seed_is():
    by_lme4, text = BY_LME4["e3-simulation"], text_of(source_of("e3-simulation"))
    away = (2 - by_lme4["intercept"]) / by_lme4["se"]
    assert f"lies {away:.1f} standard errors below 2" in text
    assert f"average −{(2 - by_lme4['mean_drawn']) / 0.75:.2f}\ninstead of 0" in text


def test_the_second_set_says_what_the_days_of_training_do():
    on_all, later = BY_LME4["e2-sleep"]["all_people"]
    words = f"the slope is {on_all:.2f} ms a day on all days and {later:.2f} from day 2 on"
    assert words in text_of(source_of("e2-sleep"))


def same_as(value, other, tolerance):
    """Whether two values cannot be told apart with this tolerance."""
    if np.shape(value) != np.shape(other):
        return False
    return bool(np.all(np.abs(np.subtract(value, other)) <= tolerance))


def forbidden_lines(notebook):
    """List every line of a source that students must not see, unless they see it elsewhere."""
    seen, kept = set(), set()
    for cell in notebook.cells:
        if sources.has_tag(cell, "foreseen"):
            kept |= lines(cell.source)
        elif sources.is_answer(cell):
            kept |= lines(sources.solution(cell))
            seen |= lines(sources.starter(cell))
        elif sources.is_check(cell):
            kept |= lines(sources.region(cell, sources.HIDDEN))
            seen |= lines(sources.visible(cell))
        else:
            seen |= lines(cell.source)
    return kept - seen


def lines(text):
    return {line.strip() for line in text.splitlines() if len(line.strip()) >= SHORTEST_LINE}


def test_the_forbidden_lines_are_the_ones_meant():
    forbidden = forbidden_lines(source_of("e1-shrinkage"))
    assert 'between, within = variance_components(fit)["variance"]' in forbidden
    hidden = forbidden_lines(source_of("e5-weighting"))
    assert any(line.startswith("assert abs(half_weight_icc(2, 50) - ref") for line in hidden)
    assert "check(moves_most=moves_most)" not in forbidden


@pytest.mark.parametrize("name", SETS)
def test_the_release_holds_no_line_of_a_solution_or_hidden_check(course, name):
    handed_out = course.handouts / f"{name}.ipynb"
    instructor = read(course.folder / "source" / name / f"{name}.ipynb")
    forbidden = forbidden_lines(source_of(name)) | forbidden_lines(instructor)
    assert len(forbidden) > 20
    assert any(line.startswith("assert agrees(") for line in forbidden)
    assert lines(text_of(read(handed_out))) & forbidden == set()
    raw = handed_out.read_text(encoding="utf-8")
    assert [line for line in forbidden if json.dumps(line)[1:-1] in raw] == []
    assert "HIDDEN" not in raw and "SOLUTION" not in raw


def test_nothing_else_that_is_handed_out_holds_such_a_line(course):
    forbidden = set().union(*(forbidden_lines(source_of(name)) for name in SETS))
    with zipfile.ZipFile(course.handouts / f"{course.name}.zip") as packed:
        files = {name: packed.read(name).decode() for name in packed.namelist() if "." in name}
    outside = [name for name in files if "/helpers/" not in name and "/data/" not in name]
    assert len(outside) == len(SETS) + 3
    leaks = {(name, line) for name in outside for line in lines(files[name]) & forbidden}
    assert leaks == set()
    assert not any("classroom" in name or name.endswith(".db") for name in files)


@pytest.mark.parametrize("name", SETS)
def test_nbgrader_and_the_book_release_the_same_cells(course, name):
    by_nbgrader = read(course.handouts / f"{name}.ipynb")
    by_us = release.student_notebook(read(course.folder / "source" / name / f"{name}.ipynb"))
    assert [cell.source.strip() for cell in by_us.cells] == [
        cell.source.strip() for cell in by_nbgrader.cells
    ]


def test_another_class_has_other_numbers(course):
    name = "e5-weighting"
    seed, record = release.run_reference(source_of(name), "stats501-2028", name)
    mine = json.loads((course.folder / "answers" / f"{name}.json").read_text())
    assert (
        re.search(rf"(?m)^seed = {seed}$", text_of(read(course.handouts / f"{name}.ipynb"))) is None
    )
    same = {
        answer for answer, value in record["answers"].items() if value == mine["answers"][answer]
    }
    # What depends on sizes alone can be the same by chance.
    assert same <= {"half", "half_other"}
    seeds = {release.draw_seed(year, name) for name in SETS for year in ("2027", "2028")}
    assert len(seeds) == 2 * len(SETS)


def test_students_need_no_nbgrader(course):
    for name in SETS:
        assert "nbgrader" not in text_of(read(course.handouts / f"{name}.ipynb"))
    requirements = (sources.ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert "nbgrader" not in requirements


def test_the_cluster_furthest_out_is_not_the_answer(course):
    record = json.loads((course.folder / "answers" / "e1-shrinkage.json").read_text())
    messages = dict(record["mistakes"]["moves_most"])
    (furthest,) = [value for text, value in messages.items() if "lies furthest out" in text]
    assert furthest != record["answers"]["moves_most"]
    assert record["rejected"] == []


def test_a_hidden_check_agrees_with_every_form_that_the_visible_one_takes():
    right, tolerance = [1.0, 2.0, 3.0], 0.1
    reference = Checks()
    reference(answer=right)
    reference.expect("answer", tolerance=tolerance)
    check = Checks(make_key(reference.recorded()))
    forms = [right, tuple(right), np.array(right), pd.Series(right), {"a": 1, "b": 2, "c": 3}]
    forms += [pd.DataFrame([right]), np.array([right]), [1.05, 2, 2.95]]
    for form in forms:
        check(answer=form)
        assert agrees(form, right, tolerance)
    for form in ([1, 2], [1, 2, 3.2], 1, "1", True, [1, 2, 3, 4], [[1], [2]]):
        with pytest.raises(NotYet):
            check(answer=form)
        assert not agrees(form, right, tolerance)


def test_unlucky_data_are_drawn_again():
    notebook = sources.parse_source(
        SETS["e1-shrinkage"]
        .read_text(encoding="utf-8")
        .replace('check.require(not fit.singular, "the intercepts have no variance")', "refuse()"),
        "e1-shrinkage.md",
    )
    cell = next(cell for cell in notebook.cells if "refuse()" in cell.source)
    unlucky = release.draw_seed("a-class", "e1-shrinkage")
    cell.source = f"check.require(seed != {unlucky}, 'unlucky')"
    seed, record = release.run_reference(notebook, "a-class", "e1-shrinkage")
    assert seed == release.draw_seed("a-class", "e1-shrinkage", 1)
    assert record["rejected"] == []


@pytest.mark.parametrize("name", ["", "a b", "../up", "x/y", ".hidden"])
def test_a_class_needs_a_plain_name(name):
    with pytest.raises(TeacherError, match="stats501-2027"):
        Course(name)
