"""Whatever pandas type means a number or a category gives one fit; everything else is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest

from helpers.models.columns import DataError, check_columns, match_values, nearly_known
from helpers.models.fits import fit_by_cluster, fit_mixed, fit_pooled

SLOPES = "y ~ x + (x | g)"


def frame(**change):
    stream = np.random.default_rng(0)
    g, x = np.repeat(np.arange(12), 6), np.tile(np.arange(6), 12)
    lines = stream.normal(size=(12, 2)) * [1, 0.4]
    y = x + lines[g, 0] + lines[g, 1] * x + stream.normal(size=72)
    data = pd.DataFrame({"g": g, "x": x, "y": y, "half": x > 2, "h": g * 10 + x % 3})
    return data.assign(**change)


FIT = fit_mixed(SLOPES, frame())


def assert_same(fit, data, expected=FIT):
    assert fit.criterion == pytest.approx(expected.criterion, abs=1e-4)
    np.testing.assert_allclose(fit.predict().to_numpy(float), expected.predict(), rtol=1e-6)
    np.testing.assert_allclose(fit.predict(data.head(9)), fit.predict().head(9), rtol=1e-9)


@pytest.mark.parametrize(
    "kind", ["Int64", "Float64", "int8", "uint16", "float32", "int64[pyarrow]", "double[pyarrow]"]
)
def test_numbers_of_any_type(kind):
    for column in ("x", "y") if kind in ("Float64", "double[pyarrow]") else ("x",):
        data = frame()
        data[column] = data[column].astype(kind)
        assert_same(fit_mixed(SLOPES, data), data)


@pytest.mark.parametrize(
    "kind",
    ["Int64", "float64", "string", "category", "object", "int64[pyarrow]", "string[pyarrow]"],
)
def test_ids_of_any_type(kind):
    data = frame()
    data["g"] = data["g"].astype(kind)
    # As text the order of clusters is another one.
    assert_same(fit_mixed(SLOPES, data), data)


@pytest.mark.parametrize(
    "kind", ["bool", "boolean", "bool[pyarrow]", "object", "category"], ids=str
)
def test_true_and_false_are_categories_as_in_r(kind):
    data = frame(half=frame()["half"].astype(kind))
    words = frame(half=frame()["half"].map({False: "a", True: "b"}))
    fit = fit_mixed("y ~ half + (half | g)", data)
    assert fit.fixed.index.tolist() == ["Intercept", "halfTrue"]
    assert_same(fit, data, fit_mixed("y ~ half + (half | g)", words))
    both = fit_mixed("y ~ 0 + half + (0 + half | g)", data)
    assert both.fixed.index.tolist() == ["halfFalse", "halfTrue"]


def test_intervals_and_ordered_categories():
    cut = pd.cut(frame()["x"], [-1, 1, 3, 6])
    words = frame(x=cut.map(str).astype(str))
    for column in (cut, cut.astype("interval"), cut.cat.as_ordered()):
        data = frame(x=column)
        fit = fit_mixed("y ~ x + (1 | g)", data)
        assert fit.fixed.index.tolist() == ["Intercept", "x(1, 3]", "x(3, 6]"]
        assert_same(fit, data, fit_mixed("y ~ x + (1 | g)", words))


def test_a_frame_of_nullable_types_altogether():
    assert_same(fit_mixed(SLOPES, frame().convert_dtypes()), frame())
    pooled = fit_pooled("y ~ x + half", frame().convert_dtypes())
    np.testing.assert_allclose(pooled.fixed, fit_pooled("y ~ x + half", frame()).fixed)
    table = fit_by_cluster("y ~ x", frame().convert_dtypes(), "g")
    np.testing.assert_allclose(table["x"], fit_by_cluster("y ~ x", frame(), "g")["x"])


REFUSED = {
    "dates": (pd.date_range("2026-01-01", periods=72), "holds dates.*days"),
    "dates as objects": ([pd.Timestamp("2026-01-01").date()] * 72, "holds dates"),
    "durations": (pd.to_timedelta(np.arange(72), unit="h"), r"durations.*total_seconds\(\)"),
    "periods": (pd.period_range("2020-01", periods=72, freq="M"), "holds periods"),
    "numbers as objects": (np.arange(72).astype(object), "pd.to_numeric"),
    "complex": (np.arange(72) + 1j, "complex"),
    "text and numbers": (
        ["k.A.", *range(71)],
        r"mixes text \(1 of 72 rows, such as 'k.A.'\) and numbers",
    ),
    "percentages": ([f"{number} %" for number in range(72)], "such as '0 %': 72 different ones"),
    "units": ([f"{number} kg" for number in range(36)] * 2, "numbers as text, such as '0 kg'"),
    "amounts": ([f"{number},{number:03} €" for number in range(10, 82)], "would be a category"),
    "text of its own in each row": ([f"note {chr(65 + n)}" for n in range(72)], "72 different"),
    "one word among numbers": ([*map(str, range(71)), "k.A."], "'k.A.' in 1 of 72 rows"),
    "decimal commas": ([f"{number},5" for number in range(72)], "points for commas"),
    "numbers as text": ([f"{number}.5" for number in range(72)], "numbers as text, such as '0.5'"),
    "dates as text": ([f"2026-01-{day:02}" for day in range(1, 25)] * 3, "dates as text"),
    "days first": ([f"{day:02}.01.2026" for day in range(1, 25)] * 3, "dates as text"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_predictors_that_are_refused(values, message):
    for formula in ("y ~ x + (1 | g)", "y ~ 1 + (x | g)"):
        with pytest.raises(DataError, match=message):
            fit_mixed(formula, frame(x=values))


def test_codes_as_text_are_categories():
    data = frame(x=[str(number % 3) for number in range(72)])
    assert fit_mixed("y ~ x + (1 | g)", data).fixed.index.tolist() == ["Intercept", "x1", "x2"]
    data = frame(x=[f"{number % 3}.5" for number in range(72)])
    assert fit_mixed("y ~ C(x) + (1 | g)", data).fixed.index[1] == "C(x)1.5"


@pytest.mark.parametrize("kind", ["bool", "boolean", "bool[pyarrow]", "object", "category"])
def test_a_response_of_true_and_false_is_refused(kind):
    with pytest.raises(DataError, match="true or false.*logistic mixed model"):
        fit_mixed("y ~ x + (1 | g)", frame(y=frame()["half"].astype(kind)))


def test_a_response_of_0_and_1_is_warned_of():
    with pytest.warns(UserWarning, match="0 or 1 in every row"):
        fit_mixed("y ~ x + (1 | g)", frame(y=(frame()["y"] > 3).astype(float)))


def test_a_response_as_text_is_refused():
    with pytest.raises(DataError, match="such as 'k.A.'. Convert"):
        fit_mixed("y ~ x + (1 | g)", frame(y=[*map(str, range(71)), "k.A."]))


def test_other_frames_and_columns_in_the_index():
    polars = pytest.importorskip("polars")
    other = polars.DataFrame(frame().to_dict("list"))
    with pytest.raises(TypeError, match=r"polars DataFrame. Pass data.to_pandas\(\)"):
        fit_mixed(SLOPES, other)
    assert_same(fit_mixed(SLOPES, other.to_pandas()), frame())
    with pytest.raises(DataError, match=r"'g' in its index.*reset_index"):
        fit_mixed(SLOPES, frame().set_index("g"))
    with pytest.raises(DataError, match="no column 'z'.*`my x`"):
        check_columns(frame(**{"my x": 1}), ["z"])
    with pytest.raises(DataError, match="missing values: 1 in 'x'. Drop"):
        check_columns(frame(x=[None, *range(71)]), ["x"])
    with pytest.raises(DataError, match="'x' holds infinite"):
        check_columns(frame(x=np.inf), ["x"])


# ---- new rows --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fitted", [int, float, str, "category", "Int64", "string[pyarrow]"], ids=str
)
@pytest.mark.parametrize(
    "asked", [int, float, str, "category", "Int64", "string[pyarrow]"], ids=str
)
def test_ids_match_whatever_their_type(fitted, asked):
    data = frame(g=frame()["g"].astype(fitted))
    rows = frame(g=frame()["g"].astype(asked))
    prediction = fit_mixed(SLOPES, data).predict(rows)
    np.testing.assert_allclose(prediction, FIT.predict(), rtol=1e-6)


def test_nested_ids_match_whatever_their_type():
    fit = fit_mixed("y ~ x + (1 | g/h)", frame())
    rows = frame(g=frame()["g"].astype(str), h=frame()["h"].astype("category"))
    np.testing.assert_allclose(fit.predict(rows), fit.predict(), rtol=1e-9)


def test_ids_of_another_kind_that_none_matches_are_warned_of():
    with pytest.warns(UserWarning, match="no 'g' of these rows was in the fit.*like '0'"):
        prediction = FIT.predict(frame(g="s" + frame()["g"].astype(str)))
    np.testing.assert_allclose(prediction, FIT.predict(random_effects=False))
    # New clusters of the same kind are what they are.
    FIT.predict(frame(g=frame()["g"] + 100))


def test_levels_of_another_type_match_or_are_refused():
    data = frame(f=np.tile(["1", "2", "3"], 24))
    fit = fit_mixed("y ~ f + (1 | g)", data)
    rows = data.assign(f=data["f"].astype(int))
    np.testing.assert_allclose(fit.predict(rows), fit.predict(), rtol=1e-9)
    with pytest.raises(DataError, match="'f' has the level '7'; the fit knows 1, 2, 3"):
        fit.predict(data.assign(f=7))


def test_values_match_as_numbers_and_as_text():
    known = pd.Index([3, 1, 2])
    assert match_values(pd.Series(["2", "2.5", "3"]), known).tolist() == [2, -1, 0]
    assert match_values(pd.Series([2.0, 2.5]), pd.Index(["2", "a"])).tolist() == [0, -1]


def test_fits_can_be_pickled():
    fit, pooled = fit_mixed(SLOPES, frame()), fit_pooled("y ~ center(x)", frame())
    assert fit.results is not None and pooled.results is not None
    again = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(again.predict(frame()), fit.predict(frame()))
    assert again.results.llf == pytest.approx(fit.results.llf)
    again = pickle.loads(pickle.dumps(pooled))
    np.testing.assert_array_equal(again.predict(frame()), pooled.predict(frame()))


def test_numbers_as_categories_have_levels_too():
    fit = fit_mixed("y ~ C(x) + (1 | g)", frame())
    np.testing.assert_allclose(fit.predict(frame().head(7)), fit.predict().head(7))
    with pytest.raises(DataError, match="'x' has the level '2.5'"):
        fit.predict(frame(x=2.5))


@pytest.mark.parametrize("label", ["schule süd", "Schule Süd ", "Schule Süüd", "Schule  Süd"])
def test_a_label_that_differs_a_little_from_a_known_one_is_found(label):
    known = pd.Index(["Schule Süd", "Schule Nord", "Haus 7"])
    assert nearly_known(pd.Series([label]), known) == {label: "Schule Süd"}


@pytest.mark.parametrize("label", ["Schule Süd", "Haus 8", "Haus 71", "Gymnasium", 7, None])
def test_another_label_is_not_taken_for_a_known_one(label):
    known = pd.Index(["Schule Süd", "Schule Nord", "Haus 7"])
    assert nearly_known(pd.Series([label], dtype=object), known) == {}


def test_a_misspelt_cluster_is_predicted_with_a_warning_a_new_one_without(recwarn):
    fit = fit_mixed(SLOPES, frame(g=frame()["g"].map("Ward {}".format)))
    new = fit.predict(pd.DataFrame({"x": [0.0], "g": ["Ward 99"]}))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="'ward 3 ', not 'Ward 3'"):
        assert fit.predict(pd.DataFrame({"x": [0.0], "g": ["ward 3 "]})).equals(new)


@pytest.mark.parametrize("values", [(0, 1), (1, 2), (-1.5, 3)])
def test_a_response_of_two_values_is_warned_of(values):
    data = frame(y=np.where(frame()["y"] > 3, *values))
    with pytest.warns(UserWarning, match=f"{values[0]:g} or {values[1]:g} .* glmer"):
        fit_mixed("y ~ x + (1 | g)", data)
    with pytest.raises(DataError, match="has two values, '.*', '.*': .*glmer"):
        fit_mixed("y ~ x + (1 | g)", data.assign(y=data["y"].map("grade {}".format)))
