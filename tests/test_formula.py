"""Formulas in lme4's notation (Bates et al. 2015, table 2) and statsmodels' words for them."""

import pandas as pd
import pytest

from helpers.models.formula import FormulaError, column_names, parse


@pytest.mark.parametrize(
    ("text", "fixed", "re_formula", "vc_formula"),
    [
        ("y ~ x + (1 | g)", "y ~ x", "1", None),
        ("y ~ x + (x | g)", "y ~ x", "1 + x", None),
        ("y ~ x + (1 + x | g)", "y ~ x", "1 + x", None),
        ("y ~ x+(x+1|g)", "y ~ x", "1 + x", None),
        ("y ~ (x | g) + x", "y ~ x", "1 + x", None),
        ("y ~ (1 | g)", "y ~ 1", "1", None),
        ("y ~ 0 + x + (0 + x | g)", "y ~ 0 + x", "0 + x", None),
        ("y ~ x + (-1 + x | g)", "y ~ x", "0 + x", None),
        ("y ~ ses + (0 + ses | g)", "y ~ ses", "0 + ses", None),
        ("y ~ x * z + (x + z | g)", "y ~ x * z", "1 + x + z", None),
        ("y ~ x + (x:z | g)", "y ~ x", "1 + x:z", None),
        ("y ~ x + (1 | g) + (0 + x | g)", "y ~ x", "1", {"x": "0 + x"}),
        ("y ~ x + (0 + x | g) + (1 | g)", "y ~ x", "1", {"x": "0 + x"}),
        ("y ~ x + (x | g) + (0 + z | g)", "y ~ x", "1 + x", {"z": "0 + z"}),
        ("y ~ x + (0 + x | g) + (0 + z | g)", "y ~ x", "0 + x", {"z": "0 + z"}),
        ("y ~ x + (1 | g) + (1 | g:h)", "y ~ x", "1", {"g:h": "0 + C(h)"}),
        ("y ~ x + (1 | g:h) + (1 | g)", "y ~ x", "1", {"g:h": "0 + C(h)"}),
        ("y ~ x + (x | g) + (1 | g:h)", "y ~ x", "1 + x", {"g:h": "0 + C(h)"}),
        ("np.log(y) ~ I(x + 1) + (1 | g)", "np.log(y) ~ I(x + 1)", "1", None),
        ("y ~ I(x^2) + (I(x^2) | g)", "y ~ I(x ** 2)", "1 + I(x ** 2)", None),
        ("y ~ (a + b)^2 + (1 | g)", "y ~ (a + b) ** 2", "1", None),
        ("y ~ x - 1 + (1 | g)", "y ~ x - 1", "1", None),
        ("y ~ 0 + (1 | g)", "y ~ 0", "1", None),
        ("y ~ x + (x || g)", "y ~ x", "1", {"x": "0 + x"}),
        ("y ~ x + (0 + x + z || g)", "y ~ x", "0 + x", {"z": "0 + z"}),
        ("y ~ x + (1 | g/h)", "y ~ x", "1", {"g:h": "0 + C(h)"}),
        ("y ~ x + (1 | h:g) + (1 | g)", "y ~ x", "1", {"g:h": "0 + C(h)"}),
        (
            "y ~ x + (1 | g) + (0 + np.log(x + 1) | g)",
            "y ~ x",
            "1",
            {"np.log(x + 1)": "0 + np.log(x + 1)"},
        ),
        ("y ~ (I(x + 1) + I(z + 1) | g)", "y ~ 1", "1 + I(x + 1) + I(z + 1)", None),
    ],
)
def test_formulas_and_their_parts_in_statsmodels(text, fixed, re_formula, vc_formula):
    formula = parse(text)
    assert formula.fixed == fixed
    assert formula.group == "g"
    assert formula.re_formula == re_formula
    assert formula.vc_formula == vc_formula
    assert parse(str(formula)) == formula


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("y ~ x + (z | g)", ("y", "x", "z", "g")),
        ("y ~ np.log(x) + C(ses) + (1 | g) + (1 | g:h)", ("y", "x", "ses", "g", "h")),
        ("y ~ 1 + (1 | g)", ("y", "g")),
        ("y ~ x + I(x ** 2) + center(z):x + (1 | g)", ("y", "x", "z", "g")),
        ("y ~ Q('odd name') + (1 | g)", ("y", "odd name", "g")),
        ("y ~ `odd name` + a.b + (1 | `my g`)", ("y", "odd name", "a.b", "my g")),
        ("y ~ class + Treatment + C + Q + (1 | if)", ("y", "class", "Treatment", "C", "Q", "if")),
        ("y ~ C(f, Sum) + C(h, Treatment('a')) + bs(x, df=4) + (1 | g)", ("y", "f", "h", "x", "g")),
        ("y ~ C(f, Sum) + Sum + (1 | g)", ("y", "f", "Sum", "g")),
    ],
)
def test_columns_a_formula_needs(text, variables):
    assert parse(text).variables == variables


