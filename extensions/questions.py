"""Questions that take the reader's answer: Predict, Check yourself, and the exercises' own.

A page asks with the directives ``predict`` and ``check-yourself``; the pages of exercises with
``answer-box`` and ``text-answer``, which ``classroom.pages`` writes. Everything is on the page that
is built; answers.js hides what comes later, so paper and browsers without scripts show it all.
"""

from __future__ import annotations

import ast
import re
import textwrap
from html import escape
from itertools import pairwise
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from captions import has_output

CHOICE = re.compile(r"- \[(?P<mark>[ x])\] (?P<label>.+)")
WORDS_IN_ID = 6
NOTE = """\
<p class="needs-script">Work it out in the notebook, then type here what you found. The page knows
the answers for its own seed; the notebook of a class has another.</p>
"""


class question(nodes.General, nodes.Element):
    """A question with its choices, or with a slider."""


class question_text(nodes.General, nodes.TextElement):
    """What is asked."""


class choice(nodes.General, nodes.Element):
    """One of several answers: its label, and perhaps the reason why it is right or wrong."""


class choice_label(nodes.General, nodes.TextElement):
    """What stands beside the radio button."""


class reason(nodes.General, nodes.Element):
    """Why a choice is right or wrong."""


class predicted(nodes.General, nodes.Element):
    """The part of the page that "Show me" shows."""


class answer_box(nodes.General, nodes.Element):
    """Boxes for an answer of an exercise; filled in once the reference has run."""


class text_answer(nodes.General, nodes.Element):
    """A place to write an answer that a teacher reads."""


class Question(SphinxDirective):
    """What Predict and Check yourself have in common: a question, choices in its body."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    kind: str
    title: str

    def run(self):
        """Return the question's node."""
        text = question_text("", "", *self.inline(self.arguments[0]))
        words = nodes.make_id(text.astext()).split("-")[:WORDS_IN_ID]
        asked = question("", text, kind=self.kind, title=self.title)
        asked["ids"] = ["-".join([self.kind, *words])]
        self.set_source_info(asked)
        before, choices = split_choices(list(self.content))
        self.parse(before, asked)
        asked["choices"] = len(choices)
        for number, (right, label, why) in enumerate(choices, start=1):
            asked += self.choice(number, right, label, why)
        self.look_over(asked, choices)
        return [asked]

    def look_over(self, asked, choices):
        """Refuse a question that could not be answered."""
        raise NotImplementedError

    def choice(self, number, right, label, why):
        """Make the node of one choice."""
        made = choice("", choice_label("", "", *self.inline(label)), number=number, right=right)
        if any(why):
            made += reason(right=right)
            self.parse(why, made[-1])
        return made

    def inline(self, text):
        """Parse a line of text."""
        return self.state.inline_text(text, self.lineno)[0]

    def parse(self, lines, parent):
        """Parse paragraphs into a node."""
        if any(lines):
            text = StringList(lines, source=self.get_source_info()[0])
            self.state.nested_parse(text, self.content_offset, parent)


class CheckYourself(Question):
    """Choices; each opens the reason why it is right or wrong."""

    kind, title = "check", "Check yourself"

    def look_over(self, asked, choices):
        """Refuse a question without one right choice, or a choice without a reason."""
        if len(choices) < 2 or sum(right for right, *_ in choices) != 1:
            raise self.error(
                "check-yourself needs two choices or more, one of them right: write "
                '"- [ ] wrong" and "- [x] right", each with its reason indented below.'
            )
        for _, label, why in choices:
            if not any(why):
                raise self.error(f'check-yourself: the choice "{label}" has no reason below it.')


class Predict(Question):
    """Choices or a slider; what follows on the page waits for "Show me"."""

    kind, title = "predict", "Predict"
    option_spec: ClassVar[dict] = {
        "range": lambda text: read_range(text),
        "unit": directives.unchanged,
        "axis": lambda text: directives.choice(text, ("x", "y")),
        "chart": directives.unchanged_required,
        "cells": directives.nonnegative_int,
    }

    def look_over(self, asked, choices):
        """Refuse a prediction that cannot be made."""
        if (len(choices) >= 2) == ("range" in self.options):
            raise self.error(
                'predict needs either two choices or more ("- [ ] this", "- [x] that") or a slider '
                '(":range: 0, 10, 1": lowest, highest, step).'
            )
        if sum(right for right, *_ in choices) > 1:
            raise self.error("predict: at most one choice can be right.")
        asked.attributes |= {"cells": 1} | self.options


