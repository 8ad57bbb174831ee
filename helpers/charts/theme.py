"""How every figure looks, and how it reaches the page.

Text and axes take the page's own text colour, so light and dark mode need no second chart. The
three colours of pooling are from Okabe & Ito's palette, told apart by colour-blind readers and at
least 3:1 against white and against the dark page; shape and dash tell them apart as well.
"""

from __future__ import annotations

import base64
import html
import json
import os
import sys
from collections.abc import Callable

import altair as alt

from helpers.tables import POOLINGS

POOLING_COLOURS = {pooling.name: pooling.color for pooling in POOLINGS}
POOLING_DASHES = {pooling.name: pooling.dash for pooling in POOLINGS}
POOLING_SHAPES = {pooling.name: pooling.shape for pooling in POOLINGS}
POOLING_COLUMNS = {pooling.column: pooling.name for pooling in POOLINGS}
QUIET = "#8a8a8a"
#: Legends of lines: strokes, not points.
# Long enough for two of the longest dashes.
STROKES = {"symbolType": "stroke", "symbolStrokeWidth": 2.5, "symbolSize": 256}
# Set by the book's build; its kernels inherit it.
BUILDS_THE_BOOK = "BORROWING_STRENGTH_BUILD"
# JupyterLab draws Vega-Lite up to this version; it would prefer HTML, which only the page can draw.
LIVE_MIME_TYPE = "application/vnd.vegalite.v5+json"
LIVE_WIDTH = 600
# Of that, what axes and gaps take where charts stand side by side.
AROUND = 50
HEIGHT = 320


def pooling_color(**legend) -> alt.Color:
    """Colour by the column ``pooling``: the same three colours in every figure."""
    return alt.Color(
        "pooling:N", scale=_by_pooling(POOLING_COLOURS.values()), legend=_legend(legend)
    )


def pooling_dash(**legend) -> alt.StrokeDash:
    """Dash by the column ``pooling``, for readers who see no colour."""
    return alt.StrokeDash(
        "pooling:N", scale=_by_pooling(POOLING_DASHES.values()), legend=_legend(legend)
    )


def unlisted_dash() -> alt.StrokeDashValue:
    """Dash by the column ``pooling``, where the legend shows points and not lines."""
    tests = [
        {"test": f"datum.pooling == '{name}'", "value": dash}
        for name, dash in POOLING_DASHES.items()
    ]
    return alt.StrokeDashValue([1, 0], condition=tests)


def pooling_shape(**legend) -> alt.Shape:
    """Shape by the column ``pooling``, for readers who see no colour."""
    return alt.Shape(
        "pooling:N", scale=_by_pooling(POOLING_SHAPES.values()), legend=_legend(legend)
    )


def exact_scale(low, high) -> alt.Scale:
    """Scale with these ends, neither rounded nor widened to zero."""
    return alt.Scale(domain=[low, high], nice=False, zero=False)


def number_tooltips(*fields: str, digits: int = 3, **titled: str) -> list[alt.Tooltip]:
    """Tooltips of numbers, all with as many digits; some fields with another title."""
    titles = {**{field: field for field in fields}, **titled}
    return [
        alt.Tooltip(f"{field}:Q", title=title, format=f".{digits}f")
        for field, title in titles.items()
    ]


def coefficient_title(effect: str) -> str:
    """Title of a panel about one coefficient of all clusters."""
    return "Intercepts" if effect == "Intercept" else f"Slopes of {effect}"


def effect_title(effect: str) -> str:
    """Title of an axis with an effect of all clusters."""
    return "intercept" if effect == "Intercept" else f"slope of {effect}"


def _by_pooling(values) -> alt.Scale:
    return alt.Scale(domain=list(POOLING_COLOURS), range=list(values))


def _legend(options) -> alt.Legend:
    # "complete" for "complete pooling": the whole legend then fits on a phone.
    usual = {"title": "pooling:", "labelExpr": "replace(datum.label, ' pooling', '')"}
    return alt.Legend(titleOrient="left", **(usual | options))


