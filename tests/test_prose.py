"""Glued numbers."""

import numpy as np
import pytest

from helpers import prose


@pytest.fixture
def glued(monkeypatch):
    numbers = {}
    monkeypatch.setattr(prose, "glue", lambda name, number, display: numbers.update({name: number}))
    return numbers


def test_numpy_scalars_become_plain_numbers(glued):
    prose.glue_numbers(count=np.int64(3), share=np.float64(0.5), name="low")
    assert glued == {"count": 3, "share": 0.5, "name": "low"}
    assert type(glued["count"]) is int and type(glued["share"]) is float


@pytest.mark.parametrize("number", [np.nan, float("inf")])
def test_numbers_that_are_not_finite_are_refused(glued, number):
    with pytest.raises(ValueError, match=r"slope is (nan|inf)"):
        prose.glue_numbers(slope=number)