def test_column_names_leave_out_functions_and_modules():
    assert column_names("np.log(y) ~ bs(x, df=4) + C(ses, Treatment)") == ["y", "x", "ses"]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        (
            "y ~ x + (x | g)",
            'smf.mixedlm("y ~ x", data, groups="g", re_formula="1 + x")'
            '.fit(reml=True, method="lbfgs")',
        ),
        (
            "y ~ x + (1 | g)",
            'smf.mixedlm("y ~ x", data, groups="g", re_formula="1").fit(reml=True, method="cg")',
        ),
        (
            "y ~ x + (1 | g) + (1 | g:h)",
            'smf.mixedlm("y ~ x", data, groups="g", re_formula="1", '
            'vc_formula={"g:h": "0 + C(h)"}).fit(reml=True, method="lbfgs")',
        ),
    ],
)
def test_statsmodels_call(text, call):
    assert parse(text).statsmodels_call() == call
    assert "reml=False" in parse(text).statsmodels_call(reml=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y", "needs a response"),
        ("~ x + (1 | g)", "needs a response"),
        ("y ~ ", "needs a response"),
        ("y ~ x", "no random effect.*fit_pooled"),
        ("y ~ x + (1 | g) + (1 | h)", r"several groupings \(g, h\).*crossed.*smf.mixedlm"),
        ("y ~ x + (x | g/h)", "slopes, or several effects, of the nested grouping"),
        ("y ~ x + (1 | C(g))", "name of a column"),
        ("y ~ x + (1 | a:b:c)", "not a random-effect term"),
        ("y ~ x + ( | g)", "not a random-effect term"),
        ("y ~ x + (1 | )", "not a random-effect term"),
        ("y ~ x + (0 | g)", "nothing to vary"),
        ("y ~ x + (1 | g) + (x | g)", "vary twice"),
        ("y ~ x + (0 + x | g) + (x | g)", "vary twice"),
        ("y ~ x + (1 | g) + (1 | g)", "vary twice"),
        ("y ~ x^2 + (1 | g)", r"I\(x\*\*2\)"),
        ("y ~ x + (x**2 | g)", r"I\(x\*\*2\)"),
        ("y ~ log(x) + (1 | g)", r"Write np\.log"),
        ("y ~ x + (sqrt(x) | g)", r"Write np\.sqrt"),
        ("y ~ factor(x) + (1 | g)", r"Write C\(x\)"),
        ("y ~ x.clip(0, 2) + (1 | g)", "Methods of columns"),
        ("y ~ I(x - x.mean()) + (1 | g)", "Methods of columns"),
        ("y ~ I(x - np.mean(x)) + (1 | g)", "all rows together"),
        ("y ~ mystery(x) + (1 | g)", "not known here: mystery"),
        ("y ~ my x + (1 | g)", "backticks"),
        ("y ~ x == 2 + (1 | g)", "means nothing here"),
        ("y ~ x %in% z + (1 | g)", "means nothing here"),
        ("y ~ x + ", "nothing to its right"),
        ("y ~ . + (1 | g)", "means nothing here"),
        ("y ~ x + (1 | g) + (x | g:h)", "more than one nested"),
        ("y ~ x + (1 | g) + (1 | g:h) + (1 | g:k)", "more than one nested"),
        ("y ~ x | g", r"'\|' outside a term"),
        ("y ~ x * (1 | g)", r"'\|' outside a term"),
        ("(1 | g) ~ x", "left of the '~'"),
        ("y ~ x + (1 | g", "unbalanced"),
        ("y ~ x) + (1 | g)", "unbalanced"),
        ("y ~ x + (x + | g)", "cannot be read"),
    ],
)
def test_formulas_that_are_refused(text, message):
    with pytest.raises(FormulaError, match=message):
        parse(text)


