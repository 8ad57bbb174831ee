"""Design matrices: names, codings, what happens to levels, and refusals."""

import numpy as np
import pandas as pd
import pytest

from helpers.models.columns import DataError, check_columns
from helpers.models.design import (
    fixed_design,
    number_clusters,
    plain_names,
    random_design,
)
from helpers.models.formula import parse
from helpers.models.likelihood import Block


@pytest.fixture
def data():
    stream = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": stream.normal(size=24),
            "x": stream.normal(size=24),
            "ses": pd.Categorical(["low", "mid", "high"] * 8, ["low", "mid", "high"], ordered=True),
            "school": np.repeat(["s2", "s1", "s3", "s10"], 6),
            "same": 1.0,
        }
    )


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("y ~ 1", ["Intercept"]),
        ("y ~ x", ["Intercept", "x"]),
        ("y ~ ses", ["Intercept", "sesmid", "seshigh"]),
        ("y ~ 0 + ses", ["seslow", "sesmid", "seshigh"]),
        ("y ~ x * ses", ["Intercept", "x", "sesmid", "seshigh", "x:sesmid", "x:seshigh"]),
        ("y ~ I(x ** 2)", ["Intercept", "I(x ** 2)"]),
    ],
)
def test_names_of_fixed_effects(formula, names, data):
    design = fixed_design(formula, data)
    assert design.names == names
    assert design.matrix.shape == (24, len(names))
    np.testing.assert_array_equal(design.response, data["y"])


def test_categories_are_coded_against_the_first_level(data):
    design = fixed_design("y ~ ses", data)
    np.testing.assert_array_equal(design.matrix[:3], [[1, 0, 0], [1, 1, 0], [1, 0, 1]])
    everything = random_design(parse("y ~ ses + (0 + ses | school)"), data)
    np.testing.assert_array_equal(everything.matrix[:3], np.eye(3))
    assert everything.names == ["seslow", "sesmid", "seshigh"]


@pytest.mark.parametrize(
    ("terms", "names", "blocks"),
    [
        ("(1 | school)", ["Intercept"], [Block(1)]),
        ("(x | school)", ["Intercept", "x"], [Block(2)]),
        ("(ses | school)", ["Intercept", "sesmid", "seshigh"], [Block(3)]),
        ("(0 + ses | school)", ["seslow", "sesmid", "seshigh"], [Block(3)]),
        ("(1 | school) + (0 + x | school)", ["Intercept", "x"], [Block(1), Block(1)]),
        ("(1 | school) + (1 | school:ses)", ["Intercept"], [Block(1), Block(3, identity=True)]),
    ],
)
def test_blocks_of_random_effects(terms, names, blocks, data):
    design = random_design(parse(f"y ~ x + {terms}"), data)
    assert design.names == names
    assert design.blocks == blocks
    assert design.matrix.shape == (24, sum(block.size for block in blocks))


def test_clusters_are_numbered_in_the_order_of_their_labels(data):
    design = random_design(parse("y ~ x + (1 | school)"), data)
    assert design.labels.tolist() == ["s1", "s10", "s2", "s3"]
    assert (design.labels[design.clusters] == data["school"]).all()
    assert design.counts.tolist() == [6, 6, 6, 6]
    assert number_clusters(pd.DataFrame({"g": [10, 9, 10]}), "g")[1].tolist() == [9, 10]


def test_nested_levels_are_numbered_within_their_cluster():
    """In school 1 only b and c occur, in school 2 only a."""
    data = pd.DataFrame(
        {
            "y": [1.0, 2, 4, 3, 5, 7],
            "school": [1, 1, 1, 2, 2, 2],
            "group": ["c", "b", "b", "a", "a", "a"],
        }
    )
    design = random_design(parse("y ~ 1 + (1 | school) + (1 | school:group)"), data)
    assert design.nested_levels.tolist() == [["b", "c"], ["a", None]]
    np.testing.assert_array_equal(
        design.matrix[:, 1:], [[0, 1], [1, 0], [1, 0], [1, 0], [1, 0], [1, 0]]
    )
    new = pd.DataFrame({"school": [2, 2, 9], "group": ["a", "b", "a"]})
    matrix, clusters = design.rows(new)
    assert clusters.tolist() == [1, 1, -1]
    np.testing.assert_array_equal(matrix[:2, 1:], [[1, 0], [0, 0]])


