"""Fit mixed, pooled and separate models, and refuse to be silently wrong.

statsmodels' ``MixedLM`` is the model you learn; :mod:`helpers.models.reml` maximises the same
likelihood by another route. :func:`fit_mixed` runs both and compares.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from statsmodels.regression.mixed_linear_model import MixedLMParams
from statsmodels.tools.sm_exceptions import ConvergenceWarning, SingularMatrixWarning

from helpers.models.batch import BLOCK_SIZE, PERFECT_FIT, BatchFits, fit_blocks
from helpers.models.design import (
    DataError,
    FixedDesign,
    RandomDesign,
    check_columns,
    fixed_design,
    number_clusters,
    random_design,
    without_unused_levels,
)
from helpers.models.formula import Formula, FormulaError, parse
from helpers.models.inference import prediction_intervals
from helpers.models.likelihood import Design
from helpers.models.reml import ProfiledModel, Solution

AGREEMENT = 1e-4
# statsmodels inverts the covariance matrix of the random effects, so it starts inside a boundary.
INTERIOR_VARIANCE = 1e-8
# Gradient steps can leave the region where statsmodels' likelihood is finite; a simplex does not.
OPTIMISERS = (["lbfgs", "bfgs"], ["nm"])


class ConvergenceError(RuntimeError):
    """No optimum that two independent routes agree on."""


@dataclass(frozen=True)
class FittedModel:
    """What pooled and mixed fits have in common.

    Attributes
    ----------
    formula : str
        The formula as given.
    data : DataFrame
        The rows that were fitted, with their own index.
    results : object
        statsmodels' results object.
    fixed : Series
        Fixed effects, indexed by term.
    fixed_covariance : DataFrame
        Their covariance matrix.
    sigma : float
        Residual standard deviation.
    """

    formula: str
    data: pd.DataFrame = field(repr=False)
    results: object = field(repr=False)
    fixed: pd.Series = field(repr=False)
    fixed_covariance: pd.DataFrame = field(repr=False)
    sigma: float
    fixed_design: FixedDesign = field(repr=False)

    @property
    def n_obs(self) -> int:
        """Number of observations."""
        return len(self.data)


@dataclass(frozen=True)
class PooledFit(FittedModel):
    """A regression that ignores the clusters; made by :func:`fit_pooled`."""

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of its t statistics."""
        return float(self.results.df_resid)

    def predict(self, data: pd.DataFrame | None = None) -> pd.Series:
        """Predict the response of `data`, by default of the rows fitted."""
        data = self.data if data is None else data
        return pd.Series(self.fixed_design.rows(data) @ self.fixed.to_numpy(), data.index)


