"""From a formula and a data frame to the design matrices of a mixed model.

Everything that can be wrong with the data is found here, before any fit, and said in words.
The columns of either side of a bar are worked out by the library formulaic, once for each fit.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.api import types

from helpers.models.columns import (
    DataError,
    check_columns,
    match_values,
    nearly_known,
    tidy,
    tidy_response,
)
from helpers.models.formula import Formula, expand, for_formulaic, tokenize, with_names
from helpers.models.likelihood import RANK_TOLERANCE, Block, centre

#: Characters of no text stand for the brackets of a column's name.
ASIDE = str.maketrans("[]", "\ue000\ue001")
BACK = str.maketrans("\ue000\ue001", "[]")


@dataclass(frozen=True)
class Columns:
    """The columns that one side of a formula stands for; made by :func:`build`.

    Attributes
    ----------
    formula : str
        For example ``"1 + x"``.
    names : list of str
        Terms in the sources' words: ``Intercept``, ``x``, ``sesmid``.
    columns : list of str
        Columns of the data it needs.
    """

    formula: str
    names: list[str]
    columns: list[str]
    levels: dict[str, pd.Index | None] = field(repr=False)
    coded: dict[str, pd.Index] = field(repr=False)
    specification: object = field(repr=False)

    def rows(self, data: pd.DataFrame) -> np.ndarray:
        """Design matrix of new rows, shape (len(data), number of columns).

        Functions keep the state of the fit: ``center(x)`` subtracts the mean of the rows fitted.

        Raises
        ------
        DataError
            If a predictor is missing, has missing values, or has a level the fit never saw.
        """
        check_columns(data, self.columns)
        frame = {}
        for number, name in enumerate(self.columns):
            tidied = self._as_fitted(data[name])
            frame |= _placeholders(number, tidied)
        if not self.names:
            return np.empty((len(data), 0))
        with np.errstate(all="ignore"):
            matrix = self.specification.get_model_matrix(
                pd.DataFrame(frame, index=range(len(data))), context={}, output="numpy"
            )
        matrix = np.asarray(matrix, float)
        if not np.isfinite(matrix).all():
            raise DataError(f"{self.formula!r} is not finite in every one of these rows.")
        return matrix

    def _as_fitted(self, column) -> pd.Series:
        levels, name = self.levels[column.name], column.name
        if levels is None:
            if not types.is_numeric_dtype(column.dtype):
                raise DataError(
                    f"{name!r} held numbers when the model was fitted; here it does not."
                )
            column = tidy(column)
            strange = ~column.isin(self.coded.get(name, column))
            if strange.any():
                raise self._unknown(name, column[strange].iloc[0], self.coded[name])
            return column
        column = column.reset_index(drop=True)
        if isinstance(column.dtype, pd.CategoricalDtype | pd.IntervalDtype):
            column = tidy(column)
        position = match_values(column, levels)
        if (position < 0).any():
            raise self._unknown(name, column[position < 0].iloc[0], levels)
        codes = pd.Categorical.from_codes(position, levels)
        return pd.Series(codes == True if levels.dtype == bool else codes, name=name)  # noqa: E712

    def _unknown(self, name, value, levels) -> DataError:
        return DataError(
            f"these rows do not fit the model: {name!r} has the level {str(value)!r}; the fit "
            f"knows {', '.join(map(str, levels))}."
        )


def build(formula: str, data: pd.DataFrame) -> tuple[np.ndarray, Columns]:
    """Work out the columns that one side of a formula stands for.

    Parameters
    ----------
    formula : str
        Without response: ``"1 + x"``.
    data : DataFrame
        Its columns are complete.

    Returns
    -------
    matrix : ndarray, shape (n, number of columns)
    columns : Columns

    Raises
    ------
    DataError
        If a column holds what is no predictor, or a function cannot be computed.

    Examples
    --------
    >>> matrix, columns = build("f", pd.DataFrame({"f": ["low", "mid", "low"]}))
    >>> columns.names, matrix[:, 1]
    (['Intercept', 'fmid'], array([0., 1., 0.]))
    """
    from formulaic import Formula as Terms
    from formulaic.errors import FormulaicError

    text, names = for_formulaic(formula)
    said = {token.value for token in tokenize(formula) if token.inside == "C"}
    tidied = [tidy(data[name], category=name in said) for name in names]
    levels = {column.name: _levels(column) for column in tidied}
    coded = {column.name: pd.Index(column.unique()) for column in tidied if column.name in said}
    frame = {}
    for number, column in enumerate(tidied):
        frame |= _placeholders(number, column)
    try:
        with np.errstate(all="ignore"):
            matrix = Terms(text).get_model_matrix(
                pd.DataFrame(frame, index=range(len(data))),
                context={},
                output="numpy",
                na_action="ignore",
            )
    except (FormulaicError, SyntaxError, TypeError, ValueError, NameError) as error:
        reason = with_names(str(error).strip().splitlines()[0], names)
        raise DataError(f"{formula!r} cannot be computed from these data: {reason}") from error
    specification = matrix.model_spec
    labels = plain_names(list(specification.column_names), names)
    return np.asarray(matrix, float), Columns(formula, labels, names, levels, coded, specification)


def plain_names(names: list[str], columns: list[str] = ()) -> list[str]:
    """Write formulaic's column names as the sources do: ``ses[T.mid]`` becomes ``sesmid``.

    Placeholders become names of `columns`, which keep brackets of their own. A level and a column
    that would print alike keep theirs.

    Examples
    --------
    >>> plain_names(["Intercept", "ses[T.mid]", "ses[low]", "x:C(ses)[T.high]"])
    ['Intercept', 'sesmid', 'seslow', 'x:C(ses)high']
    """
    # Brackets of the columns' own names are put aside while those of levels are taken off.
    aside = [name.translate(ASIDE) for name in columns]
    names = [with_names(name, aside) for name in names]
    with_brackets = [re.sub(r"\[(?:[TS]\.)([^\]]*)\]", r"[\1]", name) for name in names]
    plain = [re.sub(r"\[([^\]]*)\]", r"\1", name) for name in with_brackets]
    plain, with_brackets = (
        [name.translate(BACK) for name in written] for written in (plain, with_brackets)
    )
    return [
        name if plain.count(name) == 1 else long
        for name, long in zip(plain, with_brackets, strict=True)
    ]


def _levels(column) -> pd.Index | None:
    if column.dtype == bool:
        return pd.Index([False, True])
    return column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else None


def _placeholders(number, column) -> dict:
    """Give a column as formulaic shall see it: true and false are categories, as in R."""
    as_category = column
    if column.dtype == bool:
        as_category = pd.Categorical(column, [False, True])
        column = column.astype(int)
    return {f"v_{number}_": as_category, f"f_{number}_": column}


# ---- fixed effects ---------------------------------------------------------------------------


@dataclass(frozen=True)
class FixedDesign:
    """Response and fixed-effects design matrix.

    Attributes
    ----------
    response : ndarray, shape (n,)
    matrix : ndarray, shape (n, p)
    right : Columns
        What the matrix was made of.
    """

    response: np.ndarray
    matrix: np.ndarray
    right: Columns = field(repr=False)

    @property
    def names(self) -> list[str]:
        """Terms in the sources' words: ``Intercept``, ``x``, ``sesmid``."""
        return self.right.names

    @property
    def columns(self) -> list[str]:
        """Columns of the data that the predictors need."""
        return self.right.columns

    def rows(self, data: pd.DataFrame) -> np.ndarray:
        """Design matrix of new rows, as :meth:`Columns.rows`."""
        return self.right.rows(data)


