"""Draw formulas when the book is built: no page loads MathJax, which is larger than all else.

MathJax itself draws them, in one node process per build; a hidden MathML copy is read aloud.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.math import get_node_equation_number, wrap_displaymath

HERE = Path(__file__).parent
# Wider formulas scroll on a phone, so keys must reach them; in units of the font's x-height.
WIDE = 34


def setup(app):
    """Connect to Sphinx, which prefers this renderer to MathJax in the browser."""
    app.add_html_math_renderer("drawn", (visit_inline, None), (visit_display, None))
    app.connect("build-finished", stop)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@cache
def drawing_process():
    """Start node once per build."""
    node = Path(sys.executable).with_name("node")
    return subprocess.Popen(
        [node, HERE / "formulas.js"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, encoding="utf-8",
    )  # fmt: skip


def stop(app, exception):
    """End the process with the build."""
    if drawing_process.cache_info().currsize:
        with drawing_process() as process:
            process.stdin.close()
        drawing_process.cache_clear()
        drawn.cache_clear()


@cache
def drawn(tex: str, display: bool) -> str:
    """Return a formula as HTML.

    Parameters
    ----------
    tex : str
        In MathJax's dialect of TeX.
    display : bool
        On lines of its own.

    Raises
    ------
    sphinx.errors.ExtensionError
        If it is no TeX.
    """
    process = drawing_process()
    process.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
    process.stdin.flush()
    markup = json.loads(process.stdout.readline() or '"data-mjx-error=\\"node has ended\\""')
    if error := re.search(r'data-mjx-error="([^"]*)"', markup):
        raise ExtensionError(f"the formula {tex!r} cannot be drawn: {html.unescape(error[1])}")
    wide = display and float(re.search(r'<svg[^>]* width="([\d.]+)ex"', markup)[1]) > WIDE
    return markup.replace("<mjx-container ", '<mjx-container tabindex="0" ', 1) if wide else markup


def visit_inline(self, node):
    """Draw a formula in a line of text."""
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(drawn(node.astext(), display=False) + "</span>")
    raise nodes.SkipNode


def visit_display(self, node):
    """Draw a formula on lines of its own."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    text = node.astext()
    tex = text if node["nowrap"] else wrap_displaymath(text, None, False)
    self.body.append(drawn(unwrapped(tex), display=True) + "</div>\n")
    raise nodes.SkipNode


def unwrapped(tex: str) -> str:
    r"""Leave out dollars, brackets and the environment equation*, which only say "on its own".

    Examples
    --------
    >>> unwrapped(r"\begin{equation*}\begin{split}x\end{split}\end{equation*}")
    '\\begin{split}x\\end{split}'
    """
    tex = tex.strip()
    for start, end in (("$$", "$$"), (r"\[", r"\]"), (r"\begin{equation*}", r"\end{equation*}")):
        if tex.startswith(start) and tex.endswith(end):
            tex = tex[len(start) : -len(end)].strip()
    return tex
