"""Data sets fitted together: against lme4, one by one, in parallel, and in what they refuse."""

import json
from dataclasses import fields
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.r_random import RRandom
from helpers.data.simulate import create_data
from helpers.models import batch
from helpers.models.batch import fit_blocks
from helpers.models.columns import DataError
from helpers.models.estimates import Estimates, estimate
from helpers.models.fits import fit_many, fit_mixed
from helpers.models.formula import FormulaError
from helpers.models.likelihood import Block, Likelihood
from helpers.tables import random_effects, shrinkage

REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "batch_fits.json").read_text(encoding="utf-8")
)
every_design = pytest.mark.parametrize("name", REFERENCE["designs"])
SLOPES = "y ~ x + (x | cluster)"


# ---- the data sets of make_batch_fits.R, drawn again -----------------------------------------


def make_design(sizes, seed):
    stream, n = RRandom(seed), sum(sizes)
    g = np.repeat(np.arange(len(sizes)), sizes)
    within = np.concatenate([np.arange(size) for size in sizes])
    levels = ["low", "mid", "high"]
    return pd.DataFrame(
        {
            "x": stream.normal(n),
            "x2": stream.normal(n),
            "g": g + 1,
            "h": within % 3 + 1,
            "ses": pd.Categorical.from_codes(within % 3, levels),
            "treatment": np.where(g + 1 > len(sizes) / 2, "intervention", "control"),
        }
    )


def random_columns(formula, data):
    one = np.ones(len(data))
    if "x2" in formula:
        return np.column_stack([one, data["x"], data["x2"]])
    if "0 + ses" in formula:
        return pd.get_dummies(data["ses"]).to_numpy(float)
    return np.column_stack([one, data["x"]] if "x |" in formula else [one])


def simulate_response(entry, data, number):
    stream = RRandom(entry["seed"] + number)
    sds = np.array(entry["sds"]) * REFERENCE["factors"][(number - 1) % 4]
    columns = random_columns(entry["formula"], data)
    n_clusters, size = data["g"].max(), columns.shape[1]
    effects = stream.normal(n_clusters * size).reshape(size, n_clusters).T * sds[:size]
    y = 1 + 0.5 * data["x"] + (columns * effects[data["g"] - 1]).sum(axis=1)
    if "g:h" in entry["formula"]:
        cell = (data["g"] - 1) * 3 + data["h"] - 1
        y = y + sds[1] * stream.normal(cell.max() + 1)[cell]
    return y + stream.normal(len(data))


def simulated(name):
    """Design, responses (one column per data set) and the entry of the reference."""
    entry = REFERENCE["designs"][name]
    data = make_design(entry["sizes"], entry["seed"])
    numbers = range(1, len(entry["fits"]) + 1)
    responses = [simulate_response(entry, data, number) for number in numbers]
    return data, np.column_stack(responses), entry


def reference(entry, column):
    return np.array([fit[column] for fit in entry["fits"]])


# ---- lme4 ------------------------------------------------------------------------------------


def test_the_reference_has_500_data_sets_of_8_designs():
    counts = [len(entry["fits"]) for entry in REFERENCE["designs"].values()]
    assert len(counts) == 8 and sum(counts) >= 500


@every_design
def test_every_fit_is_lme4_s(name):
    data, responses, entry = simulated(name)
    fits = fit_many(entry["formula"], data, responses, reml=entry["reml"])
    assert fits.converged.all()
    np.testing.assert_allclose(fits.criterion, reference(entry, "criterion"), atol=1e-5, rtol=0)
    np.testing.assert_allclose(fits.sigma, reference(entry, "sigma"), rtol=1e-4)
    np.testing.assert_allclose(fits.fixed, reference(entry, "fixed"), atol=1e-6)
    np.testing.assert_allclose(fits.fixed_se, reference(entry, "se"), rtol=1e-4)
    variances = np.einsum("dii->di", fits.covariance)
    if name == "nested":
        # lme4 lists the nested term first; its columns share one variance here.
        variances = variances[:, [1, 0]]
    sds, expected = np.sqrt(variances), reference(entry, "sds")
    np.testing.assert_allclose(sds, expected, rtol=1e-4)


def test_boundary_fits_are_among_them():
    singular = {}
    for name in REFERENCE["designs"]:
        data, responses, entry = simulated(name)
        fits = fit_many(entry["formula"], data, responses, reml=entry["reml"])
        singular[name] = fits.singular.mean()
    assert all(0.1 < share < 0.9 for share in singular.values()), singular


# ---- one by one ------------------------------------------------------------------------------


