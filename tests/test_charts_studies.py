"""Figures of simulation studies."""

import pytest

from helpers import charts, pooling_study, treatment_study

SIZES = [2, 10, 2, 10]


@pytest.fixture(scope="module")
def treatment():
    return treatment_study(SIZES, [0.1, 0.8], n_datasets=50)


@pytest.fixture(scope="module")
def pooling():
    return pooling_study(n_datasets=20, n_cluster=10)


def rows_of(panel):
    return next(iter(panel["datasets"].values()))


def test_treatment_panels_show_methods_and_their_error_bars(treatment):
    coverage, bias, rmse = (panel.to_dict() for panel in charts.treatment_panels(treatment).charts)
    values = [row for rows in coverage["datasets"].values() for row in rows if "method" in row]
    assert {row["method"] for row in values} == set(treatment["method"])
    assert all(row["lower"] <= row["value"] <= row["upper"] for row in values)
    for panel in (bias, rmse):
        values = [row for rows in panel["datasets"].values() for row in rows if "method" in row]
        assert {row["method"] for row in values} == {"regression", "mixed model, t"}


def test_descriptions_tell_the_numbers(treatment, pooling):
    table = treatment.set_index(["method", "icc"])["coverage"]
    text = charts.treatment_panels(treatment).charts[0].to_dict()["description"]
    assert f"regression from {table['regression', 0.1]:.3f} at 0.1" in text
    text = charts.bias_and_variance(pooling).charts[1].to_dict()["description"]
    partial = pooling.set_index(["effect", "pooling"]).loc[("x", "partial pooling")]
    assert f"partial pooling {partial['squared_bias']:.3f} and {partial['variance']:.3f}" in text


def test_descriptions_round_as_tables_do(treatment):
    text = charts.treatment_panels(treatment.assign(coverage=0.9155)).charts[0].description
    assert "regression from 0.916 at 0.1 to 0.916 at 0.8" in text


def test_bars_are_squared_bias_within_the_whole(pooling):
    panel = charts.bias_and_variance(pooling).charts[0].to_dict()
    for row in rows_of(panel):
        assert row["total"] == pytest.approx(row["squared_bias"] + row["variance"])


def test_an_unknown_method_is_refused(treatment):
    with pytest.raises(ValueError, match="median"):
        charts.treatment_panels(treatment.assign(method="median"))
