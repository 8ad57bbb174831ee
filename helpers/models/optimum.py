"""Optima of the profiled likelihood, those at its edge included, for many data sets together.

Where a variance is zero the criterion's derivative by the covariance *factor* vanishes whether or
not more variance would help. The derivative D by the covariance itself tells: at an optimum
v'Dv >= 0 in every direction v that has no variance.

Factors have shape (q, q, n_datasets), as in :mod:`helpers.models.likelihood`.
"""

from __future__ import annotations

import numpy as np

from helpers.models.likelihood import Likelihood, Profile, Responses

GRADIENT_TOLERANCE = 1e-4
SINGULAR_TOLERANCE = 1e-4
# Newton's step is the last one if it promises to lower the criterion by less than half of this.
DECREMENT = 1e-10
# Where variances are large the criterion itself is not known better than this.
ROUNDING = 1e-7
MOST_EVALUATIONS = 30


def solve(likelihood: Likelihood, responses: Responses) -> tuple[np.ndarray, Profile]:
    """Minimise the criterion of each data set.

    Parameters
    ----------
    likelihood : Likelihood
    responses : Responses

    Returns
    -------
    factor : ndarray, shape (q, q, n_datasets)
        Lower-triangular factors. Variances that are zero but for rounding are zero.
    profile : Profile
        The likelihood's at these factors.

    Examples
    --------
    >>> from helpers.models.likelihood import Block
    >>> clusters, ones = np.repeat([0, 1, 2], 4), np.ones((12, 1))
    >>> likelihood = Likelihood(ones, ones, clusters, [Block(1)])
    >>> response = np.array([1.0, 2, 1, 2, 4, 5, 4, 5, 7, 8, 7, 8])
    >>> print(solve(likelihood, likelihood.reduce(response[:, None]))[0].round(3))
    [[[5.172]]]
    """
    factor, left = newton(likelihood, responses)
    factor = snap(likelihood, factor, responses)
    profile = likelihood.evaluate(factor, responses)
    doubtful = np.union1d(left, np.flatnonzero(~is_optimum(likelihood, factor, profile)))
    for number in doubtful:
        one = responses.take([number])
        starts = [np.eye(likelihood.n_effects)[:, :, None], factor[:, :, [number]]]
        found = [search(likelihood, one, start) for start in starts]
        values = [likelihood.evaluate(each, one).criterion[0] for each in found]
        if np.isfinite(values).any():
            factor[:, :, number] = found[np.nanargmin(values)][:, :, 0]
    return factor, likelihood.evaluate(factor, responses) if doubtful.size else profile


def newton(likelihood: Likelihood, responses: Responses) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method on all data sets together; those that have converged leave.

    Returns
    -------
    factor : ndarray, shape (q, q, n_datasets)
    left : ndarray of int
        Positions of the data sets that did not converge.
    """
    trial = likelihood.moment_start(responses)
    factor, step = trial.copy(), np.zeros_like(trial)
    criterion, decrement = np.full((2, len(responses)), np.inf)
    active = np.arange(len(responses))
    for _ in range(MOST_EVALUATIONS):
        here, directions = _principal_axes(likelihood, trial[:, :, active])
        profile = likelihood.evaluate(here, responses.take(active), directions, hessian=True)
        better = profile.criterion <= criterion[active] + ROUNDING
        moved = active[better]
        factor[:, :, moved] = here[:, :, better]
        criterion[moved] = profile.criterion[better]
        coordinates, decrement[moved] = _newton_step(
            profile.gradient[:, better], profile.hessian[:, :, better]
        )
        change = np.einsum("kijd,kd->ijd", directions[..., better], coordinates)
        step[:, :, moved] = _not_too_far(change, factor[:, :, moved])
        step[:, :, active[~better]] /= 4
        trial[:, :, active] = factor[:, :, active] + step[:, :, active]
        active = active[~(decrement[active] <= DECREMENT)]
        if not active.size:
            break
    return trial, active


def _principal_axes(likelihood, factor):
    """Write each covariance by its principal axes, and the directions that start from there.

    With FF' = U S^2 U' the factor U S may change by U times any lower triangle. As the largest
    variance comes first, a vanishing one leaves no other direction without effect.
    """
    n_datasets = factor.shape[2]
    turned = factor.copy()
    directions = np.broadcast_to(
        likelihood.directions, (*likelihood.directions.shape[:3], n_datasets)
    ).copy()
    for block, inside in likelihood.slices():
        if block.identity or block.size == 1:
            continue
        left, values, _ = np.linalg.svd(np.moveaxis(factor[inside, inside], -1, 0))
        axes = np.moveaxis(left, 0, -1)
        turned[inside, inside] = np.moveaxis(left * values[:, None, :], 0, -1)
        directions[:, inside, inside] = np.einsum(
            "ild,kljd->kijd", axes, directions[:, inside, inside]
        )
    return turned, directions


def _newton_step(gradient, hessian):
    """Newton's step with negative curvature turned round, and twice the gain it promises."""
    values, vectors = np.linalg.eigh(np.moveaxis(hessian, -1, 0))
    curvature = np.abs(values)
    curvature = np.maximum(curvature, 1e-10 * curvature.max(axis=1, keepdims=True))
    turned = np.einsum("dij,id->dj", vectors, gradient)
    # Without any curvature there is no gradient either.
    scaled = turned / np.maximum(curvature, np.finfo(float).tiny)
    return -np.einsum("dij,dj->id", vectors, scaled), (turned * scaled).sum(axis=1)