def test_unused_levels_have_no_column(data):
    wider = data.assign(ses=data["ses"].cat.add_categories("top"))
    assert fixed_design("y ~ ses", wider).names[-1] == "seshigh"
    assert wider["ses"].cat.categories.tolist() == ["low", "mid", "high", "top"]


@pytest.mark.parametrize(
    "ses",
    [
        pytest.param(["high", "low"], id="text"),
        pytest.param(pd.Categorical(["high", "low"]), id="other order of levels"),
        pytest.param(pd.Categorical(["high", "low"], ["low", "mid", "high", "top"]), id="more"),
    ],
)
def test_new_rows_are_coded_as_the_old_ones(ses, data):
    rows = fixed_design("y ~ ses", data).rows(pd.DataFrame({"ses": ses}))
    np.testing.assert_array_equal(rows, [[1, 0, 1], [1, 0, 0]])


def test_new_rows_of_an_intercept_alone(data):
    np.testing.assert_array_equal(fixed_design("y ~ 1", data).rows(data.head(2)), [[1], [1]])


def test_plain_names_of_interactions():
    assert plain_names(["C(a)[T.2]:b[x y]", "x"]) == ["C(a)2:bx y", "x"]
    # A column may have brackets of its own.
    assert plain_names(["f_0_", "v_1_[T.b]"], ["day [d]", "arm"]) == ["day [d]", "armb"]


@pytest.mark.parametrize(
    ("formula", "change", "message"),
    [
        ("y ~ same", {}, "'same' is constant in the fixed effects of 'y ~ same'"),
        ("y ~ x + I(2 * x)", {}, r"'I\(2 \* x\)' is redundant"),
        ("y ~ x", {"y": "a"}, "one column of numbers"),
        ("y ~ x", {"y": True}, "true or false: .*logistic"),
        ("y ~ x", {"y": 2.0}, "'y' is constant"),
        ("y + x ~ ses", {}, "one column of numbers"),
        ("y ~ x", {"x": 1.0 + 1e-15 * np.arange(24)}, "'x' is constant"),
        ("y ~ school", {"school": list("abcdefghijklmnopqrstuvwx")}, "24 different values in 24"),
        ("y ~ C(school)", {"school": list("abcdefghijklmnopqrstuvwx")}, "24 observations cannot"),
    ],
)
def test_fixed_designs_that_are_refused(formula, change, message, data):
    with pytest.raises(DataError, match=message):
        fixed_design(formula, data.assign(**change))


def test_functions_that_leave_the_numbers_are_refused(data):
    with np.errstate(all="ignore"):
        with pytest.raises(DataError, match="not finite in every row"):
            fixed_design("y ~ np.log(x)", data)
        with pytest.raises(DataError, match="not finite in every row"):
            fixed_design("y ~ np.log(zero)", data.assign(zero=[0.0, *range(1, 24)]))
        with pytest.raises(DataError, match="not finite in every row"):
            fixed_design("np.log(y) ~ x", data)


@pytest.mark.parametrize(
    ("terms", "change", "message"),
    [
        ("(1 | school)", {"school": "one"}, "1 cluster; random effects need at least two"),
        ("(1 | school)", {"school": range(24)}, "24 observations for 24 random effects"),
        ("(0 + same + x | school)", {"x": 1.0}, "'x' is constant in the random effects"),
        ("(same | school)", {}, "'same' is constant in the random effects"),
        ("(1 | school)", {"school": ["a", 1] * 12}, "holds labels of the kinds int, str"),
        ("(1 | school) + (1 | school:x)", {}, "24 observations for 24 random effects"),
    ],
)
def test_random_designs_that_are_refused(terms, change, message, data):
    with pytest.raises(DataError, match=message):
        random_design(parse(f"y ~ 1 + {terms}"), data.assign(**change))


def test_new_rows_that_are_refused(data):
    design = fixed_design("y ~ x + ses", data)
    new = data.head(2)
    for change, message in [
        ({"ses": "top"}, "do not fit the model.*top"),
        ({"x": "a"}, "'x' held numbers"),
        ({"x": [1.0, None]}, "missing values: 1 in 'x'"),
    ]:
        with pytest.raises(DataError, match=message):
            design.rows(new.assign(**change))
    with pytest.raises(DataError, match="no column 'x'"):
        design.rows(new[["ses"]])


def test_data_must_be_a_frame_with_rows(data):
    with pytest.raises(TypeError, match="pandas DataFrame, not list"):
        check_columns([1, 2], ["y"])
    with pytest.raises(DataError, match="no rows"):
        check_columns(data.head(0), ["y"])