@every_design
def test_fits_together_are_fits_alone(name):
    data, responses, entry = simulated(name)
    fits = fit_many(entry["formula"], data, responses, reml=entry["reml"], effects=True)
    for number in range(0, responses.shape[1], 16):
        alone = fit_mixed(entry["formula"], data.assign(y=responses[:, number]), entry["reml"])
        assert fits.criterion[number] == pytest.approx(alone.criterion, abs=1e-6)
        assert fits.singular[number] == alone.singular
        np.testing.assert_allclose(fits.fixed[number], alone.fixed, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(
            fits.covariance[number], alone.solution.covariance, rtol=1e-5, atol=1e-7
        )
        np.testing.assert_allclose(fits.effects[number], alone.solution.effects, atol=1e-5)


def test_effects_and_shrinkage_are_those_of_the_tables():
    data = create_data(n_cluster=20)
    fits = fit_many(SLOPES, data, data[["y"]], effects=True)
    alone = fit_mixed(SLOPES, data)
    modes = random_effects(alone).pivot(index="cluster", columns="effect", values="value")
    factors = shrinkage(alone).pivot(index="cluster", columns="effect", values="shrinkage_factor")
    np.testing.assert_allclose(fits.effects[0], modes[["Intercept", "x"]], atol=1e-9)
    kept = np.diagonal(fits.shrinkage[0], axis1=1, axis2=2)
    np.testing.assert_allclose(1 - kept, factors[["Intercept", "x"]], atol=1e-9)


def test_effects_are_left_out_unless_asked_for():
    data = create_data(n_cluster=20)
    fits = fit_many(SLOPES, data, data[["y"]])
    assert fits.effects is None and fits.shrinkage is None
    assert len(fits) == 1


# ---- laws ------------------------------------------------------------------------------------


def slopes_design(seed, *, n_clusters=10, relabel=None, unit=1.0):
    stream = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n_clusters), stream.integers(2, 9, n_clusters))
    x = stream.normal(size=len(clusters))
    matrix = np.column_stack([np.ones(len(x)), x * unit])
    labels = clusters if relabel is None else relabel[clusters]
    effects = stream.normal(size=(n_clusters, 2, 6)) * np.linspace(0, 1, 6)
    responses = (matrix[:, :, None] * effects[clusters]).sum(axis=1)
    responses += stream.normal(size=responses.shape)
    return Likelihood(matrix, matrix, labels, [Block(2)]), responses


seeds = given(st.integers(0, 10_000))
thorough = settings(max_examples=25, deadline=None, derandomize=True)


@thorough
@seeds
def test_neighbours_do_not_matter(seed):
    design, responses = slopes_design(seed)
    together = estimate(design, responses)
    backwards = estimate(design, responses[:, ::-1])
    np.testing.assert_allclose(backwards.criterion[::-1], together.criterion, atol=1e-7)
    np.testing.assert_allclose(backwards.covariance[::-1], together.covariance, atol=1e-5)


@thorough
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_scale_and_offset_of_the_response(seed, scale, offset):
    design, responses = slopes_design(seed)
    plain, scaled = estimate(design, responses), estimate(design, offset + scale * responses)
    change = 2 * design.degrees_of_freedom * np.log(scale)
    np.testing.assert_allclose(scaled.criterion, plain.criterion + change, atol=1e-6)
    np.testing.assert_allclose(scaled.sigma, scale * plain.sigma, rtol=1e-5)
    np.testing.assert_allclose(scaled.fixed, scale * plain.fixed + [offset, 0], atol=1e-4 * scale)


@thorough
@seeds
def test_labels_of_clusters_do_not_matter(seed):
    relabel = np.random.default_rng(seed).permutation(10)
    (plain, responses), (other, _) = slopes_design(seed), slopes_design(seed, relabel=relabel)
    one = estimate(plain, responses, effects=True)
    two = estimate(other, responses, effects=True)
    np.testing.assert_allclose(two.criterion, one.criterion, atol=1e-7)
    np.testing.assert_allclose(two.effects[:, relabel], one.effects, atol=1e-4)


@thorough
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_scale_of_the_predictor(seed, unit):
    plain, responses = slopes_design(seed)
    scaled, _ = slopes_design(seed, unit=unit)
    one, two = estimate(plain, responses), estimate(scaled, responses)
    np.testing.assert_allclose(two.criterion, one.criterion + 2 * np.log(unit), atol=1e-6)
    np.testing.assert_allclose(two.fixed[:, 1] * unit, one.fixed[:, 1], atol=1e-4)


@thorough
@seeds
def test_no_other_covariance_does_better(seed):
    design, responses = slopes_design(seed)
    fits, reduced = estimate(design, responses), design.reduce(responses)
    stream = np.random.default_rng(seed)
    for size in (1, 0.3, 0.1, 0.01):
        theta = fits.theta.T + stream.normal(0, size, fits.theta.T.shape)
        other = design.evaluate(design.factor(theta), reduced).criterion
        assert (other >= fits.criterion - 1e-7).all()


# ---- blocks, processes, clusters -------------------------------------------------------------


def noise_block(seed, n_obs=60, n_datasets=30):
    return np.random.default_rng(seed).normal(size=(n_obs, n_datasets))


def intercepts_design():
    ones = np.ones((60, 1))
    return Likelihood(ones, ones, np.repeat(np.arange(10), 6), [Block(1)])


def assert_same(one, two):
    for field in fields(Estimates):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