def _not_too_far(step, factor):
    """Shorten steps that are longer than the factor itself."""
    longest = np.maximum(np.linalg.norm(factor, axis=(0, 1)), 0.3)
    length = np.linalg.norm(step, axis=(0, 1))
    return step * np.minimum(1, longest / np.maximum(length, np.finfo(float).tiny))


def search(likelihood: Likelihood, one: Responses, start) -> np.ndarray:
    """Minimise the criterion of one data set: slower than Newton's method, harder to mislead.

    Parameters
    ----------
    likelihood : Likelihood
    one : Responses
        Of length 1.
    start : ndarray, shape (q, q, 1)

    Returns
    -------
    ndarray, shape (q, q, 1)
    """
    factor = _descend(likelihood, one, start)
    for _ in range(5):
        escape = _escape(likelihood, one, factor)
        if escape is None:
            break
        factor = _descend(likelihood, one, escape)
    return snap(likelihood, factor, one)


def _descend(likelihood, one, factor):
    from scipy import optimize  # a third of a second to import, and seldom needed

    def evaluate(theta):
        profile = likelihood.evaluate(likelihood.factor(theta[:, None]), one)
        return profile.criterion[0], profile.gradient[:, 0]

    theta = theta_of(likelihood, factor)[:, 0]
    # The gradient grows with the clusters; below this the criterion's own rounding hides it.
    options = {"gtol": 1e-6 * np.sqrt(likelihood.n_clusters), "ftol": 1e-15, "maxcor": 20}
    for _ in range(5):
        result = optimize.minimize(evaluate, theta, jac=True, method="L-BFGS-B", options=options)
        theta = result.x
        if _is_flat(likelihood, result.jac):
            break
    return likelihood.factor(theta[:, None])


def _escape(likelihood, one, factor):
    """Return a better factor if a zero variance is a false optimum, otherwise None."""
    profile = likelihood.evaluate(factor, one)
    for number, (slope, direction) in enumerate(_lacking(likelihood, factor, profile)):
        if slope[0] >= 0:
            continue
        for step in (0.3, 0.1, 0.03, 0.01):
            candidate = _with_variance(likelihood, factor, number, step * direction)
            if likelihood.evaluate(candidate, one).criterion[0] < profile.criterion[0] - 1e-8:
                return candidate
    return None


def _with_variance(likelihood, factor, number, direction):
    """Add variance along a direction (1, q) to the covariance of one block."""
    block, inside = list(likelihood.slices())[number]
    changed = factor.copy()
    if block.identity:
        more = np.hypot(factor[inside.start, inside.start], direction[0, 0])
        changed[inside, inside] = np.eye(block.size)[:, :, None] * more
    else:
        both = np.concatenate([factor[inside, inside], direction.T[:, None]], axis=1)
        changed[inside, inside] = _triangular(both)
    return changed


