"""The numbers of the page *How fast is it?*: ``make bench`` measures and writes them.

Every package fits the same data sets in the same run, on one core.
One that would need too long for all of them fits the first few; both counts are written down.
Seconds are processor time, which a busy machine disturbs less than the clock.
"""

import json
import os
import platform
import time
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from helpers.data.simulate import create_data, treatment_clusters
from tests.benchmarks import peers

RESULTS = Path(__file__).parents[2] / "data" / "how-fast.json"
SLOPES = "y ~ x + (x | cluster)"
TREATMENT = "y ~ treatment + (1 | cluster)"
THREAD_SIZES = [2, 10, 10, 10, 2, 10, 10, 10]

#: Data sets that each package fits, in order; most that it would take minutes to do more.
CASES = {
    "one fit": {
        "fit_many": 1,
        "fit_mixed": 1,
        "mixedlm": 1,
        "mixedlm-rs": 1,
        "statsmodels": 1,
        "statsmodels, lbfgs": 1,
        "lme4, lmer": 1,
    },
    "10,000 data sets, baseline": {
        "fit_many": 10_000,
        "mixedlm, refit": 1_000,
        "mixedlm": 500,
        "mixedlm-rs": 100,
        "statsmodels, lbfgs": 10,
        "statsmodels": 3,
        "lme4, refit": 1_000,
        "lme4, lmer": 500,
    },
    "10,000 data sets, eight clusters": {
        "fit_many": 10_000,
        "mixedlm, refit": 1_000,
        "mixedlm": 500,
        "mixedlm-rs": 100,
        "statsmodels, lbfgs": 20,
        "statsmodels": 20,
        "lme4, refit": 1_000,
        "lme4, lmer": 500,
    },
}
SIZES = (100, 1_000, 10_000, 100_000)
LARGEST = {"statsmodels, lbfgs": 1_000, "mixedlm-rs": 10_000}
for size in SIZES:
    CASES[f"{size:,} clusters"] = {
        method: 1
        for method in (
            "fit_many",
            "fit_mixed",
            "mixedlm",
            "mixedlm-rs",
            "statsmodels, lbfgs",
            "lme4, lmer",
        )
        if method != "statsmodels" and size <= LARGEST.get(method, max(SIZES))
    }
CASES["20,000 clusters of five"] = {"fit_mixed": 1, "mixedlm": 1, "lme4, lmer": 1}
PAIRS = [(case, method) for case, counts in CASES.items() for method in counts]
PYTHON = [pair for pair in PAIRS if pair[1] in peers.PYTHON]
R = [pair for pair in PAIRS if pair[1] in peers.R]


@cache
def data_sets(case):
    """Formula, data frame without response, and responses."""
    stream = np.random.default_rng(20)
    if case.endswith("eight clusters"):
        data = treatment_clusters(THREAD_SIZES, seed=824523)
        data["treatment"] = (data["treatment"] == "intervention").astype(float)
        shape = (len(data), 10_000)
        clusters = data["cluster"].to_numpy() - 1
        effects = stream.normal(0, 1, (8, 10_000))[clusters]
        responses = data[["treatment"]].to_numpy() + effects + stream.normal(size=shape)
        return TREATMENT, data.drop(columns="y"), responses
    if case.endswith("baseline"):
        data = create_data()
        clusters, x = data["cluster"].to_numpy() - 1, data[["x"]].to_numpy()
        intercepts = 1 + stream.normal(0, 0.5, (100, 10_000))[clusters]
        slopes = 0.5 + stream.normal(0, 0.25, (100, 10_000))[clusters]
        noise = stream.normal(size=(len(data), 10_000))
        return SLOPES, data.drop(columns="y"), intercepts + slopes * x + noise
    n_cluster = 100 if case == "one fit" else int(case.split()[0].replace(",", ""))
    data = create_data(n_cluster=n_cluster, obs_per_cluster=5 if case.endswith("five") else 10)
    return SLOPES, data.drop(columns="y"), data[["y"]].to_numpy()


def rounds_of(case, method):
    """How often to repeat: the quicker, the more often; the shortest time counts."""
    if method in peers.R and case == "100,000 clusters":
        return 1
    if (
        case in ("10,000 clusters", "100,000 clusters", "20,000 clusters of five")
        or CASES[case][method] > 1
    ):
        return 2
    return 2 if "statsmodels" in method else 10


