"""RRandom against values made with R (tests/reference/make_r_random.R)."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from helpers.data.r_random import RRandom, check_integer, check_number

REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "r_random.json").read_text(encoding="utf-8")
)
STREAMS = {case["seed"]: case for case in REFERENCE["streams"]}
SAMPLES = {
    f"seed {case['seed']}: {case['size']} of {case['n']}": case for case in REFERENCE["samples"]
}
seeds = st.integers(-(2**31) + 1, 2**31 - 1)


def at(values, index):
    """Values at R's positions, which count from 1."""
    return values[np.asarray(index) - 1]


@pytest.mark.parametrize("seed", STREAMS)
def test_uniforms_are_r_s_bit_for_bit(seed):
    expected = STREAMS[seed]["uniform"]
    assert at(RRandom(seed).uniform(2000), expected["index"]).tolist() == expected["value"]


@pytest.mark.parametrize("seed", STREAMS)
def test_normals_are_r_s_to_1e_14(seed):
    case = STREAMS[seed]
    drawn = RRandom(seed).normal(2000)
    error = at(drawn, case["normal"]["index"]) - case["normal"]["value"]
    assert np.abs(error).max() <= 1e-14
    assert abs(drawn.sum() - case["normal_sum"]) <= 1e-11


@pytest.mark.parametrize("seed", STREAMS)
def test_mean_and_sd(seed):
    error = RRandom(seed).normal(5, mean=-3, sd=2.5) - STREAMS[seed]["normal_mean_sd"]
    assert np.abs(error).max() <= 1e-14


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_r_s(name):
    case = SAMPLES[name]
    stream = RRandom(case["seed"])
    drawn = stream.sample(case["n"], case["size"])
    assert at(drawn, case["index"]).tolist() == case["value"]
    assert int(drawn @ np.arange(1, case["size"] + 1)) == case["weighted_sum"]
    assert stream.uniform(1)[0] == case["next_uniform"]


@pytest.mark.parametrize("case", REFERENCE["multivariate"])
def test_multivariate_normals_are_r_s(case):
    drawn = RRandom(case["seed"]).multivariate_normal(case["n"], case["cov"])
    np.testing.assert_allclose(drawn, case["value"], rtol=0, atol=1e-14)


def test_different_draws_interleaved_on_one_stream():
    expected, stream = REFERENCE["interleaved"], RRandom(20)
    assert stream.uniform(3).tolist() == expected["uniform"]
    np.testing.assert_allclose(stream.normal(301), expected["normal"], rtol=0, atol=1e-14)
    assert stream.sample(50, 20).tolist() == expected["sample"]
    assert stream.normal(2, mean=1, sd=0).tolist() == expected["none"]
    drawn = stream.multivariate_normal(3, [[0.25, 0.1], [0.1, 0.0625]])
    np.testing.assert_allclose(drawn, expected["multivariate"], rtol=0, atol=1e-14)
    assert stream.sample(70000, 5).tolist() == expected["large_sample"]
    assert stream.uniform(2).tolist() == expected["last"]


def test_quantiles_agree_far_out_in_both_tails():
    """The extremes R's inversion can draw, from qnorm() in R 4.2.2."""
    assert abs(ndtri(2.0**-60) - REFERENCE["quantiles"]["smallest"]) <= 1e-14
    assert abs(ndtri(1 - 2.0**-53) - REFERENCE["quantiles"]["largest"]) <= 1e-14


@given(seed=seeds, n=st.integers(1, 300), data=st.data())
def test_a_sample_repeats_nothing_and_stays_in_range(seed, n, data):
    size = data.draw(st.integers(0, n))
    drawn = RRandom(seed).sample(n, size)
    assert len(set(drawn.tolist())) == size
    assert set(drawn.tolist()) <= set(range(1, n + 1))


@given(seed=seeds, first=st.integers(0, 700), second=st.integers(0, 700))
def test_the_stream_goes_on_where_it_stopped(seed, first, second):
    whole, parts = RRandom(seed), RRandom(seed)
    drawn = np.concatenate([parts.uniform(first), parts.uniform(second)])
    assert drawn.tolist() == whole.uniform(first + second).tolist()
    assert ((drawn > 0) & (drawn < 1)).all()


@given(seed=seeds, variance=st.floats(0, 100), share=st.floats(-1, 1))
def test_any_covariance_is_accepted(seed, variance, share):
    covariance = share * np.sqrt(variance)
    drawn = RRandom(seed).multivariate_normal(3, [[variance, covariance], [covariance, 1]])
    assert drawn.shape == (3, 2) and np.isfinite(drawn).all()


def test_nothing_drawn():
    stream = RRandom(1)
    assert stream.uniform(0).shape == (0,) and stream.normal(0).shape == (0,)
    assert stream.sample(5, 0).shape == (0,)
    assert stream.multivariate_normal(0, [[1]]).shape == (0, 1)
    assert stream.uniform(1)[0] == RRandom(1).uniform(1)[0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: RRandom(1.5), TypeError, r"seed is 1\.5, a float; it must be an integer"),
        (lambda: RRandom(888.0), TypeError, r"seed is 888\.0"),
        (lambda: RRandom("1"), TypeError, "seed is '1', a str"),
        (lambda: RRandom(True), TypeError, "seed is True"),
        (lambda: RRandom(None), TypeError, "seed is None"),
        (lambda: RRandom(2**31), ValueError, "from -2147483647 to 2147483647"),
        (lambda: RRandom(-(2**31)), ValueError, "seed is -2147483648"),
        (lambda: RRandom(1).uniform(-1), ValueError, "n is -1"),
        (lambda: RRandom(1).uniform(2.0), TypeError, r"n is 2\.0"),
        (lambda: RRandom(1).normal(-1), ValueError, "n is -1"),
        (lambda: RRandom(1).normal(2, sd=-1), ValueError, "sd is -1; it must be .* at least 0"),
        (lambda: RRandom(1).normal(2, mean=np.inf), ValueError, "mean is inf"),
        (lambda: RRandom(1).normal(2, mean="0"), TypeError, "mean is '0', a str"),
        (lambda: RRandom(1).sample(0, 0), ValueError, "n is 0; it must be an integer from 1"),
        (lambda: RRandom(1).sample(5, 6), ValueError, "size is 6; .* from 0 to 5"),
        (lambda: RRandom(1).sample(5, -1), ValueError, "size is -1"),
        (lambda: RRandom(1).sample(2**31, 1), ValueError, "n is 2147483648"),
        (lambda: RRandom(1).multivariate_normal(1, [[1, 2], [2, 1]]), ValueError, "semi-definite"),
        (lambda: RRandom(1).multivariate_normal(1, [[-1]]), ValueError, "semi-definite"),
        (lambda: RRandom(1).multivariate_normal(1, [[1, 0.1], [0, 1]]), ValueError, "symmetric"),
        (lambda: RRandom(1).multivariate_normal(1, [1, 1]), ValueError, r"shape \(2,\)"),
        (lambda: RRandom(1).multivariate_normal(1, [[np.nan]]), ValueError, "finite"),
        (lambda: RRandom(1).multivariate_normal(1, [[1], [1, 2]]), TypeError, "equal length"),
        (lambda: check_integer("k", 3, minimum=4), ValueError, "k is 3; .* 4 to"),
        (lambda: check_number("p", 2, minimum=0, maximum=1), ValueError, "least 0 and at most 1"),
    ],
)
def test_bad_input_says_what_was_given_and_what_is_allowed(call, error, message):
    with pytest.raises(error, match=message):
        call()
