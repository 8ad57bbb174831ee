"""What columns are to the clusters, and which responses are sent elsewhere."""

import numpy as np
import pandas as pd
import pytest

from helpers import DataError, check_response, check_roles, describe_design

STREAM = np.random.default_rng(8)
DATA = pd.DataFrame(
    {
        "school": np.repeat([f"s{at}" for at in range(12)], 12),
        "class": np.repeat(np.arange(48), 3),
        "pupil": np.arange(144),
        "word": np.tile([f"w{at}" for at in range(12)], 12),
        "item": np.tile(np.arange(12), 12),
        "arm": np.repeat(["a", "b"] * 6, 12),
        "sex": STREAM.choice(["f", "m"], 144),
        "hours": STREAM.normal(size=144),
        "tested": pd.date_range("2024-01-01", periods=144),
        "year": 2024,
        "funds": np.repeat(STREAM.normal(size=12), 12),
    }
)
ROLES = {
    "class": "nested",
    "pupil": "one per row",
    "word": "crossed",
    "item": "within or crossed",
    "arm": "cluster-level",
    "sex": "within",
    "hours": "within",
    "tested": "within",
    "year": "constant",
    "funds": "cluster-level",
}


@pytest.mark.parametrize("shuffled", [False, True])
def test_every_column_has_its_role(shuffled):
    data = DATA.sample(frac=1, random_state=1) if shuffled else DATA
    table = describe_design(data, "school").set_index("column")
    assert table["role"].to_dict() == ROLES
    assert table.loc["funds", "between"] == pytest.approx(1)
    # The dates rise with the schools: hardly any of their variance lies within.
    assert table.loc["hours", "between"] < 0.3 and table.loc["tested", "between"] > 0.95
    means = DATA.groupby("school")["hours"].transform("mean")
    assert table.loc["hours", "between"] == pytest.approx(means.var() / DATA["hours"].var())


def test_missing_values_are_left_out():
    data = DATA.assign(arm=DATA["arm"].where(DATA["pupil"] > 20))
    assert describe_design(data, "school").set_index("column").loc["arm", "role"] == "cluster-level"
    with pytest.raises(DataError, match="no column 'shcool'"):
        describe_design(data, "shcool")


def test_roles_that_do_not_fit_the_model_are_named():
    design = describe_design(DATA, "school")
    with pytest.raises(DataError, match="'arm' is cluster-level.*put it in `others`"):
        check_roles(design, slope="arm")
    with pytest.raises(DataError, match="'year' is constant.*leave it out"):
        check_roles(design, slope="year")
    with pytest.raises(DataError, match="no column 'hour' beside the cluster; it has class"):
        check_roles(design, slope="hour")
    told = check_roles(design, slope="hours", used=["hours", "class"])
    assert [words.split()[0] for words in told] == ["word", "item"]
    assert check_roles(design, used=["word", "item", "class"]) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 1, 1, None], r"two values \(0.0, 1.0\).*binomial"),
        ([True, False], r"two values \(False, True\).*binomial"),
        (["yes", "no"], r"two values \('no', 'yes'\).*binomial"),
        ([0, 3, 1, 0, 2], r"counts \(0, 1, 2, …\).*poisson"),
        (["agree", "so-so", "disagree"], r"labels .*clmm"),
    ],
)
def test_a_response_for_another_model_is_sent_there(values, words):
    with pytest.raises(DataError, match=f"'y' is a response (of|with) {words}"):
        check_response(pd.Series(values, name="y"))


@pytest.mark.parametrize("values", [[1.5, 2, 3], [0, 40, 100], [1, 2, 3, 4, 5], [-1, 0, 2]])
def test_a_measure_passes(values):
    check_response(pd.Series(values, name="y"))
