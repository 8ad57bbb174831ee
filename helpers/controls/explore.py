"""Charts with sliders that answer without Python: on the published page, and live.

:func:`explore` calls a function over the whole grid of its controls, packs the results into one
array of 16-bit integers, and links ipywidgets' sliders, in the browser, to one small widget that
draws charts (:file:`explore.js`). A slider sets a Vega signal; a chart itself looks up its rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import inspect
import itertools
import json
import math
import multiprocessing
import numbers
import os
import pickle
import re
import sys
import urllib.parse
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from xml.etree import ElementTree

import altair as alt
import anywidget
import ipywidgets as widgets
import numpy as np
import pandas as pd
import pooch
import traitlets
import vl_convert
from IPython import get_ipython
from IPython.display import HTML, clear_output, display
from tqdm import tqdm

from helpers.charts import ChartGrid

HERE = Path(__file__).parent
#: Largest size of the packed states of one explorer, in bytes.
SIZE_LIMIT = 1_500_000
STATIC_WIDTH = 640
#: Up to this many names stand side by side as buttons; more go into a drop-down list.
MOST_BUTTONS = 3
_RESERVED = {"row", "state", "states", "width", "height", "datum", "preset", "presets", "specs"}
_LARGEST = 2**15 - 1
# In an expression a name without "datum" is a parameter, elsewhere it is a field.
_FIELD = r'datum(?:\.|\[\W+){0}\b|(?<!"expr": )(?<!"test": )(?<!"filter": )(?<!"calculate": )"{0}"'


class ExploreError(ValueError):
    """The grid cannot be evaluated or packed; the message says why and what to do."""


@dataclass(frozen=True)
class Column:
    """Where a column stands among the packed states, and how its integers become values.

    Attributes
    ----------
    name : str
        Name in the data frame.
    start : int
        Position of its first integer.
    row_stride, state_stride : int
        How far the next row and the next state are; 0 if its values do not differ between them.
    low, step : float
        A value is ``low + step * integer``.
    labels : tuple of str
        Values of a column of strings; the integer is a position among them.
    """

    name: str
    start: int
    row_stride: int
    state_stride: int
    low: float = 0.0
    step: float = 1.0
    labels: tuple[str, ...] = ()

    def expression(self) -> str:
        """Vega expression of the value in the row ``datum.row`` of the state ``state``."""
        strides = {"datum.row": self.row_stride, "state": self.state_stride}
        moves = [f" + {stride} * {what}" for what, stride in strides.items() if stride]
        integer = f"states[{self.start}{''.join(moves)}]"
        if self.labels:
            return f"{json.dumps(self.labels)}[{integer}]"
        return f"({self.low!r} + {self.step!r} * {integer})"

    def unpack(self, states: np.ndarray, state: int, n_rows: int) -> np.ndarray:
        """Return the column's values in one state, as the browser computes them."""
        rows = np.arange(n_rows)
        integers = states[self.start + self.row_stride * rows + self.state_stride * state]
        return np.array(self.labels)[integers] if self.labels else self.low + self.step * integers


class SignalChart(anywidget.AnyWidget):
    """Vega-Lite charts whose signals follow the widget's traits of the same name."""

    _esm = HERE / "explore.js"
    _css = HERE / "explore.css"
    specs = traitlets.List().tag(sync=True)
    states = traitlets.Bytes().tag(sync=True)
    presets = traitlets.List().tag(sync=True)
    preset = traitlets.Int(0).tag(sync=True)

    def __init__(self, signals: Mapping[str, int], **traits):
        super().__init__(**traits)
        self.add_traits(**{name: traitlets.Int(at).tag(sync=True) for name, at in signals.items()})
        self.on_msg(_send_vega)


def _send_vega(widget, content, buffers) -> None:
    """Answer a page that has no Vega of its own, as JupyterLab; the published page has."""
    widget.send({"vega": vl_convert.javascript_bundle()})


class Explorer:
    """Controls and chart; made by :func:`explore` and shown as the last value of a cell.

    Attributes
    ----------
    controls : dict of str to widget
        The controls by name.
    chart : SignalChart
        The widget that draws.
    static_figure : str
        HTML of the default state, for print and for readers without JavaScript.
    """

    def __init__(self, controls, chart, players, static_figure):
        self.controls = controls
        self.chart = chart
        self.static_figure = static_figure
        rows = [
            widgets.HBox([control, players[name]]) if name in players else control
            for name, control in controls.items()
        ]
        panel = widgets.Box(rows).add_class("explore-controls")
        self._view = widgets.VBox([panel, chart]).add_class("explore")

    @property
    def values(self) -> dict:
        """Present value of each control; in a live kernel it follows the sliders."""
        return {name: control.value for name, control in self.controls.items()}

    def _ipython_display_(self):
        display(HTML(self.static_figure))
        display(self._view)


