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


def tidy_columns(data: pd.DataFrame, *, missing: Sequence = ()) -> pd.DataFrame:
    """Give each column the type that its values mean.

    Parameters
    ----------
    data : DataFrame
        As read from a file.
    missing : sequence
        Values that stand for "missing": ``["k.A.", -99]``.

    Returns
    -------
    DataFrame
        The same rows and columns. Missing codes are missing; text that is numbers (a decimal comma
        too) is numbers; text that is dates is dates, with the day first where that is how they
        read or where they are written with points. Of labels that differ by case or space alone,
        all are spelled like the most frequent one. A column with other words among its numbers,
        or with numbers such as 1,500, stays text.

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
    return pd.DataFrame({name: _tidy(column, codes) for name, column in data.items()})


def _tidy(column, codes) -> pd.Series:
    column = column.mask(column.map(_plain, na_action="ignore").isin(codes))
    values = column.dropna()
    if types.is_numeric_dtype(column) or not len(values) or not _is_text(values):
        return column
    text = values.astype(str).str.strip()
    numbers = pd.to_numeric(text.str.replace(",", ".", n=1), errors="coerce")
    if numbers.notna().all() and not THOUSANDS.search("\n".join(text)):
        return numbers.reindex(column.index)
    if text.map(lambda value: bool(DATE.fullmatch(value))).mean() >= MOST:
        return _dates(text).reindex(column.index)
    return merge_spellings(column)


def _plain(value) -> str:
    """Write 7.0 as 7, so that a code is found in a column of either type."""
    whole = isinstance(value, float | np.floating) and value == np.floor(value)
    return str(int(value)) if whole and np.isfinite(value) else str(value).strip()


def _is_text(values) -> bool:
    return types.infer_dtype(values.astype(object)) in ("string", "mixed-integer", "mixed")


def _dates(text) -> pd.Series:
    first = pd.to_numeric(text.str.extract(r"^(\d+)")[0], errors="coerce")
    year_first = (first > 31).any()
    day_first = not year_first and bool(
        (first > 12).any() or text.str.contains(".", regex=False).any()
    )
    return pd.to_datetime(text, dayfirst=day_first, format="mixed", errors="coerce")


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
