"""Fit mixed, pooled and separate models, and refuse to be silently wrong.

:func:`fit_mixed` minimises the profiled criterion of Bates et al. (2015), checks the conditions of
an optimum, and compares with the normal density of the data written down from its definition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from helpers.models.as_statsmodels import call_that_reaches, mixed_results, pooled_results
from helpers.models.batch import BLOCK_SIZE, fit_blocks
from helpers.models.columns import DataError, check_columns, free_names
from helpers.models.density import density_criterion
from helpers.models.design import (
    FixedDesign,
    RandomDesign,
    check_identified,
    fixed_design,
    number_clusters,
    random_design,
)
from helpers.models.estimates import Estimates, PerfectFitError, estimate
from helpers.models.formula import Formula, FormulaError, column_names, parse, tokenize
from helpers.models.inference import prediction_intervals
from helpers.models.likelihood import Likelihood, orthogonal, sort_by_cluster

AGREEMENT = 1e-4


class ConvergenceError(RuntimeError):
    """No optimum whose conditions hold and whose criterion the density confirms."""


@dataclass(frozen=True)
class FittedModel:
    """What pooled and mixed fits have in common.

    Attributes
    ----------
    formula : str
        The formula as given.
    data : DataFrame
        The rows that were fitted, with their own index.
    fixed : Series
        Fixed effects, indexed by term.
    fixed_covariance : DataFrame
        Their covariance matrix.
    sigma : float
        Residual standard deviation.
    """

    formula: str
    data: pd.DataFrame = field(repr=False)
    fixed: pd.Series = field(repr=False)
    fixed_covariance: pd.DataFrame = field(repr=False)
    sigma: float
    fixed_design: FixedDesign = field(repr=False)

    @property
    def n_obs(self) -> int:
        """Number of observations."""
        return len(self.data)

    def __getstate__(self):
        # statsmodels' results cannot be pickled; they are made again when asked for.
        return {name: value for name, value in self.__dict__.items() if name != "results"}


@dataclass(frozen=True)
class PooledFit(FittedModel):
    """A regression that ignores the clusters; made by :func:`fit_pooled`."""

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of its t statistics."""
        return float(self.n_obs - len(self.fixed))

    @cached_property
    def results(self):
        """Statsmodels' results of ``smf.ols``, made when first asked for."""
        return pooled_results(self)

    def predict(self, data: pd.DataFrame | None = None) -> pd.Series:
        """Predict the response of `data`, by default of the rows fitted."""
        matrix = self.fixed_design.matrix if data is None else self.fixed_design.rows(data)
        index = self.data.index if data is None else data.index
        return pd.Series(matrix @ self.fixed.to_numpy(), index)


