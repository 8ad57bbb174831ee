"""The page on your own data, taken through four untidy files as a reader would: one cell edited.

Expected values are lme4's and pbkrtest's on the same data before they were made untidy
(tests/reference/make_your_data.R).
"""

import json
from pathlib import Path
from types import SimpleNamespace

import jupytext
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from helpers import DataError, FormulaError, report

HERE = Path(__file__).parent
PAGE = HERE.parent / "chapters" / "your-data.md"
REFERENCE = json.loads((HERE / "reference" / "your_data.json").read_text(encoding="utf-8"))


def cells(edited):
    """Code of the page, one cell edited."""
    for cell in jupytext.reads(PAGE.read_text(encoding="utf-8"), fmt="md:myst").cells:
        if cell.cell_type == "code":
            yield edited if cell.source.startswith("file = ") else cell.source


def run(name, upload=None, **settings):
    """Run the page as a notebook with the settings of a reader; return what its cells define."""
    usual = {"reading": {}, "missing": [], "wide": [], "second": None, "split": True, "slope": None}
    settings = {"file": HERE / "fixtures" / f"your-{name}.csv", **usual, **settings}
    settings["file"] = str(settings["file"])
    settings = {"others": [], "clock": "file", **settings}
    edited = "\n".join(f"{key} = {value!r}" for key, value in settings.items())
    world = {} if upload is None else {"upload": SimpleNamespace(value=[upload])}
    for source in cells(edited):
        exec(compile(source, PAGE.name, "exec"), world)
    return world


def assert_lme4_s(fit, expected):
    table = report(fit).table.query("part == 'fixed effect'")
    columns = ["value", "se", "df", "p_value", "lower_2.5", "upper_97.5"]
    for column in columns:
        name = column.split("_")[0] if column[-1].isdigit() else column
        np.testing.assert_allclose(table[column], expected[name], rtol=1e-3, err_msg=column)
    assert fit.criterion == pytest.approx(expected["criterion"], abs=1e-4)
    assert (fit.n_obs, fit.n_groups) == (expected["n_rows"], expected["n_clusters"])
    assert fit.singular == expected["singular"]
    sds = report(fit).table.query("part == 'sd'")["value"]
    np.testing.assert_allclose(sds, expected["sd"], rtol=1e-3)


PUPILS = {
    "reading": {"sep": ";"},
    "response": "Punkte im Test",
    "cluster": "Name der Schule",
    "slope": "Stunden/Woche",
    "others": ["Lage", "Bücher"],
    "missing": ["k.A.", -99],
}


def test_pupils_in_schools_end_in_a_report():
    page = run("pupils", **PUPILS)
    problems = page["check_data"](page["named"], page["raw"], cluster=page["cluster"])["problem"]
    assert {"labels alike but for case or space", "numbers with decimal commas"} <= set(problems)
    assert page["chosen_name"] == "slopes"
    assert_lme4_s(page["chosen"], REFERENCE["pupils"])
    assert "Punkte im Test" in report(page["chosen"]).text


VISITS = {
    "response": "score",
    "cluster": "id",
    "slope": "visited on",
    "others": ["arm"],
    "wide": ["score_", "visited on "],
    "split": False,
    "clock": "cluster",
}


def test_repeated_measures_side_by_side_end_in_a_report():
    page = run("visits", **VISITS)
    found = page["check_data"](page["named"], page["raw"], cluster="id")
    assert {"wide format: one column per occasion?", "no such column"} <= set(found["problem"])
    assert_lme4_s(page["fits"]["slopes"], REFERENCE["visits"])
    assert page["chosen_name"] == "slopes"


def test_twelve_clinics_end_in_a_report_by_kenward_and_roger():
    page = run("clinics", response="pain", cluster="clinic", others=["treated"])
    assert "few clusters" in page["found"].index
    assert_lme4_s(page["chosen"], REFERENCE["clinics"])
    assert "only 12 clusters" in str(report(page["chosen"]))


def test_subjects_crossed_with_items_are_refused_with_the_call_that_fits_them():
    words = {"response": "ms", "cluster": "subject", "slope": "frequency", "split": False}
    with pytest.raises(FormulaError, match="crossed random effects are not fitted here") as refusal:
        run("words", second="item", **words)
    call = refusal.value.args[0].split("as one group: ")[1].split(" (import")[0]
    assert "lmer(ms ~ 1 + frequency + (1 | subject) + (1 | item), data)" in refusal.value.args[0]
    world = {"smf": smf, "np": np, "data": pd.read_csv(HERE / "fixtures" / "your-words.csv")}
    results, expected = eval(call, world), REFERENCE["words"]
    np.testing.assert_allclose(results.fe_params, expected["value"], rtol=1e-3)
    variances = dict(zip(results.model.exog_vc.names, results.vcomp, strict=True))
    sds = np.sqrt([variances["subject"], variances["item"], results.scale])
    np.testing.assert_allclose(sds, expected["sd"], rtol=1e-3)


