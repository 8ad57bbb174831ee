"""Figures of the chapter on cluster weights."""

import pandas as pd
import pytest

from helpers import (
    charts,
    cluster_means,
    cluster_weights,
    fit_mixed,
    fit_pooled,
    marginal_means,
    treatment_clusters,
)
from helpers.charts.theme import POOLING_DASHES

SIZES = [2, 10, 10, 10, 2, 10, 10, 10]
TITLE = "the puzzle"


@pytest.fixture(scope="module")
def data():
    return treatment_clusters(SIZES, 824523)


@pytest.fixture(scope="module")
def fit(data):
    return fit_mixed("y ~ treatment + (1 | cluster)", data)


@pytest.fixture(scope="module")
def means(data, fit):
    both = {"complete pooling": fit_pooled("y ~ treatment", data), "partial pooling": fit}
    tables = {name: marginal_means(model, "treatment") for name, model in both.items()}
    return pd.concat(tables, names=["pooling"]).reset_index("pooling")


@pytest.fixture(scope="module")
def clusters(fit):
    return cluster_means(fit)


@pytest.fixture(scope="module")
def distances(fit, clusters):
    distance = fit.predict(clusters, random_effects=False) - clusters["observed"]
    return clusters.assign(distance=distance, share=1 - cluster_weights(fit)["lambda"])


def layers_of(spec, kind):
    return [layer for layer in spec["layer"] if layer["mark"]["type"] == kind]


def rows_of(spec, layer):
    return spec["datasets"][layer["data"]["name"]]


def mean_line(spec, pooling, level):
    """The row behind one line of arm_means, with its dash."""
    for layer in layers_of(spec, "rule"):
        for row in rows_of(spec, layer):
            if (row["pooling"], row["level"]) == (pooling, level):
                return row, layer["mark"]["strokeDash"]
    raise AssertionError(f"no line for {pooling}, {level}")


def test_arm_means_draws_every_observation_near_its_cluster(data, means):
    spec = charts.arm_means(data, means, title=TITLE).to_dict()
    rows = rows_of(spec, layers_of(spec, "circle")[0])
    assert [row["y"] for row in rows] == pytest.approx(data["y"].tolist())
    assert all(abs(row["position"] - row["cluster"]) < 0.31 for row in rows)


def test_arm_means_draws_a_line_per_pooling_and_arm(data, means):
    spec = charts.arm_means(data, means, title=TITLE).to_dict()
    assert sum(len(rows_of(spec, layer)) for layer in layers_of(spec, "rule")) == 4
    for expected in means.itertuples():
        row, dash = mean_line(spec, expected.pooling, expected.level)
        assert row["mean"] == pytest.approx(expected.mean)
        assert dash == POOLING_DASHES[expected.pooling]
        start = 1 if expected.level == "control" else 5
        assert (row["position"], row["to"]) == pytest.approx((start - 0.45, start + 3.45))


def test_arm_means_shows_partially_pooled_means_only_when_given(data, means, clusters):
    plain = charts.arm_means(data, means, title=TITLE).to_dict()
    full = charts.arm_means(data, means, clusters=clusters, title=TITLE).to_dict()
    assert [layer["mark"]["filled"] for layer in layers_of(plain, "point")] == [False]
    rings, dots = layers_of(full, "point")
    assert (rings["mark"]["filled"], dots["mark"]["filled"]) == (False, True)
    assert rings["encoding"]["y"]["field"] == "observed"
    assert dots["encoding"]["y"]["field"] == "partial_pooling"
    rows = rows_of(full, dots)
    assert {row["pooling"] for row in rows} == {"partial pooling"}
    expected = clusters["partial_pooling"].tolist()
    assert [row["partial_pooling"] for row in rows] == pytest.approx(expected)


