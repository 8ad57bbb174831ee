"""What *How fast is it?* and *REML from scratch* say in words must hold."""

from pathlib import Path

import jupytext
import numpy as np
import pytest
from scipy import optimize

from helpers import create_data, fit_many, true_coefficients
from helpers.data.datasets import load_speed
from helpers.models.likelihood import Block, Likelihood

ROOT = Path(__file__).resolve().parents[1]


# ---- How fast is it? -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speed():
    frame = load_speed()
    return frame, frame.set_index(["case", "method"])["total"]


def test_the_goals_of_speed_are_in_the_file(speed):
    _, total = speed
    for case in ("10,000 data sets, baseline", "10,000 data sets, eight clusters"):
        ours = total[case, "fit_many"]
        assert total[case, "lme4, refit"] > 50 * ours
        assert total[case, "mixedlm"] > 20 * ours
    assert total["100,000 clusters", "lme4, lmer"] > 5 * total["100,000 clusters", "fit_many"]


def test_who_is_exact_and_who_is_not(speed):
    frame, _ = speed
    worst = frame.groupby("method")["excess"].max()
    exact = ["fit_many", "fit_mixed", "mixedlm", "mixedlm, refit", "mixedlm-rs"]
    assert (worst[exact] < 1e-8).all()
    assert worst["lme4, refit"] > 1 and worst["statsmodels"] > 50
    failed = frame.set_index(["case", "method"])["n_failed"]
    assert failed[failed > 0].index.tolist() == [
        ("10,000 data sets, eight clusters", "statsmodels, lbfgs")
    ]


def test_small_fits_are_not_where_it_shines(speed):
    _, total = speed
    assert total["one fit", "fit_many"] > total["one fit", "mixedlm"]
    assert total["one fit", "fit_mixed"] > total["one fit", "fit_many"]
    sizes = [total[f"{size} clusters", "fit_many"] for size in ("1,000", "10,000", "100,000")]
    # Ten or eleven times the clusters, not a hundred times the seconds.
    assert all(later < 11 * earlier for earlier, later in zip(sizes, sizes[1:], strict=False))


def test_four_or_five_steps_of_newton(monkeypatch):
    data = create_data()
    counted = []
    evaluate = Likelihood.evaluate

    def count(self, factor, responses, *rest, **options):
        counted.append(len(responses) if options.get("hessian") else 0)
        return evaluate(self, factor, responses, *rest, **options)

    monkeypatch.setattr(Likelihood, "evaluate", count)
    noise = np.random.default_rng(1).normal(size=(1000, 300))
    fit_many("y ~ x + (x | cluster)", data, true_line(data) + noise)
    assert 3.5 < sum(counted) / 300 < 5.5


def true_line(data):
    truth = true_coefficients().set_index("cluster").loc[data["cluster"]]
    return (truth["Intercept"].to_numpy() + truth["x"].to_numpy() * data["x"].to_numpy())[:, None]


# ---- REML from scratch -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def scratch():
    """What the page's own cells define, up to the map."""
    names = {}
    page = jupytext.read(ROOT / "chapters" / "appendix" / "reml-from-scratch.md")
    for cell in page.cells:
        if cell.cell_type != "code" or cell.source.startswith(("glue", "charts")):
            continue
        # The grid is for the eye.
        exec(cell.source.replace("1.25, 41)", "1.25, 5)"), names)
    return names


def test_the_page_s_criterion_is_ours(scratch):
    assert scratch["found"].fun == pytest.approx(scratch["fit"].criterion, abs=1e-6)
    data = create_data()
    matrix = np.column_stack([np.ones(len(data)), data["x"]])
    clusters = data["cluster"].to_numpy() - 1
    likelihood = Likelihood(matrix, matrix, clusters, [Block(2)])
    responses = likelihood.reduce(data[["y"]].to_numpy())
    for theta in ([1, 0, 1], [0.3, -0.2, 0.1], [-0.095, 0.05, -0.457]):
        lower = np.array([[theta[0], 0], theta[1:]])
        factor = (np.linalg.inv(likelihood.to_effects) @ lower)[:, :, None]
        expected = likelihood.evaluate(factor, responses).criterion[0]
        assert scratch["criterion"](theta) == pytest.approx(expected, abs=1e-8)


def test_the_default_jumps_over_zero_with_its_third_step(scratch):
    path = scratch["default"]
    assert path["criterion"].iloc[:3].is_monotonic_decreasing
    assert (path[["a", "c"]].iloc[:3] > 0).all(axis=None)
    assert (path[["a", "c"]].iloc[3] < 0).all()
    assert path["criterion"].iloc[3] > path["criterion"].iloc[2] + 50
    assert path["criterion"].iloc[-1] == pytest.approx(3093.77, abs=0.05)


def test_lbfgs_finds_the_valley_in_few_steps(scratch):
    path = scratch["lbfgs"]
    assert len(path) < 15
    assert path["criterion"].iloc[-1] == pytest.approx(scratch["found"].fun, abs=1e-4)


def test_beyond_zero_every_sign_is_wrong(scratch):
    model, stuck = scratch["model"], scratch["stuck"]
    gradient = -2 * np.asarray(model.score(stuck))
    numeric = optimize.approx_fprime(stuck, lambda theta: -2 * model.loglike(theta), 1e-6)
    np.testing.assert_allclose(gradient, -numeric, rtol=1e-3)


def test_zero_is_level_ground(scratch):
    slope = optimize.approx_fprime(np.zeros(3), scratch["criterion"], 1e-6)
    np.testing.assert_allclose(slope, 0, atol=1e-2)
    assert scratch["criterion"](np.zeros(3)) > scratch["found"].fun + 50