def explore(
    function: Callable[..., pd.DataFrame],
    chart: alt.TopLevelMixin | ChartGrid,
    *,
    presets: Mapping[str, Mapping] | None = None,
    **controls,
) -> Explorer:
    """Draw `chart` for every combination of controls, without Python once it is drawn.

    Parameters
    ----------
    function : callable
        ``function(**values)`` returns a data frame with the same columns and as many rows for
        every combination: one row per mark, numbers or strings, no missing values.
    chart : altair.Chart, altair.LayerChart or ChartGrid
        Charts without data. They find the frame's columns as fields, and in ``row`` the number of
        the row, from 0; a column that is the same in all rows of a frame is also a parameter of its
        name.
    presets : mapping, optional
        ``{name: {control: value}}``: a list of names that set several controls at once. The
        explorer starts with the first.
    **controls
        A sequence of numbers makes a slider; a sequence of strings makes buttons or a drop-down
        list; a mapping of labels to values makes one of them. Where `function` has a default, the
        control starts there. A control named like a parameter of `chart` is not handed to
        `function` and needs no Python: its parameter becomes the position in a sequence, or, for
        a tuple ``(low, high)`` of integers, the number chosen on a slider that can play.

    Returns
    -------
    Explorer

    Raises
    ------
    TypeError
        If a control is none of the above.
    ExploreError
        If a combination fails, frames differ in shape, a value is missing or infinite, or the
        packed states exceed :data:`SIZE_LIMIT`.

    Notes
    -----
    Numbers are rounded to one of 65,535 steps between a column's smallest and largest value.
    Results are kept in the user's cache, named after the content of the function, the controls
    and the package.

    Examples
    --------
    >>> chart = alt.Chart().mark_point().encode(x="x:Q", y="y:Q").properties(description="line")
    >>> line = lambda slope: pd.DataFrame({"x": [0, 1], "y": [0, slope]})
    >>> explore(line, chart, slope=[1, 2, 3]).values
    {'slope': 1}
    """
    charts = chart.charts if isinstance(chart, ChartGrid) else [chart]
    made = {name: _control(name, values) for name, values in controls.items()}
    in_browser = {parameter.name: parameter for part in charts for parameter in _parameters(part)}
    grid = {name: control for name, control in made.items() if name not in in_browser}
    _set_defaults(made, function, in_browser)
    settings = _preset_settings(presets or {}, made)
    frames = _evaluate(function, {name: _choices(control) for name, control in grid.items()})
    columns, states = pack(frames)
    default = sum(control.index * stride for control, stride in _strides(grid))
    n_rows = next(iter(frames.values())).shape[1]
    specs = [_live_spec(part, columns, n_rows, grid) for part in charts]
    signals = {name: _position(control) for name, control in made.items()}
    widget = SignalChart(signals, specs=specs, states=compress(states), presets=settings)
    for name, control in made.items():
        widgets.jslink((control, _linked_trait(control)), (widget, name))
    if presets:
        made = {"preset": _preset_control(presets, widget), **made}
    frame = pd.DataFrame({c.name: c.unpack(states, default, n_rows) for c in columns})
    static = "".join(_static_figure(part, frame, columns, signals) for part in charts)
    return Explorer(made, widget, _players(made), static)


def pack(frames: Mapping[str, np.ndarray]) -> tuple[list[Column], np.ndarray]:
    """Pack columns, each of shape (states, rows), into one array of 16-bit integers.

    Parameters
    ----------
    frames : mapping of str to ndarray
        Numbers or strings.

    Returns
    -------
    columns : list of Column
    states : ndarray of int16

    Examples
    --------
    >>> columns, states = pack({"y": np.array([[0.0, 0.5], [1.0, 0.25]])})
    >>> columns[0].unpack(states, 1, 2).round(4)
    array([1.  , 0.25])
    """
    columns, parts, start = [], [], 0
    for name, values in frames.items():
        by_row = bool((values != values[:, :1]).any())
        by_state = bool((values != values[:1]).any())
        kept = values[slice(None if by_state else 1), slice(None if by_row else 1)]
        integers, coding = _quantise(kept)
        columns.append(Column(name, start, by_row * len(kept), int(by_state), **coding))
        # A row's values in neighbouring states are alike, which makes them easy to compress.
        parts.append(integers.T.ravel())
        start += integers.size
    return columns, np.concatenate(parts)


