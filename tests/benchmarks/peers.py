"""The same fits by other packages: from a formula and a data frame to -2 log-likelihoods.

Each function fits the columns of `responses`, data sets of one design, one after the other, as the
package's users would, and returns the criteria, so that what is timed can be compared.
"""

import json
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

import mixedlm
import mixedlm_rs
import numpy as np
import statsmodels.formula.api as smf

from helpers.models.fits import fit_many, fit_mixed
from helpers.models.formula import parse


def with_fit_many(formula, data, responses):
    return fit_many(formula, data, responses).criterion


def with_fit_mixed(formula, data, responses):
    return [fit_mixed(formula, data.assign(y=y)).criterion for y in responses.T]


def with_mixedlm(formula, data, responses):
    return [mixedlm.lmer(formula, data.assign(y=y)).deviance for y in responses.T]


def with_mixedlm_refit(formula, data, responses):
    first = mixedlm.lmer(formula, data.assign(y=responses[:, 0]))
    return [first.refit(y).deviance for y in responses.T]


def with_mixedlm_rs(formula, data, responses):
    terms = parse(formula)

    def fit(y):
        model = mixedlm_rs.MixedLM.from_formula(
            terms.fixed, data.assign(y=y), groups=terms.group, re_formula=terms.re_formula
        )
        return -2 * model.fit().llf

    return [fit(y) for y in responses.T]


def with_statsmodels(formula, data, responses, **options):
    terms = parse(formula)

    def fit(y):
        model = smf.mixedlm(
            terms.fixed, data.assign(y=y), groups=terms.group, re_formula=terms.re_formula
        )
        try:
            return -2 * model.fit(**options).llf
        except np.linalg.LinAlgError:
            # Where the first step lands on a variance of zero.
            return np.nan

    return [fit(y) for y in responses.T]


def with_statsmodels_lbfgs(formula, data, responses):
    return with_statsmodels(formula, data, responses, method="lbfgs")


PYTHON = {
    "fit_many": with_fit_many,
    "fit_mixed": with_fit_mixed,
    "mixedlm": with_mixedlm,
    "mixedlm, refit": with_mixedlm_refit,
    "mixedlm-rs": with_mixedlm_rs,
    "statsmodels": with_statsmodels,
    "statsmodels, lbfgs": with_statsmodels_lbfgs,
}
R = {"lme4, lmer": "lmer", "lme4, refit": "refit"}


def has_lme4():
    """Whether Rscript finds lme4 and jsonlite."""
    if not shutil.which("Rscript"):
        return False
    check = "stopifnot(requireNamespace('lme4'), requireNamespace('jsonlite'))"
    return not subprocess.run(["Rscript", "-e", check], capture_output=True).returncode


def run_lme4(method, formula, data, responses, *, rounds):
    """Tell seconds of processor time, the criteria and lme4's version."""
    with tempfile.TemporaryDirectory() as folder:
        data.to_csv(Path(folder) / "design.csv", index=False, float_format="%.17g")
        np.asfortranarray(responses).T.tofile(Path(folder) / "responses.bin")
        script = Path(__file__).with_name("lme4.R")
        command = ["Rscript", str(script), folder, formula, R[method], str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def versions():
    """Versions of the Python packages that are timed."""
    names = ("numpy", "scipy", "statsmodels", "mixedlm", "mixedlm-rs")
    return {name: version(name) for name in names}
