"""Draw charts when the book is built: pages show them without a script, Vega is for explorers.

A chart arrives as ``<figure class="vega-chart">`` with its Vega-Lite specification and leaves with
two drawings, for a wide and for a narrow place; book.css shows one of them. Text has the page's
colour. A notebook has neither: there a chart is an image on white.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import re
from functools import partial
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import vl_convert

from helpers.charts import image_html

FIGURE = re.compile(
    r'<figure class="vega-chart"[^>]*><script type="application/json">(.*?)</script></figure>', re.S
)
GROUPS = re.compile(
    r'<div class="(?:chart-grid|explore-static)" style="--columns:(?P<columns>\d+)">'
    r"(?P<figures>(?:<figure.*?</figure>)+)</div>",
    re.S,
)
# Pixels of the text column: in a window of 1280 pixels, and on a phone.
COLUMN, PHONE = 700, 350
PLACES = re.compile(r' (?:d|transform|[xy][12]?|c[xy]|r)="[^"]*"')
TOO_EXACT = re.compile(r"(\d+\.\d)\d+")
# Text is measured in the fonts of the build; a reader's may be wider, so there is room beside it.
FRAME = re.compile(r'viewBox="0 0 ([\d.]+) ')
ROOM = 24
# The figure is one image with one label; its parts say nothing.
SILENT = re.compile(r' (?:role|aria-[a-z]+|xmlns:xlink|pointer-events|version)="[^"]*"')
MARKS = re.compile(r'<svg[^>]* class="marks".*?</svg>', re.DOTALL)
CLIP = re.compile(r'(id="|url\(#)clip')


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", open_folder)
    app.connect("html-page-context", draw_charts)
    # After launch.py, which asks for drawings too.
    app.connect("build-finished", prune, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": False}


def open_folder(app):
    """Drawings of earlier builds are used again."""
    app.drawings = Path(app.srcdir, "_build", ".drawings")
    app.drawings.mkdir(parents=True, exist_ok=True)
    app.drawn_now = set()


def prune(app, exception):
    """Remove the drawings that no page has any more."""
    if exception is None:
        for path in set(app.drawings.iterdir()) - app.drawn_now:
            path.unlink()


def draw_charts(app, pagename, templatename, context, doctree):
    """Put drawings in place of specifications."""
    context["body"] = replace_figures(context.get("body", ""), partial(drawn_figure, app))


def draw_images(app, output):
    """Put images in place of the specifications in an output of a notebook."""
    return replace_figures(output, partial(image, app))


def replace_figures(text, draw):
    """Put ``draw(specification, columns)`` in the place of each figure."""

    def group(found):
        figures = found["figures"]
        columns = int(found["columns"])
        return found[0].replace(
            figures, FIGURE.sub(lambda figure: draw(figure[1], columns), figures)
        )

    return with_own_names(FIGURE.sub(lambda figure: draw(figure[1], 1), GROUPS.sub(group, text)))


def with_own_names(body):
    """Name what each drawing clips by as nothing else on the page is named.

    A drawing, or a live chart, would else be clipped by another one's frame, or by none if that
    one is hidden.

    Examples
    --------
    >>> with_own_names('<svg class="marks"><clipPath id="clip0"/></svg>')
    '<svg class="marks"><clipPath id="drawn1-clip0"/></svg>'
    """
    numbers = itertools.count(1)

    def renamed(svg):
        return CLIP.sub(rf"\1drawn{next(numbers)}-clip", svg[0])

    return MARKS.sub(renamed, body)


def drawn_figure(app, payload, columns):
    """Return the figure of a specification."""
    spec = json.loads(payload)
    drawings = {form: drawing(app, spec, width) for form, width in forms(columns).items()}
    spans = "".join(
        f'<span class="{form}" style="aspect-ratio: {shape(svg)}">{svg}</span>'
        for form, svg in drawings.items()
    )
    label = html.escape(label_of(spec, next(iter(drawings.values()))), quote=True)
    return (
        f'<figure class="vega-chart columns-{columns}" role="img" aria-label="{label}">'
        f"{spans}</figure>"
    )


def shape(svg):
    """Return width and height of a drawing, as styles write them.

    Examples
    --------
    >>> shape('<svg class="marks" width="700" height="310" viewBox="-24 0 748 310"/>')
    '700 / 310'
    """
    return " / ".join(re.search(rf' {side}="([^"]*)"', svg)[1] for side in ("width", "height"))


def image(app, payload, columns):
    """Return the image of a specification, as narrow as its neighbours ask for."""
    spec = json.loads(payload)
    svg = drawing(app, spec, COLUMN if columns == 1 else min(forms(columns).values()))
    return image_html(svg, label_of(spec, svg))


def forms(columns):
    """Widths of the drawings where so many charts stand side by side.

    Examples
    --------
    >>> forms(1), forms(2), forms(3)
    ({'wide': 700, 'narrow': 350}, {'narrow': 350}, {'wide': 350, 'narrow': 225})
    """
    if columns == 1:
        return {"wide": COLUMN, "narrow": PHONE}
    return {"narrow": PHONE} if columns == 2 else {"wide": PHONE, "narrow": COLUMN // columns - 8}


def drawing(app, spec, width):
    """Return an SVG of a specification at a width in pixels, if it can be of an earlier build."""
    if spec.get("width") == "container":
        spec = {**spec, "width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
    content = json.dumps([spec, version("vl-convert-python"), __doc__], sort_keys=True)
    path = app.drawings / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.svg"
    app.drawn_now.add(path)
    if not path.exists():
        svg = vl_convert.vegalite_to_svg(spec)
        svg = PLACES.sub(lambda place: TOO_EXACT.sub(r"\1", place[0]), svg)
        path.write_text(SILENT.sub("", svg), encoding="utf-8")
    return FRAME.sub(with_room, path.read_text(encoding="utf-8"), count=1)


def with_room(frame):
    """Widen the frame of a drawing on both sides."""
    return f'viewBox="-{ROOM} 0 {float(frame[1]) + 2 * ROOM:g} '


def label_of(spec, svg):
    """Say what a chart shows, without a word about controls, and what a computed title says."""
    description = spec.get("description", "")
    title = spec.get("title")
    if not (isinstance(title, dict) and isinstance(title.get("text"), dict)):
        return description
    lines = [
        " ".join("".join(line.itertext()) for line in text) or text.text
        for text in ElementTree.fromstring(svg).findall(
            ".//{*}g[@class='mark-text role-title-text']//{*}text"
        )
    ]
    return ". ".join([description.split(". ")[0].removesuffix("."), *lines])
