"""What is likely to be wrong with a data frame before a model is fitted to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from helpers.data import date_orders
from helpers.models import DataError, check_columns, parse
from helpers.tables.base import FEW_CLUSTERS

COLUMNS = ["column", "problem", "count", "example", "remedy"]
#: As lme4 (checkScaleX).
SCALES_APART = 1000
# Numbers that stand for "missing" in questionnaires and instruments.
CODES = [sign * int(digit * n) for digit in "789" for n in range(1, 6) for sign in (-1, 1)]
# A code counts as one if it lies this many times further out than other values lie apart.
FAR = 5
DATE = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ].*)?\s*")
NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")
POINTS = re.compile(r"\s*[-+]?\d{1,3}(\.\d{3})+(,\d+)?\s*")

Problem = tuple[str, str, int, str, str]


def check_data(columns, data: pd.DataFrame, *, cluster: str | None = None) -> pd.DataFrame:
    """List what is likely to be wrong with the columns of a model, with counts.

    Parameters
    ----------
    columns : str or list of str
        A formula of :func:`helpers.models.fits.fit_mixed`, or names of columns.
    data : DataFrame
        One row per observation, as read from a file.
    cluster : str, optional
        The grouping column, if `columns` is a list.

    Returns
    -------
    DataFrame
        One row per finding, none if there is nothing to say: ``column``, the column's name (empty
        where all are meant); ``problem``, what was found; ``count``, how many values, rows,
        labels, clusters or columns it concerns; ``example``, one of them; ``remedy``, what to do.
        These are hints: a label may rightly differ by case, and -9 may be a temperature.

    Raises
    ------
    TypeError
        If `data` is not a data frame, or `columns` neither text nor a list of names.
    FormulaError
        If the formula cannot be read.

    Examples
    --------
    >>> data = pd.DataFrame({"y": ["1.5", "2", "k.A."], "school": ["Süd", "süd ", "Nord"]})
    >>> table = check_data(["y", "school"], data)
    >>> print(table[["column", "problem", "count", "example"]].to_string(index=False))
    column                            problem  count       example
         y               numbers read as text      1        'k.A.'
    school labels alike but for case or space      2 'Süd', 'süd '
    """
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, not {type(data).__name__}.")
    names, cluster = _names(columns, cluster)
    found: list[Problem] = list(_absent(names, data))
    if isinstance(columns, str) and not found:
        data = parse(columns).with_groups(data)
    names = [name for name in names if name in data.columns]
    for name in names:
        for check in COLUMN_CHECKS:
            found += check(name, data[name])
    found += _incomplete_rows(names, data)
    if cluster in data.columns:
        found += _clusters(cluster, data[cluster])
    if isinstance(columns, str):
        found += _response(parse(columns).response, data)
    found += _scales(names, data)
    found += [*_repeated_rows(data), *_wide_format(data), *_ambiguous_dates(data)]
    return pd.DataFrame(found, columns=COLUMNS)


def _names(columns, cluster) -> tuple[list[str], str | None]:
    if isinstance(columns, str):
        terms = parse(columns)
        return list(terms.variables), terms.group
    if not isinstance(columns, list | tuple):
        raise TypeError(f"columns must be a formula or a list of names, not {columns!r}.")
    return list(dict.fromkeys([*columns, *([cluster] if cluster else [])])), cluster


def _absent(names, data) -> Iterator[Problem]:
    for name in names:
        if name in data.columns:
            continue
        near = get_close_matches(str(name), [str(column) for column in data.columns], n=1)
        if name in data.index.names:
            yield name, "column is in the index", 1, "", "data.reset_index()"
        else:
            remedy = f"did you mean {near[0]!r}?" if near else "check the spelling"
            yield name, "no such column", 1, ", ".join(map(str, data.columns[:5])), remedy


def _text(column) -> pd.Series:
    """Take the values of a column that are text: none of a column of numbers."""
    values = column.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if is_numeric_dtype(values):
        return pd.Series([], dtype=object)
    return values[[isinstance(value, str) for value in values]].astype(object)


def _numbers_as_text(name, column) -> Iterator[Problem]:
    text = _text(column)
    reads = text.map(lambda value: bool(NUMBER.fullmatch(value)))
    if not len(text) or reads.mean() < 0.5:
        return
    other, commas = text[~reads], text[reads].str.contains(",")
    if commas.any():
        remedy = 'read_csv(..., decimal=",")'
        yield (
            name,
            "numbers with decimal commas",
            int(commas.sum()),
            repr(text[reads][commas].iloc[0]),
            remedy,
        )
    if len(other):
        missing = sorted(other.unique())[:3]
        yield (
            name,
            "numbers read as text",
            len(other),
            repr(other.iloc[0]),
            f"read_csv(..., na_values={missing})",
        )
    elif not commas.any():
        yield (
            name,
            "numbers read as text",
            len(text),
            repr(text.iloc[0]),
            f"pd.to_numeric(data[{name!r}])",
        )


def _thousands_points(name, column) -> Iterator[Problem]:
    text = _text(column)
    points = text[[bool(POINTS.fullmatch(value)) for value in text]]
    if len(points) and points.str.contains(",").any():
        example = repr(points[points.str.contains(",")].iloc[0])
        remedy = 'read_csv(..., decimal=",", thousands=".")'
        yield name, "thousands points with decimal commas", len(points), example, remedy


def _dates_as_text(name, column) -> Iterator[Problem]:
    text = _text(column)
    dates = text[[bool(DATE.fullmatch(value)) for value in text]]
    if len(text) and len(dates) >= 0.8 * len(text):
        day_first = ", dayfirst=True" if dates.str.match(r"\s*\d{1,2}\.").any() else ""
        remedy = f"pd.to_datetime(data[{name!r}]{day_first}), then the time since a start, in days"
        yield name, "dates read as text", len(dates), repr(dates.iloc[0]), remedy


def _labels_alike(name, column) -> Iterator[Problem]:
    labels = pd.Series(_text(column).unique(), dtype=object)
    if labels.empty:
        return
    plain = labels.str.normalize("NFKC").str.split().str.join(" ").str.casefold()
    double = labels[plain.duplicated(keep=False)]
    if len(double):
        pair = labels[plain == plain[double.index[0]]]
        left = f"{plain.nunique()} of {len(labels)} labels"
        remedy = f"data[{name!r}].str.strip().str.casefold() leaves {left}"
        yield (
            name,
            "labels alike but for case or space",
            len(double),
            ", ".join(map(repr, pair)),
            remedy,
        )


def _missing_codes(name, column) -> Iterator[Problem]:
    if not is_numeric_dtype(column) or is_bool_dtype(column):
        return
    values = column.dropna().to_numpy(dtype=float)
    others = np.unique(values[~np.isin(values, CODES)])
    if len(others) < 2:
        return
    low, high, gap = others[0], others[-1], np.diff(others).max()
    for code in CODES:
        count = int((values == code).sum())
        far = code > high + FAR * gap or code < low - FAR * gap
        if count and (far or (code < 0 <= low)):
            remedy = f"data[{name!r}].replace({code}, np.nan), if it means missing"
            yield name, "a code for missing values?", count, str(code), remedy


def _infinite(name, column) -> Iterator[Problem]:
    if is_numeric_dtype(column) and not is_bool_dtype(column):
        count = int(np.isinf(column.dropna().to_numpy(dtype=float)).sum())
        if count:
            yield name, "infinite values", count, "inf", "look for a division by zero or log(0)"


def _constant(name, column) -> Iterator[Problem]:
    if column.nunique() == 1:
        yield (
            name,
            "the same value in every row",
            len(column),
            repr(column.dropna().iloc[0]),
            "leave it out",
        )


def _missing(name, column) -> Iterator[Problem]:
    count = int(column.isna().sum())
    if count:
        example = f"row {column.index[column.isna()][0]}"
        yield (
            name,
            "missing values",
            count,
            example,
            f"data.dropna(subset=[{name!r}]), or fill them in",
        )


COLUMN_CHECKS: list[Callable[..., Iterator[Problem]]] = [
    _numbers_as_text,
    _thousands_points,
    _dates_as_text,
    _labels_alike,
    _missing_codes,
    _infinite,
    _constant,
    _missing,
]


def _incomplete_rows(names, data) -> Iterator[Problem]:
    dropped = data[names].isna().any(axis=1)
    if dropped.any():
        share = f"{dropped.mean():.0%} of {len(data)} rows"
        yield (
            "",
            "rows lost if missing values are dropped",
            int(dropped.sum()),
            share,
            ("ask why they are missing before you drop them"),
        )


def _clusters(name, column) -> Iterator[Problem]:
    sizes = column.value_counts()
    sizes = sizes[sizes > 0]
    single = sizes[sizes == 1]
    if len(single):
        yield (
            name,
            "clusters with a single row",
            len(single),
            repr(single.index[0]),
            ("they may stay; they say nothing about the residual variance or a slope"),
        )
    if len(sizes) < FEW_CLUSTERS:
        yield (
            name,
            "few clusters",
            len(sizes),
            repr(sizes.index[0]),
            ("report intervals by Kenward and Roger; a variance between few clusters is uncertain"),
        )


def complete_rows(data: pd.DataFrame, columns) -> pd.DataFrame:
    """Keep the rows that have a value in every one of some columns.

    Parameters
    ----------
    data : DataFrame
    columns : list of str

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        If a column does not occur, or no row is complete.

    Examples
    --------
    >>> data = pd.DataFrame({"y": [1.0, None], "g": ["a", "b"]})
    >>> len(complete_rows(data, ["y", "g"]))
    1
    """
    complete = data.dropna(subset=[name for name in columns if name in data.columns])
    check_columns(complete, columns)
    return complete


#: What is no response of a linear mixed model, and where to go with it.
ELSEWHERE = {
    "a response with two values": "a logistic mixed model: glmer(..., family = binomial) of R's "
    "lme4, or BinomialBayesMixedGLM of statsmodels",
    "a response of counts?": "a mixed model for counts: glmer(..., family = poisson) or glmer.nb "
    "of R's lme4, or PoissonBayesMixedGLM of statsmodels",
    "a response of labels": "a model for categories, such as clmm of R's ordinal (ordered "
    "labels); numbers read as text become numbers with tidy_columns",
}
#: Counts of a lower mean are far from normal, and their variance grows with it.
LOW_MEAN = 10


def check_response(response: pd.Series) -> None:
    """Refuse a response that is not for a linear mixed model, and say what it is for.

    Parameters
    ----------
    response : Series

    Raises
    ------
    DataError
        If it has two values, looks like counts (whole numbers from 0 on, mean below 10), or holds
        labels.

    Examples
    --------
    >>> check_response(pd.Series([1.5, 2.5, 3.0], name="score"))
    >>> check_response(pd.Series([0, 1, 1], name="passed"))
    Traceback (most recent call last):
    helpers.models.columns.DataError: 'passed' is a response with two values (0, 1). Take a logistic
    mixed model: glmer(..., family = binomial) of R's lme4, or BinomialBayesMixedGLM of statsmodels.
    """
    kind = _kind_of_response(response)
    if kind:
        values = _examples(response)
        raise DataError(
            f"{response.name!r} is {kind.rstrip('?')} ({values}). Take {ELSEWHERE[kind]}."
        )


def _kind_of_response(response) -> str | None:
    values = response.dropna()
    if values.nunique() == 2:
        return "a response with two values"
    if not is_numeric_dtype(values) or is_bool_dtype(values):
        return "a response of labels"
    numbers = values.to_numpy(dtype=float)
    whole = len(numbers) and bool((numbers == np.floor(numbers)).all())
    if whole and numbers.min() == 0 and numbers.mean() < LOW_MEAN and numbers.max() > 2:
        return "a response of counts?"
    return None


def _examples(response) -> str:
    values = pd.unique(response.dropna()).tolist()
    shown = sorted(values, key=lambda value: (str(type(value)), value))[:3]
    return ", ".join(map(repr, shown)) + (", …" if len(values) > 3 else "")


def _response(name, data) -> Iterator[Problem]:
    if name not in data.columns:
        return
    kind = _kind_of_response(data[name])
    if kind and kind != "a response of labels":
        yield name, kind, int(data[name].notna().sum()), _examples(data[name]), ELSEWHERE[kind]


def _scales(names, data) -> Iterator[Problem]:
    """Columns whose standard deviation is a thousand times another's, as lme4 warns of them."""
    numbers = [
        name for name in names if is_numeric_dtype(data[name]) and not is_bool_dtype(data[name])
    ]
    sds = data[numbers].astype(float).replace([np.inf, -np.inf], np.nan).std()
    sds = sds[sds > 0]
    if len(sds) < 2 or sds.max() <= SCALES_APART * sds.min():
        return
    name = sds.idxmax()
    yield (
        name,
        "a scale far from the others'",
        1,
        f"sd {sds.max():.3g}; of {sds.idxmin()!r} {sds.min():.2g}",
        f"divide it: data[{name!r}] / {10 ** int(np.log10(sds.max() / sds.median())):,}, or "
        f"scale({name})",
    )


