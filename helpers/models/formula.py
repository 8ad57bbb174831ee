"""Mixed-model formulas in lme4's language, and what statsmodels calls the same thing.

lme4 writes one formula, ``y ~ x + (1 + x | cluster)``. statsmodels wants it in pieces: a formula
for the fixed effects, the column with the clusters, ``re_formula`` for correlated random effects
and ``vc_formula`` for independent ones. :func:`parse` takes the first and knows the second.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

import patsy

SUPPORTED = (
    "Supported are random effects of one grouping column g: (1 | g), (x | g), (1 + x | g), "
    "(0 + f | g), uncorrelated terms such as (1 | g) + (0 + x | g), "
    "and a nested intercept, (1 | g) + (1 | g:h)."
)


class FormulaError(ValueError):
    """A formula that cannot be read, or asks for a model this package does not fit."""


@dataclass(frozen=True)
class RandomTerm:
    """One parenthesised term of a formula, such as ``(1 + x | cluster)``.

    Attributes
    ----------
    effects : str
        What varies, with the intercept always written out: ``"1 + x"``, ``"0 + ses"``.
    group : str
        The grouping column.
    nested : str or None
        The column nested in ``group``: ``h`` in ``(1 | g:h)``.
    """

    effects: str
    group: str
    nested: str | None = None

    def __str__(self):
        return f"({self.effects} | {self.grouping})"

    @property
    def grouping(self) -> str:
        """The grouping as it was written: ``"g"``, or ``"g:h"`` for a nested term."""
        return f"{self.group}:{self.nested}" if self.nested else self.group


@dataclass(frozen=True)
class Formula:
    """A formula taken apart; made by :func:`parse`.

    Attributes
    ----------
    response : str
        What stands left of the ``~``.
    predictors : str
        The fixed effects, right of the ``~``.
    correlated : RandomTerm
        The term whose random effects may correlate; statsmodels' ``re_formula``.
    independent : tuple of RandomTerm
        Further terms, each with one variance of its own; statsmodels' ``vc_formula``.
    """

    response: str
    predictors: str
    correlated: RandomTerm
    independent: tuple[RandomTerm, ...] = ()

    def __str__(self):
        return " + ".join([self.fixed, *map(str, self.terms)])

    @property
    def fixed(self) -> str:
        """The formula without random effects: ``"y ~ x"``."""
        return f"{self.response} ~ {self.predictors}"

    @property
    def terms(self) -> tuple[RandomTerm, ...]:
        """Every random-effect term, the one with correlated effects first."""
        return (self.correlated, *self.independent)

    @property
    def group(self) -> str:
        """The grouping column."""
        return self.correlated.group

    @property
    def nested(self) -> RandomTerm | None:
        """The nested term, ``(1 | g:h)``, if there is one."""
        return next((term for term in self.independent if term.nested), None)

    @property
    def variables(self) -> tuple[str, ...]:
        """Every column a fit needs, in order of appearance."""
        names = column_names(self.fixed)
        for term in self.terms:
            names += [*column_names(term.effects), term.group]
            names += [term.nested] if term.nested else []
        return tuple(dict.fromkeys(names))

    @property
    def re_formula(self) -> str:
        """What statsmodels calls ``re_formula``: the correlated random effects."""
        return self.correlated.effects

    @property
    def vc_formula(self) -> dict[str, str] | None:
        """What statsmodels calls ``vc_formula``: one entry per independent variance."""
        if not self.independent:
            return None
        return {
            term.grouping if term.nested else term.effects.removeprefix("0 + "): (
                f"0 + C({term.nested})" if term.nested else term.effects
            )
            for term in self.independent
        }

    def statsmodels_call(self, *, reml: bool = True) -> str:
        """Write the equivalent ``smf.mixedlm`` call as text.

        Parameters
        ----------
        reml : bool
            REML (default) or maximum likelihood.

        Returns
        -------
        str
            Python code; it expects ``smf`` (statsmodels.formula.api) and ``data``.
        """
        arguments = [f'"{self.fixed}"', "data", f'groups="{self.group}"']
        arguments.append(f're_formula="{self.re_formula}"')
        if self.vc_formula:
            pairs = ", ".join(f'"{name}": "{text}"' for name, text in self.vc_formula.items())
            arguments.append(f"vc_formula={{{pairs}}}")
        # With one variance alone, lbfgs' first step goes to zero, where statsmodels cannot go on.
        alone = not self.independent and _is_single(self.correlated.effects)
        method = "cg" if alone else "lbfgs"
        return f'smf.mixedlm({", ".join(arguments)}).fit(reml={reml}, method="{method}")'


def parse(formula: str) -> Formula:
    """Read an lme4 formula.

    Parameters
    ----------
    formula : str
        For example ``"y ~ x + (x | cluster)"``. The fixed part is whatever patsy accepts.

    Returns
    -------
    Formula
        The fixed part and the random-effect terms.

    Raises
    ------
    FormulaError
        If the formula cannot be read, or has crossed or several grouping columns.

    Notes
    -----
    The notation is that of Bates et al. (2015), table 2.

    Examples
    --------
    >>> formula = parse("y ~ x + (x | cluster)")
    >>> formula.fixed, formula.re_formula, formula.group
    ('y ~ x', '1 + x', 'cluster')
    >>> print(parse("y ~ ses + (1 | school) + (1 | school:ses)").vc_formula)
    {'school:ses': '0 + C(ses)'}
    """
    response, summands = _split_formula(formula)
    random = [text for text in summands if _is_random(text)]
    fixed = [text for text in summands if not _is_random(text)]
    if any("|" in text for text in fixed):
        raise FormulaError(
            f"{formula!r} has a '|' outside a term of its own. "
            f"Write random effects as a summand in parentheses. {SUPPORTED}"
        )
    if not random:
        raise FormulaError(
            f"{formula!r} has no random effect. Add a term such as (1 | cluster), "
            "or use fit_pooled for a model without random effects."
        )
    predictors = " + ".join(fixed) or "1"
    correlated, independent = _arrange([_read_term(text) for text in random], formula)
    return Formula(response, predictors, correlated, independent)


def _split_formula(formula: str) -> tuple[str, list[str]]:
    if not isinstance(formula, str):
        raise TypeError(
            f"formula must be a string like 'y ~ x + (x | g)', not {type(formula).__name__}."
        )
    response, tilde, right = formula.partition("~")
    if not tilde or not response.strip() or not right.strip():
        raise FormulaError(
            f"{formula!r} needs a response, a '~' and predictors: 'y ~ x + (x | g)'."
        )
    if "|" in response:
        raise FormulaError(f"{formula!r} has a random effect left of the '~'. {SUPPORTED}")
    return response.strip(), _summands(right, formula)


def _summands(text: str, formula: str) -> list[str]:
    """Split at the plus signs that stand outside parentheses and brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            break
        if character == "+" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise FormulaError(f"{formula!r} has unbalanced parentheses. {SUPPORTED}")
    return [part.strip() for part in parts if part.strip()]


