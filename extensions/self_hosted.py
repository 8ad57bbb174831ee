"""Serve the scripts of the pages from the site itself, each only where and when it is needed.

Every bundle is made or copied at build time from a pinned package. A page with explorers loads one
small script (controls.js); Vega and the states of an explorer follow when it comes near the window,
the widget manager only where a page holds a widget that the small script does not know.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import sys
from importlib.metadata import files, version
from pathlib import Path

import vl_convert
from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
EXPLORE = HERE.parent / "helpers" / "controls"
REQUIRE = HERE / "node_modules" / "requirejs" / "require.js"
MANAGER = HERE / "node_modules" / "@jupyter-widgets" / "html-manager" / "dist" / "embed-amd.js"
ANYWIDGET = Path(sys.prefix, "share", "jupyter", "nbextensions", "anywidget", "index.js")
SCRIPTS = {
    "require.js": REQUIRE,
    "widgets.js": HERE / "widgets.js",
    "embed-amd.js": MANAGER,
    "anywidget.js": ANYWIDGET,
    **{font.name: font for font in MANAGER.parent.glob("*.woff2")},
}
# require.js carries its own licence. The package that holds Vega has none: it is kept here.
LICENCES = {
    "embed-amd.js.LICENSE.txt": MANAGER.parents[1] / "LICENSE",
    "embed.js.LICENSE.txt": MANAGER.with_name("embed.js.LICENSE.txt"),
    "anywidget.js.LICENSE.txt": next(
        Path(file.locate()) for file in files("anywidget") if file.name == "LICENSE"
    ),
    "vega.js.LICENSE.txt": HERE / "vega.LICENSE.txt",
}
# In the order in which controls.js loads them where it has to.
LATER = {"vega": ["vega.js"], "manager": ["vega.js", "require.js", "widgets.js", "embed-amd.js"]}
# In single quotes, as controls.js asks for it: light_pages.py adds a checksum to the others.
# A preload serves the script element that follows even where the server forbids to keep anything.
PRELOAD = '<link rel="preload" as="script" fetchpriority="low" href=\'{}\'>'
STATE_TYPE = "application/vnd.jupyter.widget-state+json"
VIEW = re.compile(r'<script type="application/vnd\.jupyter\.widget-view\+json">(.*?)</script>')
# Rows of controls, as book.css counts them before the controls are there.
CONTROL_HOLDERS = ("BoxModel", "HBoxModel", "VBoxModel")


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", add_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_scripts(app):
    """Write the scripts into the site before its pages, whose links carry their checksums."""
    static = Path(app.outdir, "_static")
    (static / "explorers").mkdir(parents=True, exist_ok=True)
    for name, source in (SCRIPTS | LICENCES).items():
        if not source.exists():
            raise ExtensionError(f"{source} is missing: run `make book`, which installs it")
        shutil.copy(source, static / name)
    widgets = (static / "widgets.js").read_text(encoding="utf-8")
    if "v=CHECKSUM" not in widgets:
        raise ExtensionError("widgets.js should ask for anywidget.js?v=CHECKSUM")
    asked = widgets.replace("v=CHECKSUM", f"v={checksum(static / 'anywidget.js')}")
    (static / "widgets.js").write_text(asked, encoding="utf-8")
    shutil.copy(kept_bundle(Path(app.srcdir, "_build", ".vega")), static / "vega.js")
    (static / "controls.js").write_text(controls_script(), encoding="utf-8")
    shutil.copy(EXPLORE / "explore.css", static / "explore.css")


def kept_bundle(folder):
    """Return the file of Vega's bundle, of an earlier build if that had the same package."""
    path = folder / f"{version('vl-convert-python')}.js"
    if not path.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # Under its name a file is whole, even if the build is interrupted.
        partial = path.with_suffix(".part")
        partial.write_text(vega_bundle(), encoding="utf-8")
        partial.replace(path)
    return path


def vega_bundle():
    """Return Vega, Vega-Lite and Vega-Embed as one script that defines ``window.vegaEmbed``."""
    # The bundle declares hundreds of short names; the function around it keeps them to itself. A
    # module loader on the page would keep it waiting to be required: to the bundle there is none.
    return f"(function (define, require) {{\n{vl_convert.javascript_bundle()}\n}})();\n"