def split_choices(lines):
    """Divide the body of a question.

    Parameters
    ----------
    lines : list of str

    Returns
    -------
    before : list of str
        Text ahead of the first choice.
    choices : list of tuple
        (whether it is right, its label, the lines of its reason).

    Examples
    --------
    >>> split_choices(["Think.", "- [ ] No", "- [x] Yes", "  Because."])
    (['Think.'], [(False, 'No', []), (True, 'Yes', ['Because.'])])
    """
    starts = [number for number, line in enumerate(lines) if CHOICE.fullmatch(line)]
    choices = []
    for start, end in pairwise([*starts, len(lines)]):
        found = CHOICE.fullmatch(lines[start])
        why = textwrap.dedent("\n".join(lines[start + 1 : end])).strip("\n").splitlines()
        choices.append((found["mark"] == "x", found["label"], why))
    return lines[: starts[0] if starts else len(lines)], choices


def read_range(text):
    """Read the lowest value, the highest and the step of a slider.

    Examples
    --------
    >>> read_range("0, 10, 0.5")
    ['0', '10', '0.5']
    """
    parts = [part.strip() for part in text.split(",")]
    low, high, step = map(float, parts)
    if not (low < high and 0 < step <= high - low):
        raise ValueError(f"range is {text!r}; write lowest, highest, step, as in 0, 10, 1.")
    return parts


class AnswerBox(SphinxDirective):
    """Boxes for the answers that the check in its body asks for."""

    has_content = True

    def run(self):
        """Return a box per answer."""
        called = next(
            node
            for node in ast.walk(ast.parse("\n".join(self.content)))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "check"
        )
        return [
            answer_box(
                name=answer.arg, label=ast.unparse(answer.value), ids=[f"answer-{answer.arg}"]
            )
            for answer in called.keywords
        ]


class TextAnswer(SphinxDirective):
    """A place to write."""

    def run(self):
        """Return the place."""
        return [text_answer()]


def wrap_predicted(app, doctree):
    """Put what a prediction waits for into a node of its own: an output and the words after it."""
    for asked in list(doctree.findall(question)):
        if asked["kind"] != "predict":
            continue
        section = asked.parent
        start = section.index(asked) + 1
        count = waiting(section[start:], asked["cells"])
        if count is None:
            raise ExtensionError(
                f"{app.env.docname}.md: the prediction {asked[0].astext()!r} is followed by fewer "
                f"than {asked['cells']} cells with an output before the section ends. Move it, or "
                "give it `:cells: 0` if text alone is the answer."
            )
        hidden = predicted("", *section[start : start + count])
        hidden["ids"] = [f"{asked['ids'][0]}-answer"]
        section[start : start + count] = [hidden]


def waiting(following, cells):
    """Count the nodes up to this many outputs and the paragraph behind them; None if too few."""
    for number, node in enumerate(following):
        if isinstance(node, (nodes.section, question)):
            break
        if cells == 0:
            if isinstance(node, nodes.bullet_list):
                return number + 1
            if isinstance(node, nodes.paragraph):
                listed = [isinstance(n, nodes.bullet_list) for n in following[number + 1 :]]
                return number + 1 + any(listed[:1])
            if has_output(node):
                return number
        cells -= has_output(node)
    else:
        number = len(following)
    return number if cells == 0 and number else None


def setup_nodes(app):
    """Tell Sphinx the nodes, the directives and how they become HTML."""
    for node, visit, depart in (
        (question, visit_question, depart_question),
        (question_text, visit_question_text, depart_question_text),
        (choice, visit_choice, depart_choice),
        (choice_label, visit_choice_label, depart_choice_label),
        (reason, visit_reason, depart_reason),
        (predicted, visit_predicted, depart_predicted),
        (answer_box, visit_answer_box, nothing),
        (text_answer, visit_text_answer, nothing),
    ):
        app.add_node(node, html=(visit, depart))
    app.add_directive("predict", Predict)
    app.add_directive("check-yourself", CheckYourself)
    app.add_directive("answer-box", AnswerBox)
    app.add_directive("text-answer", TextAnswer)


def nothing(self, node):
    """Write nothing."""


def identity(self, node):
    """Name a question in the whole book: what its answer is kept under."""
    return f"{self.builder.current_docname}#{node['ids'][0]}"


def visit_question(self, node):
    """Open a question."""
    name, kind = node["ids"][0], node["kind"]
    where = "".join(
        f' data-{key}="{escape(node[key])}"' for key in ("axis", "chart") if key in node
    )
    self.body.append(
        f'<div class="asked {kind}" id="{name}" data-kind="{kind}"{where} '
        f'data-question="{identity(self, node)}" role="group" aria-labelledby="{name}-text">\n'
        f'<p class="question-kind">{node["title"]}</p>\n'
    )


