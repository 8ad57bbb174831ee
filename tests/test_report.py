"""A report's words and numbers are those of the other tables."""

import re

import numpy as np
import pandas as pd
import pytest

from helpers.models.fits import fit_mixed, fit_pooled
from helpers.tables import (
    intraclass_correlation,
    r_squared,
    random_effect_correlations,
    report,
    variance_components,
)


def test_the_paragraph_holds_the_numbers(baseline):
    made = report(baseline)
    shares = r_squared(baseline)["r_squared"]
    icc = intraclass_correlation(baseline)["icc"]
    for words in (
        "y ~ x + (x | cluster)",
        "restricted maximum likelihood",
        "1000 observations in 100 clusters (cluster), 10 in each",
        f"{icc.min():.2f} to {icc.max():.2f}",
        f"{shares[0]:.0%} of the variance",
        f"together for {shares[1]:.0%}",
        f"{baseline.sigma:.4f} (residual)",
        f"x: {baseline.fixed['x']:.4f}",
    ):
        assert words in made.text
    assert made.text in str(made) and made.notes == []
    assert "<table" in made._repr_html_()


def test_the_table_holds_them_all(baseline):
    table = report(baseline).table
    assert table["part"].tolist() == ["fixed effect"] * 2 + ["sd"] * 3 + ["correlation"]
    parts = table.groupby("part")["value"].apply(list)
    assert parts["fixed effect"] == baseline.fixed.tolist()
    assert parts["sd"] == variance_components(baseline)["sd"].tolist()
    assert parts["correlation"] == [random_effect_correlations(baseline).iloc[0, 1]]
    assert table.loc[2:, ["se", "p_value"]].isna().all(axis=None)


def test_fixed_effects_are_tested_as_emmeans_does(table_values, table_data):
    """The effect of a level is its contrast with the first; emmeans has that one."""
    expected = table_values["contrasts"]["none"]
    made = report(fit_mixed("y ~ arm + dose + (1 | cluster)", table_data))
    drug = made.table.set_index("term").loc["armdrug"]
    for ours, theirs, sign in (("value", "value", -1), ("se", "se", 1), ("df", "df", 1)):
        assert drug[ours] == pytest.approx(sign * expected[theirs][0], rel=2e-4)
    assert drug["p_value"] == pytest.approx(expected["p_value"][0], rel=1e-3)
    assert f"t({expected['df'][0]:.1f})" in made.text


def test_what_a_reviewer_asks_is_noted(fit_of):
    assert "singular" in " ".join(report(fit_of("pupils model 1")).notes)
    few = report(fit_of("puzzle")).notes
    assert len(few) == 1 and "only 8 clusters" in few[0]
    with pytest.raises(ValueError, match="Refit with reml=True"):
        report(fit_of("baseline, ML"))


def crossed(**change):
    stream = np.random.default_rng(3)
    at = np.arange(240)
    data = pd.DataFrame({"g": at // 12, "word": [f"word {n}" for n in at % 12], "item": at % 12})
    data["x"], data["count"] = stream.normal(size=240), stream.poisson(30, 240)
    data["y"] = stream.normal(size=20)[data["g"]] + data["x"] + stream.normal(size=240)
    return data.assign(**change)


def test_a_crossed_grouping_that_is_left_out_is_noted():
    notes = report(fit_mixed("y ~ x + (1 | g)", crossed(odd=pd.NaT))).notes
    assert len(notes) == 1 and notes[0].startswith("word, item: crossed with g")
    data = crossed().drop(columns="item")
    assert report(fit_mixed("y ~ x + word + (1 | g)", data)).notes == []


def test_the_unit_of_a_standardized_predictor_is_said():
    fit = fit_mixed("y ~ x + (1 | g)", crossed())
    assert "per standard deviation" not in report(fit).text
    said = report(fit, standardized=pd.Series({"x": 12.5})).text
    assert "Effects are per standard deviation of x (12.50)." in said
    with pytest.raises(ValueError, match="'count' is not a predictor .* these are x"):
        report(fit, standardized={"count": 3.0})


def test_numbers_are_live(baseline):
    """Another response changes every number of the paragraph that it should."""
    one, two = (
        report(fit_mixed("y ~ x + (x | cluster)", baseline.data.assign(y=baseline.data["y"] * k)))
        for k in (1, 100)
    )
    assert one.text != two.text
    np.testing.assert_allclose(two.table["t"][:2], one.table["t"][:2], rtol=1e-4)
    assert re.findall(r"[\d.]+ to [\d.]+, dep", one.text) == re.findall(
        r"[\d.]+ to [\d.]+, dep", two.text
    )


@pytest.mark.parametrize("formula", ["y ~ 1 + (1 | g)", "y ~ n + (1 | g) + (0 + n | g)"])
def test_independent_effects_have_no_correlation(formula):
    stream = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.arange(100) % 20, "n": stream.normal(size=100)})
    data["y"] = stream.normal(size=20)[data["g"]] * (1 + data["n"]) + stream.normal(size=100)
    made = report(fit_mixed(formula, data))
    assert "correlation" not in set(made.table["part"])
    assert ("Fixed effects, with" in made.text) == ("n" in formula.partition("(")[0][4:])


def test_pooled_fits_are_refused(baseline):
    with pytest.raises(TypeError, match="fit_mixed"):
        report(fit_pooled("y ~ x", baseline.data))
