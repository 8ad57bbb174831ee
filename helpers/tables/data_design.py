"""What the columns of a data frame are to its clusters: nested, crossed, above or within them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api import types

from helpers.models import DataError

#: So many labels, and more, make a column that crosses the clusters a grouping factor.
MANY_LABELS = 10


def describe_design(data: pd.DataFrame, cluster: str) -> pd.DataFrame:
    """Say for each column how its values lie in the clusters.

    Parameters
    ----------
    data : DataFrame
        One row per observation.
    cluster : str
        The grouping column.

    Returns
    -------
    DataFrame
        One row per other column: ``column``; ``values``, how many different ones; ``between``, the
        share of a number's variance that lies between clusters (missing for labels); ``role``:
        "cluster-level" (one value in each cluster), "within" (its values differ within clusters),
        "nested" (each label lies in one cluster, several in one), "crossed" (ten labels or more,
        each in several clusters), "within or crossed" (the same in whole numbers: a measure, or
        labels?), "one per row", or "constant".

    Raises
    ------
    DataError
        If there is no such column.

    Examples
    --------
    >>> data = pd.DataFrame({"g": [1, 1, 2, 2], "x": [1.0, 3, 1, 3], "arm": list("aabb")})
    >>> print(describe_design(data, "g").to_string(index=False))
    column  values  between          role
         x       2      0.0        within
       arm       2      NaN cluster-level
    """
    if cluster not in data.columns:
        raise DataError(f"data has no column {cluster!r}; it has {', '.join(data.columns)}.")
    others = data.loc[data[cluster].notna()].drop(columns=cluster)
    groups = data[cluster].dropna()
    rows = []
    for name, column in others.items():
        role = _role(column, groups)
        labels = role in ("nested", "one per row", "constant")
        between = np.nan if labels else _share_between(column, groups)
        rows.append((name, column.nunique(), between, role))
    return pd.DataFrame(rows, columns=["column", "values", "between", "role"])


def check_roles(design: pd.DataFrame, *, slope: str | None = None, used=()) -> list[str]:
    """Refuse a slope that cannot vary, and name groupings that the model leaves out.

    Parameters
    ----------
    design : DataFrame
        Made by :func:`describe_design`.
    slope : str, optional
        The column whose effect is to vary between clusters.
    used : sequence of str
        Columns of the model, `second` among them.

    Returns
    -------
    list of str
        A sentence for each other column that is crossed with the clusters, or nested in them.

    Raises
    ------
    DataError
        If `slope` has one value in each cluster, or does not occur.

    Examples
    --------
    >>> words = [f"word {number}" for number in range(12)]
    >>> data = pd.DataFrame({"person": [1] * 12 + [2] * 12, "word": words * 2})
    >>> check_roles(describe_design(data, "person"))
    ['word is crossed with the clusters: name it in `second`.']
    """
    roles = design.set_index("column")["role"]
    if slope is not None and slope not in roles.index:
        known = ", ".join(roles.index)
        raise DataError(f"data has no column {slope!r} beside the cluster; it has {known}.")
    if slope is not None and roles[slope] in ("cluster-level", "constant"):
        where = "put it in `others`" if roles[slope] == "cluster-level" else "leave it out"
        raise DataError(
            f"{slope!r} is {roles[slope]}, so its effect cannot vary between clusters: {where}, "
            "and set slope = None or to a column that is within."
        )
    words = {
        "crossed": "is crossed with the clusters: name it in `second`.",
        "nested": "is nested in the clusters: name it in `second`.",
        "within or crossed": "is crossed with the clusters if its numbers are labels: then name "
        "it in `second`.",
    }
    left = roles[roles.isin(words) & ~roles.index.isin(list(used))]
    return [f"{name} {words[role]}" for name, role in left.items()]


def _is_number(column) -> bool:
    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)


def _share_between(column, groups) -> float:
    if types.is_datetime64_any_dtype(column):
        column = (column - column.min()).dt.total_seconds()
    if not _is_number(column) or not column.std() > 0:
        return np.nan
    column = column.dropna().astype(float)
    means = column.groupby(groups.loc[column.index]).transform("mean")
    return float(((means - column.mean()) ** 2).sum() / ((column - column.mean()) ** 2).sum())


def _role(column, groups) -> str:
    known = pd.DataFrame({"value": column, "cluster": groups}).dropna()
    pairs, values = known.drop_duplicates(), known["value"].nunique()
    if values <= 1:
        return "constant"
    if len(pairs) == pairs["cluster"].nunique():
        return "cluster-level"
    whole = types.is_integer_dtype(column)
    if types.is_datetime64_any_dtype(column) or (_is_number(column) and not whole):
        return "within"
    if values == len(known):
        return "one per row"
    if len(pairs) == values and known["value"].duplicated().any():
        return "nested"
    many = values >= MANY_LABELS and len(pairs) >= 2 * values
    if not many:
        return "within"
    return "within or crossed" if whole else "crossed"