def compress(states: np.ndarray) -> bytes:
    """Compress 16-bit integers, all their low bytes before all their high bytes.

    Parameters
    ----------
    states : ndarray of int16

    Returns
    -------
    bytes
        Deflated; a browser inflates it.

    Examples
    --------
    >>> len(compress(np.zeros(1000, "<i2"))) < 50
    True
    """
    planes = states.astype("<i2").view(np.uint8).reshape(-1, 2).T
    return zlib.compress(planes.tobytes(), level=9)


def _quantise(values):
    if values.dtype.kind in "UO":
        labels, codes = np.unique(values.astype(str), return_inverse=True)
        return codes.reshape(values.shape).astype("<i2"), {"labels": tuple(labels.tolist())}
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "iub" and high - low <= 2 * _LARGEST:
        middle, step = math.floor((low + high) / 2), 1
    else:
        middle, step = (low + high) / 2, (high - low) / (2 * _LARGEST) or 1.0
    return np.rint((values - middle) / step).astype("<i2"), {"low": middle, "step": step}


def _control(name, values):
    if not name.isidentifier() or name in _RESERVED:
        raise TypeError(f"a control cannot be named {name!r}; these names are taken: {_RESERVED}.")
    label = {"description": name.replace("_", " ")}
    if _is_range(values):
        return widgets.IntSlider(min=values[0], max=values[1], **label)
    options = list(values.items()) if isinstance(values, Mapping) else values
    if isinstance(options, str) or not isinstance(options, Sequence) or not len(options):
        raise TypeError(
            f"the control {name} is {values!r}; give a list of numbers or strings, a dict of "
            "labels to values, or a tuple (low, high) of integers."
        )
    inside = list(values.values() if isinstance(values, Mapping) else values)
    if all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in inside):
        return widgets.SelectionSlider(options=options, **label)
    kind = widgets.ToggleButtons if len(inside) <= MOST_BUTTONS else widgets.Dropdown
    return kind(options=options, **label)


def _is_range(values):
    return (
        isinstance(values, tuple) and len(values) == 2 and all(type(end) is int for end in values)
    )


def _parameters(chart):
    found = [] if chart.to_dict(validate=False).get("params") is None else chart.params
    return [parameter for parameter in found if isinstance(parameter.name, str)]


def _set_defaults(made, function, in_browser):
    arguments = inspect.signature(function).parameters
    for name, control in made.items():
        if name in in_browser:
            setattr(control, _linked_trait(control), in_browser[name].value)
        elif isinstance(control, widgets.IntSlider):
            raise TypeError(
                f"the control {name} is a range, but the chart has no parameter {name}. Add "
                f"alt.param(name={name!r}, value=...) to the chart, or give a list of values."
            )
        elif name not in arguments and not _takes_any(arguments):
            raise TypeError(
                f"neither {function.__name__} nor the chart has a parameter {name}; "
                f"{function.__name__} has {', '.join(arguments)}."
            )
        elif name in arguments and arguments[name].default in _choices(control):
            control.value = arguments[name].default


def _takes_any(arguments):
    return any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values())


def _choices(control) -> list:
    return [value for _, value in control._options_full]


def _linked_trait(control):
    return "value" if isinstance(control, widgets.IntSlider) else "index"


def _position(control) -> int:
    return getattr(control, _linked_trait(control))


def _strides(grid) -> list:
    """Pair each control with how far one of its steps moves in the row of all states."""
    sizes = [len(control.options) for control in grid.values()]
    return [(control, math.prod(sizes[at + 1 :])) for at, control in enumerate(grid.values())]


def _evaluate(function, choices) -> dict[str, np.ndarray]:
    """Every column over all combinations, shape (states, rows), from the cache if it is there."""
    combinations = [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]
    first = _checked(function, combinations[0], None)
    _check_size(first, len(combinations), choices)
    cached = Path(pooch.os_cache("borrowing-strength"), f"{_content_key(function, choices)}.npz")
    with contextlib.suppress(OSError), np.load(cached) as stored:
        return dict(stored)
    frames = _in_parallel(function, combinations, first)
    if get_ipython():
        clear_output()  # of the progress bar
    stacked = {name: np.stack([frame[name].to_numpy() for frame in frames]) for name in first}
    stacked = {
        name: values if values.dtype.kind in "biuf" else values.astype(str)
        for name, values in stacked.items()
    }
    # Without a home to write into, the grid is computed again next time.
    with contextlib.suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_name(f"{os.getpid()}-{cached.name}")
        np.savez_compressed(partial, **stacked)
        partial.replace(cached)
    return stacked


