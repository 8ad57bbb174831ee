"""From a formula and a data frame to the design matrices of a mixed model.

Everything that can be wrong with the data is found here, before any fit, and said in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import patsy
from pandas.api.types import infer_dtype, is_complex_dtype, is_numeric_dtype

from helpers.models.formula import Formula, column_names
from helpers.models.likelihood import Block


class DataError(ValueError):
    """Data that cannot support the model asked for."""


@dataclass(frozen=True)
class FixedDesign:
    """Response and fixed-effects design matrix.

    Attributes
    ----------
    response : ndarray, shape (n,)
    matrix : ndarray, shape (n, p)
    names : list of str
        Terms in the sources' words: ``Intercept``, ``x``, ``sesmid``.
    """

    response: np.ndarray
    matrix: np.ndarray
    names: list[str]
    columns: list[str]
    information: patsy.DesignInfo = field(repr=False)

    def rows(self, data: pd.DataFrame) -> np.ndarray:
        """Design matrix of new rows, shape (len(data), p).

        Raises
        ------
        DataError
            If a predictor is missing, has missing values, or has a level the fit never saw.
        """
        return _rows(self.information, data, self.columns)


@dataclass(frozen=True)
class RandomDesign:
    """Clusters and random-effects design matrix.

    Attributes
    ----------
    matrix : ndarray, shape (n, q)
        One column per random effect of a cluster. Nested levels are numbered within their
        cluster, so their columns mean another level in each.
    clusters : ndarray of int, shape (n,)
        Position of each row's cluster in `labels`.
    labels : Index
        Cluster labels, sorted.
    names : list of str
        Names of the columns that are not nested: ``Intercept``, ``x``.
    blocks : list of Block
        Which columns share a covariance matrix.
    nested_levels : ndarray of object, shape (n_clusters, n_nested)
        The level each nested column stands for, per cluster; None where it does not occur.
    """

    terms: Formula
    matrix: np.ndarray
    clusters: np.ndarray
    labels: pd.Index
    names: list[str]
    blocks: list[Block]
    nested_levels: np.ndarray
    information: list[patsy.DesignInfo] = field(repr=False)

    @property
    def counts(self) -> np.ndarray:
        """Number of observations in each cluster."""
        return np.bincount(self.clusters)

    def rows(self, data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Design matrix and cluster positions of new rows; -1 marks a new cluster."""
        check_columns(data, [self.terms.group])
        clusters = self.labels.get_indexer(data[self.terms.group])
        columns = [
            _rows(information, data, column_names(term.effects))
            for information, term in zip(self.information, _plain(self.terms), strict=True)
        ]
        if self.terms.nested:
            check_columns(data, [self.terms.nested.nested])
            columns.append(_nested_columns(self.nested_levels[clusters], data, self.terms))
        return np.hstack(columns), clusters


def fixed_design(formula: str, data: pd.DataFrame) -> FixedDesign:
    """Build response and fixed-effects design matrix.

    Parameters
    ----------
    formula : str
        A formula without random effects, ``"y ~ x"``.
    data : DataFrame

    Returns
    -------
    FixedDesign

    Raises
    ------
    DataError
        If a column is missing or holds missing values, the response is not a varying number,
        or the design matrix is rank deficient (a constant or redundant predictor).

    Examples
    --------
    >>> data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [0.0, 1.0, 2.0]})
    >>> fixed_design("y ~ x", data).names
    ['Intercept', 'x']
    """
    check_columns(data, column_names(formula))
    _check_predictor_types(data, column_names(formula))
    response, matrix = _evaluate(patsy.dmatrices, formula, data)
    _check_response(response, formula, data)
    information = matrix.design_info
    matrix, names = np.asarray(matrix), plain_names(information.column_names)
    _check_rank(matrix, names, f"the fixed effects of {formula!r}")
    predictors = column_names(formula.partition("~")[2])
    return FixedDesign(np.asarray(response)[:, 0], matrix, names, predictors, information)