def depart_question(self, node):
    """Write the slider, the button and the place where the page answers."""
    name = node["ids"][0]
    if "range" in node:
        low, high, step = node["range"]
        unit = escape(node.get("unit", ""))
        self.body.append(
            f'<p class="question-range needs-script"><span>{low}</span>'
            f'<input type="range" min="{low}" max="{high}" step="{step}" '
            f'aria-labelledby="{name}-text" data-unit="{unit}">'
            f'<span>{high}</span><span class="read-out"></span></p>\n'
        )
    if node["kind"] == "predict":
        self.body.append(
            '<button type="button" class="needs-script" aria-expanded="false" '
            f'aria-controls="{name}-answer">Show me</button>\n'
        )
    else:
        self.body.append('<button type="button" hidden>Open this answer</button>\n')
    self.body.append('<p class="question-status" role="status"></p>\n</div>\n')


def visit_question_text(self, node):
    """Open what is asked."""
    self.body.append(f'<p class="question-text" id="{node.parent["ids"][0]}-text">')


def depart_question_text(self, node):
    """Close what is asked."""
    self.body.append("</p>\n")


def visit_choice(self, node):
    """Open a choice."""
    right = " data-right" if node["right"] else ""
    self.body.append(f'<div class="choice"{right}>')


def depart_choice(self, node):
    """Close a choice."""
    self.body.append("</div>\n")


def visit_choice_label(self, node):
    """Write the radio button."""
    name, number = node.parent.parent["ids"][0], node.parent["number"]
    described = f' aria-describedby="{name}-reason-{number}"' if len(node.parent) > 1 else ""
    self.body.append(
        '<label><input type="radio" class="needs-script" '
        f'name="{name}" value="{number}"{described}><span>'
    )


def depart_choice_label(self, node):
    """Close the label."""
    self.body.append("</span></label>")


def visit_reason(self, node):
    """Say whether the choice is right."""
    name, number = node.parent.parent["ids"][0], node.parent["number"]
    word = "Right." if node["right"] else "No."
    self.body.append(
        f'<div class="reason" id="{name}-reason-{number}"><p class="verdict">{word}</p>'
    )


def depart_reason(self, node):
    """Close the reason."""
    self.body.append("</div>")


def visit_predicted(self, node):
    """Open what waits."""
    self.body.append(f'<div class="predicted" id="{node["ids"][0]}">\n')


def depart_predicted(self, node):
    """Close what waits."""
    self.body.append("</div>\n")


def visit_answer_box(self, node):
    """Write the boxes of one answer of an exercise."""
    name = node["ids"][0]
    self.body.append(
        f'<div class="asked exercise" id="{name}" data-kind="exercise" role="group" '
        f'data-question="{identity(self, node)}" data-name="{node["name"]}" '
        f'aria-labelledby="{name}-text">\n'
        f'<p class="question-kind" id="{name}-text">Your <code>{escape(node["label"])}</code></p>\n'
        f"{NOTE if node['first'] else ''}{boxes(node)}\n"
        '<button type="button" class="needs-script">Check</button>\n'
        '<p class="question-status" role="status"></p>\n</div>\n'
    )


def boxes(node):
    """Write an input per number of an answer."""
    shape, label = node["shape"], escape(node["label"])
    if node["answer_kind"] == "flag":
        options = "".join(f"<option>{word}</option>" for word in ("", "True", "False"))
        return f'<div class="boxes"><select aria-label="{label}">{options}</select></div>'
    mode = ' inputmode="decimal"' if node["answer_kind"] == "number" else ""
    inputs = "".join(
        f'<input type="text"{mode} autocomplete="off" spellcheck="false" '
        f'aria-label="{label} {place}" placeholder="{place}">'
        for place in places(shape)
    )
    table = f' matrix" style="--columns:{shape[1]}' if len(shape) > 1 else ""
    return f'<div class="boxes{table}">{inputs}</div>'


def places(shape):
    """Name the boxes of an answer.

    Examples
    --------
    >>> places([]), places([2]), places([2, 2])
    ([''], ['1', '2'], ['1, 1', '1, 2', '2, 1', '2, 2'])
    """
    named = [""]
    for length in shape:
        named = [f"{name}, {n}".strip(", ") for name in named for n in range(1, length + 1)]
    return named


def visit_text_answer(self, node):
    """Write a place to write, as high as what is written in it."""
    name = node["ids"][0]
    self.body.append(
        f'<div class="asked text" id="{name}" data-kind="text" '
        f'data-question="{identity(self, node)}">\n'
        f'<p class="question-kind"><label for="{name}-box">Your answer</label></p>\n'
        f'<div class="growing"><textarea id="{name}-box" rows="4"></textarea></div>\n'
        '<button type="button" class="needs-script">Download my answers</button>\n'
        '<p class="question-status" role="status"></p>\n</div>\n'
    )
