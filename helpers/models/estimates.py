"""From an optimum of the profiled likelihood to estimates, for one data set or ten thousand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from helpers.models.likelihood import CANCELLATION, Likelihood
from helpers.models.optimum import is_optimum, is_singular, solve, theta_of


class PerfectFitError(ValueError):
    """A response of which the model leaves nothing: the criterion falls without end."""


@dataclass(frozen=True)
class Estimates:
    """Estimates of many data sets; the first axis of every array counts the data sets.

    ``estimates[0]`` holds those of the first one, without that axis.

    Attributes
    ----------
    criterion : ndarray, shape (n_datasets,)
        -2 log-likelihood (REML or ML), constants included.
    theta : ndarray, shape (n_datasets, m)
        Elements of the relative covariance factor of the whitened random effects.
    sigma : ndarray, shape (n_datasets,)
        Residual standard deviation.
    covariance : ndarray, shape (n_datasets, q, q)
        Covariance matrix of one cluster's random effects, block diagonal.
    fixed : ndarray, shape (n_datasets, p)
        Fixed effects.
    fixed_covariance : ndarray, shape (n_datasets, p, p)
        Their covariance matrix given the variances.
    converged, singular : ndarray of bool, shape (n_datasets,)
        Whether first- and second-order conditions hold; whether the optimum is on the boundary.
    effects : ndarray, shape (n_datasets, n_clusters, q), or None
        Conditional modes of the random effects, if asked for.
    shrinkage : ndarray, shape (n_datasets, n_clusters, q, q), or None
        W_c in ``b_c = W_c d_c``, if asked for: d_c is the cluster's own least-squares deviation.
    """

    criterion: np.ndarray
    theta: np.ndarray
    sigma: np.ndarray
    covariance: np.ndarray
    fixed: np.ndarray
    fixed_covariance: np.ndarray
    converged: np.ndarray
    singular: np.ndarray
    effects: np.ndarray | None = None
    shrinkage: np.ndarray | None = None

    def __len__(self):
        return len(self.criterion)

    def __getitem__(self, number) -> Estimates:
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return Estimates(
            **{name: None if array is None else array[number] for name, array in arrays.items()}
        )

    @property
    def fixed_se(self) -> np.ndarray:
        """Standard errors of the fixed effects given the variances, shape (n_datasets, p)."""
        return np.sqrt(np.einsum("...ii->...i", self.fixed_covariance))

    @property
    def effects_covariance(self) -> np.ndarray:
        """Covariance of each cluster's effects given the data, (n_datasets, n_clusters, q, q).

        Var(b | y) = sigma^2 (G - G Z'H^-1 Z G), Bates et al. (2015), section 3.
        """
        covariance = self.covariance[..., None, :, :]
        return covariance - self.shrinkage @ covariance

    @classmethod
    def join(cls, parts: Iterable[Estimates]) -> Estimates:
        """Put one after the other."""
        parts, joined = list(parts), {}
        for field in fields(cls):
            arrays = [getattr(part, field.name) for part in parts]
            joined[field.name] = None if arrays[0] is None else np.concatenate(arrays)
        return cls(**joined)


def estimate(likelihood: Likelihood, responses, *, effects=False) -> Estimates:
    """Estimate the model for each column of responses.

    Parameters
    ----------
    likelihood : Likelihood
    responses : ndarray, shape (n_obs, n_datasets)
    effects : bool
        Also give conditional modes and shrinkage of every cluster.

    Returns
    -------
    Estimates

    Raises
    ------
    ValueError
        If the shape does not fit or a value is not finite.
    PerfectFitError
        If a data set leaves no residual.

    Examples
    --------
    >>> from helpers.models.likelihood import Block
    >>> clusters, ones = np.repeat(np.arange(8), 5), np.ones((40, 1))
    >>> stream = np.random.default_rng(1)
    >>> responses = stream.normal(size=(8, 1000))[clusters] + stream.normal(size=(40, 1000))
    >>> fits = estimate(Likelihood(ones, ones, clusters, [Block(1)]), responses)
    >>> fits.fixed.shape, bool(fits.converged.all())
    ((1000, 1), True)
    """
    responses = np.asarray(responses)
    if responses.dtype.kind not in "biuf":
        raise TypeError(f"responses must be numbers, not {responses.dtype}.")
    check_shape(responses, likelihood.n_obs)
    _refuse_infinite(responses)
    reduced = likelihood.reduce(responses)
    _refuse_perfect_fits(likelihood.fitted_perfectly(reduced))
    factor, profile = solve(likelihood, reduced)
    reduced, factor, profile = _refine(likelihood, responses, reduced, factor, profile)
    modes, shrinkage = likelihood.effects(factor, profile, reduced) if effects else (None, None)
    half = likelihood.to_effects @ np.moveaxis(factor, -1, 0)
    root = likelihood.to_fixed @ np.moveaxis(profile.root, -1, 0)
    return Estimates(
        criterion=profile.criterion,
        theta=theta_of(likelihood, factor).T,
        sigma=np.sqrt(profile.variance),
        covariance=profile.variance[:, None, None] * (half @ half.mT),
        fixed=(likelihood.to_fixed @ (reduced.projection + profile.coefficients)).T,
        fixed_covariance=profile.variance[:, None, None] * (root @ root.mT),
        converged=is_optimum(likelihood, factor, profile),
        singular=is_singular(likelihood, factor),
        effects=modes,
        shrinkage=shrinkage,
    )


def check_shape(responses, n_obs) -> None:
    """Raise ValueError unless there is a row for each observation and at least one column."""
    if responses.ndim != 2 or len(responses) != n_obs:
        raise ValueError(
            f"responses has shape {responses.shape}; it must be (n_obs, n_datasets), here "
            f"({n_obs}, any number). Put each data set into a column."
        )
    if not responses.shape[1]:
        raise ValueError("responses holds no data set. Give at least one column.")


def _refuse_infinite(responses):
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~np.isfinite(responses.sum(axis=0)))
    if wrong.size:
        raise ValueError(
            f"{wrong.size} of {responses.shape[1]} data sets hold values that are not finite; the "
            f"first is column {wrong[0]} of its block. Leave them out."
        )


def _refuse_perfect_fits(perfect):
    if perfect.any():
        raise PerfectFitError(
            f"{perfect.sum()} of {len(perfect)} data sets are fitted perfectly: no residual "
            f"variance is left to estimate. The first is column {np.argmax(perfect)} of its "
            "block. Leave them out."
        )


def _refine(likelihood, responses, reduced, factor, profile):
    """Solve again where the residual is a small difference of large sums.

    Taking the fitted line out of such a response beforehand leaves sums of the residual's size.
    """
    whole = (reduced.products**2).sum(axis=(0, 1)) + reduced.squares
    left = profile.variance * likelihood.degrees_of_freedom
    doubtful = np.flatnonzero(~(left > CANCELLATION * whole))
    if not (doubtful.size and likelihood.n_fixed):
        return reduced, factor, profile
    projection = reduced.projection.copy()
    projection[:, doubtful] += np.nan_to_num(profile.coefficients[:, doubtful])
    reduced = likelihood.reduce(responses, projection)
    factor, profile = solve(likelihood, reduced)
    return reduced, factor, profile