@dataclass(frozen=True)
class MixedFit(FittedModel):
    """A linear mixed model; made by :func:`fit_mixed`.

    Attributes
    ----------
    terms : Formula
        The formula taken apart.
    solution : Estimates
        Estimates at the optimum of the profiled criterion, of this one data set.
    random_design : RandomDesign
        Clusters and random-effects design matrix.
    whitening : ndarray, shape (q, q)
        K: where b are the effects of whitened columns, K b are the random effects.
    relative_root : ndarray, shape (q, q)
        Of the random effects' covariance matrix divided by the residual variance.
    reml : bool
        REML (True) or maximum likelihood (False).
    """

    terms: Formula = field(repr=False)
    solution: Estimates = field(repr=False)
    random_design: RandomDesign = field(repr=False)
    whitening: np.ndarray = field(repr=False)
    relative_root: np.ndarray = field(repr=False)
    reml: bool

    @property
    def criterion(self) -> float:
        """-2 log-likelihood, REML or ML, constants included, as lme4 prints it."""
        return float(self.solution.criterion)

    @cached_property
    def results(self):
        """Statsmodels' results of ``smf.mixedlm`` at this optimum, made when first asked for.

        :class:`helpers.models.as_statsmodels.ResultsError` says where statsmodels cannot follow,
        as with some singular fits; the fit stands all the same.
        """
        return mixed_results(self)

    @property
    def converged(self) -> bool:
        """Always True: a fit that is not converged raises :class:`ConvergenceError`."""
        return bool(self.solution.converged)

    @property
    def singular(self) -> bool:
        """Whether the optimum is on the boundary: some combination of effects has no variance."""
        return bool(self.solution.singular)

    @property
    def n_groups(self) -> int:
        """Number of clusters."""
        return len(self.random_design.labels)

    @property
    def degrees_of_freedom(self) -> float:
        """Infinite: z statistics, as in the sources' tables."""
        return np.inf

    @cached_property
    def statsmodels_call(self) -> str:
        """The equivalent ``smf.mixedlm`` call, as text to paste.

        It is tried, with the optimiser that reaches this fit's criterion. If none does, a second
        line says by how much the best one misses it.
        """
        return call_that_reaches(self.terms, self)

    def predict(
        self,
        data: pd.DataFrame | None = None,
        *,
        random_effects: bool = True,
        interval: str | None = None,
        level: float = 0.95,
    ) -> pd.Series | pd.DataFrame:
        """Predict the response.

        Parameters
        ----------
        data : DataFrame, optional
            Rows to predict; by default those fitted.
        random_effects : bool
            True (default): each cluster's own prediction; a new cluster has random effects of
            zero. False: fixed effects only, which is all statsmodels' ``predict`` gives.
        interval : {"mean", "cluster", "observation"}, optional
            Also give standard errors and limits: of the mean over clusters (fixed effects only),
            of each row's own cluster, or of a new observation in it.
        level : float
            Coverage of the interval.

        Returns
        -------
        Series
            Predictions, indexed as the rows of `data`; with `interval` a data frame, see
            :func:`helpers.models.inference.prediction.prediction_intervals`.

        Raises
        ------
        DataError
            If a column is missing or incomplete, or a predictor has an unknown level.

        Examples
        --------
        >>> from helpers.data.simulate import create_data
        >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
        >>> new = pd.DataFrame({"x": [0.0, 0.0], "cluster": [1, 101]})
        >>> bool(fit.predict(new)[1] == fit.fixed["Intercept"])
        True
        """
        if interval is not None:
            return prediction_intervals(self, data, interval=interval, level=level)
        known = data is None
        matrix = self.fixed_design.matrix if known else self.fixed_design.rows(data)
        prediction = matrix @ self.fixed.to_numpy()
        if random_effects:
            design = self.random_design
            matrix, clusters = (design.matrix, design.clusters) if known else design.rows(data)
            effects = np.where((clusters >= 0)[:, None], self.solution.effects[clusters], 0)
            prediction = prediction + (matrix * effects).sum(axis=1)
        return pd.Series(prediction, self.data.index if known else data.index)

    def residuals(self, *, scaled: bool = True) -> pd.Series:
        """Observed minus predicted response, random effects included.

        Parameters
        ----------
        scaled : bool
            Divide by the residual standard deviation (default), as lme4's summary does.

        Returns
        -------
        Series
            One residual per row, indexed as the data.

        Examples
        --------
        >>> from helpers.data.simulate import create_data
        >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
        >>> print(round(fit.residuals().min(), 4))
        -2.9392
        """
        residuals = self.fixed_design.response - self.predict()
        return residuals / self.sigma if scaled else residuals


