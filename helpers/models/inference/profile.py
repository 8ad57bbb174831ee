r"""Profiles of the likelihood: how much worse the best model gets as one parameter is moved.

The profile deviance of a parameter is the smallest -2 log-likelihood (ML) among all models in
which it has a given value. A 95 % interval holds the values whose profile deviance is less than
3.84, the quantile of chi-square, above the minimum (Bates et al. 2015, section 5.1).

A parameter is held by writing the covariance matrix in coordinates of which it is one. With
F the relative covariance factor of a cluster's effects and the effect of interest first, the first
row of F is (sd / sigma, 0, ...); with two effects first, the second row is a multiple of
(r, sqrt(1 - r^2), 0, ...). All ends of all intervals are moved together, each by Newton's method
in its own coordinates, as :mod:`helpers.models.optimum` does with many data sets.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from helpers.models.inference.parameters import (
    KEYS,
    Parameter,
    design_of,
    parameters_of,
    values_of,
)
from helpers.models.likelihood import Likelihood, Responses
from helpers.models.optimum import DECREMENT, ROUNDING, solve

MOST_STEPS = 60
#: How near the signed root of the deviance comes to its quantile.
ZETA_TOLERANCE = 1e-6
#: Where a search starts whose last one ended at a relative sd of zero.
BESIDE_ZERO = 0.05


def profile_limits(fit, *, level: float = 0.95, kind: str | None = None) -> np.ndarray:
    """Limits of the profile intervals of every parameter.

    Parameters
    ----------
    fit : MixedFit
        If it is a REML fit, the profile is that of the maximum-likelihood fit, as in lme4.
    level : float
        Coverage, between 0 and 1.
    kind : {"fixed", "sd", "correlation"}, optional
        Only parameters of this kind, which is quicker.

    Returns
    -------
    ndarray, shape (number of parameters, 2)
        In the order of ``parameters_of``. Where the
        deviance never reaches the quantile the limit is the edge: 0, -1 or 1.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> profile_limits(fit_mixed("y ~ x + (x | cluster)", create_data())).round(2)[2:5]
    array([[ 0.44,  0.65],
           [ 0.13,  0.34],
           [-0.11,  0.71]])
    """
    cutoff = np.sqrt(special.chdtri(1, 1 - level))
    parameters = [one for one in parameters_of(fit) if kind in (None, one.kind)]
    limits = np.empty((len(parameters), 2))
    for numbers, profiles in _profiles(fit, parameters):
        limits[numbers] = profiles.limits(cutoff).reshape(-1, 2)
    return limits


def profile_curves(fit, *, level: float = 0.99, n_points: int = 41) -> pd.DataFrame:
    """Profile of every parameter on a grid that spans its interval.

    Parameters
    ----------
    fit : MixedFit
    level : float
        Coverage of the interval that each grid spans.
    n_points : int
        Points of each grid, 3 or more.

    Returns
    -------
    DataFrame
        kind, grouping_factor, effect, value, deviance (profile deviance less its minimum) and
        zeta, its root with the sign of the distance from the maximum-likelihood estimate. The
        estimate itself is a point of each curve.

    Raises
    ------
    ValueError
        If `n_points` is less than 3.

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> curves = profile_curves(fit_mixed("y ~ x + (x | cluster)", create_data()), n_points=11)
    >>> print(len(curves), curves["zeta"].round(2).max())
    66 2.58
    """
    if not isinstance(n_points, int) or n_points < 3:
        raise ValueError(f"n_points is {n_points!r}; it must be a whole number, 3 or more.")
    cutoff = np.sqrt(special.chdtri(1, 1 - level))
    parameters = parameters_of(fit)
    parts = {}
    for numbers, profiles in _profiles(fit, parameters):
        for number, curve in zip(numbers, profiles.curves(cutoff, n_points), strict=True):
            parts[number] = curve.assign(**dict(zip(KEYS, parameters[number].key, strict=True)))
    table = pd.concat([parts[number] for number in sorted(parts)], ignore_index=True)
    return table[[*KEYS, "value", "deviance", "zeta"]]


def _profiles(fit, parameters):
    """Yield the positions of parameters that are profiled together, and their profiles."""
    design = design_of(fit, reml=False)
    response = fit.fixed_design.response
    responses = design.reduce(response[:, None])
    factor, best = solve(design, responses)
    root = design.to_effects @ factor[:, :, 0]
    sigma = float(np.sqrt(best.variance[0]))
    fixed = design.to_fixed @ (responses.projection + best.coefficients)[:, 0]
    values = values_of(parameters, fixed, sigma**2 * root @ root.T, np.float64(sigma))
    errors = sigma * np.linalg.norm(design.to_fixed @ best.root[:, :, 0], axis=1)
    minimum = float(best.criterion[0])
    for number, parameter in enumerate(parameters):
        if parameter.kind == "fixed":
            column = parameter.positions[0]
            yield (
                [number],
                _FixedProfile(fit, column, values[number], errors[column], minimum),
            )
    rest = [number for number, each in enumerate(parameters) if each.kind != "fixed"]
    if rest:
        those = [parameters[number] for number in rest]
        yield rest, _VarianceProfiles(design, responses, those, values[rest], root, sigma, minimum)


# ---- limits of any profile -------------------------------------------------------------------


class _Ends:
    """Two ends for each of some parameters, the lower one first.

    Attributes
    ----------
    estimate, edge, guess : ndarray, shape (2 k,)
        Estimates, where each end can be at most, and where to look for it first.
    attained : ndarray of bool, shape (2 k,)
        Whether the model exists at the edge: an sd of zero, a correlation of one.
    """

    estimate: np.ndarray
    edge: np.ndarray
    guess: np.ndarray
    attained: np.ndarray

    def restart(self):
        """Forget where earlier values led."""

    def distance(self, value, ends) -> np.ndarray:
        """Root of the profile deviance at these values of these ends, shape (len(ends),)."""
        raise NotImplementedError

    def limits(self, cutoff) -> np.ndarray:
        """Values at which the distance reaches the cutoff, or the edge where it never does."""
        limit, nearer, further = self.edge.copy(), self.estimate.copy(), self.edge.copy()
        ends = np.flatnonzero(self.attained)
        at_edge = np.full(len(limit), np.inf)
        if ends.size:
            at_edge[ends] = self.distance(self.edge[ends], ends)
            self.restart()
        ends, value = np.flatnonzero(at_edge > cutoff), self.guess.copy()
        before = np.stack([self.estimate, np.zeros(len(limit))])
        for _ in range(MOST_STEPS):
            if not ends.size:
                break
            found = self.distance(value[ends], ends)
            limit[ends] = value[ends]
            inside = found < cutoff
            nearer[ends[inside]] = value[ends[inside]]
            further[ends[~inside]] = value[ends[~inside]]
            change = (value[ends] - before[0, ends]) * (cutoff - found)
            with np.errstate(divide="ignore", invalid="ignore"):
                proposal = value[ends] + change / (found - before[1, ends])
            before[:, ends] = value[ends], found
            value[ends] = _kept_between(proposal, self.estimate[ends], nearer[ends], further[ends])
            ends = ends[np.abs(found - cutoff) > ZETA_TOLERANCE]
        return limit

    def curves(self, cutoff, n_points) -> list[pd.DataFrame]:
        """Value, deviance and zeta of each parameter, from limit to limit."""
        limits, ends = self.limits(cutoff), np.arange(len(self.edge))
        shares = np.linspace(0, 1, n_points // 2 + 1)
        values = self.estimate + shares[:, None] * (limits - self.estimate)
        self.restart()
        distances = np.stack([self.distance(value, ends) for value in values[1:]])
        zeta = np.vstack([np.zeros(len(ends)), distances * np.where(ends % 2, 1, -1)])
        return [
            _curve(
                np.concatenate([values[:0:-1, end], values[:, end + 1]]),
                np.concatenate([zeta[:0:-1, end], zeta[:, end + 1]]),
            )
            for end in ends[::2]
        ]


def _curve(value, zeta) -> pd.DataFrame:
    curve = pd.DataFrame({"value": value, "deviance": zeta**2, "zeta": zeta})
    # An estimate at the edge has one side only.
    return curve.drop_duplicates("value", keep="last")


def _kept_between(proposal, estimate, nearer, further):
    """Replace what is not between its limits: by the middle, or by three times the way so far."""
    furthest = np.where(np.isfinite(further), further, estimate + 3 * (nearer - estimate))
    low, high = np.minimum(nearer, furthest), np.maximum(nearer, furthest)
    inside = (proposal > low) & (proposal < high)
    other = np.where(np.isfinite(further), (nearer + further) / 2, furthest)
    return np.where(inside, proposal, other)


# ---- fixed effects ---------------------------------------------------------------------------


class _FixedProfile(_Ends):
    """Profile of one fixed effect: the model without it, of the response less its share."""

    def __init__(self, fit, column, estimate, error, minimum):
        self._design = design_of(fit, reml=False, without=column)
        both = np.column_stack([fit.fixed_design.response, fit.fixed_design.matrix[:, column]])
        self._pair = self._design.reduce(both)
        rest = both[:, 1] - self._design.basis @ self._pair.projection[:, 1]
        turned = self._pair.products
        self._product = both[:, 0] @ rest - (turned[..., 0] * turned[..., 1]).sum()
        self._minimum = minimum
        self.estimate = np.full(2, estimate)
        self.edge = np.array([-np.inf, np.inf])
        self.attained = np.zeros(2, bool)
        self.guess = estimate + 2 * error * np.array([-1, 1])

    def distance(self, value, ends) -> np.ndarray:
        """As in :class:`_Ends`; response and predictor are reduced once for all values."""
        own = self._pair
        responses = Responses(
            own.projection[:, :1] - value * own.projection[:, 1:],
            own.products[..., :1] - value * own.products[..., 1:],
            own.within[:, :1] - value * own.within[:, 1:],
            own.squares[0] - 2 * value * self._product + value**2 * own.squares[1],
        )
        criterion = solve(self._design, responses)[1].criterion
        return np.sqrt(np.clip(criterion - self._minimum, 0, None))


# ---- standard deviations and correlations ----------------------------------------------------


class _Frame:
    """Coordinates of the relative covariance factor in which one parameter is a coordinate.

    A state holds the factor's elements row by row and log sigma^2 last; effects are in units in
    which each column of Z has mean square one.

    Attributes
    ----------
    directions : ndarray, shape (m, q, q)
        Derivatives of the whitened factor by the elements.
    turning : ndarray, shape (2, q, q)
        Of a correlation r: the second effect's direction is r times one, sqrt(1 - r^2) the other.
    held, turned : int
        The element that is not free; the one along the second effect's direction.
    diagonal, bounded : ndarray of bool, shape (m + 1,)
        Which elements are sds given the effects before; which of them may not change their sign.
    """

    def __init__(self, design: Likelihood, parameter: Parameter, scale):
        self._design, self.correlation = design, parameter.kind == "correlation"
        self.held = self.turned = design.n_parameters
        self.diagonal = np.zeros(design.n_parameters + 1, bool)
        self.bounded = self.diagonal.copy()
        self.turning = np.zeros((2, design.n_effects, design.n_effects))
        self.directions = np.zeros((design.n_parameters, design.n_effects, design.n_effects))
        self._orders = []
        first = 0
        for block, inside in design.slices():
            positions = [
                at - inside.start
                for at in parameter.positions
                if at in range(inside.start, inside.stop)
            ]
            self._place(block, inside, positions, first)
            first += block.n_parameters
        whiten = design.whitening / scale
        self.directions, self.turning = whiten @ self.directions, whiten @ self.turning

    def _place(self, block, inside, positions, first):
        """Give the elements of one block their places, the effects at `positions` first."""
        if block.identity:
            order = np.arange(block.size)
            self.directions[first, inside, inside] = np.eye(block.size)
            rows = columns = np.zeros(1, int)
        else:
            order = np.array([*positions, *np.delete(np.arange(block.size), positions)])
            rows, columns = block.lower
            numbers = first + np.arange(len(rows))
            self.directions[numbers, inside.start + order[rows], inside.start + columns] = 1
        self._orders.append(order)
        self.diagonal[first : first + block.n_parameters] = rows == columns
        if positions and self.correlation:
            self.held, self.turned = first + 1, first + 2
            self.turning[0] = self.directions[self.held]
            self.turning[1] = self.directions[self.turned]
            self.directions[[self.held, self.turned]] = 0
            self.bounded[[first, self.turned]] = True
        elif positions:
            self.held = first
            self.diagonal[first] = False

    def state(self, root, sigma) -> np.ndarray:
        """State of a relative covariance root in these units, and the residual sd."""
        parts = []
        for (block, inside), order in zip(self._design.slices(), self._orders, strict=True):
            own = root[inside, inside][order]
            if block.identity:
                parts.append([np.linalg.norm(own[0])])
                continue
            triangle = np.linalg.qr(own.T, mode="r").T
            triangle = triangle * np.where(np.diag(triangle) < 0, -1, 1)
            parts.append(triangle[block.lower])
        state = np.append(np.concatenate(parts), 2 * np.log(sigma))
        if self.correlation:
            state[self.turned] = np.hypot(state[self.held], state[self.turned])
            state[self.held] = 0
        return state


class _VarianceProfiles(_Ends):
    """Profiles of standard deviations and correlations, each end in the frame of its parameter."""

    def __init__(self, design: Likelihood, responses, parameters, values, root, sigma, minimum):
        self._design, self._minimum = design, minimum
        scale = np.linalg.norm(design.whitening, axis=0)
        frames = [_Frame(design, parameter, scale) for parameter in parameters]
        starts = [frame.state(scale[:, None] * root, sigma) for frame in frames]
        units = [scale[one.positions[0]] if one.positions else 1.0 for one in parameters]
        # Each end has its row: twice the parameter's.
        self._start, self._unit = np.repeat(starts, 2, axis=0), np.repeat(units, 2)
        for name in ("directions", "turning", "held", "turned", "diagonal", "bounded"):
            rows = np.stack([getattr(frame, name) for frame in frames])
            setattr(self, f"_{name}", np.repeat(rows, 2, axis=0))
        self._correlation = np.repeat([frame.correlation for frame in frames], 2)
        self._residual = np.repeat([not one.positions for one in parameters], 2)
        self._responses = responses.take(np.zeros(len(self._unit), int))
        # A correlation beside a variance of zero can be anything.
        self.estimate = np.repeat(np.nan_to_num(values), 2)
        lower = np.array([-1.0 if frame.correlation else 0.0 for frame in frames])
        upper = np.array([1.0 if frame.correlation else np.inf for frame in frames])
        self.edge = np.stack([lower, upper], axis=1).ravel()
        self.attained = np.isfinite(self.edge) & ~self._residual
        guesses = [
            _first_guess(one, value, design, sigma / unit)
            for one, value, unit in zip(parameters, np.nan_to_num(values), units, strict=True)
        ]
        self.guess = np.ravel(guesses)
        self.restart()

    def restart(self):
        """As in :class:`_Ends`."""
        self._state = self._start.copy()

    def distance(self, value, ends) -> np.ndarray:
        """As in :class:`_Ends`; the search starts where this end's last one stopped."""
        state, diagonal = self._state[ends], self._diagonal[ends]
        # An sd of zero is a stationary point wherever it is: start beside it.
        state[diagonal] = np.maximum(np.abs(state[diagonal]), BESIDE_ZERO)
        state, criterion = _minimise(
            lambda trial, some: self._evaluate(trial, value[some], ends[some]),
            state,
            self._bounded[ends],
        )
        self._state[ends] = state
        return np.sqrt(np.clip(criterion - self._minimum, 0, None))

    def _evaluate(self, state, value, ends):
        """Criterion, gradient and hessian by the free elements of each state."""
        rows, held = np.arange(len(ends)), self._held[ends]
        residual, correlation = self._residual[ends], self._correlation[ends]
        sd = ~residual & ~correlation
        state, directions = state.copy(), self._directions[ends]
        state[residual, -1] = 2 * np.log(value[residual])
        element = value * self._unit[ends] * np.exp(-state[:, -1] / 2)
        state[rows[sd], held[sd]] = element[sd]
        angle = value[correlation, None, None]
        along, across = self._turning[ends[correlation]].swapaxes(0, 1)
        directions[rows[correlation], self._turned[ends[correlation]]] = (
            angle * along + np.sqrt(1 - angle**2) * across
        )
        profile = self._design.evaluate(
            np.einsum("dk,dkij->ijd", state[:, :-1], directions),
            self._responses.take(ends),
            np.moveaxis(directions, 0, -1),
            hessian=True,
            variance=np.exp(state[:, -1]),
        )
        gradient, hessian = profile.gradient.T, np.moveaxis(profile.hessian, -1, 0)
        # An sd that is held ties its element to sigma: element = sd / sigma.
        slope = np.where(sd, -element / 2, 0)
        chain = np.broadcast_to(np.eye(state.shape[1]), hessian.shape).copy()
        chain[rows, held, -1] += slope
        hessian = chain.mT @ hessian @ chain
        hessian[:, -1, -1] -= slope / 2 * gradient[rows, held]
        gradient = np.einsum("dij,di->dj", chain, gradient)
        gradient[rows, held] = 0
        hessian[rows, held] = hessian[rows, :, held] = 0
        return profile.criterion, gradient, hessian


