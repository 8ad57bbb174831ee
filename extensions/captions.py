"""Numbered captions for what a cell shows: ``:::{caption} label`` right below the cell.

The caption states the finding. It becomes "Figure 1.3" or "Table 1.2", which {numref}`label` says
elsewhere, and the fold of the figure's code is named after it.
"""

from __future__ import annotations

from docutils import nodes
from docutils.transforms import Transform
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective


class numbered_figure(nodes.General, nodes.Element):
    """A chart or an explorer with its caption."""


class numbered_table(nodes.General, nodes.Element):
    """A table with its caption."""


class finding(nodes.General, nodes.TextElement):
    """The text of a caption."""


class Caption(SphinxDirective):
    """The finding of the cell above."""

    required_arguments = 1
    has_content = True

    def run(self):
        """Return the caption, which a transform puts together with its cell."""
        text = " ".join(self.content).strip()
        if not text:
            raise self.error(f"caption {self.arguments[0]}: say below it what the figure shows.")
        found = finding("", "", *self.state.inline_text(text, self.lineno)[0])
        found["label"] = self.arguments[0]
        self.set_source_info(found)
        return [found]


class JoinCaptions(Transform):
    """Put each caption and the output above it into one numbered node."""

    # Before Sphinx collects what can be referred to.
    default_priority = 400

    def apply(self):
        """Join them."""
        for text in list(self.document.findall(finding)):
            where = text.parent.index(text)
            shown = text.parent[where - 1] if where else None
            if shown is None or not (is_table(shown) or has_output(shown)):
                raise ExtensionError(
                    f"{self.document.settings.env.docname}.md: the caption {text['label']!r} does "
                    "not stand right below a table or a cell that shows something."
                )
            joined = join(shown, text)
            text.parent.replace(shown, joined)
            text.parent.remove(text)
            joined.insert(0 if isinstance(joined, numbered_table) else 1, text)
            self.document.note_explicit_target(joined, joined)


def join(shown, text):
    """Make the node that holds what is shown."""
    kind = numbered_table if is_table(shown) else numbered_figure
    label = text["label"]
    return kind("", shown, ids=[nodes.make_id(label)], names=[nodes.fully_normalize_name(label)])


def has_output(node):
    """Whether a node is a cell that shows something."""
    return any(
        part.get("nb_element") == "cell_code_output" for part in node.findall(nodes.container)
    )


def is_table(node):
    """Whether a node shows a table: one of the text, or one that a cell has made."""
    written = next(iter(node.findall(nodes.table)), None)
    made = any("<table" in raw.astext() for raw in node.findall(nodes.raw))
    return written is not None or made


class NameFolds(SphinxPostTransform):
    """Name the folds of code after their figures."""

    # Before MyST-NB makes the folds.
    default_priority = 190
    formats = ("html",)

    def run(self, **kwargs):
        """Name them."""
        for kind in (numbered_figure, numbered_table):
            for joined in self.document.findall(kind):
                name = number(self.env, self.env.docname, joined["ids"][0])
                for cell in joined.findall(nodes.container):
                    if cell.get("hide_mode") == "input":
                        cell["prompt_show"] = f"Show the code of {name}"
                        cell["prompt_hide"] = f"Hide the code of {name}"


def number(env, docname, name):
    """Say a figure's or a table's name and number, as in "Figure 1.3".

    Parameters
    ----------
    env : sphinx.environment.BuildEnvironment
    docname, name : str
        Page and identifier.

    Returns
    -------
    str
    """
    for kind, numbers in env.toc_fignumbers[docname].items():
        if name in numbers:
            return env.config.numfig_format[kind] % ".".join(map(str, numbers[name]))
    raise KeyError(name)


def number_of_label(env, label):
    """Say a figure's or a table's name and number by its label."""
    docname, name = env.get_domain("std").anonlabels[label]
    return number(env, docname, name)


def setup(app):
    """Connect to Sphinx."""
    for kind, name in ((numbered_figure, "figure"), (numbered_table, "table")):
        app.add_enumerable_node(kind, name, title_of, html=(visit_numbered, depart_numbered))
    app.add_node(finding, html=(visit_finding, depart_finding))
    app.add_directive("caption", Caption)
    app.add_transform(JoinCaptions)
    app.add_post_transform(NameFolds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def title_of(node):
    """Return a caption's text."""
    return next(iter(node.findall(finding))).astext()


def visit_numbered(self, node):
    """Open the figure."""
    self.body.append(self.starttag(node, "figure", CLASS="numbered"))


def depart_numbered(self, node):
    """Close the figure."""
    self.body.append("</figure>\n")


def visit_finding(self, node):
    """Write the number."""
    name = number(self.builder.env, self.builder.current_docname, node.parent["ids"][0])
    self.body.append(f'<figcaption><span class="caption-number">{name}.</span> ')


def depart_finding(self, node):
    """Close the caption."""
    self.add_permalink_ref(node.parent, "Link to this")
    self.body.append("</figcaption>\n")