def _is_random(summand: str) -> bool:
    return summand.startswith("(") and summand.endswith(")") and "|" in summand


def _read_term(text: str) -> RandomTerm:
    effects, _, grouping = text[1:-1].partition("|")
    if "|" in grouping:
        raise FormulaError(
            f"{text} uses '||'. Write uncorrelated effects as terms of their own: "
            "(1 | g) + (0 + x | g)."
        )
    names = [name.strip() for name in grouping.split(":")]
    if not effects.strip() or len(names) > 2 or not all(name.isidentifier() for name in names):
        raise FormulaError(f"{text} is not a random-effect term this package fits. {SUPPORTED}")
    return RandomTerm(_write_intercept(effects), *names)


def _write_intercept(effects: str) -> str:
    """Return the effects with their intercept written out: ``x`` becomes ``1 + x``."""
    try:
        terms = patsy.ModelDesc.from_formula(effects.strip()).rhs_termlist
    except patsy.PatsyError as error:
        raise FormulaError(
            f"{effects.strip()!r} left of the '|' cannot be read: {error}"
        ) from error
    slopes = [term.name() for term in terms if term.factors]
    intercept = any(not term.factors for term in terms)
    if not slopes:
        if not intercept:
            raise FormulaError(f"{effects.strip()!r} left of the '|' leaves nothing to vary.")
        return "1"
    return " + ".join(["1" if intercept else "0", *slopes])


