"""Contrasts and slopes against R's emmeans (tests/reference/make_table_values.R)."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.models.fits import fit_mixed, fit_pooled
from helpers.tables import marginal_means, marginal_slopes, pairwise_contrasts

FIT = "y ~ arm + dose + (1 | cluster)"


def agrees(table, expected, *, rtol=1e-4):
    """Columns that both have; limits are called otherwise there."""
    named = table.rename(columns={"lower_2.5": "lower", "upper_97.5": "upper"})
    for column in ("value", "se", "df", "t", "p_value", "lower", "upper"):
        if column in expected:
            np.testing.assert_allclose(named[column], expected[column], rtol=rtol, atol=1e-5)


@pytest.mark.parametrize("adjust", ["tukey", "none"])
def test_contrasts_are_those_of_emmeans(adjust, table_values, table_data):
    expected = table_values["contrasts"][adjust]
    table = pairwise_contrasts(fit_mixed(FIT, table_data), "arm", adjust=adjust)
    assert table["contrast"].tolist() == expected["contrast"]
    agrees(table, expected, rtol=2e-4)


@pytest.mark.parametrize("name", ["a line", "a logarithm"])
def test_slopes_and_their_contrasts_are_those_of_emtrends(name, table_values, table_data):
    expected = table_values["slopes"][name]
    fit = fit_mixed(expected["formula"], table_data)
    table = marginal_slopes(fit, "dose", expected["predictor"])
    assert table["level"].tolist() == expected["level"]
    agrees(table, expected, rtol=5e-4)
    pairs = pairwise_contrasts(fit, expected["predictor"], slope="dose")
    assert pairs["contrast"].tolist() == expected["contrasts"]["contrast"]
    agrees(pairs, expected["contrasts"], rtol=5e-4)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_contrasts_are_differences_of_means_and_turn_with_their_order(n_levels, seed):
    stream = np.random.default_rng(seed)
    levels = np.arange(60) % n_levels
    data = pd.DataFrame({"y": stream.normal(size=60), "k": [f"k{level}" for level in levels]})
    fit = fit_pooled("y ~ k", data)
    means = marginal_means(fit, "k").set_index("level")["mean"]
    both, each = (pairwise_contrasts(fit, "k", adjust=adjust) for adjust in ("tukey", "none"))
    pairs = both["contrast"].str.split(" - ", expand=True)
    np.testing.assert_allclose(both["value"], means[pairs[0]].values - means[pairs[1]].values)
    assert len(both) == n_levels * (n_levels - 1) / 2
    # An adjusted p value is never smaller, an adjusted interval never shorter.
    assert (both["p_value"] >= each["p_value"] - 1e-9).all()
    assert (both["upper_97.5"] >= each["upper_97.5"] - 1e-9).all()


def test_misuse_is_refused(table_data):
    fit = fit_mixed("y ~ arm * dose + sex + (1 | cluster)", table_data)
    with pytest.raises(TypeError, match="not int"):
        pairwise_contrasts(3, "arm")
    with pytest.raises(TypeError, match="not DataFrame"):
        marginal_slopes(table_data, "dose", "arm")
    with pytest.raises(ValueError, match="use one of tukey, none"):
        pairwise_contrasts(fit, "arm", adjust="scheffe")
    with pytest.raises(ValueError, match="'old' is not a predictor"):
        pairwise_contrasts(fit, "old")
    with pytest.raises(ValueError, match="'sex' has no slope"):
        marginal_slopes(fit, "sex", "arm")
    with pytest.raises(ValueError, match="at fixes 'arm'"):
        marginal_slopes(fit, "dose", "arm", at={"arm": "drug"})
    with pytest.warns(UserWarning, match="depends on 'dose'"):
        pairwise_contrasts(fit, "arm")
