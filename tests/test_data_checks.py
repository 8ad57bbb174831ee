"""What check_data finds in messy frames, and that it leaves tidy ones alone."""

import numpy as np
import pandas as pd
import pytest

from helpers.data.datasets import load_pupils, load_sleepstudy
from helpers.data.simulate import create_data
from helpers.models.formula import FormulaError
from helpers.tables import check_data

N = 120


def tidy(**change):
    stream = np.random.default_rng(4)
    data = pd.DataFrame(
        {
            "y": stream.normal(50, 10, N).round(2),
            "x": stream.uniform(0, 9, N).round(2),
            "g": [f"School {row % 20}" for row in range(N)],
        }
    )
    return data.assign(**change)


def first(name, rows, value):
    """Column with its first rows replaced."""
    return tidy()[name].where(tidy().index >= rows, value)


MESSES = {
    "one text among numbers": (
        "x",
        tidy()["x"].astype(str).where(tidy().index > 0, "k.A."),
        "numbers read as text",
        1,
        "k.A.",
    ),
    "numbers as text": ("x", tidy()["x"].astype(str), "numbers read as text", N, "pd.to_numeric"),
    "numbers as categories": (
        "x",
        tidy()["x"].astype(str).astype("category"),
        "numbers read as text",
        N,
        "pd.to_numeric",
    ),
    "decimal commas": (
        "x",
        tidy()["x"].map("{:.2f}".format).str.replace(".", ","),
        "numbers with decimal commas",
        N,
        "decimal=",
    ),
    "German dates": (
        "x",
        pd.date_range("2024-01-01", periods=N).strftime("%d.%m.%Y").to_series(range(N)),
        "dates read as text",
        N,
        "to_datetime",
    ),
    "ISO times": (
        "x",
        pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d %H:%M").to_series(range(N)),
        "dates read as text",
        N,
        "to_datetime",
    ),
    "case": ("g", first("g", 1, "school 0"), "labels alike", 2, "School 0"),
    "a trailing space": (
        "g",
        tidy()["g"].where(tidy().index > 0, "School 0 "),
        "labels alike",
        2,
        "strip",
    ),
    "two spaces": (
        "g",
        tidy()["g"].where(tidy().index > 0, "School  0"),
        "labels alike",
        2,
        "School 0",
    ),
    "-99": ("y", first("y", 2, -99.0), "a code for missing", 2, "-99"),
    "-9 below zero": (
        "x",
        tidy()["x"].where(tidy().index > 0, -9.0),
        "a code for missing",
        1,
        "-9",
    ),
    "999": ("y", first("y", 3, 999.0), "a code for missing", 3, "999"),
    "99 among ages": (
        "x",
        pd.Series(np.arange(N) % 60 + 18).where(tidy().index > 0, 99),
        "a code for missing",
        1,
        "99",
    ),
    "infinite": ("x", first("x", 1, np.inf), "infinite values", 1, "inf"),
    "constant": ("x", pd.Series(3.0, range(N)), "same value", N, "3.0"),
    "missing": ("x", tidy()["x"].where(tidy().index > 3), "missing values", 4, "row 0"),
    "singletons": ("g", first("g", 1, "alone"), "single row", 1, "'alone'"),
    "few clusters": (
        "g",
        tidy()["g"].str[-1].isin(list("01")).map(str),
        "few clusters",
        2,
        "Kenward",
    ),
}


@pytest.mark.parametrize("name", MESSES)
def test_a_mess_is_named_with_its_count(name):
    column, values, problem, count, word = MESSES[name]
    table = check_data(["y", "x"], tidy(**{column: values}), cluster="g")
    found = table[(table["column"] == column) & table["problem"].str.contains(problem)]
    assert found["count"].tolist() == [count]
    assert word in found[["example", "remedy"]].iloc[0].str.cat(sep=" ")


@pytest.mark.parametrize(
    ("formula", "data"),
    [
        ("y ~ x + (x | g)", tidy()),
        ("y ~ x + (x | cluster)", create_data()),
        ("achievement ~ ses + (1 | primary_school_id)", load_pupils()),
        ("Reaction ~ Days + (Days | Subject)", load_sleepstudy()),
        ("y ~ x + (1 | g)", tidy(x=np.arange(N) % 100)),
        ("y ~ x + (1 | g)", tidy(x=-np.arange(N) * 0.1)),
    ],
)
def test_tidy_data_have_no_findings(formula, data):
    assert check_data(formula, data).empty


def test_thousands_points_and_ambiguous_dates_are_named():
    money = ["2.789,86", "845,10", "1.200.000,5"] * (N // 3)
    found = check_data(["x"], tidy(x=money, **{"day 1": "3/4/2024"})).set_index("problem")
    row = found.loc["thousands points with decimal commas"]
    assert (row["count"], row["example"]) == (2 * N // 3, "'2.789,86'")
    assert row["remedy"] == 'read_csv(..., decimal=",", thousands=".")'
    row = found.loc["dates: day or month first?"]
    assert (row["column"], row["count"]) == ("day 1", N)
    clear = check_data(["x"], tidy(**{"day 1": "3/4/2024", "day 2": "3/14/2024"}))
    assert "dates: day or month first?" not in set(clear["problem"])


def test_what_dropping_costs_is_said():
    data = tidy(x=tidy()["x"].where(tidy().index > 2), y=tidy()["y"].where(tidy().index < 117))
    row = check_data("y ~ x + (1 | g)", data).query("problem.str.contains('rows lost')").iloc[0]
    assert (row["count"], row["example"]) == (6, "5% of 120 rows")


def test_absent_columns_are_looked_for():
    table = check_data(["yy", "g"], tidy().set_index("g")).set_index("column")
    assert table.loc["yy", "remedy"] == "did you mean 'y'?"
    assert table.loc["g", "remedy"] == "data.reset_index()"


def test_shapes_of_the_frame_are_named():
    stream = np.random.default_rng(1)
    wide = tidy(**{f"score_{month}": stream.normal(size=N) for month in (1, 6, 12)})
    found = check_data(["y"], pd.concat([wide, wide.head(2)])).set_index("problem")
    assert found.loc["wide format: one column per occasion?", "count"] == 3
    assert found.loc["rows that repeat another in every column", "count"] == 2
    binary = check_data("z ~ x + (1 | g)", tidy(z=np.arange(N) % 3 // 2))
    assert binary["problem"].tolist() == ["a response with two values"]
    assert "logistic" in binary["remedy"].iloc[0]


def test_misuse_is_refused():
    with pytest.raises(TypeError, match="not list"):
        check_data("y ~ x + (1 | g)", [1])
    with pytest.raises(TypeError, match="a formula or a list"):
        check_data(3, tidy())
    with pytest.raises(FormulaError, match="needs a response"):
        check_data("y", tidy())