def test_refusals_say_what_is_supported():
    with pytest.raises(FormulaError, match=r"Supported are .*\(1 \| g\) \+ \(1 \| g:h\)"):
        parse("y ~ x + (1 | g) + (1 | h)")


@pytest.mark.parametrize("text", [None, 3, ["y ~ x"]])
def test_a_formula_is_text(text):
    with pytest.raises(TypeError, match="must be a string"):
        parse(text)


@pytest.mark.parametrize("text", ["y ~ .", "y ~ x y", "y ~ 2 x"])
def test_fixed_parts_that_cannot_be_read(text):
    with pytest.raises(FormulaError, match="cannot be read"):
        column_names(text)


def test_independent_terms_may_have_several_effects():
    """lme4: two covariance matrices, of 1 and 2 effects."""
    formula = parse("y ~ x + (1 | g) + (0 + x + z | g)")
    assert [term.effects for term in formula.terms] == ["1", "0 + x + z"]


def test_double_bars_part_terms_and_not_levels():
    """As lme4: (f || g) is (1 | g) + (0 + f | g), also for a factor f (help page of lmer)."""
    formula = parse("y ~ f + (f * x || g)")
    assert [term.effects for term in formula.terms] == ["1", "0 + f", "0 + x", "0 + f:x"]


def test_odd_names_in_statsmodels_words():
    formula = parse("y ~ `my x` + class + scale(x) + (1 | school/`a b`)")
    assert formula.statsmodels_call() == (
        "smf.mixedlm(\"y ~ Q('my x') + Q('class') + scale(x, ddof=1)\", data, "
        'groups="school", re_formula="1", vc_formula={"school:a b": "0 + C(Q(\'a b\'))"})'
        '.fit(reml=True, method="lbfgs")'
    )


@pytest.mark.parametrize("outer", [[1, 1, 1, 2, 2, 2], list("aaabbb")])
def test_unique_ids_are_known_to_be_nested_from_the_data(outer):
    data = pd.DataFrame({"school": outer, "pupil": [11, 12, 12, 13, 13, 14]})
    for text in ("y ~ (1 | school) + (1 | pupil)", "y ~ (1 | pupil) + (1 | school)"):
        assert parse(text, data) == parse("y ~ (1 | school) + (1 | school:pupil)")
    with pytest.raises(FormulaError, match="crossed"):
        parse("y ~ (1 | school) + (1 | pupil)", data.assign(pupil=[1, 2, 3, 1, 2, 3]))
    with pytest.raises(FormulaError, match="nested grouping"):
        parse("y ~ (1 | school) + (x | pupil)", data)


def test_pairs_of_two_columns_may_be_the_clusters():
    formula = parse("y ~ x + (x | g:h)")
    assert (str(formula), formula.group, formula.nested) == ("y ~ x + (1 + x | g:h)", "g:h", None)
    assert formula.variables == ("y", "x", "g", "h")
