"""Figures of how sure an estimate is: what they mark, and what they say without eyes."""

import numpy as np
import pandas as pd
import pytest

from helpers import (
    bootstrap,
    charts,
    create_data,
    explorers,
    fit_mixed,
    intervals,
    load_sleepstudy,
    normal_quantiles,
    profile_curves,
    residuals_by_cluster,
)
from helpers.controls.explorers import PRIORS

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return fit_mixed(FORMULA, load_sleepstudy())


def rows_of(chart, column):
    """Rows of the data of a chart that have a column."""
    return next(rows for rows in chart.to_dict()["datasets"].values() if rows and column in rows[0])


# ---- intervals -------------------------------------------------------------------------------


def test_a_forest_has_a_panel_for_each_kind(sleep):
    table = intervals(sleep)
    panels = charts.interval_forest(table).charts
    assert [panel.title for panel in panels] == [
        "fixed effects",
        "standard deviations",
        "correlations",
    ]
    drawn = [row for panel in panels for row in rows_of(panel, "lower")]
    assert sorted(row["lower"] for row in drawn) == sorted(table["lower_2.5"])
    sd = table.query("kind == 'sd' and effect == 'Days'").iloc[0]
    words = f"Days {sd['value']:.3f}, from {sd['lower_2.5']:.3f} to {sd['upper_97.5']:.3f}"
    assert words in panels[1].description


def test_several_models_and_their_truth_share_a_panel(sleep):
    table = intervals(sleep)
    both = pd.concat([table.assign(model=name, truth=1.5) for name in ("one", "two")])
    panels = charts.interval_forest(both).charts
    assert len(panels) == len(table)
    assert panels[2].title == "sd of Intercept (Subject)"
    assert [row["label"] for row in rows_of(panels[2], "lower")] == ["one", "two"]
    assert "truth 1.500" in panels[2].description


def test_a_comma_in_a_name_stays():
    rows = [("sd", "Homework, h/week"), ("correlation", "Intercept, Days")]
    table = pd.DataFrame(rows, columns=["kind", "effect"]).assign(grouping_factor="g", value=0.2)
    sd, pair = charts.interval_forest(table.assign(**{"lower_2.5": 0.1, "upper_97.5": 0.4})).charts
    assert "Homework, h/week 0.200" in sd.description
    assert "Intercept and Days 0.200" in pair.description


def test_a_forest_needs_limits(sleep):
    table = intervals(sleep, "wald").query("kind == 'sd'")
    with pytest.raises(ValueError, match="no row has limits"):
        charts.interval_forest(table)


# ---- profiles --------------------------------------------------------------------------------


def test_profile_panels_mark_the_interval(sleep):
    curve = profile_curves(sleep).query("kind == 'correlation'")
    deviance, zeta = charts.profile_panels(curve).charts
    limits = [row["at"] for row in rows_of(deviance, "at")]
    row = intervals(sleep).query("kind == 'correlation'").iloc[0]
    # A straight line between points of the curve.
    np.testing.assert_allclose(limits, row[["lower_2.5", "upper_97.5"]].astype(float), atol=0.005)
    assert "lowest at 0.081, below 3.84 from -0.48" in deviance.description
    assert "lopsided" in zeta.description


def test_a_profile_at_the_edge_says_so():
    stream = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 5), "y": stream.normal(size=60)})
    data["y"] -= 0.9 * data.groupby("g")["y"].transform("mean")
    curve = profile_curves(fit_mixed("y ~ 1 + (1 | g)", data)).query("grouping_factor == 'g'")
    assert "at the edge" in charts.profile_panels(curve).charts[1].description


def test_one_profile_at_a_time(sleep):
    with pytest.raises(ValueError, match="one parameter"):
        charts.profile_panels(profile_curves(sleep, n_points=3))


# ---- draws -----------------------------------------------------------------------------------


def test_bars_and_heaps_hold_all_draws():
    draws = pd.Series([0.0] * 30 + list(np.linspace(0.1, 1, 70)), name=("sd", "g", "x"))
    chart = charts.bootstrap_histogram(draws, value=0.4)
    bars = pd.DataFrame(rows_of(chart, "share"))
    assert bars["share"].sum() == pytest.approx(100)
    assert bars.loc[bars["heap"], "share"].tolist() == [pytest.approx(30)]
    assert "30.0 % at 0" in chart.description
    assert "own estimate is 0.400" in chart.description


def test_a_correlation_heaps_at_both_edges():
    fit = fit_mixed("y ~ x + (x | cluster)", create_data(obs_per_cluster=3))
    draws = bootstrap(fit, n_datasets=300, n_jobs=1)
    text = charts.bootstrap_histogram(draws["correlation", "cluster", "Intercept, x"]).description
    assert "% at -1; " in text
    assert "% at 1." in text


def test_a_fixed_effect_has_no_edge():
    draws = pd.Series([0.0, 0, 1, 2], name=("fixed", "", "x"))
    bars = pd.DataFrame(rows_of(charts.bootstrap_histogram(draws), "share"))
    assert not bars["heap"].any()


@pytest.mark.parametrize(
    ("draws", "words"),
    [
        (pd.Series([1.0], name="x"), "one column"),
        (pd.Series([np.nan], name=("sd", "g", "x")), "no values"),
    ],
)
def test_what_is_no_draw_is_refused(draws, words):
    with pytest.raises(ValueError, match=words):
        charts.bootstrap_histogram(draws)


# ---- predictions -----------------------------------------------------------------------------


