"""Check the answers of an exercise, and say what is wrong with them.

A notebook that is handed out carries no answers, only fingerprints of them: a number is placed on
a grid of twice the tolerance, and the name of its place is hashed. So an answer within the
tolerance is recognised, and so is a foreseen mistake, but neither can be read off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib

import numpy as np
import pandas as pd

# Slow on purpose: trying out many numbers should take longer than the exercise.
ROUNDS = 20_000
HINTS = {
    -1: "the sign is the wrong way round.",
    0.01: "this is a percentage; give it as a share, so divide by 100.",
}
ANSWERS_MIME = "application/vnd.borrowing-strength.answers+json"


class NotYet(AssertionError):
    """An answer that is not right, with a message for the student."""

    def _render_traceback_(self):
        """Show the message alone in a notebook: the lines of this file help nobody."""
        return [f"Not yet. {self}"]


class Checks:
    """Check answers against the fingerprints in a notebook's key.

    Parameters
    ----------
    key : str, optional
        Made by :func:`make_key`. Without it answers are taken for the reference's own: they are
        recorded, and become the expectations of the notebooks handed out.

    Examples
    --------
    >>> reference = Checks()
    >>> reference(variance=4.0)
    >>> reference.expect("variance", tolerance=0.1, mistakes={"This is the sd: square it.": 2.0})
    >>> check = Checks(make_key(reference.recorded()))
    >>> check(variance=3.95)
    variance: right.
    >>> try:
    ...     check(variance=2.01)
    ... except NotYet as message:
    ...     print(message)
    variance: This is the sd: square it.
    """

    def __init__(self, key=None):
        self._key = None if key is None else json.loads(zlib.decompress(base64.b64decode(key)))
        self._record = {name: {} for name in ("answers", "tolerances", "mistakes")}
        self._record |= {"hidden": [], "rejected": []}

    def __call__(self, **answers):
        """Check answers by name; raise :class:`NotYet` at the first that is not right."""
        for name, answer in answers.items():
            if self._key is None:
                self._record["answers"][name] = _plain(name, answer)
            else:
                _compare(name, answer, self._key[name])
                print(f"{name}: right.")

    def expect(self, name, *, tolerance=0.0, mistakes=None, value=None):
        """Say, in the reference, how near an answer must come and which mistakes to recognise.

        Parameters
        ----------
        name : str
            Name of the answer.
        tolerance : float
            Largest difference that still counts as right, in each number of the answer.
        mistakes : dict
            Message to the value that the mistake leads to.
        value : optional
            An expectation of a hidden check alone, which students do not name.
        """
        if value is not None:
            self._record["answers"][name] = _plain(name, value)
            self._record["hidden"].append(name)
        self._record["tolerances"][name] = float(tolerance)
        self._record["mistakes"][name] = [
            [message, _plain(name, wrong)] for message, wrong in (mistakes or {}).items()
        ]

    def require(self, condition, reason):
        """Reject, in the reference, data that were drawn too unluckily for the exercise."""
        if not condition:
            self._record["rejected"].append(reason)

    def recorded(self):
        """Return what the reference has recorded, in plain types."""
        return self._record

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "Checks()", ANSWERS_MIME: self._record}


def agrees(answer, expected, tolerance=0.0):
    """Whether an answer is the expected one, in whatever form it is given.

    Parameters
    ----------
    answer : number, text, truth value, array, list, dict, Series or DataFrame
    expected : str, bool, float or nested list of float
        In plain types, as recorded.
    tolerance : float
        Largest difference that still counts as right, in each number.

    Returns
    -------
    bool

    Examples
    --------
    >>> agrees(pd.Series([1.0, 2.001]), [1.0, 2.0], tolerance=0.01)
    True
    >>> agrees([1.0], [1.0, 2.0], tolerance=0.01)
    False
    """
    given = _plain("answer", answer)
    if _kind(given) != _kind(expected) or np.shape(given) != np.shape(expected):
        return False
    if _kind(given) != "number":
        return given == expected
    return bool(np.all(np.abs(np.subtract(given, expected)) <= tolerance))


def make_key(record):
    """Turn the reference's answers into the key of a notebook to hand out.

    Parameters
    ----------
    record : dict
        From :meth:`Checks.recorded`.

    Returns
    -------
    str
        Fingerprints of each answer and of its foreseen mistakes, as text.
    """
    key = {}
    for name in sorted(set(record["answers"]) - set(record["hidden"])):
        answer = record["answers"][name]
        tolerance = record["tolerances"].get(name, 0.0)
        mistakes = [
            {"print": fingerprint(name, wrong, tolerance), "message": message}
            for message, wrong in record["mistakes"].get(name, [])
        ]
        key[name] = {"print": fingerprint(name, answer, tolerance), "mistakes": mistakes}
    return base64.b64encode(zlib.compress(json.dumps(key).encode(), 9)).decode()


def fingerprint(name, value, tolerance):
    """Hash an answer so that another within the tolerance has the same hash.

    Parameters
    ----------
    name : str
        Name of the answer, which salts the hash.
    value : str, bool, float or nested list of float
        The answer, in plain types.
    tolerance : float
        Largest difference that still counts as the same.

    Returns
    -------
    dict
        kind, shape, tolerance, offsets of the grid, digest.
    """
    kind, shape = _kind(value), list(np.shape(value))
    if kind != "number":
        return {"kind": kind, "shape": shape, "digest": _digest(name, value)}
    if tolerance <= 0:
        raise ValueError(f"{name} is numeric: give it a tolerance above 0, with check.expect.")
    width = 2 * tolerance
    # The answer stands in the middle of its grid cell, so the tolerance is the same on both sides.
    offsets = np.mod(np.ravel(value) - tolerance, width)
    found = {"kind": kind, "shape": shape, "tolerance": tolerance, "offsets": offsets.tolist()}
    return {**found, "digest": _digest(name, _places(value, found))}


def _compare(name, answer, expected):
    """Raise what is wrong with an answer, the foreseen first."""
    given = _plain(name, answer)
    wanted = expected["print"]
    if _matches(name, given, wanted):
        return
    for mistake in expected["mistakes"]:
        if _matches(name, given, mistake["print"]):
            raise NotYet(f"{name}: {mistake['message']}")
    raise NotYet(f"{name}: {_difference(name, given, wanted)}")


def _difference(name, given, wanted):
    """Say in which general way an answer differs."""
    words = {"number": "a number", "text": "text", "flag": "True or False"}
    if _kind(given) != wanted["kind"]:
        return f"this is {words[_kind(given)]}; {words[wanted['kind']]} is wanted."
    if list(np.shape(given)) != wanted["shape"]:
        return f"this is {_size(np.shape(given))}; {_size(wanted['shape'])} is wanted."
    if wanted["kind"] == "number":
        for factor, hint in HINTS.items():
            changed = factor * np.asarray(given)
            # Of numbers near 0, neither sign nor size says anything.
            if np.abs(changed).max() > 2 * wanted["tolerance"]:
                if _matches(name, changed.tolist(), wanted):
                    return hint
    return "this is not the value."


def _size(shape):
    shape = list(shape)
    if not shape:
        return "a single number"
    if len(shape) == 1:
        return f"a list of {shape[0]} numbers"
    return f"a table of {' by '.join(map(str, shape))} numbers"


def _matches(name, given, wanted):
    if _kind(given) != wanted["kind"] or list(np.shape(given)) != wanted["shape"]:
        return False
    content = _places(given, wanted) if wanted["kind"] == "number" else given
    return _digest(name, content) == wanted["digest"]


def _places(value, grid):
    """Return the grid cell of each number."""
    numbers = np.ravel(value) - np.array(grid["offsets"])
    places = np.floor(numbers / (2 * grid["tolerance"]))
    return np.clip(places, -(2.0**53), 2.0**53).astype(int).tolist()


def _digest(name, content):
    text = json.dumps(content).encode()
    return hashlib.pbkdf2_hmac("sha256", text, name.encode(), ROUNDS).hex()[:24]


def _kind(value):
    if isinstance(value, str):
        return "text"
    return "flag" if isinstance(value, bool) else "number"


def _plain(name, value):
    """Turn an answer into text, a truth value, a float or lists of floats."""
    if value is None or value is Ellipsis:
        raise NotYet(f"{name}: no answer yet. Replace the three dots by your own code.")
    if isinstance(value, str):
        return value.strip().lower()
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = value.to_numpy()
    elif isinstance(value, dict):
        value = list(value.values())
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise NotYet(f"{name}: this is a {type(value).__name__}; numbers are wanted.") from None
    if not np.isfinite(numbers).all():
        raise NotYet(f"{name}: a number is missing (nan) or infinite.")
    if numbers.size > 10_000:
        raise NotYet(f"{name}: these are {numbers.size} numbers, far too many.")
    # One row or one cell of a table is what it holds, whatever brackets are left around it.
    numbers = numbers.squeeze()
    return numbers.tolist()