@alt.theme.register("course", enable=True)
def course_theme() -> alt.theme.ThemeConfig:
    """Altair theme of the course."""
    text = {"labelColor": "currentColor", "titleColor": "currentColor"}
    line = {"domainColor": "currentColor", "tickColor": "currentColor"}
    grid = {"gridColor": "currentColor", "gridOpacity": 0.12}
    return {
        "config": {
            "background": "transparent",
            "font": "system-ui, sans-serif",
            "view": {"stroke": None, "continuousHeight": HEIGHT},
            "axis": {**text, **line, **grid, "labelFontSize": 12, "titleFontSize": 13},
            "legend": {**text, "orient": "top", "labelFontSize": 13, "titleFontWeight": "normal"},
            "header": {**text, "labelFontSize": 13},
            "title": {"color": "currentColor", "fontSize": 14, "anchor": "start"},
            "text": {"color": "currentColor", "fontSize": 12},
            "rule": {"color": "currentColor"},
            "range": {"category": list(POOLING_COLOURS.values())},
            # One label per figure, not one per point, for readers who listen.
            "mark": {"aria": False},
            # A reader's font may be wider than the one in which labels are measured.
            "axisX": {"aria": False, "labelSeparation": 10},
            "axisY": {"aria": False},
        }
    }


def page_html(spec: dict) -> str:
    """Figure element that the site's script draws; its label is the chart's description."""
    label = html.escape(spec.get("description", ""), quote=True)
    # "</" inside a script element would end it.
    payload = json.dumps(spec, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<figure class="vega-chart" role="img" aria-label="{label}">'
        f'<script type="application/json">{payload}</script></figure>'
    )


def image_html(svg: str, label: str) -> str:
    """Image element that shows without a script, on white whatever is around it.

    Parameters
    ----------
    svg : str
        A drawing.
    label : str
        What it shows, for readers who do not see it.

    Returns
    -------
    str
        An ``<img>`` on white.

    Examples
    --------
    >>> image_html("<svg></svg>", "A <point>")[-22:]
    'alt="A &lt;point&gt;">'
    """
    on_white = svg.replace(
        ">", '><rect x="-50%" width="200%" height="100%" fill="white"></rect>', 1
    )
    source = base64.b64encode(on_white.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{source}" alt="{html.escape(label, quote=True)}">'


def _bundle(description: str, page: str, live_spec: Callable[[], dict]) -> dict:
    """Give the built page its figure, JupyterLab the chart it draws itself, Colab HTML."""
    if BUILDS_THE_BOOK in os.environ:
        return {"text/html": page, "text/plain": description}
    chart = live_spec()
    # An output cell of JupyterLab grows with its chart, so a chart that fills it never settles.
    live = chart | {"width": LIVE_WIDTH} if chart.get("width") == "container" else chart
    if "google.colab" in sys.modules:
        with alt.renderers.enable("colab"):
            return alt.renderers.get()(live)
    return {LIVE_MIME_TYPE: live, "text/plain": description}


def _course_renderer(spec: dict, **metadata) -> tuple[dict, dict]:
    # A reader's own chart may have no description; tests see to it that every figure of ours has.
    description = spec.get("description", "A chart without a description.")
    return _bundle(description, page_html(spec), lambda: spec), {}


class ChartGrid:
    """Charts side by side on a wide page, below each other on a narrow one.

    Parameters
    ----------
    *charts : altair.Chart
        Charts with descriptions.
    columns : int
        Columns where there is room, and in JupyterLab.

    Examples
    --------
    >>> chart = alt.Chart().mark_point().properties(description="A point.")
    >>> len(ChartGrid(chart, chart, columns=2).charts)
    2
    """

    def __init__(self, *charts: alt.TopLevelMixin, columns: int = 2):
        self.charts = charts
        self.columns = columns

    def _repr_mimebundle_(self, include=None, exclude=None):
        specs = [chart.to_dict() for chart in self.charts]
        description = " ".join(spec.get("description", "") for spec in specs)
        figures = "".join(page_html(spec) for spec in specs)
        page = f'<div class="chart-grid" style="--columns:{self.columns}">{figures}</div>'
        return _bundle(description, page, lambda: self._live_spec(description)), {}

    def _live_spec(self, description) -> dict:
        width = LIVE_WIDTH // self.columns - AROUND
        live = [chart.properties(width=width) for chart in self.charts]
        grid = alt.concat(*live, columns=self.columns)
        return grid.properties(description=description).to_dict()


alt.renderers.register("course", _course_renderer)
alt.renderers.enable("course")
