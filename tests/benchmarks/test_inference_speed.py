"""Seconds for intervals, lme4 beside them: ``python -m pytest -s tests/benchmarks``."""

import os
import shutil
import subprocess
import time

import pytest

from helpers import bootstrap, create_data, fit_mixed, intervals, load_sleepstudy

LME4_PROFILE = """
suppressMessages(library(lme4))
fit <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)
cat(system.time(suppressMessages(confint(fit, quiet = TRUE)))[["elapsed"]])
"""
# A hundredth of the data sets: lme4 takes minutes for all of them.
LME4_BOOTSTRAP = """
suppressMessages(library(lme4))
set.seed(1)
data <- data.frame(x = rnorm(1000), cluster = rep(1:100, each = 10))
data$y <- 1 + .5 * data$x + rnorm(100, sd = .5)[data$cluster] + rnorm(1000)
fit <- lmer(y ~ x + (x | cluster), data)
statistic <- function(fit) c(fixef(fit), as.data.frame(VarCorr(fit))$sdcor)
quietly <- function(code) suppressMessages(suppressWarnings(code))
cat(100 * system.time(quietly(bootMer(fit, statistic, nsim = 100)))[["elapsed"]])
"""


def seconds(function, *, rounds):
    """Fewest seconds of several rounds, after one that loads what is needed."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def lme4_seconds(script):
    """Seconds that R prints; None without R and lme4."""
    if shutil.which("Rscript") is None:
        return None
    run = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=False)
    return float(run.stdout) if run.returncode == 0 else None


def told(task, own, theirs):
    beside = "no lme4 here" if theirs is None else f"lme4 {theirs:.1f} s"
    print(f"\n{task}: {own:.3f} s, {beside}")


def test_a_profile_takes_a_fifth_of_a_second():
    fit = fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
    own = seconds(lambda: intervals(fit), rounds=5)
    told("profile of sleepstudy", own, lme4_seconds(LME4_PROFILE))
    assert own <= 0.2


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="the aim is for two cores")
def test_ten_thousand_data_sets_take_three_seconds():
    fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    own = seconds(lambda: bootstrap(fit, n_datasets=10_000, n_jobs=2), rounds=3)
    told("bootstrap of 10,000 baseline data sets", own, lme4_seconds(LME4_BOOTSTRAP))
    assert own <= 3