def fixed_design(formula: str, data: pd.DataFrame, *, response: bool = True) -> FixedDesign:
    """Build response and fixed-effects design matrix.

    Parameters
    ----------
    formula : str
        A formula without random effects, ``"y ~ x"``.
    data : DataFrame
    response : bool
        Work the response out (default); otherwise it is zero.

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
    tokens = tokenize(formula)
    place = [token.value for token in tokens].index("~")
    left, right = formula.split("~", 1) if place else ("", formula)
    values = np.zeros(len(data))
    if response:
        values = _response(left.strip(), data)
    matrix, columns = build(right.strip(), data)
    _check_rank(matrix, columns.names, f"the fixed effects of {formula!r}")
    return FixedDesign(values, matrix, columns)


def _response(left, data) -> np.ndarray:
    tokens = tokenize(left)
    if len(tokens) == 1 and tokens[0].kind == "column":
        values = tidy_response(data[tokens[0].value]).to_numpy()
    else:
        for token in tokens:
            if token.kind == "column":
                tidy_response(data[token.value])
        matrix, _ = build(f"0 + {left}", data)
        if matrix.shape[1] != 1:
            raise DataError(f"the response {left!r} must be one column of numbers.")
        values = matrix[:, 0]
    if not np.isfinite(values).all():
        raise DataError(f"the response {left!r} is not finite in every row.")
    if np.ptp(values) == 0:
        raise DataError(f"the response {left!r} is constant; there is nothing to explain.")
    if len(np.unique(values[:50])) <= 2 and len(np.unique(values)) == 2:
        low, high = np.unique(values)
        warnings.warn(
            f"the response {left!r} is {low:g} or {high:g} in every row. This is a linear "
            "probability model; a "
            "logistic one is lme4's glmer or statsmodels' BinomialBayesMixedGLM.",
            UserWarning,
            stacklevel=4,
        )
    return values


def _check_rank(matrix, names, where) -> None:
    """Find a column that the ones before it determine, once all are centred and scaled."""
    if not np.isfinite(matrix).all():
        wrong = [
            name
            for name, fine in zip(names, np.isfinite(matrix).all(axis=0), strict=True)
            if not fine
        ]
        raise DataError(
            f"{wrong[0]!r} in {where} is not finite in every row. Check the functions it uses."
        )
    centred, _ = centre(matrix)
    scale = np.sqrt(np.einsum("nk,nk->k", centred, centred))
    constant = scale <= 1e-13 * np.sqrt(np.einsum("nk,nk->k", matrix, matrix))
    scaled = np.where(constant, 0, centred / np.where(constant, 1, scale))
    triangle = np.linalg.qr(scaled, mode="r")
    size = min(triangle.shape)
    diagonal = np.zeros(len(names))
    diagonal[:size] = np.abs(np.diag(triangle)[:size])
    for position, name in enumerate(names):
        if constant[position] or diagonal[position] <= RANK_TOLERANCE:
            if len(matrix) <= position:
                break
            raise DataError(
                f"{name!r} {_why(scaled, names, position)} in {where}: its effect cannot "
                "be told from the columns before it. Remove it."
            )
    if len(matrix) <= len(names):
        raise DataError(
            f"{len(matrix)} observations cannot estimate {len(names)} coefficients of {where}."
        )


def _why(scaled, names, position) -> str:
    if np.linalg.norm(scaled[:, position]) < 0.5:
        return "is constant"
    weights = np.linalg.lstsq(scaled[:, :position], scaled[:, position], rcond=None)[0]
    partners = [names[place] for place in np.flatnonzero(np.abs(weights) > 1e-6)]
    return f"is redundant (all but a copy of {', '.join(partners[:3])})"


# ---- random effects --------------------------------------------------------------------------


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
    parts : list of Columns
        What each term that is not nested was made of.
    blocks : list of Block
        Which columns share a covariance matrix.
    nested_levels : ndarray of object, shape (n_clusters, n_nested)
        The level each nested column stands for, per cluster; None where it does not occur.
    """

    terms: Formula
    matrix: np.ndarray
    clusters: np.ndarray
    labels: pd.Index
    parts: list[Columns] = field(repr=False)
    blocks: list[Block]
    nested_levels: np.ndarray

    @property
    def names(self) -> list[str]:
        """Names of the columns that are not nested: ``Intercept``, ``x``."""
        return [name for part in self.parts for name in part.names]

    @property
    def counts(self) -> np.ndarray:
        """Number of observations in each cluster."""
        return np.bincount(self.clusters)

    def rows(self, data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Design matrix and cluster positions of new rows; -1 marks a new cluster.

        Labels match as numbers and as text: 7, 7.0 and "7" are one cluster.

        Warns
        -----
        UserWarning
            If none of the labels was in the fit and they are of another type, or a label differs
            from one of the fit's by case, space or a letter.
        """
        check_columns(data, self.terms.correlated.pair or [self.terms.group])
        data = self.terms.with_groups(data)
        clusters = match_values(data[self.terms.group], self.labels)
        self._warn_of_strangers(data[self.terms.group], clusters)
        columns = [part.rows(data) for part in self.parts]
        if self.terms.nested:
            check_columns(data, [self.terms.nested.nested])
            nested = data[self.terms.nested.nested]
            columns.append(_nested_columns(self.nested_levels[clusters], self._as_fitted(nested)))
        return np.hstack(columns), clusters

    def _warn_of_strangers(self, column, clusters) -> None:
        alike = nearly_known(column[clusters < 0], self.labels) if (clusters < 0).any() else {}
        if alike:
            value, label = next(iter(alike.items()))
            warnings.warn(
                f"{len(alike)} {self.terms.group!r} of these rows differ only a little from the "
                f"fit's and are predicted as new clusters: {value!r}, not {label!r}?",
                UserWarning,
                stacklevel=4,
            )
        kinds = [types.infer_dtype(values.astype(object)) for values in (column, self.labels)]
        if (clusters < 0).all() and kinds[0] != kinds[1]:
            warnings.warn(
                f"no {self.terms.group!r} of these rows was in the fit, which has labels like "
                f"{str(self.labels[0])!r}; all of them are predicted as new clusters.",
                UserWarning,
                stacklevel=4,
            )

    def _as_fitted(self, nested) -> np.ndarray:
        """Nested levels in the type of the fit's."""
        known = pd.Index(pd.unique(self.nested_levels[self.nested_levels != np.array(None)]))
        position = match_values(nested, known)
        return np.where(position >= 0, known.astype(object).to_numpy()[position], np.array(None))


def random_design(
    terms: Formula, data: pd.DataFrame, fixed: FixedDesign | None = None
) -> RandomDesign:
    """Build clusters and random-effects design matrix.

    Parameters
    ----------
    terms : Formula
        A parsed formula.
    data : DataFrame
    fixed : FixedDesign, optional
        Its columns are used again where the same effects vary.

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
    clusters, labels = number_clusters(data, terms.group)
    if len(labels) < 2:
        raise DataError(
            f"{terms.group!r} has {len(labels)} cluster; random effects need at least two. "
            "Use fit_pooled, or check the grouping column."
        )
    columns, parts = [], []
    for term in terms.plain:
        matrix, part = _varying(term, data, fixed)
        _check_effect_count(len(matrix), len(labels) * matrix.shape[1], term)
        columns.append(matrix)
        parts.append(part)
    blocks = [Block(matrix.shape[1]) for matrix in columns]
    nested_levels = np.empty((len(labels), 0), dtype=object)
    if terms.nested:
        nested = np.asarray(data[terms.nested.nested], dtype=object)
        nested_levels = _nested_levels(nested, clusters, terms)
        columns.append(_nested_columns(nested_levels[clusters], nested))
        blocks.append(Block(nested_levels.shape[1], identity=True))
    return RandomDesign(
        terms, np.hstack(columns), clusters, pd.Index(labels), parts, blocks, nested_levels
    )


def _varying(term, data, fixed) -> tuple[np.ndarray, Columns]:
    if fixed is not None and expand(term.effects) == expand(fixed.right.formula):
        return fixed.matrix, fixed.right
    matrix, part = build(term.effects, data)
    _check_rank(matrix, part.names, f"the random effects {term}")
    return matrix, part


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
    column = data[group]
    if column.dtype == object and types.infer_dtype(column).startswith("mixed"):
        kinds = sorted({type(label).__name__ for label in column})
        raise DataError(
            f"{group!r} holds labels of the kinds {', '.join(kinds)}. Make all of them text, "
            f"data[{group!r}].astype(str), or all numbers."
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
    positions, labels = pd.factorize(column, sort=True)
    return positions, pd.Index(labels)


def check_identified(left: np.ndarray, design: RandomDesign, fixed: list[str]) -> None:
    """Refuse random effects whose variance the data cannot tell, by name.

    Parameters
    ----------
    left : ndarray, shape (q,)
        What the fixed effects leave of each random effect:
        :meth:`helpers.models.likelihood.Likelihood.identified`.
    design : RandomDesign
    fixed : list of str
        Columns of the fixed effects.

    Raises
    ------
    DataError
        If a variance has no influence on the likelihood.

    Examples
    --------
    >>> from helpers.models.formula import parse
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3], "g": [1, 1, 2, 2]})
    >>> check_identified(np.array([0.8]), random_design(parse("y ~ 1 + (1 | g)"), data), [])
    """
    terms = design.terms
    for position in np.flatnonzero(left <= RANK_TOLERANCE):
        nested = position >= len(design.names)
        effect = "Intercept" if nested else design.names[position]
        where = terms.nested.grouping if nested else terms.group
        twice = [
            name for name in (terms.group, terms.nested and terms.nested.nested) if name in fixed
        ]
        reason = (
            f"{twice[0]!r} is both fixed and random" if twice else "the fixed effects take it up"
        )
        raise DataError(
            f"the variance of {effect!r} between the levels of {where!r} cannot be estimated: "
            f"{reason}, so nothing is left that varies. Remove one of the two."
        )


def _check_effect_count(n_obs, n_effects, term) -> None:
    if n_obs <= n_effects:
        raise DataError(
            f"{n_obs} observations for {n_effects} random effects of {term}: they cannot be told "
            "from the residuals, and lme4 refuses as well. Let fewer effects vary, or collect more "
            "per cluster. (Where predictors differ between clusters the variances may be "
            "identified all the same: lme4 then fits with check.nobs.vs.nRE = 'ignore'.)"
        )


def _nested_levels(nested, clusters, terms) -> np.ndarray:
    codes, known = pd.factorize(nested)
    cells = pd.DataFrame({"cluster": clusters, "code": codes}).drop_duplicates()
    _check_effect_count(len(nested), len(cells), terms.nested)
    if len(cells) == clusters.max() + 1:
        raise DataError(
            f"each level of {terms.group!r} holds one level of {terms.nested.nested!r}: only the "
            f"sum of the variances of (1 | {terms.group}) and {terms.nested} can be estimated. "
            "Keep one of the two."
        )
    rank = np.empty(len(known), int)
    rank[pd.Index(known).argsort()] = np.arange(len(known))
    cells = cells.assign(rank=rank[cells["code"]]).sort_values(["cluster", "rank"])
    position = cells.groupby("cluster").cumcount()
    levels = np.full((clusters.max() + 1, position.max() + 1), None, dtype=object)
    levels[cells["cluster"], position] = known[cells["code"]]
    return levels


def _nested_columns(levels_of_row, nested) -> np.ndarray:
    return (levels_of_row == nested[:, None]).astype(float) * (nested[:, None] != np.array(None))