def _in_parallel(function, combinations, first) -> list:
    global _TASK
    _TASK = (function, combinations, first)
    progress = {"total": len(combinations), "desc": "states", "file": sys.stdout, "delay": 1}
    if "fork" not in multiprocessing.get_all_start_methods():
        return list(tqdm(map(_run, range(len(combinations))), **progress))
    with warnings.catch_warnings():
        # A kernel has threads of its own; the children only compute.
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        # Forked children know functions defined in a notebook; spawned ones would not.
        with multiprocessing.get_context("fork").Pool() as pool:
            frames = pool.imap(_run, range(len(combinations)), chunksize=4)
            return list(tqdm(frames, **progress))


_TASK = None


def _run(position):
    function, combinations, first = _TASK
    return _checked(function, combinations[position], first)


def _checked(function, values, first) -> pd.DataFrame:
    """Return the result of one combination; refuse what cannot be drawn like the first."""
    called = f"{function.__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})"
    try:
        frame = function(**values)
    except Exception as error:
        raise ExploreError(
            f"{called} failed: {type(error).__name__}: {error} "
            "Leave that value out of its control, or let the function handle it."
        ) from error
    if not isinstance(frame, pd.DataFrame) or not len(frame):
        raise ExploreError(f"{called} returned no data frame with rows; return one row per mark.")
    if first is not None and (len(frame), *frame) != (len(first), *first):
        raise ExploreError(
            f"{called} returned {len(frame)} rows of {list(frame)}, the first combination "
            f"{len(first)} rows of {list(first)}. Return the same shape for every combination."
        )
    for name, column in frame.items():
        numeric = pd.api.types.is_numeric_dtype(column)
        if column.isna().any() or (numeric and not np.isfinite(column).all()):
            raise ExploreError(
                f"{called} has missing or infinite values in its column {name}. "
                "Leave such rows out, or replace the values in the function."
            )
        if not str(name).isidentifier() or name in _RESERVED:
            raise ExploreError(f"{called} has a column {name!r}; choose another name for it.")
    return frame


def _check_size(first, n_states, choices):
    # Columns that repeat are stored once: what is certain to be stored is what differs by row.
    varying = sum(first[name].nunique() > 1 for name in first)
    size = 2 * n_states * len(first) * varying
    if size > SIZE_LIMIT:
        steps = " x ".join(f"{len(values)} {name}" for name, values in choices.items())
        raise ExploreError(
            f"{n_states} states ({steps}) of {len(first)} rows and {varying} varying columns take "
            f"about {size:,} bytes; the limit is {SIZE_LIMIT:,}. Offer fewer values per control, "
            "or return fewer rows or columns."
        )


def _content_key(function, choices) -> str:
    digest = hashlib.sha256(repr((choices, sys.version)).encode())
    for part in _foundations(function):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:24]


def _foundations(function):
    """Yield all a result rests on: source and defaults, what it names, this package, numpy."""
    yield inspect.getsource(function).encode()
    yield pickle.dumps((function.__defaults__, function.__kwdefaults__))
    scope = inspect.getclosurevars(function)
    for name, value in sorted({**scope.globals, **scope.nonlocals}.items()):
        yield name.encode()
        if isinstance(value, FunctionType):
            yield inspect.getsource(value).encode()
        elif not isinstance(value, ModuleType):
            yield pickle.dumps(value)
    for path in sorted(HERE.rglob("*.py")):
        yield path.read_bytes()
    for package in (np, pd):
        yield package.__version__.encode()


def _live_spec(chart, columns, n_rows, grid) -> dict:
    """Specification whose rows are looked up among the packed states."""
    names = dict(zip((control for control, _ in _strides(grid)), grid, strict=True))
    state = " + ".join(f"{names[control]} * {stride}" for control, stride in _strides(grid))
    parameters = [{"name": "states", "value": []}]
    parameters += [{"name": name, "value": control.index} for name, control in grid.items()]
    parameters += [{"name": "state", "expr": state or "0"}]
    parameters += [
        {"name": column.name, "expr": column.expression()}
        for column in columns
        if not column.row_stride
    ]
    spec = _without_placeholders(chart.to_dict())
    # What no control changes comes first: the browser then looks it up once.
    look_up = [
        {"calculate": c.expression() if c.row_stride else c.name, "as": c.name}
        for c in sorted(columns, key=lambda column: column.state_stride)
    ]
    transforms = look_up + spec.get("transform", [])
    data = {"sequence": {"start": 0, "stop": n_rows, "as": "row"}}
    if all("calculate" in step for step in transforms):
        constant = {column.name for column in columns if not column.state_stride}
        for layer in _without_data(spec):
            _select_rows_first(layer, spec.get("encoding"), data, transforms, constant)
    together = {**spec, "layer": _without_data(spec)}
    return _with(spec, parameters, data, _needed(look_up, together))


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
        before = _needed(transforms, own[:selecting])
        every = _needed(transforms, [layer, {"encoding": shared_encoding}])
        after = [step for step in every if step not in before]
        layer["data"] = data
        layer["transform"] = before + own[:selecting] + after + own[selecting:]


