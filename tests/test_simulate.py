"""Simulated data against R (tests/reference/make_simulated_data.R) and the sources' numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helpers.data.simulate import (
    GPA_SETTINGS,
    SCENARIOS,
    create_data,
    gpa_setting,
    treatment_clusters,
    true_coefficients,
)

REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "simulated_data.json").read_text(encoding="utf-8")
)
CASES = list(REFERENCE["scenarios"].values()) + REFERENCE["others"]
# Cross Validated question (Nov 2023), seed 824523: the asker's table of observed cluster means.
PUZZLE_SIZES = [2, 10, 10, 10, 2, 10, 10, 10]
PUZZLE_MEANS = [
    -1.6627715, 1.6791197, 3.9517399, -0.2108414, -1.8870846, 6.8700476, 3.5376612, 4.5378946,
]  # fmt: skip


def close(value, expected):
    """Assert equality to 1e-12, relative to the size of what is expected."""
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["arguments"]))
def test_data_are_r_s_row_for_row(case):
    data = create_data(**case["arguments"])
    assert len(data) == case["n"]
    rows = data.iloc[np.array(case["row"]) - 1]
    close(rows["y"], case["y"])
    close(rows["x"], case["x"])
    assert rows["cluster"].tolist() == case["cluster"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["arguments"]))
def test_sums_over_the_rows_are_r_s(case):
    data = create_data(**case["arguments"])
    position = np.arange(1, len(data) + 1)
    close((data["y"] ** 2).sum(), case["sum_y2"])
    close((data["x"] ** 2).sum(), case["sum_x2"])
    # Sums of values of either sign cancel: their error follows the sum of sizes, here about n.
    for name in ("y", "x"):
        weighted = (data[name] * position).sum() / len(data)
        assert abs(weighted - case[f"weighted_{name}"]) <= 1e-12 * (1 + data[name].abs().sum())
    assert int(data["cluster"] @ position) == case["weighted_cluster"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["arguments"]))
def test_true_coefficients_are_r_s(case):
    truth = true_coefficients(**case["arguments"])
    values = truth[["Intercept", "x"]].to_numpy()
    close(values[0], case["truth_first"])
    close(values[-1], case["truth_last"])
    close(values.sum(axis=0), case["truth_sums"])


def test_scenarios_are_those_of_the_source():
    assert list(SCENARIOS) == list(REFERENCE["scenarios"])
    assert all(
        SCENARIOS[name] == case["arguments"] for name, case in REFERENCE["scenarios"].items()
    )


def test_without_noise_y_follows_from_the_true_coefficients():
    arguments = {"sigma": 0, "cor": 0.1, "balanced": 0.7, "seed": 4}
    data = create_data(**arguments)
    truth = true_coefficients(**arguments).set_index("cluster").loc[data["cluster"]]
    close(data["y"], truth["Intercept"].to_numpy() + truth["x"].to_numpy() * data["x"].to_numpy())


def test_columns_and_types():
    data, truth = create_data(balanced=0.5), true_coefficients(balanced=0.001)
    assert list(data) == ["y", "x", "cluster"] and data["cluster"].dtype == np.int64
    assert data.index.equals(pd.RangeIndex(500))
    assert list(truth) == ["cluster", "Intercept", "x"] and len(truth) == 100


@settings(max_examples=40)
@given(
    obs=st.integers(1, 12),
    n_cluster=st.integers(1, 12),
    balanced=st.floats(0.5, 1),
    seed=st.integers(-(2**31) + 1, 2**31 - 1),
)
def test_any_design_keeps_its_counts(obs, n_cluster, balanced, seed):
    assume(round(obs * n_cluster * balanced) > 0)
    data = create_data(obs, n_cluster, balanced=balanced, seed=seed)
    assert len(data) == round(obs * n_cluster * balanced)
    assert data["cluster"].value_counts().max() <= obs
    assert data["cluster"].between(1, n_cluster).all()
    assert data["x"].is_unique


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1))
def test_thinning_takes_the_first_rows_of_the_full_shuffle(seed):
    full, half = create_data(5, 6, seed=seed), create_data(5, 6, balanced=0.5, seed=seed)
    pd.testing.assert_frame_equal(full.head(15), half)


@pytest.mark.parametrize("case", REFERENCE["treatments"], ids=lambda case: str(case["arguments"]))
def test_treatment_data_are_r_s(case):
    data = treatment_clusters(**case["arguments"])
    close(data["y"].iloc[[0, 1, 2, -1]], case["y"])
    close((data["y"] ** 2).sum(), case["sum_y2"])
    close(data.groupby("cluster")["y"].mean(), case["cluster_means"])


def test_puzzle_has_the_published_cluster_means():
    data = treatment_clusters(PUZZLE_SIZES, 824523)
    assert data.groupby("cluster")["y"].mean().round(7).tolist() == PUZZLE_MEANS


def test_treatment_columns():
    data = treatment_clusters(iter([1, 2, 3, 4]), 1)
    assert list(data) == ["y", "treatment", "cluster"]
    assert data["treatment"].cat.categories.tolist() == ["control", "intervention"]
    assert data["cluster"].tolist() == [1] + [2] * 2 + [3] * 3 + [4] * 4
    assert data["treatment"].tolist() == ["control"] * 3 + ["intervention"] * 7


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6), effect=st.floats(-9, 9))
def test_the_effect_moves_the_second_half_only(sizes, effect):
    sizes = sizes + sizes
    moved = treatment_clusters(sizes, 1, effect=effect)["y"]
    moved -= treatment_clusters(sizes, 1, effect=0)["y"]
    n = len(moved) // 2
    np.testing.assert_allclose(moved, [0.0] * n + [effect] * n, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "n_occasions"),
    [("as is", 6), ("many occasions", 20), ("strong clusters", 6), ("4 occasions", 4)],
)
def test_balanced_gpa_settings(name, n_occasions):
    data = gpa_setting(name)
    assert list(data) == ["student", "occasion", "gpa"]
    assert data["student"].tolist() == np.repeat(np.arange(1, 201), n_occasions).tolist()
    assert data["occasion"].tolist() == list(range(n_occasions)) * 200


def test_dropout_leaves_about_the_original_number_of_rows():
    data = gpa_setting("10 occasions with dropout")
    sizes = data.groupby("student").size()
    assert 1100 <= len(data) <= 1300
    assert len(sizes) == 200 and sizes.min() == 2 and sizes.max() == 10
    occasions = data.groupby("student")["occasion"]
    assert (occasions.min() == 0).all() and (occasions.max() == sizes - 1).all()


def student_lines(data):
    """Least-squares intercepts and slopes, one row per student of a balanced design."""
    grades = data.pivot(index="occasion", columns="student", values="gpa")
    design = np.column_stack([np.ones(len(grades)), grades.index])
    coefficients = np.linalg.lstsq(design, grades, rcond=None)[0]
    residual = grades.to_numpy() - design @ coefficients
    return coefficients, np.sqrt((residual**2).sum() / (residual.size - coefficients.size))


@pytest.mark.parametrize(
    ("name", "sds", "sigma"),
    [("many occasions", [0.213, 0.067], 0.206), ("strong clusters", [0.426, 0.134], 0.103)],
)
def test_gpa_parameters_come_back(name, sds, sigma):
    """Within four standard errors of the parameters of the published fit, 200 students."""
    data = gpa_setting(name)
    lines, residual_sd = student_lines(data)
    occasion = np.sort(data["occasion"].unique())
    design = np.column_stack([np.ones(len(occasion)), occasion])
    covariance = np.array([[1, -0.1], [-0.1, 1]]) * np.outer(sds, sds)
    covariance += sigma**2 * np.linalg.inv(design.T @ design)
    variance = covariance.diagonal()
    assert (np.abs(lines.mean(axis=1) - [2.599, 0.106]) <= 4 * np.sqrt(variance / 200)).all()
    assert (np.abs(lines.var(axis=1) / variance - 1) <= 4 * np.sqrt(2 / 200)).all()
    assert residual_sd == pytest.approx(sigma, rel=4 / np.sqrt(2 * (len(data) - 400)))


@pytest.mark.parametrize("name", GPA_SETTINGS)
def test_gpa_settings_depend_on_the_seed_alone(name):
    pd.testing.assert_frame_equal(gpa_setting(name), gpa_setting(name, seed=888))
    assert not gpa_setting(name, seed=1)["gpa"].head(800).equals(gpa_setting(name)["gpa"].head(800))


BAD_CREATE_DATA = [
    ({"balanced": 1.2}, ValueError, r"balanced is 1\.2; .* at least 0 and at most 1"),
    ({"balanced": -0.1}, ValueError, r"balanced is -0\.1"),
    ({"balanced": float("nan")}, ValueError, "balanced is nan"),
    ({"balanced": "all"}, TypeError, "balanced is 'all', a str"),
    ({"n_cluster": 0}, ValueError, "n_cluster is 0; it must be an integer from 1"),
    ({"n_cluster": 2.5}, TypeError, r"n_cluster is 2\.5, a float"),
    ({"obs_per_cluster": -1}, ValueError, "obs_per_cluster is -1"),
    ({"obs_per_cluster": True}, TypeError, "obs_per_cluster is True"),
    ({"intercept": None}, TypeError, "intercept is None"),
    ({"beta": float("inf")}, ValueError, "beta is inf; it must be a finite number"),
    ({"sigma": -1}, ValueError, "sigma is -1; .* at least 0"),
    ({"sd_int": -0.5}, ValueError, r"sd_int is -0\.5"),
    ({"sd_slope": -0.5}, ValueError, r"sd_slope is -0\.5"),
    ({"cor": 0.2}, ValueError, r"cor is 0\.2, but it is a covariance: .* -0\.125 to 0\.125"),
    ({"cor": -0.1, "sd_int": 0}, ValueError, "not positive semi-definite"),
    ({"cor": "0"}, TypeError, "cor is '0'"),
    ({"seed": 1.5}, TypeError, r"seed is 1\.5, a float; it must be an integer"),
    ({"seed": 2**31}, ValueError, "seed is 2147483648"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_CREATE_DATA)
def test_bad_arguments_are_refused(arguments, error, message):
    for function in (create_data, true_coefficients):
        with pytest.raises(error, match=message):
            function(**arguments)


@pytest.mark.parametrize("balanced", [0, 0.0004])
def test_no_row_left_is_refused(balanced):
    with pytest.raises(ValueError, match=r"keeps none of the 1000 rows; .* Choose a larger share"):
        create_data(balanced=balanced)


def test_a_correlation_of_exactly_one_is_accepted():
    truth = true_coefficients(sd_int=0.3, sd_slope=0.1, cor=0.3 * 0.1)
    assert np.corrcoef(truth["Intercept"], truth["x"])[0, 1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: treatment_clusters([2, 10, 10], 1), ValueError, "3 clusters; .* must be even"),
        (lambda: treatment_clusters([], 1), ValueError, "sizes has 0 clusters"),
        (lambda: treatment_clusters([2, 0], 1), ValueError, "each of sizes is 0"),
        (lambda: treatment_clusters([2, 1.5], 1), TypeError, r"each of sizes is 1\.5"),
        (lambda: treatment_clusters(10, 1), TypeError, "sizes is 10; it must be a list"),
        (lambda: treatment_clusters("22", 1), TypeError, "sizes is '22'"),
        (lambda: treatment_clusters([2, 2], 1.0), TypeError, r"seed is 1\.0"),
        (lambda: treatment_clusters([2, 2], 1, sigma=-1), ValueError, "sigma is -1"),
        (lambda: treatment_clusters([2, 2], 1, sd_cluster=-1), ValueError, "sd_cluster is -1"),
        (lambda: treatment_clusters([2, 2], 1, effect="5"), TypeError, "effect is '5'"),
        (lambda: gpa_setting("5 occasions"), ValueError, "the settings are as is, many occasions"),
        (lambda: gpa_setting("as is", seed=0.5), TypeError, r"seed is 0\.5"),
    ],
)
def test_bad_treatments_and_settings_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
