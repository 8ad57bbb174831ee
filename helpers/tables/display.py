"""How tables look, in a notebook and on the page: numbers with the digits that they deserve.

Importing the helpers in a notebook is enough. The tables themselves keep plain floats.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from IPython import get_ipython

P_COLUMNS = ("p", "p_value")
MOST_DECIMALS = 4
#: Smaller than this share of a column's largest number is a rounding error, and shown as zero.
NOTHING = 1e-12
NEGATIVE = re.compile(r"-[\d.]+")
MISSING = "–"


def show_numbers_plainly() -> None:
    """Let the running notebook show data frames by :func:`table_html`; outside do nothing."""
    if shell := get_ipython():
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, table_html)


def table_html(table: pd.DataFrame) -> str:
    """Write a table as HTML, as pandas does, with numbers for reading.

    Parameters
    ----------
    table : DataFrame
        Any; it is not changed.

    Returns
    -------
    str
        An HTML table. Without the row numbers 0, 1, 2 that pandas gives to rows without names.

    Examples
    --------
    >>> html = table_html(pd.DataFrame({"value": [-0.51234, 2.25], "p": [1e-9, 0.04]}))
    >>> "−0.51" in html and "&lt; 0.001" in html and "<th>0</th>" not in html
    True
    """
    columns = [table.iloc[:, at] for at in range(table.shape[1])]
    rounded = rounding(np.concatenate([floats_of(column) for column in columns] or [[]]))
    writers = [column_writer(column, rounded) for column in columns]
    too_long = len(table) > pd.get_option("display.max_rows")
    return table.to_html(
        index=not unnamed_rows(table.index),
        formatters=writers,
        na_rep=MISSING,
        border=0,
        max_rows=pd.get_option("display.min_rows") if too_long else None,
        max_cols=pd.get_option("display.max_columns"),
    )


def unnamed_rows(index: pd.Index) -> bool:
    """Whether an index only counts rows."""
    whole = pd.api.types.is_integer_dtype(index.dtype)
    return index.nlevels == 1 and index.name is None and whole


def floats_of(column: pd.Series) -> np.ndarray:
    """Return the finite floats of a column, shape (n,)."""
    floats = np.array([value for value in column if isinstance(value, float)], dtype=float)
    return floats[np.isfinite(floats)]


def column_writer(column: pd.Series, rounded: int | None = None):
    """Return the function that writes each value of a column.

    Parameters
    ----------
    column : Series
        Of numbers or anything else.
    rounded : int, optional
        Decimals to which somebody has rounded the whole table.

    Returns
    -------
    callable
        From a value to text.

    Examples
    --------
    >>> column = pd.Series([37 / 3, -0.5, 1e-17])
    >>> [column_writer(column)(value) for value in column]
    ['12.33', '−0.50', '0.00']
    """
    if column.name in P_COLUMNS:
        return write_p
    floats = floats_of(column)
    digits, nothing = decimals(floats, rounded), NOTHING * np.abs(floats).max(initial=0)
    return lambda value: write_number(value, digits, nothing)


def write_number(value, digits: int, nothing: float = 0.0) -> str:
    """Write a number, or a text that is one, with a real minus; what is no number, as it is."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        text = str(value)
        return text.replace("-", "−") if NEGATIVE.fullmatch(text) else text
    if pd.isna(value):
        return MISSING
    if isinstance(value, (int, np.integer)):
        return str(value).replace("-", "−")
    text = f"{0.0 if abs(value) <= nothing else value:.{digits}f}"
    # No minus before a zero.
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


def write_p(value) -> str:
    """Write a p value.

    Examples
    --------
    >>> write_p(0.00004), write_p(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if isinstance(value, float) and value < 0.001 else write_number(value, 3)


def rounding(floats: np.ndarray) -> int | None:
    """Tell to how many decimals numbers are rounded; None if to more than four.

    Examples
    --------
    >>> rounding(np.array([0.25, 0.5])), rounding(np.array([np.pi]))
    (2, None)
    """
    for digits in range(MOST_DECIMALS + 1):
        if np.allclose(floats, floats.round(digits), rtol=0, atol=1e-9 / 10**digits):
            return digits
    return None


def decimals(floats: np.ndarray, rounded: int | None = None) -> int:
    """Tell how many decimals the numbers of a column deserve.

    Whole numbers get none; numbers that somebody has rounded keep theirs. Others get three digits
    where the middle one has them, two where the small ones do, and at most four decimals.

    Parameters
    ----------
    floats : ndarray, shape (n,)
        Finite numbers.
    rounded : int, optional
        Decimals to which the whole table is rounded.

    Returns
    -------
    int

    Examples
    --------
    >>> decimals(np.array([1.0, 2.0])), decimals(np.array([0.25, 0.5]), rounded=3)
    (0, 3)
    >>> decimals(np.array([np.pi, np.e])), decimals(np.array([2437 / 3, 815]))
    (2, 1)
    """
    own = rounding(floats)
    if own == 0 or (own is not None and rounded is None):
        return own
    if rounded is not None:
        return rounded
    sizes = np.abs(floats)
    sizes = sizes[sizes > NOTHING * sizes.max()]
    middle, small = np.log10(np.median(sizes)), np.log10(np.quantile(sizes, 0.1))
    wanted = max(2 - int(np.floor(middle)), 1 - int(np.floor(small)))
    return int(np.clip(wanted, 1, MOST_DECIMALS))