def snap(likelihood: Likelihood, factor, responses: Responses) -> np.ndarray:
    """Set variances that are zero but for rounding to zero, unless that costs.

    Returns
    -------
    ndarray, shape (q, q, n_datasets)
        Lower-triangular factors with non-negative diagonals.
    """
    snapped = factor.copy()
    for _, inside in likelihood.slices():
        left, values, _ = np.linalg.svd(np.moveaxis(factor[inside, inside], -1, 0))
        values[values < SINGULAR_TOLERANCE] = 0
        root = np.moveaxis(left * values[:, None, :], 0, -1)
        snapped[inside, inside] = _triangular(root)
    doubtful = np.flatnonzero(is_singular(likelihood, factor))
    if doubtful.size:
        some = responses.take(doubtful)
        before = likelihood.evaluate(factor[:, :, doubtful], some).criterion
        after = likelihood.evaluate(snapped[:, :, doubtful], some).criterion
        worse = doubtful[~(after <= before + 1e-7)]
        snapped[:, :, worse] = factor[:, :, worse]
    return snapped


def is_singular(likelihood: Likelihood, factor) -> np.ndarray:
    """Whether some combination of random effects of a block has no variance; one bool per set."""
    smallest = [
        np.linalg.svd(np.moveaxis(factor[inside, inside], -1, 0), compute_uv=False).min(axis=1)
        for _, inside in likelihood.slices()
    ]
    return np.min(smallest, axis=0) < SINGULAR_TOLERANCE


def is_optimum(likelihood: Likelihood, factor, profile: Profile) -> np.ndarray:
    """Whether conditions of the first order hold, in theta and where a variance is zero.

    `profile` is the likelihood's at `factor`, by the elements of theta; one bool per data set.
    """
    slopes = [slope for slope, _ in _lacking(likelihood, factor, profile)]
    # Of a large factor the relative change counts.
    gradient = profile.gradient * np.maximum(1, np.abs(factor).max(axis=(0, 1)))
    return _is_flat(likelihood, gradient) & (np.min(slopes, axis=0) >= 0)


def _is_flat(likelihood, gradient):
    tolerance = GRADIENT_TOLERANCE * np.sqrt(likelihood.n_clusters)
    return np.abs(gradient).max(axis=0) < tolerance


def _lacking(likelihood, factor, profile):
    """For each block the steepest descent in a direction without variance.

    Yields the slope plus its tolerance, (n_datasets,), infinite where nothing lacks, and the
    direction, (n_datasets, size).
    """
    for block, inside in likelihood.slices():
        slope = np.moveaxis(profile.slope[inside, inside], -1, 0)
        own = np.moveaxis(factor[inside, inside], -1, 0)
        total = np.einsum("dii->d", slope)
        tolerance = GRADIENT_TOLERANCE * np.sqrt(np.abs(total) + 1)
        if block.identity:
            lacks = np.abs(own[:, 0, 0]) < SINGULAR_TOLERANCE
            yield np.where(lacks, total + tolerance, np.inf), np.ones((len(own), block.size))
            continue
        axes, values, _ = np.linalg.svd(own)
        lacks = values < SINGULAR_TOLERANCE
        within = np.where(lacks[:, :, None] & lacks[:, None], axes.mT @ slope @ axes, 0.0)
        lowest, vectors = np.linalg.eigh(within)
        direction = np.einsum("dij,dj->di", axes, vectors[:, :, 0])
        yield np.where(lacks.any(axis=1), lowest[:, 0] + tolerance, np.inf), direction


def theta_of(likelihood: Likelihood, factor) -> np.ndarray:
    """Theta, shape (m, n_datasets), of any factors: the elements of their lower triangles."""
    parts = []
    for block, inside in likelihood.slices():
        own = factor[inside, inside]
        parts.append(np.abs(own[:1, 0]) if block.identity else _triangular(own)[block.lower])
    return np.concatenate(parts)


def _triangular(root):
    """Lower triangle with a non-negative diagonal and the same product with its transpose."""
    triangle = np.linalg.qr(np.moveaxis(root, -1, 0).mT, mode="r")
    signs = np.where(np.einsum("dii->di", triangle) < 0, -1.0, 1.0)
    return np.moveaxis((triangle * signs[:, :, None]).mT, 0, -1)
