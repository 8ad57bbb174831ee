"""Charts with controls that answer without Python: on the published page, and live.

:func:`explore` calls a function over the whole grid of its controls, packs the results into one
array of 16-bit integers, and links ipywidgets, in the browser, to one small widget that draws
charts (:file:`explore.js`). A control sets a Vega signal; a chart itself looks up its rows. The
published page draws the same widgets with a script of its own (:file:`extensions/controls.js`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import altair as alt
import anywidget
import ipywidgets as widgets
import pandas as pd
import traitlets
from IPython.display import HTML, display

from helpers.charts import BUILDS_THE_BOOK, LIVE_WIDTH, ChartGrid, image_html
from helpers.controls.chart import first_state_spec, live_spec
from helpers.controls.controls import (
    check_folds,
    choices,
    linked_trait,
    make_control,
    names_chosen,
    players,
    position,
    preset_control,
    preset_settings,
    set_defaults,
    strides,
)
from helpers.controls.grid import compress, evaluate, pack

HERE = Path(__file__).parent
# JupyterLab's message in the place of a widget whose kernel is gone; the picture below it stays.
RUN_THE_CELL = "Run the cell: its controls need a kernel."
NO_MESSAGE = """<style>
.jp-OutputArea-child:has(+ * .explore-still) > .jupyter-widgets:not(:has(*)) { display: none }
</style>"""


class SignalChart(anywidget.AnyWidget):
    """Vega-Lite charts whose signals follow the widget's traits of the same name."""

    _esm = HERE / "explore.js"
    _css = HERE / "explore.css"
    specs = traitlets.List().tag(sync=True)
    states = traitlets.Bytes().tag(sync=True)
    presets = traitlets.List().tag(sync=True)
    preset = traitlets.Int(0).tag(sync=True)
    columns = traitlets.Int(0).tag(sync=True)
    moving = traitlets.List().tag(sync=True)

    def __init__(self, signals: Mapping[str, int], **traits):
        super().__init__(**traits)
        self.add_traits(**{name: traitlets.Int(at).tag(sync=True) for name, at in signals.items()})
        self.on_msg(_send_vega)


def _send_vega(widget, content, buffers) -> None:
    """Answer a page that has no Vega of its own, as JupyterLab; the published page has."""
    import vl_convert

    widget.send({"vega": vl_convert.javascript_bundle()})


class Explorer:
    """Controls and chart; made by :func:`explore` and shown as the last value of a cell.

    Attributes
    ----------
    controls : dict of str to widget
        The controls by name.
    chart : SignalChart
        The widget that draws.
    first_state : list of dict
        Vega-Lite specifications of the state it starts with: the site draws them into the page, for
        print, for readers without JavaScript, and until the chart is there.
    """

    def __init__(self, controls, chart, play_buttons, first_state, folds):
        self.controls = controls
        self.chart = chart
        self.first_state = first_state
        rows = {
            name: widgets.HBox([control, play_buttons[name]]) if name in play_buttons else control
            for name, control in controls.items()
        }
        folded = [_panel(rows.pop(name) for name in names) for names in folds.values()]
        parts = [_panel(rows.values()), chart]
        if folds:
            parts.append(widgets.Accordion(folded, titles=list(folds), selected_index=None))
        self._view = widgets.VBox(parts).add_class("explore")

    @property
    def values(self) -> dict:
        """Present value of each control; in a live kernel it follows the sliders."""
        return {name: control.value for name, control in self.controls.items()}

    def _ipython_display_(self):
        if BUILDS_THE_BOOK not in os.environ:
            self._display_live()
            return
        display(self._view)
        figures = "".join(_figure(spec) for spec in self.first_state)
        columns = self.chart.columns or 1
        style = f'class="explore-static" style="--columns:{columns}"'
        display(HTML(f"<div {style}>{figures}</div>"))

    def _display_live(self):
        """Show the widget, and below it a picture that it hides while its kernel is there."""
        display({**self._view._repr_mimebundle_(), "text/plain": RUN_THE_CELL}, raw=True)
        pictures = "".join(_picture(spec, self.chart.columns or 1) for spec in self.first_state)
        display(HTML(f'{NO_MESSAGE}<div class="explore-still">{pictures}</div>'))