def controls_script():
    """Return controls.js after the widget's module, as one script: modules need a server."""
    module = (EXPLORE / "explore.js").read_text(encoding="utf-8")
    if module.count("export default ") != 1:
        raise ExtensionError("explore.js should have one line `export default {...};`")
    widget = module.replace("export default ", "return ")
    controls = (HERE / "controls.js").read_text(encoding="utf-8")
    return f"window.signalChart = (() => {{\n{widget}}})();\n{controls}"


def add_scripts(app, pagename, templatename, context, doctree):
    """Load the script of controls on the pages that hold some, and put their states aside."""
    body = context.get("body", "")
    if not VIEW.search(body):
        return
    state = next(js for js in app.builder.script_files if js.attributes.get("type") == STATE_TYPE)
    app.builder.script_files.remove(state)
    every = json.loads(state.attributes["body"])
    folder = "../" * pagename.count("/") + "_static/"
    for model in every["state"].values():
        put_aside(app, model)
    context["body"] = VIEW.sub(lambda view: place_of(view, every["state"]), body)
    kept = json.dumps(every, separators=(",", ":")).replace("</", "<\\/")
    later = {
        f"data-{name}": " ".join(folder + versioned(app, script) for script in scripts)
        for name, scripts in LATER.items()
    }
    if aside := aside_at_the_top(body, every["state"]):
        addresses = [later["data-vega"], folder + aside]
        context["metatags"] = context.get("metatags", "") + "".join(map(PRELOAD.format, addresses))
        later["data-top"] = aside
    app.add_css_file("explore.css")
    app.add_js_file("controls.js", loading_method="defer", priority=400, **later)
    context["body"] += f'<script type="{STATE_TYPE}">{kept}</script>'


def aside_at_the_top(body, models):
    """Name the state of the explorer with which a page begins: it is seen without scrolling."""
    view = VIEW.search(body)
    if view.start() > body.find("<h2"):
        return None
    waiting = [model_of(view)]
    while waiting:
        state = models[waiting.pop().removeprefix("IPY_MODEL_")]["state"]
        if "_aside" in state:
            return state["_aside"]
        waiting += state.get("children", [])
    return None


def model_of(view):
    """Return the name of the widget that a view shows."""
    return json.loads(html.unescape(view[1]))["model_id"]


def put_aside(app, model):
    """Move what the chart of an explorer draws from into a script of its own."""
    if not model["state"].get("_anywidget_id", "").endswith(".SignalChart"):
        return
    moved = {name: model["state"].pop(name) for name in ("specs", "_esm", "_css")}
    # Compiled here, a chart is there a quarter of a second sooner on a slow phone.
    moved["specs"] = [vl_convert.vegalite_to_vega(spec) for spec in moved["specs"]]
    content = json.dumps({"state": moved, "buffers": model.pop("buffers", [])})
    name = f"explorers/{hashlib.sha256(content.encode()).hexdigest()[:16]}.js"
    # Whoever asked for the file knows its name: it says which explorer this is.
    script = f"(window.explorerData ??= {{}})[{json.dumps(name)}] = {content};\n"
    Path(app.outdir, "_static", name).write_text(script, encoding="utf-8")
    model["state"]["_aside"] = name


def place_of(view, models):
    """Reserve the room of the controls, so that nothing moves when they are drawn."""
    count = count_controls(model_of(view), models)
    return f'<div class="explore-place" style="--controls: {count}">{view[0]}</div>'


def count_controls(name, models):
    """Count the rows of controls in a widget: a chart, or a control with its button, is one."""
    model = models[name.removeprefix("IPY_MODEL_")]
    children = model["state"].get("children", [])
    rows = "explore-controls" in model["state"].get("_dom_classes", [])
    if model["model_name"] in CONTROL_HOLDERS and not rows:
        return sum(count_controls(child, models) for child in children)
    return len(children)


def versioned(app, name):
    """Return the name of a script with the checksum of its content, as Sphinx writes it."""
    return f"{name}?v={checksum(Path(app.outdir, '_static', name))}"


def checksum(path):
    """Return the first digits of the checksum of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
