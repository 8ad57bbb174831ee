"""What students are told about their answers."""

import numpy as np
import pandas as pd
import pytest

from checks import Checks, NotYet, fingerprint, make_key


def key_for(name, answer, **expectation):
    """Make the key of a notebook with one answer."""
    reference = Checks()
    reference(**{name: answer})
    reference.expect(name, **expectation)
    return make_key(reference.recorded())


def message(key, **answers):
    """Return what a wrong answer is told."""
    with pytest.raises(NotYet) as caught:
        Checks(key)(**answers)
    return str(caught.value)


@pytest.mark.parametrize("right", [0.3, -0.3, 1e-4, 12345.678, 0.0])
def test_the_tolerance_is_the_same_on_both_sides(right):
    key = key_for("answer", right, tolerance=0.01)
    for near in (right, right - 0.0099, right + 0.0099):
        Checks(key)(answer=near)
    for far in (right - 0.0101, right + 0.0101, right + 0.02, right - 0.04):
        assert message(key, answer=far) == "answer: this is not the value."


def test_each_number_of_a_list_has_the_tolerance():
    key = key_for("answer", [1.0, 2.0], tolerance=0.1)
    Checks(key)(answer=pd.Series([1.09, 1.91], index=["a", "b"]))
    assert "not the value" in message(key, answer=[1.0, 2.11])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (..., "no answer yet"),
        (None, "no answer yet"),
        (np.nan, "missing (nan) or infinite"),
        ("0.3", "this is text; a number is wanted"),
        (True, "this is True or False; a number is wanted"),
        ([0.3, 0.4], "this is a list of 2 numbers; a single number is wanted"),
        (np.zeros((2, 3)), "this is a table of 2 by 3 numbers"),
        (np.zeros(20_000), "far too many"),
        (object(), "this is a object; numbers are wanted"),
        (-0.3, "the sign is the wrong way round"),
        (30, "percentage"),
        (0.5477, "your variance is a standard deviation"),
        (1e300, "not the value"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(answer, said):
    key = key_for(
        "variance",
        0.3,
        tolerance=0.001,
        mistakes={"your variance is a standard deviation: square it.": 0.3**0.5},
    )
    assert said in message(key, variance=answer)


@pytest.mark.parametrize("answer", [0.3, np.float32(0.3), [0.3], pd.DataFrame({"a": [0.3]})])
def test_one_number_may_come_in_brackets(answer, capsys):
    Checks(key_for("answer", 0.3, tolerance=0.001))(answer=answer)
    assert capsys.readouterr().out == "answer: right.\n"


def test_text_is_compared_without_case_and_margin():
    key = key_for("answer", "North")
    Checks(key)(answer=" north ")
    assert message(key, answer="south") == "answer: this is not the value."


def test_numbers_need_a_tolerance():
    with pytest.raises(ValueError, match="tolerance above 0"):
        fingerprint("answer", 1.0, 0)


def test_a_notebook_shows_the_message_alone():
    shown = NotYet("variance: square it.")._render_traceback_()
    assert shown == ["Not yet. variance: square it."]


def test_a_key_names_no_answer():
    key = key_for("answer", 0.123456789, tolerance=0.01, mistakes={"sd": 0.987654321})
    content = str(Checks(key)._key)
    assert "0.123" not in content and "0.987" not in content
