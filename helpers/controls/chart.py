"""A chart without data becomes one that looks up its rows among packed states.

Which columns a part of a chart uses is read from its specification: names at the places where
Vega-Lite has fields, and ``datum.name`` or ``datum['name']`` in its expressions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.controls.grid import Column

# Where a specification holds an expression about rows, and where it names fields of rows.
_EXPRESSIONS = {"expr", "test", "filter", "calculate"}
_FIELDS = {"field", "fields", "groupby"}
# In transforms every other text is or may be a field; a step's name says which words are not.
_WORDS_OF_TRANSFORMS = {"as", "op", "method", "timeUnit", "param", "order", "name"}
# Axes and legends call their ticks datum; data of a layer's own is not the explorer's.
_WITHOUT_ROWS = {
    "axis", "legend", "header", "data", "datasets", "config", "params", "usermeta", "description",
}  # fmt: skip
# Texts are read over, so that a word in one is no name.
_TOKENS = re.compile(
    r"""(?<![\w$.])datum\s*\.\s*(?P<plain>\w+)
    |(?<![\w$.])datum\s*\[\s*(?P<mark>["'])(?P<quoted>(?:(?!(?P=mark)).)*)(?P=mark)\s*\]
    |(?P<whole>(?<![\w$.])datum\b)
    |"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""",
    re.VERBOSE,
)
#: Stands for every column: an expression uses ``datum`` as a whole, or asks for a computed name.
EVERY = "*"


def fields_of(part) -> set[str]:
    """Names of the columns that a part of a specification uses.

    Parameters
    ----------
    part : dict or list
        Part of a Vega-Lite specification.

    Returns
    -------
    set of str
        :data:`EVERY` is among them where nobody can tell which.

    Examples
    --------
    >>> fields_of({"encoding": {"x": {"field": "x"}, "y": {"value": "value"}}})
    {'x'}
    >>> fields_of({"transform": [{"calculate": "datum.low + format(datum['high'], 'x')"}]}) == {
    ...     "low", "high"}
    True
    """
    return set(_fields(part))


def _fields(part) -> Iterator[str]:
    if isinstance(part, list):
        for element in part:
            yield from _fields(element)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "transform":
                for step in value:
                    yield from _fields_of_step(step)
            elif key not in _WITHOUT_ROWS:
                yield from _named(key, value)
        if part.get("tooltip") == {"content": "data"}:
            yield EVERY


def _named(key, value) -> Iterator[str]:
    if key in _EXPRESSIONS and isinstance(value, str):
        yield from _fields_in_expression(value)
    elif key in _FIELDS and isinstance(value, (str, list)):
        yield from _heads([value] if isinstance(value, str) else value)
    else:
        yield from _fields(value)


def _fields_of_step(step) -> Iterator[str]:
    """Fields of a transform: besides its expressions, every text that is no word of its own."""
    for key, value in step.items():
        if key in _EXPRESSIONS:
            yield from _named(key, value)
        elif isinstance(value, dict):
            yield from _fields_of_step(value)
        elif isinstance(value, list) and key not in _WORDS_OF_TRANSFORMS:
            for element in value:
                yield from _fields_of_step(element if isinstance(element, dict) else {"": element})
        elif isinstance(value, str) and key not in _WORDS_OF_TRANSFORMS:
            yield from _heads([value])


def _heads(names) -> Iterator[str]:
    # "place.x" and "place[0]" are parts of the column "place".
    yield from (re.split(r"[.\[]", name)[0] for name in names if isinstance(name, str))


def _fields_in_expression(expression) -> Iterator[str]:
    for token in _TOKENS.finditer(expression):
        if token["whole"]:
            yield EVERY
        elif name := token["plain"] or token["quoted"]:
            yield name


def needed(steps: Sequence[dict], part) -> list[dict]:
    """Those of some calculations whose results a part of a chart uses, directly or indirectly."""
    used, kept = fields_of(part), []
    for step in reversed(steps):
        if EVERY in used or step["as"] in used:
            kept.insert(0, step)
            used |= fields_of({"transform": [step]})
    return kept


def look_up(column: Column) -> str:
    """Vega expression of a column's value in the row ``datum.row`` of the state ``state``."""
    strides = {"datum.row": column.row_stride, "state": column.state_stride}
    moves = [f" + {stride} * {what}" for what, stride in strides.items() if stride]
    integer = f"states[{column.start}{''.join(moves)}]"
    if column.labels:
        return f"{json.dumps(column.labels)}[{integer}]"
    return f"({column.low!r} + {column.step!r} * {integer})"


def live_spec(
    spec: dict, columns: Sequence[Column], n_rows: int, strides: Mapping[str, int], starts: Mapping
) -> dict:
    """Specification whose rows are looked up among the packed states.

    Parameters
    ----------
    spec : dict
        Of a chart without data.
    columns : sequence of Column
    n_rows : int
    strides, starts : mapping
        By control of the grid: how far its step moves among the states, where it starts.
    """
    spec = without_placeholders(spec)
    # What no control changes comes first: the browser then looks it up once.
    steps = [
        {"calculate": look_up(c) if c.row_stride else c.name, "as": c.name}
        for c in sorted(columns, key=lambda column: column.state_stride)
    ]
    transforms = steps + spec.get("transform", [])
    data = {"sequence": {"start": 0, "stop": n_rows, "as": "row"}}
    if all("calculate" in step for step in transforms):
        constant = {column.name for column in columns if not column.state_stride}
        for layer in _without_data(spec):
            _select_rows_first(layer, spec.get("encoding"), data, transforms, constant)
    together = {**spec, "layer": _without_data(spec)}
    return with_rows(spec, _parameters(columns, strides, starts), data, needed(steps, together))


def _parameters(columns, strides, starts) -> list[dict]:
    state = " + ".join(f"{name} * {stride}" for name, stride in strides.items())
    return [
        {"name": "states", "value": []},
        *({"name": name, "value": starts[name]} for name in strides),
        {"name": "state", "expr": state or "0"},
        *({"name": c.name, "expr": look_up(c)} for c in columns if not c.row_stride),
    ]


def _without_data(spec) -> list[dict]:
    return [layer for layer in spec.get("layer", []) if "data" not in layer]


def _select_rows_first(layer, shared_encoding, data, transforms, constant) -> None:
    """Let a layer repeat and filter rows by constants before it looks up what controls change.

    A control then changes values: it replaces no repeated rows and looks up none that are not
    drawn.
    """
    own = layer.get("transform", [])
    selecting = _selecting_steps(own, transforms, constant)
    if selecting:
        before = needed(transforms, {"transform": own[:selecting]})
        every = needed(transforms, [layer, {"encoding": shared_encoding}])
        after = [step for step in every if step not in before]
        layer["data"] = data
        layer["transform"] = before + own[:selecting] + after + own[selecting:]


def _selecting_steps(own, transforms, constant) -> int:
    """Count the first steps of a layer that select its rows by nothing but constants."""
    selecting = 0
    for at, step in enumerate(own, start=1):
        if not {"calculate", "flatten", "filter"} & set(step):
            break
        asked = needed(transforms, {"transform": own[:at]})
        if any(asked_for["as"] not in constant for asked_for in asked):
            break
        if "calculate" not in step:
            selecting = at
    return selecting


def without_placeholders(spec: dict) -> dict:
    """Leave out what Altair puts where a chart or layer has no data."""
    layers = [without_placeholders(layer) for layer in spec.get("layer", [])]
    spec = {key: value for key, value in spec.items() if value != {"name": "empty"}}
    return {**spec, "layer": layers} if layers else spec


def with_rows(spec: dict, parameters: list, data: dict, transforms: list) -> dict:
    """Put parameters and transforms before those of a specification, and give it data."""
    parameters = parameters + spec.get("params", [])
    transforms = transforms + spec.get("transform", [])
    return {**spec, "params": parameters, "data": data, "transform": transforms}


def first_state_spec(spec: dict, frame: pd.DataFrame, columns: Sequence[Column], starts: Mapping):
    """Specification of the state that an explorer starts with, its rows written into it.

    Parameters
    ----------
    spec : dict
        Of a chart without data.
    frame : DataFrame
        The rows.
    columns : sequence of Column
    starts : mapping
        Positions of the controls, by name.
    """
    parameters = [
        {"name": column.name, "value": frame[column.name].tolist()[0]}
        for column in columns
        if not column.row_stride
    ]
    spec = without_placeholders(spec)
    own = [
        {**parameter, "value": starts.get(parameter["name"], parameter.get("value"))}
        for parameter in spec.get("params", [])
    ]
    rows = frame.assign(row=np.arange(len(frame))).to_dict("records")
    return with_rows({**spec, "params": own}, parameters, {"values": rows}, [])
