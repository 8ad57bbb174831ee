"""Text that follows its computation: expressions in prose, claims beside their words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from html import escape

import numpy as np
from IPython.display import display

from helpers.charts import BUILDS_THE_BOOK
from helpers.data import FOLDER_VARIABLE

# As myst-nb's glue: the page finds such an output by its name, and does not show it.
_PREFIX = "application/papermill.record/"
#: Kind of the output of an expression that failed.
FAILURE = "text/x-failure"
_NEGATIVE = re.compile(r"(?<![\w.-])-(\d[\d,]*\.?\d*)")
_NOT_A_NUMBER = re.compile(r"\b(nan|NAN|inf|INF|NaT)\b|<NA>|^None$")


class ClaimError(AssertionError):
    """A sentence of the page that its own cells contradict."""


def claim(condition: bool | Callable[[], bool], words: str, *, only: str | None = None) -> None:
    """Check that a sentence of the page holds for the page's own objects.

    In a build of the book a false one is an error. In a notebook, where a reader may have changed
    the data, it is said in its place, and the run goes on.

    Parameters
    ----------
    condition : bool or callable
        What must be true. A function without arguments, where other data might not even let it be
        worked out.
    words : str
        The sentence or part of it, as it stands on the page; an ellipsis (…) for each expression.
        The build looks for them there.
    only : {None, "twins"}
        ``"twins"`` for what holds of the synthetic twins of the data and need not hold of the
        original records: with these it is not checked.

    Raises
    ------
    ClaimError
        In a build of the book, if the claim is false or cannot be checked.
    TypeError
        If the condition is neither true nor false.
    ValueError
        If `only` is something else.

    Examples
    --------
    >>> claim(1 + 1 == 2, "One and one are two.")
    >>> claim(1 + 1 == 3, "One and one are three.")
    No longer true with what was changed above: “One and one are three.”
    """
    if only not in (None, "twins"):
        raise ValueError(f"only is {only!r}; allowed are None and 'twins'.")
    if only == "twins" and os.environ.get(FOLDER_VARIABLE):
        return
    try:
        truth = condition() if callable(condition) else condition
    except Exception as error:
        problem = f"Cannot be checked with what was changed above ({type(error).__name__}: {error})"
        _object(problem, words, error)
        return
    if not isinstance(truth, bool | np.bool_):
        raise TypeError(
            f'The claim "{words}" has a {type(truth).__name__} for a condition; it must be True or '
            "False. Of an array or a column say which must hold: .all() or .any()."
        )
    if not truth:
        _object("No longer true with what was changed above", words)


def _object(problem, words, cause=None):
    """Refuse a sentence in a build, and say so in a notebook."""
    if os.environ.get(BUILDS_THE_BOOK):
        why = f" It cannot be checked: {type(cause).__name__}: {cause}" if cause else ""
        raise ClaimError(f'This sentence of the page does not hold: "{words}".{why}') from cause
    display(_Notice(f"{problem}: “{words}”"))


class _Notice:
    """What a reader is told in the place of a sentence that no longer holds."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        return f'<p role="note"><strong>{escape(self.text)}</strong></p>'


def evaluate(namespace: Mapping[str, object], expressions: Mapping[str, str]) -> None:
    """Give the page what the expressions in its text come to; the build calls this.

    Parameters
    ----------
    namespace : mapping of str to object
        Names that the expressions may use.
    expressions : mapping of str to str
        Python code of each, by the name that it has on the page.

    Examples
    --------
    >>> evaluate({"share": 0.25}, {"eval-1": 'f"{100 * share:.0f}"'})
    {'application/papermill.record/text/plain': '25'}
    """
    for name, expression in expressions.items():
        try:
            kind, text = "text/plain", _as_text(eval(expression, dict(namespace)))
        except Exception as error:
            kind = FAILURE
            text = f"{{eval}}`{expression}` fails: {type(error).__name__}: {error}"
        place = {"scrapbook": {"name": name, "mime_prefix": _PREFIX}}
        display({_PREFIX + kind: text}, raw=True, metadata=place)


def _as_text(value):
    """Return a text or a count; JupyterLab would show anything else in another form."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(
            f"it is a {type(value).__name__}; only a text or a plain int can stand in the text. "
            'Say how the number is written: f"{number:.2f}".'
        )
    if _NOT_A_NUMBER.search(value):
        raise ValueError(f"it is {value!r}; only finite numbers can stand in the text.")
    return _NEGATIVE.sub(_with_minus, value)


def _with_minus(negative):
    """Write a number with a minus sign, or none if it was rounded to zero."""
    digits = negative[1]
    return f"−{digits}" if digits.strip("0.,") else digits
