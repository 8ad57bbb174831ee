"""Serve the scripts of the pages from the site itself, so that no page asks another host.

Every bundle is made or copied at build time from a pinned package and loaded only by pages that
need it. MathJax is the exception in the second half: Sphinx itself knows which pages have formulas.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import files
from pathlib import Path

import vl_convert
from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
# One file with every TeX extension and all glyphs: nothing is fetched later, not even from disk.
MATHJAX = HERE / "node_modules" / "mathjax" / "es5" / "tex-svg-full.js"
REQUIRE = HERE / "node_modules" / "requirejs" / "require.js"
MANAGER = HERE / "node_modules" / "@jupyter-widgets" / "html-manager" / "dist" / "embed-amd.js"
ANYWIDGET = Path(sys.prefix, "share", "jupyter", "nbextensions", "anywidget", "index.js")
SCRIPTS = {
    "mathjax.js": MATHJAX,
    "charts.js": HERE / "charts.js",
    "require.js": REQUIRE,
    "widgets.js": HERE / "widgets.js",
    "embed-amd.js": MANAGER,
    "anywidget.js": ANYWIDGET,
    **{font.name: font for font in MANAGER.parent.glob("*.woff2")},
}
# require.js carries its own licence. The package that holds Vega has none: it is kept here.
LICENCES = {
    "mathjax.js.LICENSE.txt": MATHJAX.parents[1] / "LICENSE",
    "embed-amd.js.LICENSE.txt": MANAGER.parents[1] / "LICENSE",
    "embed.js.LICENSE.txt": MANAGER.with_name("embed.js.LICENSE.txt"),
    "anywidget.js.LICENSE.txt": next(
        Path(file.locate()) for file in files("anywidget") if file.name == "LICENSE"
    ),
    "vega.js.LICENSE.txt": HERE / "vega.LICENSE.txt",
}
WIDGET_SCRIPTS = ("require.js", "widgets.js", "embed-amd.js")


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_scripts(app):
    """Write the scripts into the site before its pages, whose links carry their checksums."""
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    for name, source in (SCRIPTS | LICENCES).items():
        if not source.exists():
            raise ExtensionError(f"{source} is missing: run `make book`, which installs it")
        shutil.copy(source, static / name)
    (static / "vega.js").write_text(vega_bundle(), encoding="utf-8")


def vega_bundle():
    """Return Vega, Vega-Lite and Vega-Embed as one script that defines ``window.vegaEmbed``."""
    # The bundle declares hundreds of short names; the function around it keeps them to itself.
    return f"(function () {{\n{vl_convert.javascript_bundle()}\n}})();\n"


def add_scripts(app, pagename, templatename, context, doctree):
    """Load the scripts of charts and of controls on the pages that hold some."""
    body = context.get("body", "")
    has_charts = 'class="vega-chart"' in body
    has_widgets = "application/vnd.jupyter.widget-view+json" in body
    # Vega comes before require.js: after it, Vega would wait to be required.
    scripts = ["vega.js"] * (has_charts or has_widgets)
    scripts += ["charts.js"] * has_charts
    scripts += WIDGET_SCRIPTS * has_widgets
    for script in scripts:
        # Before MathJax, which is larger: figures need not wait for formulas.
        app.add_js_file(script, loading_method="defer", priority=400)