def _arrange(terms: list[RandomTerm], formula: str) -> tuple[RandomTerm, tuple[RandomTerm, ...]]:
    """Sort the terms into the one with correlated effects and the independent ones."""
    _refuse_other_groupings(terms, formula)
    plain = [term for term in terms if not term.nested]
    # statsmodels has one term with correlated effects; the intercept or a longer term takes it.
    plain.sort(key=lambda term: _is_single(term.effects) and term.effects != "1")
    independent = (*plain[1:], *(term for term in terms if term.nested))
    for term in independent:
        if not term.nested and (not _is_single(term.effects) or term.effects == "1"):
            raise FormulaError(
                f"{term} stands beside {plain[0]}, but an uncorrelated term must be a single "
                f"numeric effect without intercept, (0 + x | {term.group}). {SUPPORTED}"
            )
    effects = [effect for term in plain for effect in term.effects.split(" + ") if effect != "0"]
    repeated = sorted({effect for effect in effects if effects.count(effect) > 1})
    if repeated:
        raise FormulaError(f"{formula!r} lets {repeated[0]!r} vary twice. Keep one of its terms.")
    return plain[0], independent


def _is_single(effects: str) -> bool:
    return effects == "1" or (effects.startswith("0 + ") and effects.count(" + ") == 1)


def _refuse_other_groupings(terms: list[RandomTerm], formula: str) -> None:
    groups = list(dict.fromkeys(term.group for term in terms))
    if len(groups) > 1:
        raise FormulaError(
            f"{formula!r} has several groupings ({', '.join(groups)}): crossed random effects "
            f"are not fitted here. {SUPPORTED}"
        )
    nested = [term for term in terms if term.nested]
    if len(nested) > 1 or any(term.effects != "1" for term in nested):
        raise FormulaError(f"{formula!r} asks for more than one nested intercept. {SUPPORTED}")
    if len(nested) == len(terms):
        raise FormulaError(
            f"{formula!r} has a nested term without (1 | {groups[0]}) beside it. {SUPPORTED}"
        )


def column_names(formula: str) -> list[str]:
    """List the columns a patsy formula needs: not functions, not what patsy itself provides.

    Parameters
    ----------
    formula : str
        A formula without random effects, or one side of one.

    Returns
    -------
    list of str
        Names in order of appearance.

    Raises
    ------
    FormulaError
        If patsy cannot read the formula.

    Examples
    --------
    >>> column_names("y ~ np.log(x) + C(ses)")
    ['y', 'x', 'ses']
    """
    try:
        description = patsy.ModelDesc.from_formula(formula)
    except patsy.PatsyError as error:
        raise FormulaError(f"{formula!r} cannot be read: {error}") from error
    factors = [
        factor.code
        for term in (*description.lhs_termlist, *description.rhs_termlist)
        for factor in term.factors
    ]
    try:
        names = [name for code in factors for name in _free_names(code)]
    except SyntaxError as error:
        raise FormulaError(f"{formula!r} cannot be read: {error.text!r} is no Python.") from error
    return list(dict.fromkeys(names))


def _free_names(code: str) -> list[str]:
    tree = ast.parse(code, mode="eval")
    calls = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    modules = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    quoted = [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Q"
        and isinstance(node.args[0], ast.Constant)
    ]
    names = [
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
        and id(node) not in calls | modules
        and not hasattr(patsy.builtins, node.id)
    ]
    return quoted + names
