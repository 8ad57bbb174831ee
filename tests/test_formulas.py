"""Formulas that are drawn into the page when the book is built."""

import re

import pytest
from sphinx.errors import ExtensionError

from extensions import formulas


@pytest.fixture(autouse=True, scope="module")
def one_process():
    yield
    formulas.stop(None, None)


def read_aloud(markup):
    hidden = re.search("<mjx-assistive-mml.*?</mjx-assistive-mml>", markup, re.S)[0]
    return re.sub("<[^>]*>", "", hidden)


def test_a_formula_is_a_drawing_and_words_to_be_read():
    markup = formulas.drawn(r"x_{1} = 0.1234 \alpha", display=False)
    assert re.search(r'<svg[^>]* aria-hidden="true"', markup)
    assert read_aloud(markup) == "x1=0.1234\N{GREEK SMALL LETTER ALPHA}"
    assert "href" not in markup and " id=" not in markup


def test_only_formulas_that_may_scroll_are_reached_by_keys():
    assert "tabindex" not in formulas.drawn("x", display=True)
    assert 'tabindex="0"' in formulas.drawn("x = " + " + ".join("abcdefghijklmnopqrst"), True)


@pytest.mark.parametrize("environment", ["align", "align*", "gather", "equation"])
def test_environments_are_drawn(environment):
    tex = rf"\begin{{{environment}}} y &= x \end{{{environment}}}".replace(
        "&", "&" if "align" in environment else ""
    )
    assert read_aloud(formulas.drawn(formulas.unwrapped(tex), True)).startswith("y=x")


@pytest.mark.parametrize("tex", [r"\frac{", r"\nosuchcommand", r"\begin{align}"])
def test_what_is_no_formula_fails_the_build(tex):
    with pytest.raises(ExtensionError, match="cannot be drawn"):
        formulas.drawn(tex, display=False)
