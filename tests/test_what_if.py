"""What more clusters and more rows do to estimates, against what is known to hold."""

import numpy as np
import pytest

from helpers import (
    DataError,
    fit_mixed,
    load_pupils,
    load_sleepstudy,
    what_if_study,
)


@pytest.fixture(scope="module")
def fit():
    return fit_mixed("Reaction ~ Days + (Days | Subject)", load_sleepstudy())


@pytest.fixture(scope="module")
def study(fit):
    return what_if_study(fit, clusters=[1, 4], rows=[1, 4], n_datasets=1000)


def test_the_spread_today_is_the_fit_s_standard_error(fit, study):
    now = study.query("clusters == 1 and rows == 1").set_index("parameter")
    se = np.sqrt(np.diag(fit.fixed_covariance))
    # 1,000 data sets know a standard deviation to 2 %.
    np.testing.assert_allclose(now.loc[fit.fixed.index, "spread"], se, rtol=0.08)
    np.testing.assert_allclose(now.loc[fit.fixed.index, "truth"], fit.fixed)
    assert now.loc["sd Residual", "truth"] == fit.sigma
    assert (now["n_clusters"].iloc[0], now["n_rows"].iloc[0]) == (18, 180)


def test_four_times_the_clusters_halve_the_spread_four_times_the_rows_do_not(study):
    spread = study.pivot(index="parameter", columns=["clusters", "rows"], values="spread")
    for effect in ("Intercept", "Days", "sd Days"):
        assert spread.loc[effect, (1, 1)] / spread.loc[effect, (4, 1)] == pytest.approx(2, rel=0.1)
        assert spread.loc[effect, (1, 1)] / spread.loc[effect, (1, 4)] < 1.4
    assert spread.loc["sd Residual", (1, 1)] / spread.loc["sd Residual", (1, 4)] > 1.8


def test_draws_depend_on_the_seed_alone(fit):
    one, again, other = (
        what_if_study(fit, clusters=[2], rows=[1], n_datasets=20, seed=seed) for seed in (1, 1, 2)
    )
    assert one.equals(again) and not one["spread"].equals(other["spread"])


def test_misuse_is_refused(fit):
    nested = fit_mixed("achievement ~ 1 + (1 | primary_school_id/ses)", load_pupils())
    with pytest.raises(DataError, match="nested term"):
        what_if_study(nested)
    with pytest.raises(ValueError, match="clusters"):
        what_if_study(fit, clusters=[0])
    with pytest.raises(TypeError, match="rows"):
        what_if_study(fit, rows=[1.5])
