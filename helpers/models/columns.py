"""What the columns of a data frame hold: numbers, categories, or something to be refused in words.

Any pandas type that means a number or a category is read: numpy's, nullable and arrow-backed ones,
booleans, text, categories and intervals. Everything else is refused here, before any fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
import pandas as pd
from pandas.api import types

DATE = re.compile(r"\s*\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[ T]\d{1,2}:\d{2}.*)?\s*")
#: A number with what stands around it in a file: "< 5", "38 %", "1 200 kg", "€ 300".
MEASURE = re.compile(r"[<>≤≥~≈]?\s*[€$£]?\s*[-+−]?\d[\d.,'\s]*(%|‰|°?[a-zA-Zµ€$£/]{1,6})?\s*")
#: How alike two labels are (difflib's ratio) of which one may be the other misspelt.
NEAR = 0.9
#: So many new labels are compared with all known ones.
MOST_STRANGERS = 50
#: So many different whole numbers may be codes of categories, written as text.
MOST_CODES = 12
TWO_VALUES = (
    "a response of two values wants a logistic mixed model, lme4's glmer or statsmodels' "
    "BinomialBayesMixedGLM"
)
KINDS = {
    "datetime": "dates. Turn them into numbers, such as days: "
    "(data[{0!r}] - data[{0!r}].min()).dt.total_seconds() / 86400",
    "timedelta": "durations. Turn them into numbers: data[{0!r}].dt.total_seconds()",
    "period": "periods. Turn them into numbers, such as years: data[{0!r}].dt.year",
    "complex": "complex numbers. Take their real part, or their modulus",
}


class DataError(ValueError):
    """Data that cannot support the model asked for."""


def check_columns(data: pd.DataFrame, names: Iterable[str]) -> None:
    """Check that columns exist and are complete.

    Parameters
    ----------
    data : DataFrame
    names : iterable of str
        Columns that a formula needs.

    Raises
    ------
    TypeError
        If `data` is not a pandas data frame.
    DataError
        If it is empty, lacks a column, or a column holds missing or infinite values.

    Examples
    --------
    >>> check_columns(pd.DataFrame({"y": [1.0, 2.0]}), ["y"])
    """
    names = list(names)
    if not isinstance(data, pd.DataFrame):
        advice = " Pass data.to_pandas()." if hasattr(data, "to_pandas") else ""
        kind = f"{type(data).__module__.split('.')[0]} {type(data).__name__}"
        kind = kind.removeprefix("builtins ")
        raise TypeError(f"data must be a pandas DataFrame, not {kind}.{advice}")
    _check_names(data, names)
    if data.empty:
        raise DataError("data has no rows.")
    missing = {name: int(data[name].isna().sum()) for name in names}
    listed = ", ".join(f"{count} in {name!r}" for name, count in missing.items() if count)
    if listed:
        raise DataError(f"data has missing values: {listed}. Drop those rows or fill them in.")
    infinite = [name for name in names if _is_infinite(data[name])]
    if infinite:
        raise DataError(f"{', '.join(map(repr, infinite))} holds infinite values. Remove them.")


def _check_names(data, names) -> None:
    unknown = [name for name in names if name not in data.columns]
    if unknown:
        listed = ", ".join(map(repr, unknown))
        if set(unknown) & set(data.index.names):
            raise DataError(
                f"data has {listed} in its index, not among its columns. Pass data.reset_index()."
            )
        alike = [name for name in map(str, data.columns) if not name.isidentifier()]
        advice = "Check the spelling."
        if alike:
            advice += f" Names like {alike[0]!r} stand in backticks: `{alike[0]}`; or rename them."
        raise DataError(
            f"data has no column {listed}; it has {', '.join(map(str, data.columns))}. {advice}"
        )
    repeated = [name for name in names if isinstance(data[name], pd.DataFrame)]
    if repeated:
        raise DataError(f"data has several columns named {repeated[0]!r}. Rename or drop one.")


def _is_infinite(column) -> bool:
    if not types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype):
        return False
    return bool(np.isinf(column.to_numpy()).any()) if column.dtype.kind in "fc" else False


def tidy(column: pd.Series, *, category: bool = False) -> pd.Series:
    """Turn a complete column into plain numbers, booleans or categories, with a fresh index.

    Parameters
    ----------
    column : Series
    category : bool
        The reader says it holds categories, as in ``C(x)``; text is then taken as it is.

    Returns
    -------
    Series
        Of type int64, float64, bool or category; the categories that occur, in their order.

    Raises
    ------
    DataError
        If it holds dates, durations, mixed kinds, or numbers written as text.

    Examples
    --------
    >>> tidy(pd.Series([1, 2], dtype="Int64")).dtype
    dtype('int64')
    >>> tidy(pd.Series(["b", "a"])).cat.categories.tolist()
    ['a', 'b']
    """
    name, dtype = column.name, column.dtype
    column = column.reset_index(drop=True)
    if isinstance(dtype, pd.CategoricalDtype):
        return _tidy_categories(column.cat.remove_unused_categories())
    if isinstance(dtype, pd.IntervalDtype):
        return _tidy_categories(column.astype("category"))
    if types.is_bool_dtype(dtype):
        return column.astype(bool)
    if types.is_complex_dtype(dtype):
        raise DataError(f"{name!r} holds {KINDS['complex']}.")
    if types.is_numeric_dtype(dtype):
        whole = types.is_integer_dtype(dtype)
        return pd.Series(column.to_numpy(np.int64 if whole else np.float64), name=name)
    kind = types.infer_dtype(column)
    for refused, advice in KINDS.items():
        if kind.startswith(refused) or (kind == "date" and refused == "datetime"):
            raise DataError(f"{name!r} holds {advice.format(name)}.")
    if kind == "boolean":
        return column.astype(bool)
    if kind in ("integer", "floating", "decimal", "mixed-integer-float"):
        raise DataError(f"{name!r} holds numbers as objects. Convert it with pd.to_numeric.")
    if kind != "string":
        raise DataError(f"{name!r} {_mixture(column)}. Make all of them text, or all numbers.")
    if not category:
        _refuse_numbers_as_text(column)
    return pd.Series(pd.Categorical(column.astype(object)), name=name)


def _mixture(column) -> str:
    """Say what a column mixes; one word among numbers has come from the file."""
    text = column[[isinstance(value, str) for value in column]]
    if text.empty or len(text) == len(column):
        return "mixes kinds of values"
    numbers = pd.to_numeric(text.str.strip(), errors="coerce").isna()
    words = text[numbers] if numbers.any() else text
    return f"mixes text ({len(text)} of {len(column)} rows, such as {words.iloc[0]!r}) and numbers"


def _tidy_categories(column) -> pd.Series:
    categories = column.cat.categories
    if isinstance(categories.dtype, pd.IntervalDtype) or categories.dtype.kind in "mM":
        column = column.cat.rename_categories([str(each) for each in categories])
    return column


def _refuse_numbers_as_text(column) -> None:
    """Refuse text of which most is numbers or dates: as categories each would be a level."""
    values = pd.Series(column.unique(), dtype=object)
    numbers = pd.to_numeric(values.str.strip().str.replace(",", ".", n=1), errors="coerce")
    dates = values.map(lambda value: bool(DATE.fullmatch(value)))
    if 2 * dates.sum() > len(values):
        raise DataError(
            f"{column.name!r} holds dates as text, such as {values[dates].iloc[0]!r}. Turn them "
            "into numbers with pd.to_datetime and a difference of days."
        )
    if 2 * numbers.notna().sum() <= len(values):
        _refuse_measures_as_text(column, values)
        return
    wrong = values[pd.to_numeric(values, errors="coerce").isna()]
    codes = wrong.empty and (numbers % 1 == 0).all() and len(values) <= MOST_CODES
    if codes:
        return
    advice = f"Convert it with pd.to_numeric, or write C({column.name}) if these are categories."
    if wrong.empty:
        raise DataError(f"{column.name!r} holds numbers as text, such as {values[0]!r}. {advice}")
    word = wrong.iloc[0]
    count = int((column == word).sum())
    if "," in word:
        advice = f"Put points for commas first, .str.replace(',', '.'). {advice}"
    else:
        advice = f"If it means missing: tidy_columns(data, missing=[{word!r}]). {advice}"
    raise DataError(
        f"{column.name!r} holds text among its numbers: {word!r} in {count} of "
        f"{len(column)} rows. Every number would be a category. {advice}"
    )


def _refuse_measures_as_text(column, values) -> None:
    """Refuse numbers with a unit, and text that differs in most of the rows."""
    if len(values) <= MOST_CODES:
        return
    advice = f"Make numbers of it, or write C({column.name}) if these are categories."
    measures = values[values.map(lambda value: bool(MEASURE.fullmatch(value)))]
    if 2 * len(measures) > len(values):
        raise DataError(
            f"{column.name!r} holds numbers as text, such as {measures.iloc[0]!r}: {len(values)} "
            f"different ones, each of which would be a category. {advice}"
        )
    if 2 * len(values) > len(column):
        raise DataError(
            f"{column.name!r} is text with {len(values)} different values in {len(column)} rows, "
            f"such as {values[0]!r}; each would be a category. {advice}"
        )


def tidy_response(column: pd.Series) -> pd.Series:
    """Give a response as float64, or say why it is none.

    Raises
    ------
    DataError
        If it does not hold numbers.

    Examples
    --------
    >>> tidy_response(pd.Series([1, 2])).dtype
    dtype('float64')
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if types.is_bool_dtype(dtype) or types.infer_dtype(column) == "boolean":
        raise DataError(
            f"the response {column.name!r} is true or false: {TWO_VALUES}. For a linear "
            "probability model write .astype(float)."
        )
    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        return pd.Series(column.to_numpy(np.float64), name=column.name)
    advice = ""
    if column.nunique() == 2:
        listed = ", ".join(map(repr, column.unique()))
        raise DataError(f"the response {column.name!r} has two values, {listed}: {TWO_VALUES}.")
    if types.infer_dtype(column) == "string":
        values = pd.Series(column.unique(), dtype=object)
        wrong = values[pd.to_numeric(values, errors="coerce").isna()]
        example = values[0] if wrong.empty else wrong.iloc[0]
        advice = f", such as {example!r}. Convert it with pd.to_numeric"
    raise DataError(
        f"the response {column.name!r} must be one column of numbers; it holds "
        f"{types.infer_dtype(column)}{advice}."
    )