def _panel(rows) -> widgets.Box:
    return widgets.Box(list(rows)).add_class("explore-controls")


def _picture(spec, columns: int) -> str:
    import vl_convert

    if spec.get("width") == "container":
        spec = {**spec, "width": LIVE_WIDTH // columns}
    return image_html(vl_convert.vegalite_to_svg(spec), spec.get("description", ""))


def _figure(spec) -> str:
    # "</" inside a script element would end it.
    payload = json.dumps(spec, separators=(",", ":")).replace("</", "<\\/")
    return f'<figure class="vega-chart"><script type="application/json">{payload}</script></figure>'


def explore(
    function: Callable[..., pd.DataFrame],
    chart: alt.TopLevelMixin | ChartGrid,
    *,
    presets: Mapping[str, Mapping] | None = None,
    folds: Mapping[str, Sequence[str]] | None = None,
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
    folds : mapping, optional
        ``{title: [control, ...]}``: controls that stay folded below the chart until a reader opens
        them.
    **controls
        A sequence of numbers makes a slider; a sequence of strings makes buttons or a drop-down
        list; a mapping of labels to values makes one of them; a bool makes a box to tick. One of
        ipywidgets' own selections, integer sliders or checkboxes is taken as it is. Where
        `function` has a default, the control starts there. A control named like a parameter of
        `chart` is not handed to `function` and needs no Python: its parameter becomes the position
        in a sequence, or, for a tuple ``(low, high)`` of integers, the number chosen on a slider
        that can play.

    Returns
    -------
    Explorer

    Raises
    ------
    TypeError
        If a control is none of the above, or a fold names no control.
    ExploreError
        If a combination fails, frames differ in shape, a value is missing or infinite, a column has
        the name of a control, or the packed states are too large.

    Notes
    -----
    Numbers are rounded to one of 65,535 steps between a column's smallest and largest value.
    Results are kept in the user's cache, named after the content of the function, the controls
    and the package; without a place that can be written, they are computed each time.

    Examples
    --------
    >>> chart = alt.Chart().mark_point().encode(x="x:Q", y="y:Q").properties(description="line")
    >>> line = lambda slope: pd.DataFrame({"x": [0, 1], "y": [0, slope]})
    >>> explore(line, chart, slope=[1, 2, 3]).values
    {'slope': 1}
    """
    charts = chart.charts if isinstance(chart, ChartGrid) else [chart]
    made = {name: make_control(name, values) for name, values in controls.items()}
    in_browser = {parameter.name: parameter for part in charts for parameter in _parameters(part)}
    grid = {name: control for name, control in made.items() if name not in in_browser}
    set_defaults(made, function, in_browser)
    settings = preset_settings(presets or {}, made)
    check_folds(folds or {}, made)
    offered = {name: choices(control) for name, control in grid.items()}
    frames = evaluate(function, offered, {*made, *in_browser})
    columns, states = pack(frames)
    signals = {name: position(control) for name, control in made.items()}
    steps, n_rows = strides(grid), next(iter(frames.values())).shape[1]
    specs = [part.to_dict() for part in charts]
    widget = SignalChart(
        signals,
        specs=[live_spec(spec, columns, n_rows, steps, signals) for spec in specs],
        states=compress(states),
        presets=settings,
        columns=getattr(chart, "columns", 0),
        moving=[*(["preset"] if presets else []), *names_chosen(made)],
    )
    for name, control in made.items():
        widgets.jslink((control, linked_trait(control)), (widget, name))
    first = sum(signals[name] * step for name, step in steps.items())
    frame = pd.DataFrame({c.name: c.unpack(states, first, n_rows) for c in columns})
    first_state = [first_state_spec(spec, frame, columns, signals) for spec in specs]
    if presets:
        made = {"preset": preset_control(presets, widget), **made}
    return Explorer(made, widget, players(made, specs), first_state, folds or {})


def _parameters(chart):
    found = [] if chart.to_dict(validate=False).get("params") is None else chart.params
    return [parameter for parameter in found if isinstance(parameter.name, str)]