def _repeated_rows(data) -> Iterator[Problem]:
    repeated = data[data.astype(str).duplicated()]
    if len(repeated):
        yield (
            "",
            "rows that repeat another in every column",
            len(repeated),
            (f"row {repeated.index[0]}"),
            "data.drop_duplicates(), if they were entered twice",
        )


def _ambiguous_dates(data) -> Iterator[Problem]:
    """Dates such as 3/4/2024, in every column: repeated measures have one for each occasion."""
    for name, day_first in date_orders(data).items():
        if day_first is None:
            dates = data[name].dropna()
            remedy = "tidy_columns(data, day_first=True), if it is; else the month is taken first"
            yield name, "dates: day or month first?", len(dates), repr(dates.iloc[0]), remedy


def _wide_format(data) -> Iterator[Problem]:
    """Columns whose names differ by a number at their end: repeated measures side by side."""
    numeric = [str(name) for name in data.columns if is_numeric_dtype(data[name])]
    stems = pd.Series(numeric, dtype=object).str.extract(r"^(.*?\D)(\d+)$")[0].dropna()
    for stem, count in stems.value_counts().items():
        if count >= 3:
            columns = [name for name in numeric if re.fullmatch(re.escape(stem) + r"\d+", name)]
            yield (
                "",
                "wide format: one column per occasion?",
                int(count),
                ", ".join(columns[:3]),
                f"stack_occasions(data, [{stem!r}])",
            )