def _selecting_steps(own, transforms, constant) -> int:
    """Count the first steps of a layer that select its rows by nothing but constants."""
    selecting = 0
    for at, step in enumerate(own, start=1):
        if not {"calculate", "flatten", "filter"} & set(step):
            break
        if any(needed["as"] not in constant for needed in _needed(transforms, own[:at])):
            break
        if "calculate" not in step:
            selecting = at
    return selecting


def _needed(transforms, spec) -> list[dict]:
    """Those of some calculations whose results a part of a chart uses, directly or indirectly."""
    needed, text = [], json.dumps(spec)
    for step in reversed(transforms):
        if re.search(_FIELD.format(step["as"]), text):
            needed.insert(0, step)
            text += step["calculate"]
    return needed


def _without_placeholders(spec) -> dict:
    """Leave out what Altair puts where a chart or layer has no data."""
    layers = [_without_placeholders(layer) for layer in spec.get("layer", [])]
    spec = {key: value for key, value in spec.items() if value != {"name": "empty"}}
    return {**spec, "layer": layers} if layers else spec


def _with(spec, parameters, data, transforms) -> dict:
    parameters = parameters + spec.get("params", [])
    transforms = transforms + spec.get("transform", [])
    return {**spec, "params": parameters, "data": data, "transform": transforms}


def _preset_settings(presets, made) -> list[dict]:
    """Positions that each preset gives its controls; the first preset is set."""
    settings = [{}] if presets else []
    for name, values in presets.items():
        unknown = {key: value for key, value in values.items() if not _offers(made, key, value)}
        if unknown:
            raise ExploreError(
                f"the preset {name!r} sets {unknown}, which the controls do not offer. "
                f"The controls are {', '.join(made)}; add the value to its control."
            )
        settings.append({key: _choices(made[key]).index(value) for key, value in values.items()})
    for name, position in settings[1].items() if presets else ():
        made[name].index = position
    return settings


def _preset_control(presets, widget):
    widget.preset = 1
    control = widgets.Dropdown(
        options=["your own settings", *presets], index=1, description="preset"
    )
    widgets.jslink((control, "index"), (widget, "preset"))
    return control


def _offers(made, name, value):
    return name in made and value in _choices(made[name])


def _players(made) -> dict:
    """Play buttons for the ranges; nothing moves before a reader presses one."""
    players = {}
    for name, control in made.items():
        if isinstance(control, widgets.IntSlider):
            ends = {"min": control.min, "max": control.max, "value": control.value}
            step = max(1, (control.max - control.min) // 50)
            players[name] = widgets.Play(**ends, step=step, interval=40, show_repeat=False)
            widgets.jslink((players[name], "value"), (control, "value"))
    return players


def _static_figure(chart, frame, columns, signals) -> str:
    """Image of the default state, for print and for readers without JavaScript."""
    parameters = [
        {"name": column.name, "value": frame[column.name].tolist()[0]}
        for column in columns
        if not column.row_stride
    ]
    spec = _without_placeholders(chart.to_dict())
    for parameter in spec.get("params", []):
        parameter["value"] = signals.get(parameter["name"], parameter.get("value"))
    rows = frame.assign(row=range(len(frame)))
    spec = _with(spec, parameters, {"values": rows.to_dict("records")}, [])
    svg = vl_convert.vegalite_to_svg({**spec, "width": STATIC_WIDTH})
    image = urllib.parse.quote(svg, safe=" ='/:;,()<>")
    label = html.escape(_static_words(spec, svg), quote=True)
    return (
        f'<figure class="explore-static" hidden><img alt="{label}" '
        f'src="data:image/svg+xml,{html.escape(image, quote=True)}"></figure>'
    )


def _static_words(spec, svg) -> str:
    """Say what a chart shows, without a word about controls, and what its title says."""
    title = ElementTree.fromstring(svg).findall(
        ".//{*}g[@class='mark-text role-title-text']//{*}text"
    )
    said = [" ".join("".join(line.itertext()) for line in text) or text.text for text in title]
    return ". ".join([spec.get("description", "").split(". ")[0].removesuffix("."), *said])