def random_design(terms: Formula, data: pd.DataFrame) -> RandomDesign:
    """Build clusters and random-effects design matrix.

    Parameters
    ----------
    terms : Formula
        A parsed formula.
    data : DataFrame

    Returns
    -------
    RandomDesign

    Raises
    ------
    DataError
        If there is one cluster only, an effect is constant or redundant, or there are as many
        random effects as observations.

    Examples
    --------
    >>> from helpers.models.formula import parse
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3], "x": [0.0, 1, 2, 0], "g": [1, 1, 2, 2]})
    >>> random_design(parse("y ~ x + (1 | g)"), data).counts
    array([2, 2])
    """
    check_columns(data, terms.variables)
    for term in _plain(terms):
        _check_predictor_types(data, column_names(term.effects))
    clusters, labels = number_clusters(data, terms.group)
    if len(labels) < 2:
        raise DataError(
            f"{terms.group!r} has {len(labels)} cluster; random effects need at least two. "
            "Use fit_pooled, or check the grouping column."
        )
    matrices = [_evaluate(patsy.dmatrix, term.effects, data) for term in _plain(terms)]
    names = plain_names([name for part in matrices for name in part.design_info.column_names])
    for part, term in zip(matrices, _plain(terms), strict=True):
        _check_term(np.asarray(part), plain_names(part.design_info.column_names), term, labels)
    _refuse_wide_terms(terms, matrices)
    blocks = [Block(part.shape[1]) for part in matrices]
    columns = [np.asarray(part) for part in matrices]
    nested_levels = np.empty((len(labels), 0), dtype=object)
    if terms.nested:
        nested_levels = _nested_levels(data[terms.nested.nested], clusters, terms)
        columns.append(_nested_columns(nested_levels[clusters], data, terms))
        blocks.append(Block(nested_levels.shape[1], identity=True))
    information = [part.design_info for part in matrices]
    return RandomDesign(
        terms,
        np.hstack(columns),
        clusters,
        pd.Index(labels),
        names,
        blocks,
        nested_levels,
        information,
    )