SERIAL = fit_blocks(intercepts_design(), [noise_block(seed) for seed in range(5)], effects=True)
MADE_THERE = [partial(noise_block, seed) for seed in range(5)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blocks_may_be_functions_and_go_to_processes(n_jobs):
    fits = fit_blocks(intercepts_design(), iter(MADE_THERE), effects=True, n_jobs=n_jobs)
    assert_same(fits, SERIAL)


def test_an_array_is_cut_into_blocks():
    whole = np.hstack([noise_block(seed) for seed in range(5)])
    cut = fit_blocks(intercepts_design(), whole, effects=True, block_size=30)
    assert_same(cut, SERIAL)
    at_once = fit_blocks(intercepts_design(), whole)
    np.testing.assert_allclose(at_once.criterion, SERIAL.criterion, atol=1e-9)


@pytest.mark.parametrize("processes", [True, False], ids=["processes", "threads"])
def test_a_dask_cluster_gives_the_same_numbers(processes):
    distributed = pytest.importorskip("distributed")
    # Other processes do not know this module's functions.
    blocks = [noise_block(seed) for seed in range(5)] if processes else MADE_THERE
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=processes, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        fits = fit_blocks(intercepts_design(), blocks, effects=True, n_jobs=2)
        assert_same(fits, SERIAL)


def test_blocks_are_drawn_when_they_are_needed(monkeypatch):
    """Memory is bounded: a generator is never far ahead of the fits."""
    fitted, ahead = [], []
    fit_one = batch._fit_one

    def count(*arguments):
        fits = fit_one(*arguments)
        fitted.append(fits)
        return fits

    def blocks():
        for number in range(20):
            ahead.append(number + 1 - len(fitted))
            yield noise_block(number)

    monkeypatch.setattr(batch, "_fit_one", count)
    # In threads, which share the list of what is fitted.
    with joblib.parallel_config(backend="threading"):
        fit_blocks(intercepts_design(), blocks(), n_jobs=2)
    assert len(fitted) == 20 and max(ahead) <= 6


def test_progress_counts_data_sets(capsys):
    fit_blocks(intercepts_design(), noise_block(1), progress=True)
    assert "30/30" in capsys.readouterr().err
    fit_blocks(intercepts_design(), noise_block(1))
    assert capsys.readouterr().err == ""


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        (np.ones(60), "must be (n_obs, n_datasets)"),
        (np.ones((59, 3)), "here (60, any number)"),
        (np.ones((60, 0)), "holds no data set"),
        ([], "yields no block"),
        (np.where(np.arange(60)[:, None] == 3, np.nan, noise_block(1)), "30 of 30 data sets hold"),
        (np.ones((60, 2)), "fitted perfectly"),
        (np.repeat(np.arange(10.0), 6)[:, None], "fitted perfectly"),
    ],
    ids=["one axis", "rows", "no column", "no block", "missing", "constant", "perfect"],
)
def test_bad_responses_are_refused(responses, message):
    with pytest.raises(ValueError) as error:
        fit_blocks(intercepts_design(), responses)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        ({"n_jobs": 0}, "or -1 for every core"),
        ({"n_jobs": 1.5}, "or -1 for every core"),
        ({"block_size": 0}, "must be a whole number, 1 or more"),
        ({"block_size": 2.5}, "must be a whole number, 1 or more"),
    ],
    ids=str,
)
def test_counts_below_one_are_refused(count, message):
    with pytest.raises(ValueError, match=message):
        fit_blocks(intercepts_design(), noise_block(1), **count)


@pytest.mark.parametrize(
    ("formula", "change", "message"),
    [
        (SLOPES, {"x": 1.0}, "'x' is constant"),
        ("y ~ x + z + (1 | cluster)", {"z": lambda d: 2 * d["x"]}, "'z' is redundant"),
        (SLOPES, {"cluster": 1}, "random effects need at least two"),
        (SLOPES, {"cluster": range(40)}, "40 observations for 80 random effects"),
    ],
    ids=["constant", "redundant", "one cluster", "more effects than rows"],
)
def test_designs_that_cannot_be_fitted_are_refused(formula, change, message):
    data = create_data(n_cluster=8, obs_per_cluster=5).assign(**change)
    with pytest.raises(DataError) as error:
        fit_many(formula, data, np.ones((40, 2)))
    assert message in str(error.value)


def test_the_left_side_is_only_a_name():
    data = create_data(n_cluster=8)
    responses = data[["y"]].to_numpy()
    plain = fit_many(SLOPES, data, responses)
    absent = fit_many("score ~ x + (x | cluster)", data[["x", "cluster"]], responses)
    assert_same(plain, absent)
    with pytest.raises(FormulaError, match="plain name"):
        fit_many("np.log(y) ~ x + (x | cluster)", data, responses)


def test_a_fit_without_an_optimum_is_reported(monkeypatch):
    monkeypatch.setattr(
        "helpers.models.estimates.is_optimum", lambda design, factor, profile: np.arange(30) != 4
    )
    with pytest.warns(RuntimeWarning, match="1 of 30 data sets .* number 4"):
        fits = fit_blocks(intercepts_design(), noise_block(1))
    assert not fits.converged[4]
