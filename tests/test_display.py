"""How tables look: the numbers of a column, p values, signs, rows without names."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tables.display import (
    MOST_DECIMALS,
    column_writer,
    decimals,
    table_html,
    write_number,
    write_p,
)
from tests.browsing import PAGES, SITE

FLOATS = st.floats(-1e6, 1e6, allow_nan=False)


def cells_of(html):
    return re.findall("<td>(.*?)</td>", html)


@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_what_is_written_is_the_number_rounded(values):
    column = pd.Series(values)
    write, digits = column_writer(column), decimals(column.to_numpy())
    assert 0 <= digits <= MOST_DECIMALS
    for value in values:
        text = write(value)
        assert "-" not in text and not re.fullmatch("−0(\\.0*)?", text)
        shown = float(text.replace("−", "-"))
        assert shown == pytest.approx(value, abs=0.5000001 / 10**digits)


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([1.0, 2.0, -3.0], 0),
        ([0.25, 0.5], 2),
        ([0.123, 4.567], 3),
        ([np.pi / 10, np.e / 10], 3),
        ([np.pi, np.e], 2),
        ([2437 / 3, 2446 / 7], 1),
        ([np.pi / 1000, np.e / 1000], 4),
        ([0.0, 0.0], 0),
        ([], 0),
    ],
)
def test_columns_get_the_digits_they_deserve(values, digits):
    assert decimals(np.array(values, dtype=float)) == digits


def test_a_rounded_table_has_the_same_decimals_in_all_columns():
    table = pd.DataFrame({"low": [-3.44597], "high": [0.62051], "n": [10.0], "p": [0.25]}).round(4)
    assert cells_of(table_html(table)) == ["−3.4460", "0.6205", "10", "0.250"]


def test_p_values_below_a_thousandth_are_not_zero():
    table = pd.DataFrame({"term": ["a", "b", "c"], "p": [0.0, 0.00099, 0.5]})
    assert cells_of(table_html(table))[1::2] == ["&lt; 0.001", "&lt; 0.001", "0.500"]
    assert write_p(np.nan) == "–"


def test_rows_that_are_only_counted_have_no_numbers():
    table = pd.DataFrame({"value": [1.5, 2.5]})
    assert "<th></th>" not in table_html(table)
    assert "<th></th>" not in table_html(table.iloc[::-1])
    named = table_html(table.rename_axis("cluster"))
    assert "cluster" in named and "<th>1</th>" in named
    assert "<th>low</th>" in table_html(table.set_axis(["low", "high"]))


def test_what_is_no_number_stays_and_markup_is_text():
    table = pd.DataFrame(
        {"a": ["x-y", "<b>"], "b": [True, False], "c": [1, -2], "d": [np.nan, 1.5]}
    )
    html = table_html(table)
    assert cells_of(html) == ["x-y", "True", "1", "–", "&lt;b&gt;", "False", "−2", "1.5"]
    assert write_number(np.float64(-1e-17), 2, 1e-12) == "0.00"


def test_the_table_keeps_its_numbers():
    table = pd.DataFrame({"value": [np.pi, -np.e], "p": [1e-9, 0.5]})
    before = table.copy()
    table_html(table)
    pd.testing.assert_frame_equal(table, before)


def test_a_long_table_is_shortened():
    assert len(cells_of(table_html(pd.DataFrame({"value": np.arange(1000)})))) < 20


def test_outside_of_a_notebook_nothing_is_set():
    code = "import helpers, pandas as pd; print(pd.DataFrame({'a': [1.23456]})._repr_html_())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "1.23456" in done.stdout


def test_tables_of_the_book_have_no_zero_p_no_hyphen_for_a_minus_and_no_row_numbers():
    tables = []
    for name in PAGES:
        text = (SITE / f"{name}.html").read_text(encoding="utf-8")
        tables += re.findall('<table class="dataframe">.*?</table>', text, re.DOTALL)
    assert len(tables) > 60
    cells = [cell for table in tables for cell in cells_of(table)]
    assert [cell for cell in cells if re.match(r"-\d|.*\de-\d", cell)] == []
    assert any(cell == "&lt; 0.001" for cell in cells)
