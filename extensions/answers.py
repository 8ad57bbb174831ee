"""Let pages take answers: fingerprints for the exercises, the list of all questions, the script.

The page *Progress* lists every question of the book; what the reader answered is kept in the
reader's own browser alone and never leaves it.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import zlib
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import questions
from classroom import pages

# Students get this module as a file beside their notebooks, so it is in no package.
sys.path.append(str(Path(__file__).parents[1] / "chapters" / "exercises"))
from checks import HINTS, ROUNDS, make_key  # noqa: E402

HERE = Path(__file__).parent
ASSETS = ("answers.js", "answers.css")
KINDS = {
    "predict": "Predict",
    "check": "Check yourself",
    "exercise": "Exercise",
    "text": "In your words",
}
ASKED = (questions.question, questions.answer_box, questions.text_answer)


class progress(nodes.General, nodes.Element):
    """The list of all questions."""


class Progress(SphinxDirective):
    """List all questions of the book and what the reader answered."""

    def run(self):
        """Return the list's node."""
        return [progress()]


def setup(app):
    """Connect to Sphinx."""
    questions.setup_nodes(app)
    app.add_node(progress, html=(visit_progress, questions.nothing))
    app.add_directive("progress", Progress)
    app.connect("builder-inited", copy_assets)
    app.connect("doctree-read", questions.wrap_predicted)
    app.connect("doctree-read", name_text_answers)
    app.connect("doctree-read", fill_boxes)
    app.connect("doctree-read", list_questions)
    app.connect("env-purge-doc", forget_questions)
    app.connect("env-merge-info", merge_questions)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}


def copy_assets(app):
    """Write script and style into the site before its pages, whose links carry their checksums."""
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    for name in ASSETS:
        shutil.copy(HERE / name, static)


def name_text_answers(app, doctree):
    """Name each place to write after its section."""
    for place in doctree.findall(questions.text_answer):
        place["ids"] = [f"text-{place.parent['ids'][0]}"]


def fill_boxes(app, doctree):
    """Give the boxes of an exercise their shape, and the page the fingerprints of its answers."""
    found = list(doctree.findall(questions.answer_box))
    if not found:
        return
    # The very text that the page's notebook holds: no more can be read off the page.
    key = make_key(pages.executed_record(app, app.env.docname))
    prints = json.loads(zlib.decompress(base64.b64decode(key)))
    for box in found:
        expected = prints[box["name"]]["print"]
        box["first"] = box is found[0]
        box["answer_kind"], box["shape"] = expected["kind"], expected["shape"]
    rounds, hints = ROUNDS, list(HINTS.items())
    content = json.dumps({"key": key, "rounds": rounds, "hints": hints})
    script = f'<script type="application/json" id="answer-key">{content}</script>\n'
    doctree[-1] += nodes.raw("", script, format="html")


def list_questions(app, doctree):
    """Remember the questions of a page, for the page Progress."""
    found = [
        {"id": node["ids"][0], "kind": kind_of(node), "text": text_of(node)}
        for node in doctree.findall(lambda node: isinstance(node, ASKED))
    ]
    names = [entry["id"] for entry in found]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ExtensionError(f"{app.env.docname}.md asks twice: {', '.join(sorted(doubled))}.")
    if found:
        all_questions(app.env)[app.env.docname] = found


def all_questions(env):
    """Return the questions by page; kept with Sphinx's environment."""
    if not hasattr(env, "course_questions"):
        env.course_questions = {}
    return env.course_questions


def forget_questions(app, env, docname):
    """Forget the questions of a page that is read anew."""
    all_questions(env).pop(docname, None)


def merge_questions(app, env, docnames, other):
    """Take over the questions that another process found."""
    all_questions(env).update(all_questions(other))


def kind_of(node):
    """Name the kind of a question, as in its HTML."""
    names = {questions.answer_box: "exercise", questions.text_answer: "text"}
    return names.get(type(node)) or node["kind"]


def text_of(node):
    """Say in plain text what is asked: an exercise by its section, then by its answer."""
    if isinstance(node, questions.question):
        return node[0].astext()
    section = node.parent[0].astext()
    return f"{section}: {node['label']}" if isinstance(node, questions.answer_box) else section


def visit_progress(self, node):
    """Write all questions, in the order of the contents, a list for each page."""
    env = self.builder.env
    asked = all_questions(env)
    self.body.append(PROGRESS)
    for page in pages_in_order(env):
        if page not in asked:
            continue
        address = self.builder.get_relative_uri(self.builder.current_docname, page)
        items = "".join(progress_item(page, address, entry) for entry in asked[page])
        title = escape(env.titles[page].astext())
        self.body.append(f"<h2>{title}</h2>\n<ul>{items}</ul>\n")
    self.body.append("</div>\n")


def pages_in_order(env):
    """List the pages as the contents do."""
    ordered, rest = [], [env.config.root_doc]
    while rest:
        page = rest.pop(0)
        ordered.append(page)
        rest = env.toctree_includes.get(page, []) + rest
    return ordered


def progress_item(page, address, entry):
    """Write one question of the list."""
    return (
        f'<li data-question="{page}#{entry["id"]}">'
        f'<span class="progress-kind">{KINDS[entry["kind"]]}</span> '
        f'<a href="{address}#{entry["id"]}">{escape(entry["text"])}</a> '
        '<span class="progress-state">not answered</span></li>\n'
    )


PROGRESS = """\
<div class="progress-list">
<p class="without-script">No scripts run here, so nothing is kept: this is only a list.</p>
<p class="progress-summary" role="status"></p>
<p class="needs-script"><button type="button" class="progress-clear">Clear my answers</button>
<button type="button" class="progress-download">Download what I wrote</button></p>
<p class="needs-script"><label><input type="checkbox" class="progress-open">
Show at once what predictions hide</label></p>
"""


def add_scripts(app, pagename, templatename, context, doctree):
    """Load the script where something is asked."""
    body = context.get("body", "")
    if 'class="asked ' in body or 'class="progress-list' in body:
        app.add_css_file("answers.css")
        app.add_js_file(None, body=FIRST, priority=100)
        app.add_js_file("answers.js", loading_method="defer", onerror=WITHOUT, priority=450)


# Before anything is drawn, so that what waits is not shown for a moment.
FIRST = "document.documentElement.classList.add('asks')"
WITHOUT = "document.documentElement.classList.remove('asks')"