def fit_mixed(formula: str, data: pd.DataFrame, reml: bool = True) -> MixedFit:
    """Fit a linear mixed model with one grouping factor.

    Parameters
    ----------
    formula : str
        In lme4's language: ``"y ~ x + (x | cluster)"``. See :func:`helpers.models.formula.parse`.
    data : DataFrame
        One row per observation, no missing values in the columns used.
    reml : bool
        Restricted maximum likelihood (default) or maximum likelihood.

    Returns
    -------
    MixedFit
        Its ``results`` are statsmodels' own.

    Raises
    ------
    FormulaError
        If the formula asks for anything but one grouping factor with a nested intercept.
    DataError
        If the data cannot support the model.
    ConvergenceError
        If the conditions of an optimum do not hold, or the density of the data is another one.

    Warns
    -----
    UserWarning
        If the response has two values.

    Notes
    -----
    The profiled criterion of Bates et al. (2015) is minimised (:mod:`helpers.models.optimum`) and
    the conditions of an optimum are checked, those at the boundary included. Then the criterion is
    computed again from the definition of the normal density (:mod:`helpers.models.density`); the
    two must agree to 1e-4.

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> print(round(fit.criterion, 1), fit.singular)
    3012.2 False
    """
    terms = _checked_terms(formula, data, reml)
    check_columns(data, terms.variables)
    data = terms.with_groups(data)
    fixed = fixed_design(terms.fixed, data)
    random = random_design(terms, data, fixed)
    likelihood = _likelihood(fixed, random, reml)
    try:
        solution = estimate(likelihood, fixed.response[:, None], effects=True)[0]
    except PerfectFitError as error:
        raise DataError(
            f"{terms} fits these data perfectly: no residual variance is left to estimate. "
            "Let fewer effects vary, or check the response."
        ) from error
    root = likelihood.to_effects @ likelihood.factor(solution.theta[:, None])[:, :, 0]
    _confirm(solution, fixed, random, root, terms, reml=reml)
    return MixedFit(
        formula=formula,
        data=data.copy(),
        fixed=pd.Series(solution.fixed, fixed.names, dtype=float),
        fixed_covariance=pd.DataFrame(solution.fixed_covariance, fixed.names, fixed.names),
        sigma=float(solution.sigma),
        fixed_design=fixed,
        terms=terms,
        solution=solution,
        random_design=random,
        whitening=likelihood.to_effects,
        relative_root=root,
        reml=reml,
    )


def _checked_terms(formula, data, reml) -> Formula:
    if not isinstance(reml, bool):
        raise TypeError(f"reml must be True or False, not {reml!r}.")
    if isinstance(formula, str):
        check_columns(data, [])
    return parse(formula, data)


def _likelihood(fixed, random, reml) -> Likelihood:
    likelihood = Likelihood(fixed.matrix, random.matrix, random.clusters, random.blocks, reml=reml)
    check_identified(likelihood.identified(), random, fixed.columns)
    return likelihood


def _confirm(solution, fixed, random, root, terms, *, reml) -> None:
    """Raise ConvergenceError unless the point is an optimum and the density says the same."""
    density, largest = density_criterion(
        fixed.response,
        fixed.matrix,
        random.matrix,
        random.clusters,
        fixed=solution.fixed,
        root=root,
        sigma=solution.sigma,
        reml=reml,
    )
    # Between variances that are 1e12 times apart double precision tells less.
    tolerance = AGREEMENT + 1e-14 * largest * len(fixed.response)
    if not solution.converged or not abs(density - solution.criterion) <= tolerance:
        reason = "" if solution.converged else ", where the criterion is not flat"
        raise ConvergenceError(
            f"{terms} has no optimum to trust: criterion {solution.criterion:.6f} by the profiled "
            f"likelihood, {density:.6f} by the density of the data{reason}. Let fewer effects "
            "vary, or look for clusters with extreme values."
        )