def test_ribbons_widen_and_tell_their_ends(sleep):
    rows = pd.DataFrame({"Days": [0.0, 5, 9], "Subject": 308})
    table = pd.concat(
        [
            sleep.predict(rows, interval=name).assign(interval=name, Days=rows["Days"])
            for name in ("mean", "cluster", "observation")
        ]
    )
    points = load_sleepstudy().query("Subject == 308")
    chart = charts.prediction_ribbons(
        table, predictor="Days", response="Reaction", observations=points
    )
    drawn = pd.DataFrame(rows_of(chart, "ribbon"))
    width = (drawn["upper"] - drawn["lower"]).groupby(drawn["ribbon"]).mean()
    assert width["this cluster"] < width["one observation"]
    assert len(rows_of(chart, "observed")) == len(points)
    last = table[(table["Days"] == 9) & (table["interval"] == "observation")].iloc[0]
    assert (
        f"one observation {last['prediction']:.2f}, from {last['lower']:.2f}" in chart.description
    )
    with pytest.raises(ValueError, match="mean, cluster, observation"):
        charts.prediction_ribbons(
            table.assign(interval="other"), predictor="Days", response="Reaction"
        )


# ---- checks of a fit -------------------------------------------------------------------------


def test_quantiles_are_in_order_and_the_line_passes_the_quartiles(sleep):
    table = normal_quantiles(sleep)
    for _, part in table.groupby("quantity"):
        assert part["value"].is_monotonic_increasing
        assert part["normal"].is_monotonic_increasing
        at = np.interp([-0.67448975, 0.67448975], part["normal"], part["line"])
        np.testing.assert_allclose(at, part["value"].quantile([0.25, 0.75]), rtol=1e-6)
    panels = charts.quantile_plots(table).charts
    assert "Quantile plot of 180 residuals" in panels[0].description
    top = table.query("quantity == 'residual'").iloc[-1]
    assert f"the highest {top['value'] - top['line']:.2f} above" in panels[0].description


def test_each_cluster_has_its_range(sleep):
    table = residuals_by_cluster(sleep)
    assert len(table) == 18
    assert table["n"].eq(10).all()
    assert table["median"].is_monotonic_increasing
    residuals = sleep.residuals()
    assert table["largest"].max() == residuals.max()
    text = charts.residual_ranges(table).description
    assert f"{residuals.abs().max():.2f}, is in cluster 332" in text


def test_tables_of_checks_want_a_fit():
    for function in (normal_quantiles, residuals_by_cluster):
        with pytest.raises(TypeError, match="fit_mixed"):
            function("y ~ x")


# ---- posteriors ------------------------------------------------------------------------------


def test_densities_have_room_for_three():
    table = pd.DataFrame({"tau": [0.0, 1], "density": [1.0, 0]})
    four = pd.concat([table.assign(curve=name) for name in "abcd"])
    with pytest.raises(ValueError, match="room for three"):
        charts.density_curves(four, title="tau")
    text = charts.density_curves(
        table.assign(curve="prior"), title="tau", marks={"ML": 1}
    ).description
    assert text == "Curves of tau: prior highest at 0.00, mean 0.00. Marked: ML 1.00."


@pytest.mark.parametrize("prior", PRIORS)
def test_the_posterior_is_the_density_of_the_means(prior):
    """Likelihood from the multivariate normal of the contrasts, by numerical integration."""
    from scipy import linalg, stats

    frame = explorers.tau_posterior(n_clusters=5, prior=prior, true_tau=0.5, sample=3)
    tau = frame["tau"].to_numpy()
    means = np.sqrt(0.25 + 0.2) * np.random.default_rng(3).standard_normal(100)[:5]
    contrasts = linalg.null_space(np.ones((1, 5)))
    likelihood = np.array(
        [
            stats.multivariate_normal.pdf(contrasts.T @ means, cov=(t**2 + 0.2) * np.eye(4))
            for t in tau
        ]
    )
    expected = likelihood * PRIORS[prior](tau)
    expected /= np.trapezoid(expected, tau)
    np.testing.assert_allclose(frame["posterior_density"], expected, rtol=1e-8)
    for column, grid in (("averaged", "mean"), ("plug_in", "mean"), ("prior_density", "tau")):
        assert np.trapezoid(frame[column], frame[grid]) == pytest.approx(1, abs=0.02)


def test_where_reml_says_zero_the_posterior_does_not():
    frame = explorers.tau_posterior(n_clusters=8, sample=1)
    assert frame["reml"].iloc[0] == 0
    assert np.average(frame["tau"], weights=frame["posterior_density"]) > 0.2
    assert "shrinkage: REML 100 %, averaged over tau 7" in frame["read_out_cluster"].iloc[0]


def test_more_clusters_and_rows_narrow_a_correlation():
    few = explorers.correlation_intervals(n_clusters=8, observations_per_cluster=3)
    many = explorers.correlation_intervals(n_clusters=60, observations_per_cluster=10)
    width = [(table["upper"] - table["lower"]).median() for table in (few, many)]
    assert width[0] == 2 > 1 > width[1]
    for table in (few, many):
        assert table["lower"].between(-1, table["value"]).all()
        assert table["upper"].between(table["value"], 1).all()
        assert table["read_out"].iloc[0].startswith(f"{table['holds'].sum()} of 8")


def test_explorers_draw_every_state():
    from helpers import explore

    both = [
        explore(
            explorers.tau_posterior,
            charts.posterior_explorer(),
            n_clusters=[3, 8],
            prior=list(PRIORS),
        ),
        explore(
            explorers.correlation_intervals,
            charts.correlation_explorer(),
            n_clusters=[8, 20],
        ),
    ]
    assert all(one is not None for one in both)
