"""Mixed-model formulas in lme4's language, and what statsmodels calls the same thing.

lme4 writes one formula, ``y ~ x + (1 + x | cluster)``. statsmodels wants it in pieces: a formula
for the fixed effects, the column with the clusters, ``re_formula`` for correlated random effects
and ``vc_formula`` for independent ones. :func:`parse` takes the first and knows the second.
Terms of either side of a bar are worked out by the library formulaic.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

SUPPORTED = (
    "Supported are random effects of one grouping column g, or of the pairs of two, g:h: "
    "(1 | g), (x | g), (1 + x | g), "
    "(0 + f | g), uncorrelated ones such as (1 | g) + (0 + x | g) or (x || g), "
    "and a nested intercept, (1 | g) + (1 | g:h) or (1 | g/h)."
)
#: Functions of a formula, beside numpy's functions of single numbers.
FUNCTIONS = {"C", "I", "bs", "center", "cr", "poly", "scale", "standardize"}
CODINGS = {"Diff", "Helmert", "Poly", "Sum", "Treatment"}
#: numpy functions that work on each row alone, though they are no ufuncs.
ROWWISE = {"where", "clip", "round", "around", "nan_to_num", "real", "isclose", "select"}
#: Words that mean something else than a column in a function's parentheses, unless quoted.
NOT_NAMES = {"True", "False", "None", "np", "numpy"}
INSTEAD = {"factor": "C(x)", "as.factor": "C(x)", "ordered": "C(x)", "ns": "cr(x, df=...)"}

TOKEN = re.compile(
    r"""\s*(?:
      `(?P<quoted>[^`]+)`
    | Q\(\s*(?P<mark>['"])(?P<Q>.*?)(?P=mark)\s*\)
    | (?P<text>'[^']*'|"[^"]*")
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*(?:\.\w+)*)
    | (?P<operator>\*\*|\|\||[=!<>]=|//|[^\s])
    )\s*""",
    re.VERBOSE,
)
PLAIN_NAME = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
PLACEHOLDER = re.compile(r"\b([vf])_(\d+)_(?!\w)")


class FormulaError(ValueError):
    """A formula that cannot be read, or asks for a model this package does not fit."""


@dataclass(frozen=True)
class Token:
    """A piece of a formula.

    Attributes
    ----------
    kind : str
        ``"column"``, ``"function"``, ``"word"`` (of Python, or of a coding), ``"text"``,
        ``"number"`` or ``"operator"``.
    value : str
    inside : str
        The innermost function it stands in, ``""`` if none.
    """

    kind: str
    value: str
    inside: str = ""


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
        The column nested in ``group``: ``h`` in ``(1 | g) + (1 | g:h)``.
    pair : tuple of str
        Two columns whose pairs of values are the clusters: of ``(1 | g:h)`` alone, whose ``group``
        is ``"g:h"``.
    """

    effects: str
    group: str
    nested: str | None = None
    pair: tuple[str, ...] = ()

    def __str__(self):
        names = [self.group, self.nested] if self.nested else self.pair or [self.group]
        return f"({self.effects} | {':'.join(map(written, names))})"

    @property
    def grouping(self) -> str:
        """What tables call the grouping: ``"g"``, or ``"g:h"`` for a nested term."""
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
        Further terms, independent of it and of each other; statsmodels' ``vc_formula``.
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
    def plain(self) -> list[RandomTerm]:
        """The terms without the nested one."""
        return [term for term in self.terms if not term.nested]

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
            names += [*column_names(term.effects), *(term.pair or [term.group])]
            names += [term.nested] if term.nested else []
        return tuple(dict.fromkeys(names))

    def with_groups(self, data: pd.DataFrame) -> pd.DataFrame:
        """Give the data their grouping column, which ``(1 | g:h)`` alone makes of two columns.

        Examples
        --------
        >>> parse("y ~ x + (1 | g:h)").with_groups(pd.DataFrame({"g": [1, 1], "h": ["a", "b"]}))
           g  h  g:h
        0  1  a  1:a
        1  1  b  1:b
        """
        if not self.correlated.pair:
            return data
        first, second = (data[name].astype(str) for name in self.correlated.pair)
        return data.assign(**{self.group: first + ":" + second})

    @property
    def re_formula(self) -> str:
        """What statsmodels calls ``re_formula``: the correlated random effects."""
        return for_statsmodels(self.correlated.effects)

    @property
    def vc_formula(self) -> dict[str, str] | None:
        """What statsmodels calls ``vc_formula``: one entry per independent variance."""
        if not self.independent:
            return None
        return {
            term.grouping if term.nested else term.effects.removeprefix("0 + "): (
                f"0 + C({for_statsmodels(written(term.nested))})"
                if term.nested
                else for_statsmodels(term.effects)
            )
            for term in self.independent
        }

    def statsmodels_call(self, *, reml: bool = True, method: str | None = None) -> str:
        """Write the equivalent ``smf.mixedlm`` call as text.

        Parameters
        ----------
        reml : bool
            REML (default) or maximum likelihood.
        method : str, optional
            statsmodels' optimiser; by default the one that fails least with this formula.

        Returns
        -------
        str
            Python code; it expects ``smf`` (statsmodels.formula.api), ``data`` and, if the formula
            has its functions, ``np``.
        """
        data = "data"
        if self.correlated.pair:
            first, second = (f"data[{_literal(name)}].astype(str)" for name in self.correlated.pair)
            data = f'data.assign(**{{{_literal(self.group)}: {first} + ":" + {second}}})'
        arguments = [
            _literal(for_statsmodels(self.fixed)),
            data,
            f"groups={_literal(self.group)}",
        ]
        arguments.append(f"re_formula={_literal(self.re_formula)}")
        if self.vc_formula:
            pairs = ", ".join(
                f"{_literal(name)}: {_literal(text)}" for name, text in self.vc_formula.items()
            )
            arguments.append(f"vc_formula={{{pairs}}}")
        if method is None:
            # With one variance alone, lbfgs' first step goes to zero, where statsmodels stops.
            alone = not self.independent and len(expand(self.correlated.effects)) == 1
            method = "cg" if alone else "lbfgs"
        return f'smf.mixedlm({", ".join(arguments)}).fit(reml={reml}, method="{method}")'


def parse(formula: str, data: pd.DataFrame | None = None) -> Formula:
    """Read an lme4 formula.

    Parameters
    ----------
    formula : str
        For example ``"y ~ x + (x | cluster)"``. Names that are no plain words stand in backticks
        or ``Q("...")``.
    data : DataFrame, optional
        Tells whether one of two grouping columns is nested in the other, as with ids that are
        numbered uniquely: ``(1 | school) + (1 | class)``.

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
    The notation is that of Bates et al. (2015), table 2. ``^`` is a power.

    Examples
    --------
    >>> formula = parse("y ~ x + (x | cluster)")
    >>> formula.fixed, formula.re_formula, formula.group
    ('y ~ x', '1 + x', 'cluster')
    >>> print(parse("y ~ ses + (1 | school/ses)").vc_formula)
    {'school:ses': '0 + C(ses)'}
    """
    left, right = _sides(formula)
    fixed, random = [], []
    for sign, part in _summands(right, formula):
        if sign == "+" and _is_random(part):
            random += _read_term(part, formula)
        elif any(_is_bar(token) for token in part):
            raise FormulaError(
                f"{formula!r} has a '|' outside a term of its own. "
                f"Write random effects as a summand in parentheses. {SUPPORTED}"
            )
        else:
            fixed.append((sign, _write(part)))
    if not random:
        raise FormulaError(
            f"{formula!r} has no random effect. Add a term such as (1 | cluster), "
            "or use fit_pooled for a model without random effects."
        )
    predictors = "".join(f" {sign} {text}" for sign, text in fixed).removeprefix(" + ").strip()
    correlated, independent = _arrange(_one_grouping(random, formula, data), formula)
    return Formula(_write(left), predictors or "1", correlated, independent)


def written(name: str) -> str:
    """Write a column's name as it stands in a formula, in backticks if need be."""
    plain = PLAIN_NAME.fullmatch(name) and name.split(".")[0] not in NOT_NAMES
    return name if plain else f"`{name}`"


def mixed_formula(response: str, predictors, cluster: str, *, varying=(), second=None) -> str:
    """Write a formula from names of columns, which may hold spaces.

    Parameters
    ----------
    response : str
    predictors : sequence of str
        Fixed effects.
    cluster : str
    varying : sequence of str
        Those of them that vary between clusters.
    second : str, optional
        A second grouping. Where it is crossed with the clusters, fitting the formula is refused.

    Returns
    -------
    str

    Examples
    --------
    >>> mixed_formula("reading score", ["hours", "arm"], "school", varying=["hours"])
    '`reading score` ~ 1 + hours + arm + (1 + hours | school)'
    """
    fixed, random = (" + ".join(["1", *map(written, names)]) for names in (predictors, varying))
    text = f"{written(response)} ~ {fixed} + ({random} | {written(cluster)})"
    return f"{text} + (1 | {written(second)})" if second else text


def tokenize(formula: str) -> list[Token]:
    """Take a formula to pieces.

    Parameters
    ----------
    formula : str

    Returns
    -------
    list of Token

    Raises
    ------
    FormulaError
        If a function is unknown or a piece stands where it means nothing.

    Examples
    --------
    >>> [token.value for token in tokenize("y ~ np.log(x) + `my x`") if token.kind == "column"]
    ['y', 'x', 'my x']
    """
    if not isinstance(formula, str):
        raise TypeError(
            f"formula must be a string like 'y ~ x + (x | g)', not {type(formula).__name__}."
        )
    return list(_tokens(formula))


@lru_cache(maxsize=1000)
def _tokens(formula) -> tuple[Token, ...]:
    pieces = [(match.lastgroup, match) for match in TOKEN.finditer(formula)]
    values = [match["Q"] if kind == "Q" else match[kind] for kind, match in pieces]
    tokens, functions, arguments = [], [], []
    for place, ((kind, _), value) in enumerate(zip(pieces, values, strict=True)):
        follows = values[place + 1] if place + 1 < len(values) else ""
        inside = next((name for name in reversed(functions) if name), "")
        if kind == "name":
            kind = _kind_of_name(value, follows, inside, bool(arguments and arguments[-1]))
        elif kind in ("quoted", "Q"):
            kind = "column"
        elif value == "^":
            value = "**"
        if kind == "function" and follows == "(":
            _check_function(value, formula)
        token = Token(kind, value, inside)
        _check_place(token, tokens, formula)
        tokens.append(token)
        if value in ("(", "[") and kind == "operator":
            called = len(tokens) > 1 and tokens[-2].kind == "function"
            functions.append(tokens[-2].value if called else "")
            arguments.append(0)
        elif value in (")", "]") and kind == "operator":
            if not functions:
                raise FormulaError(f"{formula!r} has unbalanced parentheses. {SUPPORTED}")
            functions.pop(), arguments.pop()
        elif value == "," and arguments:
            arguments[-1] += 1
    if functions:
        raise FormulaError(f"{formula!r} has unbalanced parentheses. {SUPPORTED}")
    return tuple(tokens)


def column_names(formula: str) -> list[str]:
    """List the columns a formula needs.

    Parameters
    ----------
    formula : str
        A formula without random effects, or one side of one.

    Returns
    -------
    list of str
        Names in order of appearance.

    Examples
    --------
    >>> column_names("y ~ np.log(x) + C(ses)")
    ['y', 'x', 'ses']
    """
    names = [token.value for token in tokenize(formula) if token.kind == "column"]
    return list(dict.fromkeys(names))


def for_statsmodels(formula: str) -> str:
    """Write a formula for patsy, which statsmodels reads it with: odd names in ``Q("...")``.

    Examples
    --------
    >>> for_statsmodels("y ~ `my x` + scale(class)")
    "y ~ Q('my x') + scale(Q('class'), ddof=1)"
    """

    def column(token):
        plain = token.value.isidentifier() and not keyword.iskeyword(token.value)
        return token.value if plain else f"Q({token.value!r})"

    return _write(tokenize(formula), column, patsy=True)


def for_formulaic(formula: str) -> tuple[str, list[str]]:
    """Write a formula with placeholders for its columns, so that no name means anything else.

    A column within a function is ``f_0_``, another one (which may be a category) ``v_0_``.

    Returns
    -------
    formula : str
    names : list of str
        The columns in the order of their numbers.

    Examples
    --------
    >>> for_formulaic("scale + np.log(scale)")
    ('v_0_ + np.log(f_0_)', ['scale'])
    """
    names = column_names(formula)

    def column(token):
        kind = "v" if token.inside in ("", "C") else "f"
        return f"{kind}_{names.index(token.value)}_"

    return _write(tokenize(formula), column), names


def with_names(text: str, names: list[str]) -> str:
    """Put the columns' names back where :func:`for_formulaic` put placeholders."""
    return PLACEHOLDER.sub(lambda match: _label(names[int(match[2])]), text)


@lru_cache(maxsize=1000)
def expand(effects: str) -> tuple[str, ...]:
    """List the terms of a side without response; the intercept is ``"1"``.

    Examples
    --------
    >>> expand("x * z")
    ('1', 'x', 'z', 'x:z')
    """
    from formulaic import Formula as Terms
    from formulaic.errors import FormulaicError

    text, names = for_formulaic(effects)
    try:
        terms = [str(term) for term in Terms(text)]
    except (FormulaicError, SyntaxError) as error:
        raise FormulaError(f"{effects!r} cannot be read: {_first_line(error)}") from error
    written_names = [written(name) for name in names]
    return tuple(
        PLACEHOLDER.sub(lambda match: written_names[int(match[2])], term) for term in terms
    )


# ---- pieces ----------------------------------------------------------------------------------


def _kind_of_name(name, follows, inside, later_argument) -> str:
    if follows == "(" or name.startswith(("np.", "numpy.")):
        return "function"
    if inside and name in NOT_NAMES:
        return "word"
    if inside and (follows == "=" or (inside == "C" and later_argument and name in CODINGS)):
        return "word"
    return "column"


def _check_function(name, formula) -> None:
    module, _, function = name.rpartition(".")
    known = getattr(np, function, None)
    if module in ("np", "numpy"):
        if isinstance(known, np.ufunc) or function in ROWWISE:
            return
        if known is not None:
            raise FormulaError(
                f"{name} in {formula!r} looks at all rows together, which would be others when "
                "you predict. Make a column of it first; center, scale and poly remember the fit's."
            )
    if not module and name in FUNCTIONS | CODINGS:
        return
    if name in INSTEAD:
        advice = f"Write {INSTEAD[name]}."
    elif not module and isinstance(known, np.ufunc):
        advice = f"Write np.{name}(...)."
    elif module and module not in ("np", "numpy"):
        advice = f"Methods of columns are not read: make a column of {name}(...) first."
    else:
        advice = (
            f"Known are {', '.join(sorted(FUNCTIONS))} and numpy's functions, np.log(x). "
            "Make a column of it first."
        )
    raise FormulaError(f"{formula!r} has a function that is not known here: {name}. {advice}")


def _check_place(token, before, formula) -> None:
    """Refuse what cannot follow the tokens before."""
    last = before[-1] if before else Token("operator", "(")
    ends = last.kind != "operator" or last.value in (")", "]")
    if ends and (token.kind != "operator" or token.value == "(") and last.kind != "function":
        raise FormulaError(
            f"{formula!r} cannot be read: {last.value!r} and {token.value!r} stand side by side. "
            "A name with spaces stands in backticks, `my x`, or Q('my x'); or rename the column."
        )
    if token.value == "**" and token.kind == "operator" and not token.inside:
        if last.value != ")" or _closes_function(before):
            raise FormulaError(
                f"{formula!r} has a power outside a function, which a formula reads as an "
                "interaction of the column with itself. Write the square as I(x**2)."
            )
    allowed = "+-*/:()|~,=" if not token.inside else "+-*/:(),=[]<>%&!{}"
    if token.kind == "operator" and token.value not in ("**", "||") and not token.inside:
        if token.value not in allowed or token.value in ",=":
            raise FormulaError(f"{formula!r} cannot be read: {token.value!r} means nothing here.")


def _closes_function(before) -> bool:
    depth = 0
    for place in range(len(before) - 1, -1, -1):
        depth += (before[place].value == ")") - (before[place].value == "(")
        if depth == 0:
            return place > 0 and before[place - 1].kind == "function"
    return False


def _write(tokens, column: Callable = lambda token: written(token.value), *, patsy=False) -> str:
    """Write tokens as text, one space around what separates."""
    parts, open_functions = [], []
    for place, token in enumerate(tokens):
        value = column(token) if token.kind == "column" else token.value
        before = tokens[place - 1] if place else Token("operator", "(")
        sign = before.kind == "operator" and before.value not in (")", "]")
        if token.kind == "operator" and token.value == "(":
            open_functions.append([before.value if before.kind == "function" else "", False])
        elif token.kind == "word" and token.value == "ddof":
            open_functions[-1][1] = True
        elif token.kind == "operator" and token.value == ")" and open_functions:
            # R's scale divides by n - 1, and so do we; patsy's by n.
            if patsy and open_functions.pop() == ["scale", False]:
                value = ", ddof=1)"
        elif token.kind == "operator" and token.value == ",":
            value = ", "
        elif token.kind == "operator" and token.value not in ("(", ")", "[", "]", ":", "="):
            value = value if sign and token.value in "+-~" else f" {value} "
        parts.append(value)
    return "".join(parts).strip()


def _literal(text) -> str:
    return repr(text) if '"' in text else f'"{text}"'


def _label(name) -> str:
    return "`Intercept`" if name == "Intercept" else name


def _first_line(error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _sides(formula) -> tuple[list[Token], list[Token]]:
    tokens = tokenize(formula)
    places = [place for place, token in enumerate(tokens) if token.value == "~"]
    if len(places) != 1 or not 0 < places[0] < len(tokens) - 1:
        raise FormulaError(
            f"{formula!r} needs a response, a '~' and predictors: 'y ~ x + (x | g)'."
        )
    left, right = tokens[: places[0]], tokens[places[0] + 1 :]
    if any(_is_bar(token) for token in left):
        raise FormulaError(f"{formula!r} has a random effect left of the '~'. {SUPPORTED}")
    return left, right


def _is_bar(token) -> bool:
    return token.kind == "operator" and token.value in ("|", "||") and not token.inside


def _summands(tokens, formula) -> list[tuple[str, list[Token]]]:
    """Split at the plus and minus signs that stand outside parentheses."""
    parts, depth = [("+", [])], 0
    for token in tokens:
        depth += (token.value in ("(", "[")) - (token.value in (")", "]"))
        if depth == 0 and token.kind == "operator" and token.value in ("+", "-"):
            parts.append((token.value, []))
        else:
            parts[-1][1].append(token)
    if not all(part for _, part in parts[1:]):
        raise FormulaError(f"{formula!r} cannot be read: a sign has nothing to its right.")
    return [(sign, part) for sign, part in parts if part]


def _is_random(part) -> bool:
    return part[0].value == "(" and part[-1].value == ")" and any(map(_is_bar, part))


# ---- random-effect terms ---------------------------------------------------------------------


def _read_term(part, formula) -> list[RandomTerm]:
    """Read ``(x | g)``, and what ``(x || g)`` and ``(1 | g/h)`` stand for."""
    text, inside = _write(part), part[1:-1]
    bars = [place for place, token in enumerate(inside) if _is_bar(token)]
    effects, grouping = inside[: bars[0]], inside[bars[0] + 1 :]
    names = [token.value for token in grouping[::2] if token.kind == "column"]
    signs = [token.value for token in grouping[1::2]]
    if not effects or len(names) + len(signs) != len(grouping) or len(grouping) % 2 == 0:
        raise FormulaError(
            f"{text} is not a random-effect term this package fits: right of the bar stands the "
            f"name of a column, g, g/h or g:h. {SUPPORTED}"
        )
    if len(names) > 2 or not set(signs) <= {"/", ":"}:
        raise FormulaError(f"{text} is not a random-effect term this package fits. {SUPPORTED}")
    groupings = [names[:1], names] if signs == ["/"] else [names]
    varying = _varying(_write(effects), text, apart=inside[bars[0]].value == "||")
    return [RandomTerm(each, *names) for names in groupings for each in varying]


def _varying(effects, text, *, apart) -> list[str]:
    """Write effects with their intercept; `apart`: each term on its own, as lme4's ``||``."""
    terms = expand(effects)
    if not terms:
        raise FormulaError(f"{text}: {effects!r} left of the '|' leaves nothing to vary.")
    slopes = [term for term in terms if term != "1"]
    if apart:
        return (["1"] if "1" in terms else []) + [f"0 + {slope}" for slope in slopes]
    return [" + ".join(["1" if "1" in terms else "0", *slopes]) if slopes else "1"]


def _one_grouping(terms, formula, data) -> list[RandomTerm]:
    """Tell which column groups and which one is nested in it."""
    single = list(dict.fromkeys(term.group for term in terms if not term.nested))
    pairs = {frozenset((term.group, term.nested)) for term in terms if term.nested}
    if len(single) == 1 and len(pairs) == 1 and single[0] in next(iter(pairs)):
        (inner,) = next(iter(pairs)) - {single[0]} or single
        return [
            RandomTerm(term.effects, single[0], inner if term.nested else None) for term in terms
        ]
    if not single and len(pairs) == 1:
        pair = (terms[0].group, terms[0].nested)
        return [RandomTerm(term.effects, ":".join(pair), pair=pair) for term in terms]
    if len(single) == 1 and not pairs:
        return terms
    if len(single) == 2 and not pairs and data is not None and set(single) <= set(data.columns):
        for outer, inner in (single, single[::-1]):
            if _is_nested(data[outer], data[inner]):
                return [
                    term if term.group == outer else RandomTerm(term.effects, outer, inner)
                    for term in terms
                ]
    if len(single) == 1:
        raise FormulaError(f"{formula!r} asks for more than one nested intercept. {SUPPORTED}")
    raise FormulaError(_crossed(terms, single, formula))


def _is_nested(outer, inner) -> bool:
    """Whether each inner level occurs in one outer level, and some outer level has several."""
    outer, inner = pd.factorize(outer)[0], pd.factorize(inner)[0]
    pairs = len(pd.DataFrame({"outer": outer, "inner": inner}).drop_duplicates())
    return pairs == inner.max(initial=-1) + 1


def _crossed(terms, names, formula) -> str:
    left, right = _sides(formula)
    kept = [(sign, part) for sign, part in _summands(right, formula) if not _is_random(part)]
    fixed = "".join(f" {sign} {_write(part)}" for sign, part in kept).removeprefix(" + ").strip()
    fixed = for_statsmodels(f"{_write(left)} ~ {fixed or '1'}")
    parts = ", ".join(
        f"{_literal(name)}: {_literal(f'0 + C({for_statsmodels(written(name))})')}"
        for name in names
    )
    advice = f" R's lmer fits them: lmer({_write(tokenize(formula))}, data)."
    if all(term.effects == "1" for term in terms):
        advice = (
            " statsmodels fits small ones as one group: smf.mixedlm("
            f"{_literal(fixed)}, data, groups=np.ones(len(data)), vc_formula={{{parts}}}).fit() "
            f"(import numpy as np; import statsmodels.formula.api as smf).{advice}"
        )
    return (
        f"{formula!r} has several groupings ({', '.join(names)}) of which none is nested in "
        f"another: crossed random effects are not fitted here.{advice} {SUPPORTED}"
    )


def _arrange(terms, formula) -> tuple[RandomTerm, tuple[RandomTerm, ...]]:
    """Sort the terms into the one with correlated effects and the independent ones."""
    nested = [term for term in terms if term.nested]
    if len(nested) > 1 or any(term.effects != "1" for term in nested):
        raise FormulaError(
            f"{formula!r} asks for more than one nested intercept: slopes, or several effects, of "
            f"the nested grouping are not fitted here. {SUPPORTED}"
        )
    plain = [term for term in terms if not term.nested]
    effects = [effect for term in plain for effect in expand(term.effects)]
    repeated = sorted({effect for effect in effects if effects.count(effect) > 1})
    if repeated:
        raise FormulaError(
            f"{formula!r} lets {repeated[0]!r} vary twice ('1' is the intercept, which (x | g) "
            "contains). Keep one of its terms, or write (0 + x | g)."
        )
    # statsmodels has one term with correlated effects; the intercept or a longer term takes it.
    plain.sort(key=lambda term: len(expand(term.effects)) == 1 and term.effects != "1")
    return plain[0], (*plain[1:], *nested)
