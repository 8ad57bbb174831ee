"""Summaries and comparisons of fits."""

import pytest

from helpers.models.columns import DataError
from helpers.models.fits import fit_mixed
from helpers.tables import (
    compare_models,
    fixed_effects,
    intervals,
    random_effect_correlations,
    summarize_model,
    variance_components,
)

INTERCEPTS = "y ~ x + (1 | cluster)"


@pytest.fixture(scope="module")
def pupils(fit_of):
    return {number: fit_of(f"pupils model {number}") for number in (1, 2, 3)}


@pytest.mark.parametrize("name", ["baseline", "baseline, ML", "pupils model 3"])
def test_summary_says_it_all(name, fit_of):
    fit = fit_of(name)
    summary = summarize_model(fit)
    numbers = [
        *fixed_effects(fit)[["value", "se"]].to_numpy().ravel(),
        *variance_components(fit)["sd"],
        fit.residuals().min(),
        fit.residuals().max(),
    ]
    if len(random_effect_correlations(fit)) > 1:
        numbers.append(random_effect_correlations(fit).iloc[0, 1])
    for text in (str(summary), summary._repr_html_().replace("−", "-")):
        assert all(f"{number:.4f}" in text for number in numbers)
        assert str(fit.terms) in text
        assert f"{'REML' if fit.reml else 'ML'} criterion {fit.criterion:.1f}" in text
        assert f"{fit.n_obs} observations, {fit.n_groups} clusters" in text
        assert "singular" not in text
    assert "<table" in summary._repr_html_()


def test_summary_has_intervals_on_request(fit_of):
    fit = fit_of("baseline")
    limits = intervals(fit)[["lower_2.5", "upper_97.5"]].to_numpy().ravel()
    summary = summarize_model(fit, intervals=True)
    for text in (str(summary), summary._repr_html_().replace("−", "-")):
        assert all(f"{limit:.4f}" in text for limit in limits)
    assert "Profile intervals" not in str(summarize_model(fit))


def test_summary_reports_a_singular_fit(pupils):
    assert "singular" in str(summarize_model(pupils[1]))


def test_compare_models_is_sorted_and_counts(pupils):
    table = compare_models({str(number): fit for number, fit in pupils.items()})
    assert table["AICc"].is_monotonic_increasing
    assert table["delta_AICc"].iloc[0] == 0
    table = table.set_index("model")
    assert table["K"].to_dict() == {"1": 10, "2": 10, "3": 6}
    assert table["n_random_effects"].to_dict() == {"1": 150, "2": 150, "3": 198}
    expected = pupils[3].criterion + 2 * 6 + 2 * 6 * 7 / (1000 - 6 - 1)
    assert table.loc["3", "AICc"] == pytest.approx(expected)


def test_ml_fits_with_different_fixed_effects_may_be_compared(data_of):
    data = data_of("baseline")
    fits = {
        text: fit_mixed(f"{text} + (1 | cluster)", data, reml=False) for text in ("y ~ x", "y ~ 1")
    }
    assert compare_models(fits)["model"].tolist() == ["y ~ x", "y ~ 1"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda data: fit_mixed(INTERCEPTS, data.head(500)), "different data"),
        (lambda data: fit_mixed(INTERCEPTS, data.iloc[::-1]), "different data"),
        (lambda data: fit_mixed(INTERCEPTS, data, reml=False), "mix REML and ML"),
        (lambda data: fit_mixed("y ~ 1 + (1 | cluster)", data), "different fixed effects"),
    ],
)
def test_fits_that_may_not_be_compared(other, message, baseline, data_of):
    with pytest.raises(DataError, match=message):
        compare_models({"a": baseline, "b": other(data_of("baseline"))})