def _first_guess(parameter, value, design, one):
    """Guess the limits of an interval; `one` is the sd whose relative element is one."""
    n_clusters, rows = design.n_clusters, design.n_obs / design.n_clusters
    if parameter.kind == "correlation":
        middle = np.arctanh(np.clip(value, -0.99, 0.99))
        width = 2 / np.sqrt(max(n_clusters - 3, 4))
        return np.tanh(middle - width), np.tanh(middle + width)
    if not parameter.positions:
        free = max(design.n_obs - n_clusters * design.n_effects, design.n_obs / 4)
        spread = np.exp(2 / np.sqrt(2 * free))
        return value / spread, value * spread
    spread = np.exp(2 / np.sqrt(2 * n_clusters))
    return value / spread, max(value, 0.3 * one / np.sqrt(rows)) * spread


def _minimise(evaluate, state, bounded):
    """Newton's method on many states together; `bounded` elements stay at zero or above.

    Returns the best states, shape (n, m + 1), and their criteria.
    """
    trial, best, step = state.copy(), state.copy(), np.zeros_like(state)
    criterion, decrement = np.full((2, len(state)), np.inf)
    active = np.arange(len(state))
    for _ in range(MOST_STEPS):
        if not active.size:
            break
        found, gradient, hessian = evaluate(trial[active], active)
        better = found <= criterion[active] + ROUNDING
        moved = active[better]
        best[moved], criterion[moved] = trial[moved], found[better]
        stopped = bounded[moved] & (trial[moved] <= 0) & (gradient[better] > 0)
        step[moved], decrement[moved] = _newton_step(
            best[moved], gradient[better], hessian[better], stopped
        )
        step[active[~better]] /= 4
        trial[active] = best[active] + step[active]
        trial[bounded & (trial < 0)] = 0
        active = active[~(decrement[active] <= DECREMENT)]
    return best, criterion


def _newton_step(state, gradient, hessian, stopped):
    """Newton's step with negative curvature turned round, no longer than the state itself."""
    gradient = np.where(stopped, 0, gradient)
    hessian = np.where(stopped[:, :, None] | stopped[:, None], 0, hessian)
    values, vectors = np.linalg.eigh(hessian)
    curvature = np.abs(values)
    curvature = np.maximum(curvature, 1e-10 * curvature.max(axis=1, keepdims=True))
    turned = np.einsum("dij,di->dj", vectors, gradient)
    scaled = turned / np.maximum(curvature, np.finfo(float).tiny)
    step = -np.einsum("dij,dj->di", vectors, scaled)
    longest = np.maximum(np.linalg.norm(state[:, :-1], axis=1), 0.3)
    length = np.maximum(np.linalg.norm(step[:, :-1], axis=1) / longest, np.abs(step[:, -1]))
    return step / np.maximum(length, 1)[:, None], (turned * scaled).sum(axis=1)
