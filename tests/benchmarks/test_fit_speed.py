"""Speed on the baseline data, side by side in one run: ``python -m pytest tests/benchmarks``.

The comparisons take turns within one test, so that a busy machine slows both sides alike.
"""

import time
import warnings

import numpy as np
import pytest
import statsmodels.formula.api as smf

from helpers.data.simulate import create_data
from helpers.models.estimates import estimate
from helpers.models.fits import fit_many, fit_mixed
from helpers.models.likelihood import Likelihood
from helpers.studies import treatment_study

FORMULA = "y ~ x + (x | cluster)"
DATA = create_data()
FIT = fit_mixed(FORMULA, DATA)


def profiled():
    fixed, random = FIT.fixed_design, FIT.random_design
    likelihood = Likelihood(fixed.matrix, random.matrix, random.clusters, random.blocks)
    return estimate(likelihood, fixed.response[:, None], effects=True)[0].criterion


def mixed():
    return fit_mixed(FORMULA, DATA).criterion


def statsmodels_default():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smf.mixedlm("y ~ x", DATA, groups="cluster", re_formula="1 + x")
        return -2 * model.fit().llf


def mixedlm():
    package = pytest.importorskip("mixedlm")
    return package.lmer(FORMULA, DATA).deviance


def mixedlm_rs():
    package = pytest.importorskip("mixedlm_rs")
    model = package.MixedLM.from_formula("y ~ x", DATA, groups="cluster", re_formula="1 + x")
    return -2 * model.fit().llf


FUNCTIONS = [profiled, mixed, mixedlm, mixedlm_rs, statsmodels_default]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_speed(benchmark, function):
    rounds = 2 if function is statsmodels_default else 20
    benchmark.pedantic(function, rounds=rounds, warmup_rounds=1)


def fastest(functions, *, rounds):
    """Shortest time of each function in seconds, the functions taking turns."""
    times = {function: [] for function in functions}
    for _ in range(rounds):
        for function in functions:
            start = time.perf_counter()
            function()
            times[function].append(time.perf_counter() - start)
    return [min(times[function]) for function in functions]


def test_fit_mixed_is_at_least_50_times_faster_than_the_default_call():
    ours, theirs = fastest([mixed, statsmodels_default], rounds=3)
    assert 50 * ours <= theirs, f"{ours:.3f} s against {theirs:.3f} s"


def test_fit_mixed_takes_at_most_10_milliseconds():
    (ours,) = fastest([mixed], rounds=40)
    assert ours <= 0.010, f"{ours * 1e3:.2f} ms"


@pytest.mark.parametrize("other", [mixedlm, mixedlm_rs], ids=lambda other: other.__name__)
def test_reml_alone_is_no_slower_than_the_packages(other):
    ours, theirs = fastest([profiled, other], rounds=40)
    assert ours <= theirs, f"{ours * 1e3:.2f} ms against {theirs * 1e3:.2f} ms"


def test_what_is_timed_is_the_same_optimum():
    assert profiled() == pytest.approx(3012.1895, abs=1e-4)
    assert mixed() == pytest.approx(3012.1895, abs=1e-4)
    assert mixedlm() == pytest.approx(3012.1895, abs=1e-4)
    assert mixedlm_rs() == pytest.approx(3012.1895, abs=1e-3)
    assert statsmodels_default() > 3090


def test_a_thousand_fits_take_less_than_three_seconds():
    noise = np.random.default_rng(1).normal(size=(1000, 1000))
    start = time.perf_counter()
    fits = fit_many(FORMULA, DATA, DATA[["y"]].to_numpy() + noise)
    assert fits.converged.all()
    assert time.perf_counter() - start < 3


def test_the_study_of_a_chapter_takes_less_than_half_a_minute():
    start = time.perf_counter()
    treatment_study([2, 10, 10, 10, 2, 10, 10, 10], [0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9])
    assert time.perf_counter() - start < 30