def fit_many(
    formula: str,
    data: pd.DataFrame,
    responses,
    *,
    reml: bool = True,
    effects: bool = False,
    n_jobs: int = 1,
    progress: bool = False,
    block_size: int = BLOCK_SIZE,
) -> Estimates:
    """Fit a linear mixed model to many responses that share predictors and clusters.

    Parameters
    ----------
    formula : str
        As for :func:`fit_mixed`; its left side is only a name for the responses.
    data : DataFrame
        Predictors and clusters, one row per observation. The response may be missing from it.
    responses : ndarray or DataFrame, shape (n_obs, n_datasets), or iterable of such blocks
        One data set per column, rows as in `data`. An iterable may also yield functions without
        arguments that return a block; each is called where its block is fitted.
    reml : bool
        Restricted maximum likelihood (default) or maximum likelihood.
    effects : bool
        Also give conditional modes and shrinkage of every cluster, clusters in sorted order.
    n_jobs, progress, block_size
        As for :func:`helpers.models.batch.fit_blocks`: processes, a progress bar, and how many
        data sets are worked on together.

    Returns
    -------
    Estimates
        Arrays whose first axis counts the data sets; coefficients in the order of
        ``fit_mixed(...).fixed``.

    Raises
    ------
    FormulaError
        If the formula asks for anything but one grouping factor with a nested intercept.
    DataError
        If the data cannot support the model.
    ValueError
        If the responses do not fit the data or are not finite.

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> data = create_data()
    >>> noise = np.random.default_rng(1).normal(size=(len(data), 100))
    >>> fits = fit_many("y ~ x + (x | cluster)", data, data[["y"]].to_numpy() + noise)
    >>> fits.fixed.shape, bool(fits.converged.all())
    ((100, 2), True)
    """
    terms = _checked_terms(formula, data, reml)
    if column_names(terms.response) != [terms.response.strip("`")]:
        raise FormulaError(
            f"the left side of {formula!r} must be a plain name: the responses are fitted as they "
            "are. Transform them first."
        )
    needed = column_names(f"{terms.predictors} + {' + '.join(map(str, terms.terms))}")
    check_columns(data, needed)
    data = terms.with_groups(data)
    fixed = fixed_design(terms.fixed, data, response=False)
    likelihood = _likelihood(fixed, random_design(terms, data, fixed), reml)
    if isinstance(responses, pd.DataFrame | pd.Series):
        responses = responses.to_numpy()
    return fit_blocks(
        likelihood,
        responses,
        effects=effects,
        n_jobs=n_jobs,
        progress=progress,
        block_size=block_size,
    )


def fit_pooled(formula: str, data: pd.DataFrame) -> PooledFit:
    """Fit one regression to all rows, ignoring the clusters (complete pooling).

    Parameters
    ----------
    formula : str
        A formula without random effects, ``"y ~ x"``.
    data : DataFrame

    Returns
    -------
    PooledFit

    Raises
    ------
    FormulaError
        If the formula has random effects.
    DataError
        If the data cannot support the model.

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> print(fit_pooled("y ~ x", create_data()).fixed.round(2).to_dict())
    {'Intercept': 0.94, 'x': 0.55}
    """
    _refuse_random_effects(formula, "fit_pooled")
    check_columns(data, column_names(formula))
    design = fixed_design(formula, data)
    if not design.names:
        raise FormulaError(f"{formula!r} has nothing to estimate. Add a predictor or an intercept.")
    basis, triangle, centring = orthogonal(design.matrix)
    coordinates = basis.T @ design.response
    residual = design.response - basis @ coordinates
    variance = residual @ residual / (len(residual) - len(design.names))
    root = centring @ np.linalg.inv(triangle)
    return PooledFit(
        formula=formula,
        data=data.copy(),
        fixed=pd.Series(root @ coordinates, design.names),
        fixed_covariance=pd.DataFrame(variance * root @ root.T, design.names, design.names),
        sigma=float(np.sqrt(variance)),
        fixed_design=design,
    )


