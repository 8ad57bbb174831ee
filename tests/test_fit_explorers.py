"""Explorers of any fit: whatever columns are called, however unequal the clusters are."""

import numpy as np
import pandas as pd
import pytest

from helpers import (
    DataError,
    cluster_curves,
    explore_fit,
    explore_predictions,
    explore_what_if,
    fit_by_cluster,
    fit_mixed,
    fit_pooled,
    load_pupils,
    load_sleepstudy,
    what_if_study,
)
from helpers.controls.fit_explorers import predictions_of


def wards(**change):
    stream = np.random.default_rng(6)
    n = np.array([1, 2, 3, 5, 8, 12, 15, 20, 25])
    ward = np.repeat([f"Ward {at}" for at in range(9)], n)
    at = np.repeat(np.arange(9), n)
    data = pd.DataFrame({"ward [no.]": ward, "day.of stay": stream.uniform(0, 9, n.sum())})
    data["drug"] = stream.choice(["none", "some"], n.sum())
    slope, level = stream.normal(0.5, 0.3, 9)[at], stream.normal(0, 1, 9)[at]
    data["pain"] = level + slope * data["day.of stay"] + (data["drug"] == "some")
    data["pain"] += stream.normal(size=n.sum())
    return data.assign(**change)


FORMULAS = {
    "slopes": "pain ~ `day.of stay` + drug + (1 + `day.of stay` | `ward [no.]`)",
    "level alone": "pain ~ `day.of stay` + (1 | `ward [no.]`)",
    "no number": "pain ~ drug + (1 | `ward [no.]`)",
    "scaled": "pain ~ scale(`day.of stay`) * drug + (scale(`day.of stay`) || `ward [no.]`)",
    "curved": "pain ~ poly(`day.of stay`, 2) + (1 | `ward [no.]`)",
    "of a factor": "pain ~ drug + (0 + drug | `ward [no.]`)",
}
FITS = {name: fit_mixed(formula, wards()) for name, formula in FORMULAS.items()}


def rows_of(explorer, chart=0):
    return pd.DataFrame(explorer.first_state[chart]["data"]["values"])


@pytest.mark.parametrize("name", FITS)
def test_any_fit_has_its_lines_and_paths(name):
    explorer = explore_fit(FITS[name])
    assert list(explorer.controls) == ["cluster", "pull"]
    assert list(explorer.controls["cluster"].options) == [f"Ward {at}" for at in range(9)]
    rows = rows_of(explorer)
    lines = name not in ("no number", "of a factor")
    assert len(explorer.first_state) == 1 + lines
    assert (rows["kind"] == "observation").sum() == lines * 91
    assert (rows["kind"] == "path").sum() == 9


def test_lines_are_those_of_the_poolings():
    """Without other predictors, all lines are known from elsewhere."""
    data = wards()
    fit = fit_mixed("pain ~ `day.of stay` + (1 + `day.of stay` | `ward [no.]`)", data)
    at = np.array([0.0, 4, 9])
    curves = cluster_curves(fit, "day.of stay", at).pivot(
        index=["pooling", "cluster"], columns="at", values="prediction"
    )
    pooled = fit_pooled("pain ~ `day.of stay`", data).fixed
    for label in ("Ward 2", "Ward 8"):
        new = pd.DataFrame({"day.of stay": at, "ward [no.]": label})
        np.testing.assert_allclose(curves.loc["partial pooling", label], fit.predict(new))
        expected = pooled.iloc[0] + pooled.iloc[1] * at
        np.testing.assert_allclose(curves.loc["complete pooling", label], expected)
    own = fit_by_cluster("pain ~ `day.of stay`", data, "ward [no.]").set_index("ward [no.]")
    expected = own.loc["Ward 8", "Intercept"] + own.loc["Ward 8", "day.of stay"] * at
    np.testing.assert_allclose(curves.loc["no pooling", "Ward 8"], expected)
    assert curves.loc["no pooling", "Ward 0"].isna().all()


def test_observations_keep_their_residual_from_the_mixed_line():
    fit, rows = FITS["slopes"], rows_of(explore_fit(FITS["slopes"]))
    seen = rows[rows["kind"] == "observation"]
    mixed = rows[(rows["kind"] == "partial pooling") & (rows["number"] == 8)]
    own = seen[seen["number"] == 8]
    gap = own["y"] - np.interp(own["x"], mixed["x"], mixed["y"])
    kept = fit.residuals(scaled=False)[fit.data["ward [no.]"] == "Ward 8"]
    np.testing.assert_allclose(gap, kept, atol=2e-3)


