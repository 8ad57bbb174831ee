"""The study of coverage: its variances against predictions, its shares where they are known."""

import numpy as np
import pandas as pd
import pytest

from helpers import coverage_study, create_data, fit_mixed
from helpers.models import DataError, coefficient_variances


@pytest.fixture(scope="module")
def slopes():
    return fit_mixed("y ~ x + (x | cluster)", create_data(n_cluster=12))


@pytest.fixture(scope="module")
def eight():
    return fit_mixed("y ~ 1 + (1 | cluster)", create_data(n_cluster=8))


def test_variances_are_those_of_predictions(slopes):
    found = coefficient_variances(
        slopes, slopes.solution.covariance[None], np.array([slopes.sigma])
    )
    clusters = slopes.random_design.labels
    rows = pd.DataFrame({"x": 0.0, "cluster": [*clusters, 999]})
    at_zero = slopes.predict(rows, interval="cluster")["se"] ** 2
    np.testing.assert_allclose(found["coefficient", "joint"][0, 0], at_zero[:-1], rtol=1e-9)
    np.testing.assert_allclose(found["new cluster", "joint"][0, 0], at_zero.iloc[-1], rtol=1e-9)
    conditional = np.einsum("cii->ic", slopes.solution.effects_covariance)
    np.testing.assert_allclose(found["random effect", "conditional"][:, 0], conditional, rtol=1e-9)
    mean = np.diag(slopes.fixed_covariance)
    np.testing.assert_allclose(found["mean", "joint"][:, 0, 0], mean, rtol=1e-9)


def test_the_conditional_sd_forgets_the_mean(eight):
    """ICC .9: the deviation has the grand mean's error, the coefficient has not."""
    study = coverage_study(eight, fixed=[0], covariance=[[0.9]], sigma=0.1**0.5, n_datasets=2000)
    share = study.set_index(["target", "uncertainty"])["coverage"]
    assert share["random effect", "conditional"] < 0.6
    assert share["random effect", "joint"] > 0.9
    assert share["coefficient", "conditional"] == pytest.approx(0.945, abs=0.015)


def test_with_many_clusters_joint_intervals_are_right():
    fit = fit_mixed("y ~ 1 + (1 | cluster)", create_data())
    study = coverage_study(fit, covariance=[[1]], sigma=1, n_datasets=1000)
    joint = study.query("uncertainty == 'joint'")
    near = (joint["coverage"] - 0.95).abs() < 4 * joint["coverage_error"] + 0.005
    assert near.all()
    assert study["singular"].eq(0).all()


def test_the_same_seed_gives_the_same_study(slopes):
    one, other = (coverage_study(slopes, n_datasets=20, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_bad_input_is_refused(eight, slopes):
    with pytest.raises(ValueError, match="n_datasets"):
        coverage_study(eight, n_datasets=1)
    with pytest.raises(ValueError, match="covariance has shape"):
        coverage_study(slopes, covariance=[[1]])
    with pytest.raises(ValueError, match="symmetric"):
        coverage_study(slopes, covariance=[[1, 2], [2, 1]])
    data = create_data(n_cluster=12).assign(part=lambda table: table["x"].gt(0).map(str))
    nested = fit_mixed("y ~ 1 + (1 | cluster) + (1 | cluster:part)", data)
    with pytest.raises(DataError, match="nested"):
        coverage_study(nested)