@dataclass(frozen=True)
class MixedFit(FittedModel):
    """A linear mixed model; made by :func:`fit_mixed`.

    Attributes
    ----------
    terms : Formula
        The formula taken apart.
    solution : Solution
        Estimates at the optimum of the profiled criterion.
    random_design : RandomDesign
        Clusters and random-effects design matrix.
    reml : bool
        REML (True) or maximum likelihood (False).
    """

    terms: Formula = field(repr=False)
    solution: Solution = field(repr=False)
    random_design: RandomDesign = field(repr=False)
    reml: bool

    @property
    def criterion(self) -> float:
        """-2 log-likelihood, REML or ML, constants included, as lme4 prints it."""
        return self.solution.criterion

    @property
    def converged(self) -> bool:
        """Always True: a fit that is not converged raises :class:`ConvergenceError`."""
        return self.solution.converged

    @property
    def singular(self) -> bool:
        """Whether the optimum is on the boundary: some combination of effects has no variance."""
        return self.solution.singular

    @property
    def n_groups(self) -> int:
        """Number of clusters."""
        return len(self.random_design.labels)

    @property
    def degrees_of_freedom(self) -> float:
        """Infinite: z statistics, as in the sources' tables."""
        return np.inf

    @property
    def statsmodels_call(self) -> str:
        """The equivalent ``smf.mixedlm`` call, as text to paste."""
        return self.terms.statsmodels_call(reml=self.reml)

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
            :func:`helpers.models.inference.prediction_intervals`.

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
        data = self.data if data is None else data
        prediction = self.fixed_design.rows(data) @ self.fixed.to_numpy()
        if random_effects:
            matrix, clusters = self.random_design.rows(data)
            known = (clusters >= 0)[:, None]
            prediction = prediction + (matrix * known * self.solution.effects[clusters]).sum(axis=1)
        return pd.Series(prediction, data.index)

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
        If the formula asks for anything but one grouping factor with nested terms.
    DataError
        If the data cannot support the model.
    ConvergenceError
        If the two routes do not end at one optimum.

    Notes
    -----
    The profiled criterion of Bates et al. (2015) is minimised first
    (:mod:`helpers.models.reml`), then statsmodels starts there and polishes. Their criteria must
    agree to 1e-4.

    Examples
    --------
    >>> from helpers.data.simulate import create_data
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> print(round(fit.criterion, 1), fit.singular)
    3012.2 False
    """
    if not isinstance(reml, bool):
        raise TypeError(f"reml must be True or False, not {reml!r}.")
    terms = parse(formula)
    check_columns(data, terms.variables)
    rows = without_unused_levels(data)
    fixed, random = fixed_design(terms.fixed, rows), random_design(terms, rows)
    model = ProfiledModel(
        fixed.response, fixed.matrix, random.matrix, random.clusters, random.blocks, reml=reml
    )
    solution, results = _agree(
        model,
        random,
        _statsmodels_model(terms, rows),
        terms,
        smallest_sigma=PERFECT_FIT * fixed.response.std(),
    )
    return MixedFit(
        formula=formula,
        data=data.copy(),
        results=results,
        fixed=pd.Series(solution.fixed, fixed.names),
        fixed_covariance=pd.DataFrame(solution.fixed_covariance, fixed.names, fixed.names),
        sigma=solution.sigma,
        fixed_design=fixed,
        terms=terms,
        solution=solution,
        random_design=random,
        reml=reml,
    )


def fit_many(
    formula: str,
    data: pd.DataFrame,
    responses,
    *,
    reml: bool = True,
    effects: bool = False,
    n_workers: int = 1,
    client=None,
    progress: bool = False,
    block_size: int = BLOCK_SIZE,
) -> BatchFits:
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
    n_workers, client, progress, block_size
        As for :func:`helpers.models.batch.fit_blocks`: processes, a Dask client, a progress bar,
        and how many data sets are worked on together.

    Returns
    -------
    BatchFits
        Arrays whose first axis counts the data sets; coefficients in the order of
        ``fit_mixed(...).fixed``.

    Raises
    ------
    FormulaError
        If the formula asks for anything but one grouping factor with nested terms.
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
    if not isinstance(reml, bool):
        raise TypeError(f"reml must be True or False, not {reml!r}.")
    terms = parse(formula)
    if not terms.response.isidentifier():
        raise FormulaError(
            f"the left side of {formula!r} must be a plain name: the responses are fitted as they "
            "are. Transform them first."
        )
    check_columns(data, [name for name in terms.variables if name != terms.response])
    # The design does not depend on the response, but a design formula wants one that varies.
    rows = without_unused_levels(data).assign(**{terms.response: np.arange(len(data), dtype=float)})
    fixed, random = fixed_design(terms.fixed, rows), random_design(terms, rows)
    if isinstance(responses, pd.DataFrame | pd.Series):
        responses = responses.to_numpy()
    design = Design(fixed.matrix, random.matrix, random.clusters, random.blocks, reml=reml)
    return fit_blocks(
        design,
        responses,
        effects=effects,
        n_workers=n_workers,
        client=client,
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
    rows = without_unused_levels(data) if isinstance(data, pd.DataFrame) else data
    design = fixed_design(formula, rows)
    if not design.names:
        raise FormulaError(f"{formula!r} has nothing to estimate. Add a predictor or an intercept.")
    results = smf.ols(formula, rows).fit()
    covariance = results.cov_params().to_numpy()
    return PooledFit(
        formula=formula,
        data=data.copy(),
        results=results,
        fixed=pd.Series(results.params.to_numpy(), design.names),
        fixed_covariance=pd.DataFrame(covariance, design.names, design.names),
        sigma=float(np.sqrt(results.scale)),
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
    check_columns(data, [cluster])
    rows = without_unused_levels(data)
    design = fixed_design(formula, rows)
    if cluster in ["n", "status", *design.names]:
        raise DataError(
            f"{cluster!r} cannot name the clusters: the result has a column of that name. "
            "Rename the grouping column."
        )
    clusters, labels = number_clusters(rows, cluster)
    estimates = least_squares_by_cluster(design.matrix, design.response, clusters)
    counts, size = np.bincount(clusters), len(design.names)
    table = pd.DataFrame(estimates, columns=design.names)
    table.insert(0, "n", counts)
    table.insert(0, cluster, labels)
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
    order = np.argsort(clusters, kind="stable")
    ends = np.cumsum(np.bincount(clusters))[:-1]
    estimates = np.full((len(ends) + 1, matrix.shape[1], *response.shape[1:]), np.nan)
    for number, rows in enumerate(np.split(order, ends)):
        coefficients, _, rank, _ = np.linalg.lstsq(matrix[rows], response[rows], rcond=None)
        if rank == matrix.shape[1]:
            estimates[number] = coefficients
    return estimates


def _refuse_random_effects(formula, function) -> None:
    if not isinstance(formula, str):
        raise TypeError(f"formula must be a string like 'y ~ x', not {type(formula).__name__}.")
    if "|" in formula or "~" not in formula:
        raise FormulaError(f"{function} takes a formula like 'y ~ x', not {formula!r}.")


def _statsmodels_model(terms: Formula, rows: pd.DataFrame):
    return smf.mixedlm(
        terms.fixed,
        rows,
        groups=terms.group,
        re_formula=terms.re_formula,
        vc_formula=terms.vc_formula,
    )


def _agree(model, random, statsmodels_model, terms, *, smallest_sigma):
    """Solve, let statsmodels start there, and keep the better of the two if they agree."""
    solution = _solve(model, terms, smallest_sigma)
    results = _polish(statsmodels_model, solution, random, terms, reml=model.reml)
    theirs = -2 * results.llf
    if theirs < solution.criterion - AGREEMENT:
        solution = model.solve(model.theta(_relative_covariance(results, random, terms)))
    if not solution.converged or not abs(theirs - solution.criterion) <= AGREEMENT:
        raise ConvergenceError(
            f"{terms} has no optimum to trust: criterion {solution.criterion:.6f} by the profiled "
            f"likelihood, {theirs:.6f} by statsmodels. Let fewer effects vary, rescale the "
            "predictors, or look for clusters with extreme values."
        )
    return solution, results


def _solve(model, terms, smallest_sigma) -> Solution:
    """Solve, and refuse data that leave no residual: the criterion then falls without end."""
    try:
        solution = model.solve()
    except np.linalg.LinAlgError:
        solution = None
    if solution is None or not solution.sigma > smallest_sigma:
        raise DataError(
            f"{terms} fits these data perfectly: no residual variance is left to estimate. "
            "Let fewer effects vary, or check the response."
        )
    return solution


def _polish(statsmodels_model, solution, random, terms, *, reml):
    """Run statsmodels from the solution; its warnings are settled by the comparison after."""
    size = random.blocks[0].size
    relative = solution.covariance / solution.sigma**2
    if solution.singular:
        relative = relative + INTERIOR_VARIANCE * np.diag(1 / (random.matrix**2).mean(axis=0))
    start = MixedLMParams.from_components(
        fe_params=solution.fixed,
        cov_re=relative[:size, :size],
        vcomp=np.diag(relative)[_variance_positions(terms, size)],
    )
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, SingularMatrixWarning):
            warnings.simplefilter("ignore", category)
        for methods in OPTIMISERS:
            try:
                results = statsmodels_model.fit(start_params=start, reml=reml, method=methods)
            except np.linalg.LinAlgError:
                continue
            if np.isfinite(results.llf):
                return results
    raise ConvergenceError(
        f"{terms}: near the optimum of the profiled likelihood, criterion "
        f"{solution.criterion:.6f}, statsmodels finds no finite likelihood. Let fewer effects "
        "vary, or rescale the predictors."
    )


def _variance_positions(terms, size) -> list[int]:
    """Diagonal positions of statsmodels' variance components, which it sorts by name."""
    names = list(terms.vc_formula or {})
    return [size + names.index(name) for name in sorted(names)]


def _relative_covariance(results, random, terms) -> np.ndarray:
    size = random.blocks[0].size
    relative = np.zeros((random.matrix.shape[1],) * 2)
    relative[:size, :size] = results.cov_re_unscaled
    variances = np.asarray(results.vcomp) / results.scale
    for position, variance in zip(_variance_positions(terms, size), variances, strict=True):
        block = random.blocks[1 + position - size]
        inside = np.arange(position, position + block.size)
        relative[inside, inside] = variance
    return relative
