"""R's random numbers, so that data simulated here are the very data simulated in R.

:class:`RRandom` reproduces what R (3.6 and later) gives after ``set.seed(seed)`` with its default
generators: Mersenne Twister for uniforms, inversion for normals, rejection for ``sample``.
Uniforms and samples are equal bit for bit; normals agree to 1e-14, over the whole range that R
can draw (about -8.8 to 8.2).
"""

from __future__ import annotations

import math
import numbers

import numpy as np
from scipy.special import ndtri

SEED_LIMIT = 2**31 - 1
_UINT32 = 2**32
_MERSENNE_WORDS = 624
_NORMAL_BITS = 2.0**27
_SAMPLE_LIMIT = 2**31 - 1
_HASHING_FROM = 10_000_000
_SQRT_EPS = math.sqrt(np.finfo(float).eps)


def check_integer(name, value, *, minimum, maximum=SEED_LIMIT):
    """Return `value` as an int, or say why it is none of the integers allowed.

    Parameters
    ----------
    name : str
        What the value is called in the message.
    value : object
        What was given.
    minimum, maximum : int
        The smallest and largest integer allowed.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If `value` is not an integer (``True`` and ``2.0`` are not).
    ValueError
        If it is outside the limits.

    Examples
    --------
    >>> check_integer("n_cluster", 30, minimum=1)
    30
    """
    allowed = f"an integer from {minimum} to {maximum}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name} is {value!r}, a {type(value).__name__}; it must be {allowed}. "
            "Give a whole number without a decimal point."
        )
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} is {value}; it must be {allowed}. Choose a value in that range.")
    return int(value)


