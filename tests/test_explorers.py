"""What the explorers show is what the fits and tables say."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
import vl_convert

from helpers import (
    SCENARIOS,
    charts,
    cluster_means,
    cluster_weights,
    create_data,
    explore,
    explorers,
    fit_by_cluster,
    fit_many,
    fit_mixed,
    load_gpa,
    load_pupils,
    random_covariance,
    random_effects,
    shrinkage,
    summarize_fits,
    treatment_clusters,
    true_coefficients,
    variance_components,
)

FORMULA = "y ~ x + (x | cluster)"
SIZES = [2, 10, 10, 10, 2, 10, 10, 10]


@pytest.mark.parametrize("name", SCENARIOS)
def test_presets_are_the_scenarios(name):
    settings = explorers.shrinkage_presets()[name]
    for key, offered in explorers.SHRINKAGE_CONTROLS.items():
        assert settings[key] in (offered.values() if isinstance(offered, dict) else offered)
    frame = explorers.shrinkage_sample(**settings).set_index("number")
    fit = fit_mixed(FORMULA, create_data(**SCENARIOS[name]))
    for effect, rows in shrinkage(fit).groupby("effect"):
        rows = rows.set_index("cluster")
        there = rows["no_pooling"].dropna().index
        for which in ("no", "partial"):
            expected = rows.loc[there, f"{which}_pooling"]
            assert np.allclose(frame.loc[there, f"{which}_{effect}"], expected, atol=1e-5)
    estimates = summarize_fits({"fit": fit}).loc["fit"]
    for column, title in {
        "sd_Intercept": "sd Intercept", "sd_x": "sd x", "sd_residual": "sd Residual",
        "correlation": "cor Intercept, x", "fixed_x": "fixed x",
        "shrinkage_Intercept": "shrinkage Intercept", "shrinkage_x": "shrinkage x",
    }.items():  # fmt: skip
        assert frame[column].nunique() == 1
        assert frame[column].iloc[0] == pytest.approx(estimates[title], abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_worlds_fitted_together_are_as_if_fitted_alone(seed):
    chance = np.random.default_rng(seed)
    offered = {
        name: list(values.values()) if isinstance(values, dict) else values
        for name, values in explorers.SHRINKAGE_CONTROLS.items()
    }
    chosen = {name: values[chance.integers(len(values))] for name, values in offered.items()}
    twice = 2 if chosen["cluster_sizes"] == "unequal" else 1
    arguments = {
        "obs_per_cluster": chosen["observations_per_cluster"] * twice,
        "sd_int": chosen["sd_of_intercepts"],
        "sd_slope": chosen["sd_of_slopes"],
        "sigma": chosen["residual_sd"],
        "balanced": 1 / twice,
        "seed": chosen["sample"],
    }
    data = create_data(**arguments)
    fits = fit_many(FORMULA, data, data[["y"]], effects=True)
    own = fit_by_cluster("y ~ x", data, "cluster").query("n > 1").set_index("cluster")
    truth = true_coefficients(**arguments).set_index("cluster")
    labels, effects = np.unique(data["cluster"]), ["Intercept", "x"]
    mixed = pd.DataFrame(fits.fixed[0] + fits.effects[0], labels, effects)
    frame = explorers.shrinkage_sample(**chosen).set_index("number")
    for which, expected in {"no": own, "partial": mixed, "true": truth}.items():
        shown = frame.loc[expected.index, [f"{which}_{effect}" for effect in effects]]
        assert np.abs(shown.to_numpy() - expected[effects].to_numpy()).max() < 1e-9
    sds = np.sqrt(np.diag(fits.covariance[0]))
    given_up = 1 - np.diagonal(fits.shrinkage[0].mean(axis=0))
    expected = [*sds, fits.sigma[0], *given_up, *fits.fixed[0]]
    names = ["sd_Intercept", "sd_x", "sd_residual", "shrinkage_Intercept", "shrinkage_x"]
    told = frame[[*names, "fixed_Intercept", "fixed_x"]].iloc[0]
    assert np.abs(told - expected).max() < 1e-9


def test_a_world_off_the_grid_is_fitted_too():
    frame = explorers.shrinkage_sample(sd_of_slopes=0.3)
    fit = fit_mixed(FORMULA, create_data(sd_slope=0.3))
    assert frame["sd_residual"].iloc[0] == pytest.approx(fit.sigma, abs=1e-6)
    with pytest.raises(ValueError, match="sd_of_slopes is -1"):
        explorers.shrinkage_sample(sd_of_slopes=-1)


def test_a_cluster_without_rows_stands_at_the_fixed_effects():
    frame = explorers.shrinkage_sample(
        observations_per_cluster=3, cluster_sizes="unequal", sample=888
    )
    empty, single = frame[frame["n"] == 0], frame[frame["n"] == 1]
    assert len(frame) == 100 and frame["n"].sum() == 300 and len(empty) and len(single)
    assert (empty["no_Intercept"] == empty["fixed_Intercept"]).all()
    assert (empty["partial_x"] == empty["fixed_x"]).all()
    assert (single["no_x"] == single["partial_x"]).all()


def test_lines_of_a_cluster_are_its_estimates():
    data = create_data()
    table = shrinkage(fit_mixed(FORMULA, data))
    lines = explorers.own_lines(data, table, response="y", predictor="x", cluster="cluster")
    frame = lines(cluster=7)
    own = fit_by_cluster("y ~ x", data, "cluster").set_index("cluster").loc[7]
    line = frame[frame["kind"] == "no pooling"]
    assert np.allclose(line["y"], own["Intercept"] + own["x"] * line["x"])
    observed = frame[frame["kind"] == "observation"]
    assert sorted(observed["y"]) == sorted(data.loc[data["cluster"] == 7, "y"])


def test_an_unknown_column_is_named():
    data = create_data()
    table = shrinkage(fit_mixed(FORMULA, data))
    with pytest.raises(KeyError, match="school"):
        explorers.own_lines(data, table, response="y", predictor="x", cluster="school")


def drawn_lines(explorer, **positions):
    """Draw the panel of one cluster with its parameters set; read the pairs that its text says."""
    spec = explorer.first_state[1]
    for parameter in spec["params"]:
        parameter["value"] = positions.get(parameter["name"], parameter["value"])
    svg = vl_convert.vegalite_to_svg({**spec, "width": 300}).replace("\N{MINUS SIGN}", "-")
    said = re.search(
        r"own intercept, slope: ([^,]+), ([^<]+)<.*?mixed: ([^,]+), ([^<]+)<", svg, re.S
    )
    return np.array(said.groups(), float)


def lines_by_hand(fit, rows):
    """Own line and the mixed model's, from the covariance of a cluster's observations."""
    z = np.column_stack([np.ones(len(rows)), rows["x"]])
    own = np.linalg.lstsq(z, rows["y"], rcond=None)[0]
    g, fixed = random_covariance(fit).to_numpy(), fit.fixed.to_numpy()
    v = z @ g @ z.T + fit.sigma**2 * np.eye(len(z))
    return np.concatenate([own, fixed + g @ z.T @ np.linalg.solve(v, rows["y"] - z @ fixed)])


@pytest.mark.parametrize("scenario", ["baseline", "unbalanced", "3 observations per cluster"])
@pytest.mark.parametrize("seed", range(4))
def test_the_browsers_closed_form_is_the_models(scenario, seed):
    data = create_data(**SCENARIOS[scenario])
    fit = fit_mixed(FORMULA, data)
    clusters = explorers.linked_clusters(fit, response="y", predictor="x", cluster="cluster")
    controls = explorers.linked_controls(clusters())
    chart = charts.linked_explorer(clusters(), predictor="x", response="y")
    explorer = explore(clusters, chart, **controls)
    chance = np.random.default_rng(seed)
    sizes = data.groupby("cluster").size()
    label = chance.choice(sizes.index[sizes > 2])
    rows = data[data["cluster"] == label].reset_index(drop=True)
    count, which = chance.integers(2, len(rows), endpoint=True), chance.integers(len(rows))
    by = chance.integers(-40, 40, endpoint=True)
    rows.loc[which, "y"] += by / 10
    drawn = drawn_lines(
        explorer,
        cluster=list(controls["cluster"]).index(str(label)),
        observations_that_count=int(count - 2),
        observation_to_move=int(which),
        moved_by=int(by + 40),
    )
    expected = lines_by_hand(fit, rows.iloc[:count])
    assert drawn == pytest.approx(expected, abs=0.0051 + 1e-3 * np.abs(expected).max())


def test_with_its_data_untouched_a_cluster_has_the_fits_line():
    fit = fit_mixed(FORMULA, create_data())
    clusters = explorers.linked_clusters(fit, response="y", predictor="x", cluster="cluster")
    chart = charts.linked_explorer(clusters(), predictor="x", response="y")
    explorer = explore(clusters, chart, **explorers.linked_controls(clusters()))
    table = shrinkage(fit).set_index(["cluster", "effect"])
    distance = (table["no_pooling"] - table["partial_pooling"]).unstack()
    telling = ((distance / distance.std(ddof=0)) ** 2).sum(axis=1).idxmax()
    estimates = table.loc[telling]
    expected = [*estimates["no_pooling"], *estimates["partial_pooling"]]
    assert drawn_lines(explorer) == pytest.approx(expected, abs=0.006)


def test_a_path_is_the_students_grades():
    gpa = load_gpa()
    frame = explorers.own_path(gpa)(student=12)
    assert frame["y"].tolist() == gpa.loc[gpa["student"] == 12, "gpa"].tolist()
    first, last = frame["y"].iloc[[0, -1]]
    assert f"{first:.3g} at occasion 0, {last:.3g} at occasion 5" in frame["read_out"].iloc[0]


def test_numbers_in_words_have_the_sign_they_mean():
    data = create_data(n_cluster=8)
    table = shrinkage(fit_mixed(FORMULA, data)).replace({"cluster": {8: 9}})
    slopes = (table["effect"] == "x").to_numpy()
    table.loc[slopes & (table["cluster"] == 1), "no_pooling"] = -1e-16
    table.loc[slopes & (table["cluster"] == 2), "no_pooling"] = -0.003
    lines = explorers.own_lines(data, table, response="y", predictor="x", cluster="cluster")
    assert "slope: own 0.000, mixed" in lines(cluster=1)["read_out"].iloc[0]
    assert "slope: own \N{MINUS SIGN}0.003, mixed" in lines(cluster=2)["read_out"].iloc[0]


def test_a_singular_fit_is_named():
    degenerate = explorers.shrinkage_sample(observations_per_cluster=3, cluster_sizes="unequal")
    assert degenerate["sd_x"].iloc[0] < 0.01 and degenerate["singular"].eq(1).all()
    assert explorers.shrinkage_sample()["singular"].eq(0).all()


def test_densities_integrate_to_one():
    table = shrinkage(fit_mixed(FORMULA, create_data()))
    frame = explorers.paired_densities({"baseline": table})("baseline")
    for _, curve in frame.groupby(["effect", "kind"]):
        assert np.trapezoid(curve["density"], curve["value"]) == pytest.approx(1, abs=0.02)
    common = table.set_index("effect")["complete_pooling"]
    assert frame["fixed_x"].eq(common["x"].iloc[0]).all()


def test_settings_of_other_effects_are_refused():
    table = shrinkage(fit_mixed(FORMULA, create_data()))
    other = table.assign(effect=table["effect"].replace("x", "z"))
    with pytest.raises(ValueError, match="different effects"):
        explorers.paired_densities({"one": table, "other": other})


@pytest.fixture(scope="module")
def schools():
    pupils = load_pupils()
    formulas = {
        "model 1": "achievement ~ ses + (1 + ses | primary_school_id)",
        "model 2": "achievement ~ ses + (0 + ses | primary_school_id)",
        "model 3": "achievement ~ ses + (1 | primary_school_id) + (1 | primary_school_id:ses)",
    }
    return pupils, {name: fit_mixed(formula, pupils) for name, formula in formulas.items()}


def test_a_school_shows_its_effects_predictions_and_means(schools):
    pupils, models = schools
    frame = explorers.school_in_models(pupils, models)(school=10)
    for model, fit in models.items():
        table = random_effects(fit)
        own = table[table["cluster"].astype(str).str.split(":").str[0] == "10"]
        effects = frame[(frame["kind"] == "effect") & (frame["model"] == model)]
        assert np.allclose(sorted(effects["value"]), sorted(own["value"]))
        assert np.allclose(sorted(effects["lower"]), sorted(own["lower_2.5"]))
        drawn = frame["model"].str.contains(model) & (frame["kind"] == "partial pooling")
        means = frame[drawn].set_index("label")["value"]
        cells = pd.DataFrame({"ses": means.index, "primary_school_id": 10})
        assert np.allclose(means, fit.predict(cells))
    observed = frame[frame["kind"] == "no pooling"].set_index("label")["value"]
    school = pupils[pupils["primary_school_id"] == 10]
    assert np.allclose(
        observed, school.groupby("ses", observed=True)["achievement"].mean()[observed.index]
    )


def test_models_that_predict_the_same_share_their_means(schools):
    pupils, models = schools
    frame = explorers.school_in_models(pupils, models)(school=10)
    drawn = frame.loc[frame["kind"] == "partial pooling", "model"]
    assert drawn.unique().tolist() == ["model 1, model 2", "model 3"]


def test_a_lacking_level_is_absent_but_predicted(schools):
    pupils, models = schools
    counts = pd.crosstab(pupils["primary_school_id"], pupils["ses"])
    school = counts.index[(counts == 0).any(axis=1)][0]
    frame = explorers.school_in_models(pupils, models)(school)
    assert "high" in frame.loc[frame["kind"] == "partial pooling", "label"].tolist()
    assert "high" not in frame.loc[frame["kind"] == "no pooling", "label"].tolist()
    cells = frame[(frame["kind"] == "effect") & (frame["model"] == "model 3")]
    assert cells["label"].tolist() == ["school", "cell low", "cell mid"]
    told = frame["read_out"].iloc[0].split("|")[-1].replace("\N{MINUS SIGN}", "-")
    said = [float(number) for number in re.findall(r"-?\d\.\d\d", told)]
    assert told.startswith("model 3: school ") and ", cells " in told
    assert np.allclose(said, cells["value"], atol=0.005)


def test_no_interval_and_no_mean_leaves_its_axis(schools):
    pupils, models = schools
    effects, means = (chart.to_dict() for chart in charts.school_explorer(pupils).charts)
    reach = effects["layer"][1]["encoding"]["x"]["scale"]["domain"][1]
    low, high = means["layer"][0]["encoding"]["y"]["scale"]["domain"]
    view = explorers.school_in_models(pupils, models)
    for school in pupils["primary_school_id"].unique():
        frame = view(school)
        assert frame[["lower", "upper"]].abs().to_numpy().max() <= reach
        shown = frame.loc[frame["kind"].str.endswith("pooling"), "value"]
        assert shown.between(low, high).all()


def test_weights_at_the_fits_own_correlation_are_the_fits():
    fit = fit_mixed("y ~ treatment + (1 | cluster)", treatment_clusters(SIZES, 824523))
    icc = variance_components(fit)["var_prop"].iloc[0]
    table = cluster_means(fit)
    frame = explorers.weights_at(table)(icc, 2, 10)
    weights = cluster_weights(fit)
    assert np.allclose(frame["weight_partial"], weights["mixed_weight"])
    assert np.allclose(frame["weight_complete"], weights["observation_weight"])
    assert np.allclose(frame["shrunken"], table["partial_pooling"])
    assert np.allclose(frame["mean_complete"], table["complete_pooling"])


def test_a_larger_cluster_never_weighs_less_and_at_most_by_the_ratio_of_the_sizes():
    """At every setting of the explorer of weights."""
    data = treatment_clusters(SIZES, 824523)
    weighted = explorers.weights_at(cluster_means(fit_mixed("y ~ treatment + (1 | cluster)", data)))
    for setting in itertools.product(*explorers.WEIGHT_CONTROLS.values()):
        frame = weighted(*setting).query("treatment == 'intervention'").sort_values("n")
        more = frame["weight_partial"].pct_change().dropna()
        assert (more >= -1e-12).all()
        assert (more <= frame["n"].pct_change().dropna() + 1e-12).all()


def test_lines_and_paths_take_any_names_and_unequal_sizes():
    stream = np.random.default_rng(5)
    ward = np.repeat([f"Ward {at}" for at in range(9)], [1, 2, 3, 4, 5, 6, 7, 8, 9])
    data = pd.DataFrame({"ward no.": ward, "day [d]": stream.uniform(0, 9, 45)})
    data["pain"] = stream.normal(size=45) + pd.factorize(ward)[0] / 3
    table = shrinkage(fit_mixed("pain ~ `day [d]` + (1 + `day [d]` | `ward no.`)", data))
    columns = {"response": "pain", "predictor": "day [d]", "cluster": "ward no."}
    lines, path = explorers.own_lines(data, table, **columns), explorers.own_path(data, **columns)
    for label, n in zip(pd.unique(ward), range(1, 10), strict=True):
        frame = lines(**{"ward no.": label})
        counts = frame["kind"].value_counts()
        assert len(frame) == 9 + 6 and counts["observation"] == n and frame.notna().all(axis=None)
        assert ("no pooling" in counts) == (n > 1)
        assert ("own none" in frame["read_out"].iloc[0]) == (n == 1)
        assert path(**{"ward no.": label})["kind"].eq("observation").sum() == n
    with pytest.raises(KeyError, match="no effect.*let it vary"):
        explorers.own_lines(data, table, **columns | {"predictor": "pain"})


@pytest.mark.parametrize("sizes", [{"obs_per_cluster": 3}, {}, {"balanced": 0.5}])
def test_one_effect_is_a_random_intercept_of_a_fit(sizes):
    fit = fit_mixed("y ~ 1 + (1 | cluster)", create_data(**sizes))
    tau, sigma = variance_components(fit)["sd"]
    factors = shrinkage(fit).drop_duplicates("n")
    for n, factor in zip(factors["n"], factors["shrinkage_factor"], strict=True):
        frame = explorers.one_effect(n=n, tau=tau, sigma=sigma).set_index("curve")
        assert frame.loc["partial pooling", "mean"] == pytest.approx(1 - factor, abs=1e-8)
    conditional = random_effects(fit).set_index("cluster")["se"]
    last = factors["cluster"].iloc[-1]
    assert frame.loc["partial pooling", "sd"] == pytest.approx(conditional[last], abs=1e-8)


def test_half_is_kept_where_n_is_the_ratio_of_the_variances():
    assert "keeps 50 %" in explorers.one_effect(n=16, tau=0.25, sigma=1)["read_out"].iloc[0]
    assert charts.effect_explorer().to_dict()["description"].startswith("Three bell curves")


def test_schools_and_arms_take_any_names():
    names = {"achievement": "marks", "ses": "home", "primary_school_id": "class no."}
    pupils = load_pupils().rename(columns=names)
    pupils["class no."] = pupils["class no."].map("c{:02}".format)
    fit = fit_mixed("marks ~ home + (1 + home | `class no.`)", pupils)
    columns = {"response": "marks", "factor": "home", "cluster": "class no."}
    frame = explorers.school_in_models(pupils, {"one": fit}, **columns)("c07")
    labels = frame.loc[frame["kind"] == "effect", "label"].tolist()
    assert labels == ["Intercept", "homemid", "homehigh"]
    assert "marks" in str(charts.school_explorer(pupils, **columns).charts[1].to_dict())
    data = treatment_clusters([2, 10, 10, 10, 2, 10, 10, 10], 824523)
    table = cluster_means(fit_mixed("y ~ treatment + (1 | cluster)", data))
    table = table.astype({"treatment": str}).rename(columns={"treatment": "drug"})
    table["drug"] = table["drug"].replace("control", "none")
    assert (
        "intervention minus none" in explorers.weights_at(table, arm="drug")()["read_out"].iloc[0]
    )
