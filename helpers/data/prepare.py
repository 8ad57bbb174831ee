"""From a file as it comes to a data frame that a model can be fitted to."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api import types

#: Mean length of a month in days (Gregorian calendar).
DAYS_PER_MONTH = 365.2425 / 12
#: From this share of its values on, a column of text holds numbers, or dates.
MOST = 0.8
#: 1,500 may be 1.5 or fifteen hundred.
THOUSANDS = re.compile(r"^[-+]?\d{1,3},\d{3}$", re.MULTILINE)
DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")


def read_file(source, **reading) -> pd.DataFrame:
    r"""Read a CSV file, and say what to change where it is written in another way.

    Parameters
    ----------
    source : path or file object
    **reading
        Options of ``pandas.read_csv``.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If the file is not in the encoding, or has a single column with this separator.

    Examples
    --------
    >>> from io import StringIO
    >>> read_file(StringIO("school;score\nSüd;1,5"), sep=";", decimal=",")["score"].tolist()
    [1.5]
    """
    given = reading.get("sep", ",")
    other = ";" if given != ";" else ","
    remedy = f'Try reading = {{"sep": "{other}"}}, or "\\t" for tabs.'
    try:
        data = pd.read_csv(source, **reading)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the file is not written in {error.encoding}. Files from Excel often need "
            'reading = {"encoding": "cp1252"}.'
        ) from error
    except pd.errors.ParserError as error:
        raise ValueError(
            f"rows have different numbers of columns with {given!r} between them ({error}). "
            f"{remedy}"
        ) from error
    if data.shape[1] < 2:
        raise ValueError(f"the file has a single column with {given!r} between them. {remedy}")
    return data


def tidy_columns(
    data: pd.DataFrame, *, missing: Sequence = (), day_first: bool | None = None
) -> pd.DataFrame:
    """Give each column the type that its values mean.

    Parameters
    ----------
    data : DataFrame
        As read from a file.
    missing : sequence
        Values that stand for "missing": ``["k.A.", -99]``.
    day_first : bool, optional
        Whether 3/4/2024 is in April; by default as the column's other dates show, or those of other
        columns, or else not.

    Returns
    -------
    DataFrame
        The same rows and columns. Missing codes are missing; text that is numbers (a decimal comma
        too) is numbers; text that is dates is dates, with the day first where that is how they, or
        those of other columns, read or where they are written with points. Of labels that differ by
        case or space alone, all are spelled like the most frequent one. A column with other words
        among its numbers, or with numbers such as 1,500, stays text.

    Raises
    ------
    TypeError
        If `data` is not a data frame, or `missing` is a text.

    Examples
    --------
    >>> data = pd.DataFrame({"school": ["Süd", "Süd", "süd "], "hours": ["1,5", "k.A.", "2"]})
    >>> tidy = tidy_columns(data, missing=["k.A."])
    >>> tidy["school"].tolist(), tidy["hours"].tolist()
    (['Süd', 'Süd', 'Süd'], [1.5, nan, 2.0])
    """
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, not {type(data).__name__}.")
    if isinstance(missing, str):
        raise TypeError(f"missing must be a list of values, such as [{missing!r}].")
    codes = {str(code) for code in missing}
    known = pd.DataFrame({name: _without(column, codes) for name, column in data.items()})
    orders = date_orders(known) if day_first is None else {}
    return pd.DataFrame(
        {name: _tidy(column, orders.get(name, day_first)) for name, column in known.items()}
    )


def _without(column, codes) -> pd.Series:
    return column.mask(column.map(_plain, na_action="ignore").isin(codes))


def _tidy(column, day_first) -> pd.Series:
    values = column.dropna()
    if types.is_numeric_dtype(column) or not len(values) or not _is_text(values):
        return column
    text = values.astype(str).str.strip()
    numbers = pd.to_numeric(text.str.replace(",", ".", n=1), errors="coerce")
    if numbers.notna().all() and not THOUSANDS.search("\n".join(text)):
        return numbers.reindex(column.index)
    if _are_dates(text):
        return _dates(text, bool(day_first)).reindex(column.index)
    return merge_spellings(column)


def _plain(value) -> str:
    """Write 7.0 as 7, so that a code is found in a column of either type."""
    whole = isinstance(value, float | np.floating) and value == np.floor(value)
    return str(int(value)) if whole and np.isfinite(value) else str(value).strip()


def _is_text(values) -> bool:
    return types.infer_dtype(values.astype(object)) in ("string", "mixed-integer", "mixed")


def _are_dates(text) -> bool:
    return bool(len(text)) and text.map(lambda value: bool(DATE.fullmatch(value))).mean() >= MOST


def _dates(text, day_first) -> pd.Series:
    day_first = day_first and not _year_first(text)
    return pd.to_datetime(text, dayfirst=day_first, format="mixed", errors="coerce")


def _year_first(text) -> bool:
    return bool((pd.to_numeric(text.str.extract(r"^(\d+)")[0], errors="coerce") > 31).any())


def date_orders(data: pd.DataFrame) -> dict[str, bool | None]:
    """Tell for each column of dates that are text whether the day comes before the month.

    Parameters
    ----------
    data : DataFrame

    Returns
    -------
    dict
        Column: True, False, or None if neither its dates nor those of other columns tell.

    Examples
    --------
    >>> date_orders(pd.DataFrame({"one": ["3/4/2024"], "two": ["25/4/2024"], "x": [1]}))
    {'one': True, 'two': True}
    """
    own = {}
    for name, column in data.items():
        values = column.dropna()
        if not types.is_numeric_dtype(column) and len(values) and _is_text(values):
            text = values.astype(str).str.strip()
            own |= {name: _day_first(text)} if _are_dates(text) else {}
    # What is written with the year first tells nothing of the others.
    told = {order for name, order in own.items() if order is not None and order != "year"}
    shared = told.pop() if len(told) == 1 else None
    return {
        name: False if order == "year" else shared if order is None else order
        for name, order in own.items()
    }


def _day_first(text) -> bool | str | None:
    if _year_first(text):
        return "year"
    if text.str.contains(".", regex=False).any():
        return True
    parts = text.str.extract(r"^(\d+)\D(\d+)").apply(pd.to_numeric)
    if (parts > 12).any(axis=None):
        return bool((parts[0] > 12).any())
    return None


def merge_spellings(labels: pd.Series) -> pd.Series:
    """Spell labels that differ by case or space alone like the most frequent of them.

    Parameters
    ----------
    labels : Series

    Returns
    -------
    Series
        What is not text stays as it is.

    Examples
    --------
    >>> merge_spellings(pd.Series(["Nord", "NORD ", "Nord", 7])).tolist()
    ['Nord', 'Nord', 'Nord', 7]
    """
    text = labels[labels.map(lambda value: isinstance(value, str))].astype(object)
    plain = text.str.normalize("NFKC").str.split().str.join(" ")
    folded = plain.str.casefold()
    usual = plain.groupby(folded).agg(lambda spellings: spellings.value_counts().index[0])
    merged = labels.astype(object)
    merged[text.index] = folded.map(usual)
    return merged.infer_objects()


def months_since(dates: pd.Series, *, by: pd.Series | None = None) -> pd.Series:
    """Count the months since the first date: of the file, or of each cluster.

    Parameters
    ----------
    dates : Series of datetime
    by : Series, optional
        The cluster of each row: time then starts with each cluster's own first date.

    Returns
    -------
    Series of float
        Months of 30.44 days.

    Raises
    ------
    TypeError
        If `dates` holds no dates.

    Examples
    --------
    >>> dates = pd.Series(pd.to_datetime(["2024-01-01", "2024-07-01", "2024-03-01"]))
    >>> months_since(dates).round(1).tolist()
    [0.0, 6.0, 2.0]
    """
    if not types.is_datetime64_any_dtype(dates):
        raise TypeError(
            f"{dates.name!r} holds no dates but {dates.dtype}; give what pd.to_datetime returns."
        )
    start = dates.min() if by is None else dates.groupby(by).transform("min")
    return (dates - start).dt.total_seconds() / 86_400 / DAYS_PER_MONTH


def stack_occasions(data: pd.DataFrame, stems: Sequence[str]) -> pd.DataFrame:
    """Turn repeated measures side by side into one row per occasion.

    Parameters
    ----------
    data : DataFrame
        One row per unit, with columns such as ``score_1``, ``score_2``, ``date_1``, ``date_2``.
    stems : sequence of str
        What these names have in common: ``["score_", "date_"]``.

    Returns
    -------
    DataFrame
        Columns ``occasion`` (the number), one per stem (without ``_``, ``-``, ``.`` or space at
        its end), and the other columns. Occasions without any value (a unit has dropped out) are
        left out.

    Raises
    ------
    ValueError
        If no column, or a single one, has a stem and a number.

    Examples
    --------
    >>> wide = pd.DataFrame({"id": [1, 2], "score_1": [5.0, 6], "score_2": [7.0, None]})
    >>> print(stack_occasions(wide, ["score_"]).to_string(index=False))
     id  occasion  score
      1         1    5.0
      1         2    7.0
      2         1    6.0
    """
    stems = [stems] if isinstance(stems, str) else list(stems)
    found = {stem: _occasions(data, stem) for stem in stems}
    for stem, columns in found.items():
        if len(columns) < 2:
            raise ValueError(
                f"{len(columns)} columns are called {stem!r} and a number; there are "
                f"{', '.join(map(str, data.columns))}. Give what their names begin with."
            )
    numbers = sorted(set().union(*found.values()))
    taken = [column for columns in found.values() for column in columns.values()]
    others = data.drop(columns=taken)
    parts = [
        others.assign(
            occasion=number,
            **{
                stem.rstrip("_-. "): data[columns[number]] if number in columns else np.nan
                for stem, columns in found.items()
            },
        )
        for number in numbers
    ]
    long = pd.concat(parts).sort_index(kind="stable")
    values = [stem.rstrip("_-. ") for stem in stems]
    return long.dropna(subset=values, how="all").reset_index(drop=True)


def _occasions(data, stem) -> dict[int, str]:
    names = [str(name) for name in data.columns]
    matches = [(re.fullmatch(re.escape(stem) + r"(\d+)", name), name) for name in names]
    return {int(match[1]): name for match, name in matches if match}


def within_between(data: pd.DataFrame, predictor: str, cluster: str) -> pd.DataFrame:
    """Split a predictor into its cluster's mean and the distance from it.

    Parameters
    ----------
    data : DataFrame
    predictor, cluster : str
        Columns.

    Returns
    -------
    DataFrame
        `data` with ``<predictor>_within``, the row's distance from its cluster's mean, and
        ``<predictor>_between``, the distance of this mean from the mean of all rows.

    Raises
    ------
    ValueError
        If a column does not occur.
    TypeError
        If the predictor is no number.

    Notes
    -----
    Within and between clusters a predictor may have two different effects (Mundlak 1978; Enders &
    Tofighi 2007).

    Examples
    --------
    >>> data = pd.DataFrame({"g": [1, 1, 2], "x": [1.0, 3, 8]})
    >>> within_between(data, "x", "g")[["x_within", "x_between"]].to_numpy().tolist()
    [[-1.0, -2.0], [1.0, -2.0], [0.0, 4.0]]
    """
    unknown = [name for name in (predictor, cluster) if name not in data.columns]
    if unknown:
        raise ValueError(f"data has no column {unknown[0]!r}; it has {', '.join(data.columns)}.")
    if not types.is_numeric_dtype(data[predictor]):
        raise TypeError(
            f"{predictor!r} holds labels or dates, not numbers, and has no mean to split it by: "
            "leave it whole (split = False)."
        )
    mean = data.groupby(cluster, observed=True)[predictor].transform("mean")
    return data.assign(
        **{
            f"{predictor}_within": data[predictor] - mean,
            f"{predictor}_between": mean - data[predictor].mean(),
        }
    )