def check_number(name, value, *, minimum=-math.inf, maximum=math.inf):
    """Return `value` as a float, or say why it is none of the numbers allowed.

    Parameters
    ----------
    name : str
        What the value is called in the message.
    value : object
        What was given.
    minimum, maximum : float
        The limits, themselves allowed.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If it is not finite or outside the limits.

    Examples
    --------
    >>> check_number("sigma", 1, minimum=0)
    1.0
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} is {value!r}, a {type(value).__name__}; it must be a number. Give one number."
        )
    if not math.isfinite(value) or not minimum <= value <= maximum:
        limits = [f"at least {minimum:g}"] * (minimum > -math.inf)
        limits += [f"at most {maximum:g}"] * (maximum < math.inf)
        allowed = " ".join(["a finite number", " and ".join(limits)]).strip()
        raise ValueError(f"{name} is {value}; it must be {allowed}. Choose such a value.")
    return float(value)


class RRandom:
    """One stream of R's random numbers, as after ``set.seed(seed)`` in R 3.6 or later.

    Each call goes on where the last one stopped, as in an R session.

    Parameters
    ----------
    seed : int
        From -2147483647 to 2147483647, as in R. R cuts the decimals off a seed such as 2.7;
        here that is an error.

    Raises
    ------
    TypeError
        If the seed is not an integer.
    ValueError
        If the seed does not fit.

    Notes
    -----
    Seeding follows R's ``RNG.c``: x becomes 69069 x + 1 modulo 2**32, fifty times, and every
    further step gives one word of the state (the first is overwritten by the position).

    Examples
    --------
    >>> RRandom(888).sample(5, 5).tolist()
    [1, 3, 4, 5, 2]
    """

    def __init__(self, seed):
        seed = check_integer("seed", seed, minimum=-SEED_LIMIT)
        self._bits = np.random.MT19937()
        self._bits.state = {
            "bit_generator": "MT19937",
            "state": {"key": _scrambled_words(seed), "pos": _MERSENNE_WORDS},
        }

    def uniform(self, n):
        """Draw uniform numbers in (0, 1): ``runif(n)``.

        Parameters
        ----------
        n : int
            How many, 0 or more.

        Returns
        -------
        numpy.ndarray
            Shape (n,).

        Raises
        ------
        TypeError, ValueError
            If `n` is not such an integer.

        Examples
        --------
        >>> RRandom(1).uniform(2).round(7).tolist()
        [0.2655087, 0.3721239]
        """
        n = check_integer("n", n, minimum=0)
        return _inside_unit_interval(self._bits.random_raw(n) / _UINT32)

    def normal(self, n, mean=0, sd=1):
        """Draw normal numbers: ``rnorm(n, mean, sd)``.

        Parameters
        ----------
        n : int
            How many, 0 or more.
        mean : float
            Mean.
        sd : float
            Standard deviation, 0 or more. As in R, an `sd` of 0 takes nothing from the stream.

        Returns
        -------
        numpy.ndarray
            Shape (n,).

        Raises
        ------
        TypeError, ValueError
            If `n` is not such an integer, or `mean` or `sd` not such a number.

        Notes
        -----
        R's inversion (``snorm.c``): two uniforms u, v give the normal quantile of
        (floor(2**27 u) + v) / 2**27.

        Examples
        --------
        >>> RRandom(1).normal(2).round(7).tolist()
        [-0.6264538, 0.1836433]
        """
        n = check_integer("n", n, minimum=0)
        mean = check_number("mean", mean)
        sd = check_number("sd", sd, minimum=0)
        if sd == 0:
            return np.full(n, mean)
        high, low = self.uniform(2 * n).reshape(n, 2).T
        return mean + sd * ndtri((np.floor(_NORMAL_BITS * high) + low) / _NORMAL_BITS)

    def sample(self, n, size):
        """Draw from 1, ..., n without replacement: ``sample.int(n, size)``.

        Parameters
        ----------
        n : int
            The largest number that can be drawn, 1 or more.
        size : int
            How many to draw, from 0 to `n`.

        Returns
        -------
        numpy.ndarray
            Shape (size,), integers counted from 1 as in R; subtract 1 for row positions.

        Raises
        ------
        TypeError, ValueError
            If `n` or `size` is not such an integer.

        Notes
        -----
        As R does, above ten million with at most half of them drawn, repeats are drawn again
        instead of taken out of a table, which gives other numbers.

        Examples
        --------
        >>> RRandom(42).sample(10, 3).tolist()
        [1, 5, 10]
        """
        n = check_integer("n", n, minimum=1, maximum=_SAMPLE_LIMIT)
        size = check_integer("size", size, minimum=0, maximum=n)
        if n > _HASHING_FROM and size <= n / 2:
            return self._sample_by_redrawing(n, size)
        return self._sample_from_table(n, size)

    def multivariate_normal(self, n, cov):
        """Draw rows of a normal vector of mean zero: ``mvtnorm::rmvnorm(n, sigma = cov)``.

        Parameters
        ----------
        n : int
            How many rows, 0 or more.
        cov : array_like
            Covariance, shape (k, k), symmetric and positive semi-definite.

        Returns
        -------
        numpy.ndarray
            Shape (n, k).

        Raises
        ------
        TypeError, ValueError
            If `n` is not such an integer, or `cov` not such a matrix.

        Notes
        -----
        mvtnorm's default method ("eigen"): independent normals, filled in row by row, times the
        symmetric square root of the covariance.

        Examples
        --------
        >>> RRandom(1).multivariate_normal(1, [[4, 0], [0, 1]]).round(7).tolist()
        [[-1.2529076, 0.1836433]]
        """
        n = check_integer("n", n, minimum=0)
        root = _symmetric_root(cov)
        return self.normal(n * len(root)).reshape(n, len(root)) @ root

    def _sample_from_table(self, n, size):
        table = np.arange(1, n + 1)
        drawn = np.empty(size, dtype=np.int64)
        for i in range(size):
            last = n - 1 - i
            position = self._index(last + 1)
            drawn[i] = table[position]
            table[position] = table[last]
        return drawn

    def _sample_by_redrawing(self, n, size):
        # A dict keeps the order of first appearance.
        drawn = {}
        while len(drawn) < size:
            drawn[self._index(n) + 1] = None
        return np.fromiter(drawn, dtype=np.int64, count=size)

    def _index(self, n):
        """Draw one of 0, ..., n - 1 by rejection on bits (R_unif_index in R's RNG.c)."""
        bits = (n - 1).bit_length()
        while True:
            value = self._random_bits(bits)
            if value < n:
                return value

    def _random_bits(self, bits):
        value = 0
        # R takes 16 bits a time, and one piece more than needed when bits is a multiple of 16.
        for _ in range(bits // 16 + 1):
            value = (value << 16) | (self._bits.random_raw() >> 16)
        return value & ((1 << bits) - 1)


def _scrambled_words(seed):
    words = np.empty(_MERSENNE_WORDS, dtype=np.uint32)
    word = seed % _UINT32
    # 50 rounds of scrambling, and one word that R overwrites with the position.
    for _ in range(51):
        word = (69069 * word + 1) % _UINT32
    for i in range(_MERSENNE_WORDS):
        word = (69069 * word + 1) % _UINT32
        words[i] = word
    return words


def _inside_unit_interval(values):
    """Keep uniforms off 0 as R's fixup() does (1 cannot occur: the largest is 1 - 2**-32)."""
    return np.where(values <= 0, 0.5 / (_UINT32 - 1), values)


def _symmetric_root(cov):
    """Symmetric square root of a covariance, refusing what is none."""
    cov = _square_matrix(cov)
    if not np.allclose(cov, cov.T, rtol=0, atol=_SQRT_EPS * np.abs(cov).max()):
        raise ValueError(
            f"cov is {cov.tolist()}, which is not symmetric; a covariance equals its transpose. "
            "Give the same value on both sides of the diagonal."
        )
    values, vectors = np.linalg.eigh(cov)
    if values[0] < -_SQRT_EPS * np.abs(values).max():
        raise ValueError(
            f"cov is {cov.tolist()}, which is not positive semi-definite (smallest eigenvalue "
            f"{values[0]:.4g}); no variance may be negative and no covariance larger than the "
            "product of its two sds. Make the covariances smaller or the variances larger."
        )
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _square_matrix(cov):
    try:
        matrix = np.asarray(cov, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"cov is {cov!r}; it must be a square matrix of numbers. Give rows of equal length."
        ) from error
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.size > 0
    if not square or not np.isfinite(matrix).all():
        raise ValueError(
            f"cov has shape {matrix.shape} and values {matrix.tolist()}; it must be a square "
            "matrix of finite numbers. Give one row and one column for each variable."
        )
    return matrix