def test_the_call_for_crossed_groupings_parses_whatever_columns_are_called(tmp_path):
    names = {"subject": "Person (ID)", "item": "Word's [no.]", "frequency": "log freq, h/week"}
    odd = pd.read_csv(HERE / "fixtures" / "your-words.csv").rename(columns=names)
    odd.to_csv(tmp_path / "odd.csv", index=False)
    subject, item, frequency = names.values()
    words = {"response": "ms", "cluster": subject, "second": item, "slope": frequency}
    with pytest.raises(FormulaError, match="crossed random effects") as refusal:
        run("words", split=False, file=tmp_path / "odd.csv", **words)
    told = refusal.value.args[0]
    call, _, rest = told.split("as one group: ")[1].partition(" (import numpy")
    results = eval(call, {"smf": smf, "np": np, "data": odd})
    np.testing.assert_allclose(results.fe_params, REFERENCE["words"]["value"], rtol=1e-3)
    fixed = "ms ~ 1 + `log freq, h/week`"
    assert f"lmer({fixed} + (1 | `Person (ID)`) + (1 | `Word's [no.]`), data)" in rest


def test_an_uploaded_file_stays_when_all_cells_run_again_and_is_named(capsys):
    content = (HERE / "fixtures" / "your-clinics.csv").read_bytes()
    upload = {"name": "mine.csv", "content": content}
    page = run("pupils", upload, response="pain", cluster="clinic", others=["treated"])
    assert "Read: mine.csv" in capsys.readouterr().out
    assert_lme4_s(page["chosen"], REFERENCE["clinics"])


def test_a_second_grouping_that_is_left_out_is_named_twice(capsys):
    page = run("words", response="ms", cluster="subject", slope="frequency", split=False)
    assert "item is crossed with the clusters: name it in `second`" in capsys.readouterr().out
    assert report(page["chosen"]).notes[0].startswith("item: crossed with subject")


def test_a_predictor_of_two_values_keeps_its_unit_and_the_other_ones_are_said():
    page = run("clinics", response="pain", cluster="clinic", others=["passed", "falls"])
    assert set(page["ready"]["passed"]) == {0, 1}
    assert page["ready"]["falls"].std() == pytest.approx(1)
    said = report(page["chosen"], standardized=page["sds"]).text
    assert f"standard deviation of falls ({page['raw']['falls'].std():.4f})" in said


def test_labels_are_a_slope_that_stays_whole_and_a_cluster_level_one_is_refused(tmp_path):
    clinics = {"response": "pain", "cluster": "clinic"}
    with pytest.raises(DataError, match="'treated' is cluster-level.*put it in `others`"):
        run("clinics", slope="treated", **clinics)
    data = pd.read_csv(HERE / "fixtures" / "your-clinics.csv")
    data.assign(sex=["f", "m"] * 50).to_csv(tmp_path / "labels.csv", index=False)
    page = run("clinics", slope="sex", file=tmp_path / "labels.csv", **clinics)
    assert page["varying"] == ["sex"]


def test_a_response_of_two_values_and_counts_are_sent_elsewhere():
    clinics = {"cluster": "clinic", "others": ["treated"]}
    with pytest.raises(DataError, match=r"'passed' .* two values \(0, 1\).* glmer"):
        run("clinics", response="passed", **clinics)
    with pytest.raises(DataError, match="'falls' .* counts .* poisson"):
        run("clinics", response="falls", **clinics)


def test_a_sentence_that_does_not_hold_for_the_reader_s_file_says_so(capsys):
    run("clinics", response="pain", cluster="clinic", others=["treated"])
    assert "changed above" not in capsys.readouterr().out
    run("visits", **VISITS | {"slope": "occasion"})
    assert "changed above" not in capsys.readouterr().out


def test_a_column_that_is_not_in_the_file_is_named_with_those_that_are():
    with pytest.raises(DataError, match="no column 'Clinic'; it has clinic, treated, pain"):
        run("clinics", response="pain", cluster="Clinic", others=["treated"])
