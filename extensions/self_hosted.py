"""Serve the scripts of the pages from the site itself, so that no page asks another host.

Every bundle is made or copied at build time from a pinned package and loaded only by pages that
need it. MathJax is the exception in the second half: Sphinx itself knows which pages have formulas.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import vl_convert
from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
# One file with every TeX extension and all glyphs: nothing is fetched later, not even from disk.
MATHJAX = HERE / "node_modules" / "mathjax" / "es5" / "tex-svg-full.js"


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", add_chart_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_scripts(app):
    """Write the scripts into the site before its pages, whose links carry their checksums."""
    if not MATHJAX.exists():
        raise ExtensionError(f"{MATHJAX} is missing: run `make book`, which installs it")
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    shutil.copy(MATHJAX, static / "mathjax.js")
    shutil.copy(HERE / "charts.js", static / "charts.js")
    (static / "vega.js").write_text(vega_bundle(), encoding="utf-8")


def vega_bundle():
    """Return Vega, Vega-Lite and Vega-Embed as one script that defines ``window.vegaEmbed``."""
    # The bundle declares hundreds of short names; the function around it keeps them to itself.
    return f"(function () {{\n{vl_convert.javascript_bundle()}\n}})();\n"


def add_chart_scripts(app, pagename, templatename, context, doctree):
    """Load the chart scripts on pages that hold a chart."""
    if 'class="vega-chart"' in context.get("body", ""):
        app.add_js_file("vega.js", loading_method="defer")
        app.add_js_file("charts.js", loading_method="defer")
