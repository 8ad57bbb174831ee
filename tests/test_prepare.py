"""Untidy columns become what they mean, and nothing else changes."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.prepare import (
    date_orders,
    merge_spellings,
    months_since,
    read_file,
    stack_occasions,
    tidy_columns,
    within_between,
)


def tidy(values, **options):
    return tidy_columns(pd.DataFrame({"x": values}), **options)["x"]


def test_codes_are_missing_whatever_their_type():
    for values in ([1.5, -99, 2], [1.5, -99.0, 2], ["1.5", "-99", "2"], ["1,5", " -99", "2 "]):
        np.testing.assert_array_equal(tidy(values, missing=[-99]), [1.5, np.nan, 2])
    np.testing.assert_array_equal(tidy(["7", "k.A.", None], missing=["k.A."]), [7, np.nan, np.nan])


@pytest.mark.parametrize(
    ("values", "day"),
    [
        (["03.04.2024", "05.06.2024"], "2024-04-03"),
        (["2024-04-03", "2024-06-05"], "2024-04-03"),
        (["3/4/2024", "25/6/2024"], "2024-04-03"),
        (["4/3/2024", "6/25/2024"], "2024-04-03"),
        (["4/3/2024", "6/5/2024"], "2024-04-03"),
        (["2024-04-03 10:15", "2024-06-05 08:00"], "2024-04-03"),
    ],
)
def test_dates_are_read_in_the_order_in_which_they_are_written(values, day):
    assert tidy(values).dt.strftime("%Y-%m-%d").iloc[0] == day


def test_what_cannot_be_told_stays_as_it_is():
    for values in (["1", "two", "3"], ["1,500", "2,250"], ["2024-04-03", "soon", "later"]):
        assert tidy(values).tolist() == values
    numbers = pd.DataFrame({"a": [1, 2], "b": [True, False], "c": pd.to_datetime(["2024", "2025"])})
    pd.testing.assert_frame_equal(tidy_columns(numbers), numbers)


def test_all_columns_of_dates_are_read_in_one_order():
    waves = pd.DataFrame({"wave 1": ["3/4/2024", "5/6/2024"], "wave 2": ["3/5/2024", "25/6/2024"]})
    assert tidy_columns(waves)["wave 1"].dt.month.tolist() == [4, 6]
    assert tidy_columns(waves[["wave 1"]])["wave 1"].dt.month.tolist() == [3, 5]
    assert tidy_columns(waves[["wave 1"]], day_first=True)["wave 1"].dt.month.tolist() == [4, 6]
    assert date_orders(waves[["wave 1"]]) == {"wave 1": None}
    iso = waves.assign(iso="2024-12-30", american="6/25/2024")
    assert date_orders(iso) == {"wave 1": None, "wave 2": True, "iso": False, "american": False}
    assert tidy_columns(iso, day_first=True)["iso"].dt.day.tolist() == [30, 30]


def test_files_written_in_another_way_say_how_to_read_them():
    with pytest.raises(ValueError, match='"encoding": "cp1252"'):
        read_file(BytesIO("school,score\nSüd,1".encode("cp1252")))
    for text in ("school;score\nNord;1", "a;b;c\nNord;1,5;2,5\n", "a;b\nNord;1\nSee;1,5\n"):
        with pytest.raises(ValueError, match='reading = {"sep": ";"}'):
            read_file(BytesIO(text.encode()))
    read = read_file(BytesIO("school;score\nSüd;1,5".encode("cp1252")), sep=";", encoding="cp1252")
    assert read.to_numpy().tolist() == [["Süd", "1,5"]]


def test_labels_take_the_most_frequent_spelling():
    labels = pd.Series(["Süd", "Süd", " süd", "SÜD", "Nord  See", "Nord See", "Nord See"])
    assert merge_spellings(labels).tolist() == ["Süd"] * 4 + ["Nord See"] * 3


@given(st.lists(st.text(alphabet="aA bß", max_size=4), min_size=1))
def test_merging_spellings_twice_changes_nothing_more(labels):
    once = merge_spellings(pd.Series(labels, dtype=object))
    assert merge_spellings(once).tolist() == once.tolist()
    assert once.str.casefold().nunique() == once.nunique()


def test_time_starts_with_the_file_or_with_the_cluster():
    dates = pd.Series(pd.to_datetime(["2024-01-01", "2025-01-01", "2025-01-01", "2026-01-01"]))
    assert months_since(dates).round(1).tolist() == [0, 12, 12, 24]
    by = pd.Series(["a", "a", "b", "b"])
    assert months_since(dates, by=by).round(1).tolist() == [0, 12, 0, 12]
    with pytest.raises(TypeError, match="holds no dates"):
        months_since(pd.Series(["2024-01-01"], name="day"))


def test_occasions_side_by_side_become_rows_and_dropout_is_left_out():
    wide = pd.DataFrame(
        {
            "id": ["a", "b"],
            "score_1": [1.0, 4],
            "score_10": [2.0, np.nan],
            "day_1": ["x", "y"],
            "day_10": ["z", None],
        }
    )
    long = stack_occasions(wide, ["score_", "day_"])
    assert long.columns.tolist() == ["id", "occasion", "score", "day"]
    assert long.to_numpy().tolist() == [["a", 1, 1, "x"], ["a", 10, 2, "z"], ["b", 1, 4, "y"]]
    pd.testing.assert_frame_equal(
        stack_occasions(wide.drop(columns=["day_1", "day_10"]), "score_"), long.drop(columns="day")
    )
    with pytest.raises(ValueError, match="0 columns are called 'points'"):
        stack_occasions(wide, ["points"])


def test_within_and_between_add_up_to_the_distance_from_the_mean():
    data = pd.DataFrame({"g": list("aabbb"), "x": [1.0, 2, 5, 6, 10]})
    split = within_between(data, "x", "g")
    np.testing.assert_allclose(split["x_within"] + split["x_between"], data["x"] - data["x"].mean())
    np.testing.assert_allclose(split.groupby("g")["x_within"].sum(), 0, atol=1e-12)
    with pytest.raises(ValueError, match="no column 'h'"):
        within_between(data, "x", "h")
    with pytest.raises(TypeError, match="'g' holds labels .*split = False"):
        within_between(data, "g", "x")


def test_misuse_is_refused():
    with pytest.raises(TypeError, match="DataFrame"):
        tidy_columns([1])
    with pytest.raises(TypeError, match=r"\['k.A.'\]"):
        tidy_columns(pd.DataFrame({"x": ["k.A."]}), missing="k.A.")