def test_arm_means_labels_clusters_with_their_sizes(data, means):
    spec = charts.arm_means(data, means, title=TITLE).to_dict()
    labels = spec["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]
    assert labels.startswith('[["1", "(2)"], ["2", "(10)"]')


def test_arm_means_places_clusters_whatever_their_names(data, means, clusters):
    names = {number: f"school {number}" for number in range(1, 9)}
    renamed = data.assign(cluster=data["cluster"].map(names))
    spec = charts.arm_means(
        renamed,
        means,
        clusters=clusters.assign(cluster=clusters["cluster"].map(names)),
        title=TITLE,
    ).to_dict()
    rows = rows_of(spec, layers_of(spec, "point")[1])
    assert [row["position"] for row in rows] == list(range(1, 9))
    assert "mean of cluster school 5 furthest" in spec["description"]


def test_arm_means_describes_the_numbers(data, means, clusters):
    spec = charts.arm_means(data, means, clusters=clusters, title=TITLE).to_dict()
    # Numbers of the Cross Validated thread, rounded.
    assert "control: complete pooling 1.59, partial pooling 0.96" in spec["description"]
    assert "intervention: complete pooling 4.55, partial pooling 3.31" in spec["description"]
    assert "cluster 5 furthest, by 0.22, from -1.89 to -1.67" in spec["description"]
    assert "2, 10, 10, 10, 2, 10, 10, 10 observations" in spec["description"]


def test_arm_means_refuses_what_it_does_not_know(data, means, clusters):
    with pytest.raises(ValueError, match=r"pooling \['lm'\] is unknown"):
        charts.arm_means(data, means.assign(pooling="lm"), title=TITLE)
    with pytest.raises(ValueError, match=r"level \['placebo'\] is unknown"):
        charts.arm_means(data, means.replace({"level": {"control": "placebo"}}), title=TITLE)
    with pytest.raises(ValueError, match=r"cluster \[8\] is unknown"):
        charts.arm_means(data, means, clusters=clusters.head(7), title=TITLE)


def test_distance_lines_have_one_line_through_zero_per_size(distances):
    spec = charts.distance_lines(distances, title=TITLE).to_dict()
    ends = pd.DataFrame(rows_of(spec, layers_of(spec, "line")[0]))
    assert ends.groupby("n").size().to_dict() == {2: 2, 10: 2}
    share = distances.groupby("n")["share"].first()
    expected = ends["n"].map(share) * ends["distance"]
    assert ends["moved"].tolist() == pytest.approx(expected.tolist())
    reach = ends.groupby("n")["distance"].agg(["min", "max"])
    assert reach.loc[2, "min"] == 0
    assert reach.loc[2, "max"] == pytest.approx(distances.query("n == 2")["distance"].max())
    assert reach.loc[10].tolist() == pytest.approx(
        distances.query("n == 10")["distance"].agg(["min", "max"]).tolist()
    )


def test_distance_lines_put_every_cluster_on_its_line(distances):
    spec = charts.distance_lines(distances, title=TITLE).to_dict()
    rows = pd.DataFrame(rows_of(spec, layers_of(spec, "circle")[0]))
    assert len(rows) == 8
    assert rows["moved"].tolist() == pytest.approx(
        (rows["share"] * rows["distance"]).tolist(), abs=1e-10
    )
    names = rows_of(spec, layers_of(spec, "text")[0])
    assert [row["label"] for row in names] == ["n = 2", "n = 10"]
    # The asker's shrinkage of cluster 5 over its distance: .2208 / 5.1959.
    assert "slope 0.0425 for 2 observations" in spec["description"]


def test_distance_lines_refuse_clusters_of_several_fits(distances):
    mixed = pd.concat([distances, distances.assign(share=0.5)])
    with pytest.raises(ValueError, match="different shares"):
        charts.distance_lines(mixed, title=TITLE)


def test_arm_means_take_any_names_and_arms_that_alternate(data, means):
    names = {"y": "pain", "treatment": "drug", "cluster": "ward"}
    shuffled = data.sample(frac=1, random_state=1).rename(columns=names)
    columns = {"response": "pain", "arm": "drug", "cluster": "ward"}
    spec = charts.arm_means(shuffled, means, title="shuffled", **columns).to_dict()
    axes = spec["layer"][0]["encoding"]
    assert (axes["x"]["title"], axes["y"]["title"]) == ("ward (observations)", "pain")
    rows = pd.DataFrame(spec["datasets"][spec["layer"][0]["data"]["name"]])
    place = rows.groupby("cluster")["position"].mean().round()
    arms = shuffled.drop_duplicates("ward").set_index("ward")["drug"].astype(str)
    in_order = arms[place.sort_values().index].tolist()
    assert in_order == sorted(in_order, key=in_order.index)
    both = shuffled.assign(ward=1)
    with pytest.raises(ValueError, match="cluster 1 lies in 2 arms"):
        charts.arm_means(both, means, title="", **columns)
    with pytest.raises(ValueError, match="no column 'y'"):
        charts.arm_means(shuffled, means, title="")