def number_clusters(data: pd.DataFrame, group: str) -> tuple[np.ndarray, np.ndarray]:
    """Give each cluster a position, in the order of their labels.

    Parameters
    ----------
    data : DataFrame
    group : str
        The grouping column.

    Returns
    -------
    tuple of ndarray
        The position of each row's cluster, and the sorted labels.

    Raises
    ------
    DataError
        If the labels mix text and numbers, so that they have no order.

    Examples
    --------
    >>> number_clusters(pd.DataFrame({"g": [3, 1, 3]}), "g")[0]
    array([1, 0, 1])
    """
    if infer_dtype(data[group]).startswith("mixed"):
        raise DataError(f"{group!r} mixes kinds of labels. Make all of them text, or all numbers.")
    return pd.factorize(data[group], sort=True)


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
        If `data` is not a data frame.
    DataError
        If it is empty, lacks a column, or a column holds missing or infinite values.

    Examples
    --------
    >>> check_columns(pd.DataFrame({"y": [1.0, 2.0]}), ["y"])
    """
    names = list(names)
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, not {type(data).__name__}.")
    unknown = [name for name in names if name not in data.columns]
    if unknown:
        raise DataError(
            f"data has no column {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(map(str, data.columns))}. Check the spelling."
        )
    repeated = [name for name in names if list(data.columns).count(name) > 1]
    if repeated:
        raise DataError(f"data has several columns named {repeated[0]!r}. Rename or drop one.")
    if data.empty:
        raise DataError("data has no rows.")
    missing = {name: int(count) for name, count in data[names].isna().sum().items() if count}
    if missing:
        listed = ", ".join(f"{count} in {name!r}" for name, count in missing.items())
        raise DataError(f"data has missing values: {listed}. Drop those rows or fill them in.")
    numeric = data[names].select_dtypes("number")
    infinite = list(numeric.columns[np.isinf(numeric.astype(float)).any()])
    if infinite:
        raise DataError(f"{', '.join(map(repr, infinite))} holds infinite values. Remove them.")


def plain_names(names: Iterable[str]) -> list[str]:
    """Write patsy's column names as the sources do: ``ses[T.mid]`` becomes ``sesmid``.

    Examples
    --------
    >>> plain_names(["Intercept", "ses[T.mid]", "ses[low]", "x:C(ses)[T.high]"])
    ['Intercept', 'sesmid', 'seslow', 'x:C(ses)high']
    """
    return [re.sub(r"\[(?:T\.)?([^\]]*)\]", r"\1", name) for name in names]


def without_unused_levels(data: pd.DataFrame) -> pd.DataFrame:
    """Copy of the data with a fresh index and only those categories that occur."""
    data = data.reset_index(drop=True)
    unused = data.select_dtypes("category")
    return data.assign(**{name: unused[name].cat.remove_unused_categories() for name in unused})


def _evaluate(build, formula, data):
    """Let patsy build design matrices; it drops rows with missing values unless told to raise."""
    try:
        return build(formula, data, eval_env=0, NA_action="raise")
    except patsy.PatsyError as error:
        raise DataError(f"{formula!r} cannot be computed from these data: {error}") from error


def _plain(terms: Formula):
    return [term for term in terms.terms if not term.nested]


def _rows(information, data, columns) -> np.ndarray:
    check_columns(data, columns)
    for factor, kind in information.factor_infos.items():
        name = factor.code
        if kind.type == "numerical" and name in data and not is_numeric_dtype(data[name]):
            raise DataError(f"{name!r} held numbers when the model was fitted; here it does not.")
    # patsy counts rows from a column; a formula of an intercept alone has none.
    if not columns:
        return np.ones((len(data), len(information.column_names)))
    # patsy wants a categorical's levels to be exactly the fit's; of plain values it asks less.
    rows = data.astype({name: object for name in data[columns].select_dtypes("category")})
    try:
        return np.asarray(patsy.build_design_matrices([information], rows, NA_action="raise")[0])
    except patsy.PatsyError as error:
        raise DataError(f"these rows do not fit the model: {error.message}") from error


def _check_predictor_types(data, names) -> None:
    """Refuse what patsy would read as categories without a word."""
    for name in names:
        kind = pd.api.types.infer_dtype(data[name])
        if pd.api.types.is_object_dtype(data[name]) and kind in ("integer", "floating", "decimal"):
            raise DataError(f"{name!r} holds numbers as objects. Convert it with pd.to_numeric.")
        if kind.startswith(("datetime", "timedelta", "date", "period")):
            raise DataError(f"{name!r} holds dates. Turn them into numbers, such as days.")


def _check_response(response, formula, data) -> None:
    name = formula.partition("~")[0].strip()
    columns = [data[column] for column in column_names(name)]
    numeric = all(is_numeric_dtype(column) and not is_complex_dtype(column) for column in columns)
    if response.shape[1] != 1 or not numeric:
        raise DataError(f"the response {name!r} must be one column of numbers.")
    if not np.isfinite(response).all():
        raise DataError(f"the response {name!r} is not finite in every row.")
    if np.ptp(np.asarray(response)) == 0:
        raise DataError(f"the response {name!r} is constant; there is nothing to explain.")


def _check_rank(matrix, names, where) -> None:
    if not np.isfinite(matrix).all():
        raise DataError(f"{where} are not finite in every row. Check the functions they use.")
    for position, name in enumerate(names):
        before = np.linalg.matrix_rank(matrix[:, :position]) if position else 0
        if np.linalg.matrix_rank(matrix[:, : position + 1]) == before:
            reason = "is constant" if np.ptp(matrix[:, position]) == 0 else "is redundant"
            raise DataError(
                f"{name!r} {reason} in {where}: its effect cannot be told from the columns "
                "before it. Remove it."
            )
    if len(matrix) <= len(names):
        raise DataError(
            f"{len(matrix)} observations cannot estimate {len(names)} coefficients of {where}."
        )


def _check_term(matrix, names, term, labels) -> None:
    _check_rank(matrix, names, f"the random effects {term}")
    _check_effect_count(len(matrix), len(labels) * matrix.shape[1], term)


def _refuse_wide_terms(terms, matrices) -> None:
    """Refuse categories in an independent term: lme4 gives it a covariance matrix of its own."""
    for part, term in zip(matrices, _plain(terms), strict=True):
        if term is not terms.correlated and part.shape[1] > 1:
            raise DataError(
                f"{term} has {part.shape[1]} columns; beside {terms.correlated} only a single "
                f"numeric effect may vary. Write ({term.effects} | {term.group}) alone."
            )


def _check_effect_count(n_obs, n_effects, term) -> None:
    if n_obs <= n_effects:
        raise DataError(
            f"{n_obs} observations for {n_effects} random effects of {term}: they cannot be told "
            "from the residuals. Let fewer effects vary, or collect more per cluster."
        )


def _nested_levels(nested, clusters, terms) -> np.ndarray:
    cells = pd.DataFrame({"cluster": clusters, "level": np.asarray(nested, dtype=object)})
    cells = cells.drop_duplicates().sort_values(["cluster", "level"])
    _check_effect_count(len(nested), len(cells), terms.nested)
    position = cells.groupby("cluster").cumcount()
    levels = np.full((clusters.max() + 1, position.max() + 1), None, dtype=object)
    levels[cells["cluster"], position] = cells["level"]
    return levels


def _nested_columns(levels_of_row, data, terms) -> np.ndarray:
    nested = np.asarray(data[terms.nested.nested], dtype=object)
    return (levels_of_row == nested[:, None]).astype(float)