@pytest.fixture(scope="session")
def results():
    """Rows of the page's table; written if nothing that runs in Python is missing."""
    rows = []
    yield rows
    if set(PYTHON) <= {(row["case"], row["method"]) for row in rows}:
        RESULTS.write_text(json.dumps({**describe_run(rows), "results": rows}, indent=1) + "\n")


def describe_run(rows):
    lme4 = {row.pop("lme4") for row in rows if "lme4" in row}
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {**peers.versions(), **({"lme4": lme4.pop()} if lme4 else {})},
    }


def processor():
    """Name of the processor, as Linux tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def problem(case, method):
    """Formula, data frame and those of the responses that a method fits."""
    formula, data, responses = data_sets(case)
    return formula, data, responses[:, : CASES[case][method]]


def add_row(results, case, method, seconds, criteria, **more):
    formula, data, responses = problem(case, method)
    best = peers.with_fit_many(formula, data, responses)
    # How far above the optimum the worst of the fits stops.
    excess = float(np.nanmax(np.asarray(criteria) - best))
    counts = {
        "n_datasets": data_sets(case)[2].shape[1],
        "n_timed": responses.shape[1],
        "n_failed": int(np.isnan(criteria).sum()),
    }
    numbers = {"seconds": float(f"{seconds:.4g}"), "excess": float(f"{max(excess, 0):.2g}")}
    results.append({"case": case, "method": method, **counts, **numbers, **more})
    assert excess > -1e-5, "another package found a better optimum"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize(("case", "method"), PYTHON, ids=lambda value: value)
def test_python(case, method, benchmark, results):
    criteria = benchmark.pedantic(
        peers.PYTHON[method], problem(case, method), rounds=rounds_of(case, method)
    )
    add_row(results, case, method, benchmark.stats.stats.min, criteria)


@pytest.mark.skipif(not peers.has_lme4(), reason="R with lme4 is not here")
@pytest.mark.parametrize(("case", "method"), R, ids=lambda value: value)
def test_lme4(case, method, results):
    found = peers.run_lme4(method, *problem(case, method), rounds=rounds_of(case, method))
    add_row(results, case, method, found["seconds"], found["criteria"], lme4=found["version"])


def seconds_for_all(results, case, method):
    """Seconds for all data sets of a case, or None where the method did not run."""
    rows = [row for row in results if (row["case"], row["method"]) == (case, method)]
    return rows[0]["seconds"] * rows[0]["n_datasets"] / rows[0]["n_timed"] if rows else None


@pytest.mark.parametrize(
    ("case", "method", "goal"),
    [
        ("10,000 data sets, baseline", "lme4, refit", 50),
        ("10,000 data sets, baseline", "mixedlm", 20),
        ("10,000 data sets, eight clusters", "lme4, refit", 50),
        ("10,000 data sets, eight clusters", "mixedlm", 20),
        ("100,000 clusters", "lme4, lmer", 5),
    ],
)
def test_goals(results, case, method, goal):
    check_ratio(results, case, method, goal, ours="fit_many")


@pytest.mark.parametrize("method", ["mixedlm", "lme4, lmer"])
@pytest.mark.parametrize(
    "case", ["1,000 clusters", "10,000 clusters", "100,000 clusters", "20,000 clusters of five"]
)
def test_fit_mixed_is_ahead_from_a_thousand_clusters_on(results, case, method):
    check_ratio(results, case, method, 1, ours="fit_mixed")


def test_fit_mixed_takes_a_tenth_of_the_time_of_lme4(results):
    check_ratio(results, "20,000 clusters of five", "lme4, lmer", 10, ours="fit_mixed")


def test_ten_thousand_data_sets_take_a_second(results):
    assert seconds_for_all(results, "10,000 data sets, baseline", "fit_many") <= 1


def check_ratio(results, case, method, goal, *, ours):
    theirs, ours = (seconds_for_all(results, case, name) for name in (method, ours))
    if theirs is None:
        pytest.skip(f"{method} was not timed")
    assert theirs >= goal * ours, f"{theirs:.3g} s against {ours:.3g} s"