def match_values(values: pd.Series, known: pd.Index) -> np.ndarray:
    """Find the positions of values among known ones, also where one is text and one is numbers.

    Parameters
    ----------
    values : Series
    known : Index
        Distinct values.

    Returns
    -------
    ndarray of int, shape (len(values),)
        Position in `known`; -1 where there is none.

    Examples
    --------
    >>> match_values(pd.Series(["10", "2"]), pd.Index([2.0, 10.0]))
    array([1, 0])
    """
    plain = pd.Index(values.astype(object))
    known = pd.Index(known.astype(object))
    found = known.get_indexer(plain)
    if (found < 0).any() and _is_text(plain) != _is_text(known):
        return pd.Index(known.map(_as_text)).get_indexer(plain.map(_as_text))
    return found


def _is_text(values) -> bool:
    return types.infer_dtype(values) == "string"


def _as_text(value) -> str:
    if isinstance(value, float | np.floating) and value == int(value):
        value = int(value)
    return str(value)


def free_names(names: Iterable, taken: Iterable) -> list[str]:
    """Names of the reader's columns in a table that has columns of its own.

    Examples
    --------
    >>> free_names(["x", "n"], ["cluster", "n"])
    ['x', 'n_']
    """
    free, taken = [], set(taken)
    for name in names:
        while name in taken:
            name = f"{name}_"
        taken.add(name)
        free.append(name)
    return free


def nearly_known(values: pd.Series, known: pd.Index) -> dict[str, str]:
    """Find text that is not among known labels but differs from one by case, space or a letter.

    Parameters
    ----------
    values : Series
    known : Index

    Returns
    -------
    dict of str to str
        The known label by the value that may mean it. Labels with other digits are others.

    Examples
    --------
    >>> nearly_known(pd.Series(["süd ", "Nrod", "Süd", "School 9"]), pd.Index(["Süd", "School 8"]))
    {'süd ': 'Süd'}
    """
    labels = {_folded(label): label for label in known if isinstance(label, str)}
    found = {}
    for value in pd.unique(values)[:MOST_STRANGERS]:
        if not isinstance(value, str) or value in known:
            continue
        folded = _folded(value)
        near = [folded] if folded in labels else get_close_matches(folded, labels, 1, NEAR)
        if near and re.findall(r"\d+", near[0]) == re.findall(r"\d+", folded):
            found[value] = labels[near[0]]
    return found


def _folded(label) -> str:
    return " ".join(label.split()).casefold()
