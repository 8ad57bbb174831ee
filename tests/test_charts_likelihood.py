"""Figures of the likelihood, of optimisers and of their speed."""

import pandas as pd
import pytest

from helpers import charts


@pytest.fixture
def surface():
    grid = [(a / 10, b / 10) for a in range(5) for b in range(5)]
    frame = pd.DataFrame(grid, columns=["sd_intercept", "sd_slope"])
    return frame.assign(excess=(frame["sd_intercept"] - 0.2) ** 2 + frame["sd_slope"])


@pytest.fixture
def paths():
    return pd.DataFrame(
        {
            "method": ["default", "default", "lbfgs"],
            "step": [0, 1, 0],
            "sd_intercept": [0.4, 0.1, 0.2],
            "sd_slope": [0.3, 0.2, 0.0],
            "criterion": [12.0, 11.0, 10.0],
        },
        index=[0, 1, 0],  # two tables, joined
    )


def test_the_map_says_where_the_paths_end(surface, paths):
    chart = charts.criterion_surface(surface, paths).to_dict()
    text = chart["description"]
    assert "minimum is near (0.20, 0.00)" in text
    assert "default ends after 2 evaluations at (0.10, 0.20), criterion 11.0" in text


def cells_of(chart):
    return next(rows for rows in chart["datasets"].values() if rows and "band" in rows[0])


def test_cells_of_the_map_touch(surface, paths):
    chart = charts.criterion_surface(surface, paths).to_dict()
    cells = cells_of(chart)
    assert len(cells) == len(surface)
    assert all(cell["right"] - cell["left"] == pytest.approx(0.1) for cell in cells)


def test_each_cell_has_the_band_of_its_excess(surface, paths):
    excess = [0, 0.99, 1, 2.9, 3, 10, 99.9, 100, 5000]
    chart = charts.criterion_surface(surface.head(9).assign(excess=excess), paths).to_dict()
    assert [cell["band"] for cell in cells_of(chart)] == [
        *["below 1"] * 2,
        *["1 to 3"] * 2,
        "3 to 10",
        "10 to 30",
        "30 to 100",
        *["over 100"] * 2,
    ]


def test_there_is_room_for_two_paths(surface, paths):
    more = pd.concat([paths, paths.assign(method="bfgs")])
    with pytest.raises(ValueError, match="room for two"):
        charts.criterion_surface(surface, more)


def test_speed_is_told_in_words():
    speed = pd.DataFrame({"method": ["slow", "quick", "middle"], "seconds": [12_000, 0.0123, 4.5]})
    text = charts.speed_bars(speed, title="a task").to_dict()["description"]
    assert text.endswith("quick 12.3 ms; middle 4.5 s; slow 200 min.")


def test_curves_tell_the_largest_size():
    speed = pd.DataFrame({"method": ["one", "one"], "clusters": [100, 1000], "seconds": [0.1, 1.0]})
    text = charts.speed_curves(speed).to_dict()["description"]
    assert text.endswith("one 1 s at 1,000.")