def test_axes_have_the_reader_s_names_and_what_is_missing_is_said():
    lines, paths = explore_fit(FITS["slopes"]).first_state
    titles = [lines["layer"][0]["encoding"][axis]["title"] for axis in "xy"]
    assert titles == ["day.of stay", "pain (other predictors held)"]
    assert paths["title"]["text"][0] == "9 clusters"
    assert paths["title"]["text"][-1] == "1 without an own estimate"
    assert "effect of day.of stay" in paths["description"]
    words = rows_of(explore_fit(FITS["slopes"])).query("kind == 'path'")["words"]
    assert words.str.contains("own none").tolist() == [True] + [False] * 8


def test_of_many_clusters_the_largest_are_offered():
    stream = np.random.default_rng(2)
    label = np.repeat(np.arange(300), np.where(np.arange(300) % 3, 4, 2))
    data = pd.DataFrame({"g": label, "x": stream.normal(size=len(label))})
    data["y"] = stream.normal(size=300)[label] + data["x"] + stream.normal(size=len(label))
    explorer = explore_fit(fit_mixed("y ~ x + (1 | g)", data))
    offered = list(explorer.controls["cluster"].options)
    assert len(offered) == 200 and all(at % 3 for at in offered)
    rows = rows_of(explorer).query("kind == 'observation'")
    last = data[data["g"] == offered[-1]]["x"]
    np.testing.assert_allclose(rows[rows["number"] == 199]["x"], last, atol=1e-3)


@pytest.mark.parametrize("interval", ["mean", "cluster", "observation"])
def test_predictions_are_the_fit_s(interval):
    fit = FITS["slopes"]
    view = predictions_of(fit, "day.of stay")
    for label, known in (("Ward 8", True), ("a new one", False)):
        frame = view(label, interval).query("kind == 'curve'")
        own = fit.data[fit.data["ward [no.]"] == label] if known else fit.data
        new = pd.DataFrame({"day.of stay": frame["x"], "drug": own["drug"].mode()[0]})
        new["ward [no.]"] = label if known else "nobody's"
        expected = fit.predict(new, interval=interval)
        np.testing.assert_allclose(frame["upper"], expected["upper"])
        np.testing.assert_allclose(frame["prediction"], expected["prediction"])


def test_columns_that_the_model_does_not_use_may_be_empty():
    note = pd.Series("fine", wards().index).where(wards()["ward [no.]"] != "Ward 8")
    day = pd.to_datetime(pd.Series("2024-01-01", wards().index)).where(note.notna())
    data = wards(note=note, day=day, empty=None)
    frame = rows_of(explore_predictions(fit_mixed(FORMULAS["slopes"], data)))
    plain = rows_of(explore_predictions(fit_mixed(FORMULAS["slopes"], wards())))
    pd.testing.assert_frame_equal(frame, plain)


def test_what_if_starts_with_today():
    fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    study = what_if_study(fit, clusters=[1, 2], rows=[1, 3], n_datasets=50)
    explorer = explore_what_if(study)
    assert explorer.values == {"clusters": 1, "rows": 1}
    rows = rows_of(explorer).set_index("parameter")
    now = study.query("clusters == 1 and rows == 1").set_index("parameter")
    expected = (now["upper"] - now["truth"]) / now["spread"]
    np.testing.assert_allclose(rows["upper"], expected[rows.index], atol=1e-3)


def test_misuse_is_refused():
    nested = fit_mixed("achievement ~ 1 + (1 | primary_school_id/ses)", load_pupils())
    with pytest.raises(DataError, match="nested term"):
        explore_fit(nested)
    for explorer in (explore_fit, explore_predictions):
        with pytest.raises(TypeError, match="fit_mixed"):
            explorer(wards())
        with pytest.raises(DataError, match="'drug' is not a number"):
            explorer(FITS["slopes"], predictor="drug")
    with pytest.raises(DataError, match="no predictor .* is a number"):
        explore_predictions(FITS["no number"])
    with pytest.raises(DataError, match="'age' is not a predictor"):
        cluster_curves(FITS["slopes"], "age", [0])