def fit_by_cluster(formula: str, data: pd.DataFrame, cluster: str) -> pd.DataFrame:
    """Fit a regression to each cluster on its own (no pooling).

    Parameters
    ----------
    formula : str
        A formula without random effects, ``"y ~ x"``.
    data : DataFrame
    cluster : str
        The grouping column.

    Returns
    -------
    DataFrame
        One row per cluster: the cluster, ``n``, one column per coefficient, and ``status``:
        ``"ok"``, or why this cluster cannot support the fit (its coefficients are then missing).
        A column of the data called ``n`` or ``status`` is ``n_`` or ``status_`` there.

    Raises
    ------
    FormulaError
        If the formula has random effects.
    DataError
        If a column is missing or incomplete.

    Examples
    --------
    >>> data = pd.DataFrame({"y": [1.0, 3, 2], "x": [0.0, 1, 5], "g": ["a", "a", "b"]})
    >>> fit_by_cluster("y ~ x", data, "g")[["g", "n", "x", "status"]]
       g  n    x                                      status
    0  a  2  2.0                                          ok
    1  b  1  NaN  too few observations: 1 for 2 coefficients
    """
    _refuse_random_effects(formula, "fit_by_cluster")
    if not isinstance(cluster, str):
        raise TypeError(f"cluster must be the name of one column, not {cluster!r}.")
    check_columns(data, [cluster, *column_names(formula)])
    design = fixed_design(formula, data)
    if cluster in column_names(formula):
        raise DataError(
            f"{cluster!r} cannot name the clusters: it is in the formula {formula!r} too, and does "
            "not vary within a cluster. Take it out of the formula."
        )
    clusters, labels = number_clusters(data, cluster)
    estimates = least_squares_by_cluster(design.matrix, design.response, clusters)
    counts, size = np.bincount(clusters), len(design.names)
    own, *names = free_names([cluster, *design.names], ["n", "status"])
    table = pd.DataFrame(estimates, columns=names)
    table.insert(0, "n", counts)
    table.insert(0, own, labels)
    return table.assign(
        status=np.select(
            [counts < size, np.isnan(estimates[:, 0])],
            [
                [f"too few observations: {count} for {size} coefficients" for count in counts],
                "predictors do not vary enough within this cluster",
            ],
            "ok",
        )
    )


def least_squares_by_cluster(matrix, response, clusters) -> np.ndarray:
    """Least-squares coefficients of each cluster on its own.

    Parameters
    ----------
    matrix : ndarray, shape (n, q)
    response : ndarray, shape (n,) or (n, n_datasets)
    clusters : ndarray of int, shape (n,)
        0 to n_clusters - 1, each occurring.

    Returns
    -------
    ndarray, shape (n_clusters, q) or (n_clusters, q, n_datasets)
        Missing where a cluster's rows do not determine the coefficients.

    Examples
    --------
    >>> least_squares_by_cluster(np.ones((3, 1)), np.array([1.0, 3, 5]), np.array([0, 0, 1]))
    array([[2.],
           [5.]])
    """
    order, starts, counts = sort_by_cluster(clusters)
    size, several = matrix.shape[1], response.reshape(len(response), -1)
    estimates = np.full((len(counts), size, several.shape[1]), np.nan)
    for count in np.unique(counts[counts >= size]):
        of_size = np.flatnonzero(counts == count)
        rows = order[starts[of_size][:, None] + np.arange(count)]
        left, values, right = np.linalg.svd(matrix[rows], full_matrices=False)
        # The rank as numpy.linalg.lstsq counts it.
        determined = values[:, -1] > np.finfo(float).eps * count * values[:, 0]
        left, values, right = left[determined], values[determined], right[determined]
        turned = left.mT @ several[rows[determined]] / values[..., None]
        estimates[of_size[determined]] = right.mT @ turned
    return estimates.reshape(len(counts), size, *response.shape[1:])


def _refuse_random_effects(formula, function) -> None:
    if not isinstance(formula, str):
        raise TypeError(f"formula must be a string like 'y ~ x', not {type(formula).__name__}.")
    operators = [token.value for token in tokenize(formula) if token.kind == "operator"]
    if {"|", "||"} & set(operators) or operators.count("~") != 1:
        raise FormulaError(f"{function} takes a formula like 'y ~ x', not {formula!r}.")
