"""What a fit has parameters of, and the design that its likelihood is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.models.likelihood import Likelihood

RESIDUAL = "Residual"
#: Columns that say which parameter a row is about.
KEYS = ["kind", "grouping_factor", "effect"]


@dataclass(frozen=True)
class Parameter:
    """One fixed effect, standard deviation or correlation.

    Attributes
    ----------
    kind : {"fixed", "sd", "correlation"}
    grouping_factor : str
        Of its random effects; "Residual", or empty.
    effect : str
        As in the other tables; of a correlation both, ``"Intercept, x"``.
    positions : tuple of int
        Its columns of the fixed-effects design, or of the random-effects design; empty for the
        residual.
    """

    kind: str
    grouping_factor: str
    effect: str
    positions: tuple[int, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, grouping factor and effect."""
        return self.kind, self.grouping_factor, self.effect


def parameters_of(fit) -> list[Parameter]:
    """List the parameters of a mixed fit: fixed effects, sds, correlations, the residual sd.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    list of Parameter

    Examples
    --------
    >>> from helpers import create_data, fit_mixed
    >>> fit = fit_mixed("y ~ x + (x | cluster)", create_data())
    >>> [parameter.effect for parameter in parameters_of(fit)]
    ['Intercept', 'x', 'Intercept', 'x', 'Intercept, x', '']
    """
    names, factor = fit.random_design.names, fit.terms.group
    found = [Parameter("fixed", "", name, (at,)) for at, name in enumerate(fit.fixed.index)]
    found += [Parameter("sd", factor, name, (at,)) for at, name in enumerate(names)]
    if fit.terms.nested:
        found.append(Parameter("sd", fit.terms.nested.grouping, "Intercept", (len(names),)))
    column = 0
    for block in fit.random_design.blocks:
        if not block.identity:
            found += [
                Parameter("correlation", factor, f"{names[one]}, {names[other]}", (one, other))
                for one in range(column, column + block.size)
                for other in range(one + 1, column + block.size)
            ]
        column += block.size
    return [*found, Parameter("sd", RESIDUAL, "", ())]


def keys_of(parameters) -> pd.DataFrame:
    """Tabulate kind, grouping factor and effect, one row per parameter."""
    return pd.DataFrame([parameter.key for parameter in parameters], columns=KEYS)


def values_of(parameters, fixed, covariance, sigma) -> np.ndarray:
    """Values of parameters in one fit or many.

    Parameters
    ----------
    parameters : list of Parameter
    fixed : ndarray, shape (..., p)
    covariance : ndarray, shape (..., q, q)
        Covariance matrix of one cluster's random effects.
    sigma : ndarray, shape (...)

    Returns
    -------
    ndarray, shape (..., number of parameters)
        A correlation is missing where a variance is zero.

    Examples
    --------
    >>> slope = Parameter("correlation", "g", "Intercept, x", (0, 1))
    >>> values_of([slope], np.zeros(1), np.array([[4.0, 1], [1, 1]]), np.ones(()))
    array([0.5])
    """
    sds = np.sqrt(np.einsum("...ii->...i", covariance))

    def value(parameter):
        if parameter.kind == "fixed":
            return fixed[..., parameter.positions[0]]
        if not parameter.positions:
            return sigma
        if parameter.kind == "sd":
            return sds[..., parameter.positions[0]]
        one, other = parameter.positions
        scale = sds[..., one] * sds[..., other]
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = covariance[..., one, other] / scale
        return np.where(scale > 0, np.clip(ratio, -1, 1), np.nan)

    return np.stack([value(parameter) for parameter in parameters], axis=-1)


def design_of(fit, *, reml: bool, without: int | None = None) -> Likelihood:
    """Build the design of a fit, perhaps without one column of the fixed effects.

    Parameters
    ----------
    fit : MixedFit
    reml : bool
        For the REML criterion (True) or the likelihood itself.
    without : int, optional
        The column to leave out.

    Returns
    -------
    Likelihood
    """
    fixed, random = fit.fixed_design.matrix, fit.random_design
    if without is not None:
        fixed = np.delete(fixed, without, axis=1)
    return Likelihood(fixed, random.matrix, random.clusters, random.blocks, reml=reml)
