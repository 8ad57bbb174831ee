"""Turn MyST Markdown into the Markdown that JupyterLab, Colab and GitHub show alike.

Roles become what they say on the page, admonitions quotations, dropdowns HTML's own, figures from
a file their captions. What cannot be turned is an error: a notebook must not show markup where the
page shows text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping

from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin

from questions import split_choices

PARSER = MarkdownIt("commonmark").use(colon_fence_plugin)
DIRECTIVE = re.compile(r"\{(?P<name>[\w:-]+)\}\s*(?P<title>.*)")
OPTIONS = re.compile(r"\A(---\n(.*\n)*?---\n|(:[\w-]+:.*\n)*)")
ROLE = re.compile(r"\{(?P<name>[\w:-]+)\}`(?P<text>[^`]+)`")
TITLE_AND_TARGET = re.compile(r"(?P<title>.+?)\s*<[^>]+>", re.DOTALL)
LABEL = re.compile(r"^\([\w-]+\)=\n", re.MULTILINE)
LINK_IN_BOOK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>(?!https?://)[^)\s]+)\)")


def plain_markdown(
    text: str,
    roles: Mapping[str, Callable[[str], str]],
    link: Callable[[str], str] | None = None,
) -> str:
    r"""Turn a page's text, or part of it, into plain Markdown.

    Parameters
    ----------
    text : str
        MyST Markdown.
    roles : mapping of str to callable
        What each role says where no title is given: a function of its text.
    link : callable, optional
        Where a link to another page leads, a function of its target; without one, or where it
        returns an empty text, the link becomes its text: the notebook may be alone.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a role or a directive is not among those that can be turned.

    Examples
    --------
    >>> print(plain_markdown("A {term}`cluster`, {term}`many <cluster>`.", {"term": str}))
    A cluster, many.
    >>> print(plain_markdown(":::{admonition} Predict\nWhich?\n:::", {}))
    > **Predict**
    >
    > Which?
    """
    plain = ROLE.sub(lambda found: _plain_role(found, roles), _plain_blocks(text, roles))
    return LINK_IN_BOOK.sub(lambda found: _link(found, link), LABEL.sub("", plain))


def _link(found, link):
    target = link(found["target"]) if link else ""
    return f"[{found['text']}]({target})" if target else found["text"]


def _plain_role(found, roles):
    if found["name"] not in roles:
        raise ValueError(
            f"a notebook cannot show the role {{{found['name']}}}; it can show {', '.join(roles)}. "
            "Use one of them, or say in extensions/launch.py what the new one says."
        )
    titled = TITLE_AND_TARGET.fullmatch(found["text"])
    return titled["title"] if titled else roles[found["name"]](found["text"])


def _plain_blocks(text, roles):
    lines = text.split("\n")
    # From the last to the first: what is replaced moves only the lines below it.
    for token in reversed(PARSER.parse(text)):
        is_fence = token.type in ("fence", "colon_fence")
        if is_fence and (directive := DIRECTIVE.fullmatch(token.info.strip())):
            start, end = token.map
            lines[start:end] = _plain_directive(
                **directive.groupdict(), content=token.content, roles=roles
            )
    return "\n".join(lines)


def _plain_directive(name, title, content, roles):
    """Return the lines of a directive as plain Markdown, those inside it included."""
    body = _plain_blocks(OPTIONS.sub("", content), roles).strip().split("\n")
    if name == "admonition":
        return [f"> {line}".rstrip() for line in (f"**{title}**", "", *body)]
    if name == "dropdown":
        return [f"<details><summary>{html.escape(title)}</summary>", "", *body, "", "</details>"]
    if name == "figure":
        return body
    if name == "caption":
        return [f"**{roles['numref'](title)}.** {' '.join(body)}"]
    if name in ("predict", "check-yourself"):
        return _plain_question(name, title, body)
    raise ValueError(
        f"a notebook cannot show the directive {{{name}}}; it can show admonition, caption, "
        "check-yourself, dropdown, figure and predict. Use one of them, or say in "
        "extensions/plain_markdown.py what the new one becomes."
    )


def _plain_question(name, title, body):
    """Return a question as a quotation; the choices of a quiz as folds below it."""
    before, choices = split_choices(body)
    heading = "**Predict**" if name == "predict" else "**Check yourself**"
    lines = [heading, "", title, *([""] + before if before else [])]
    if name == "predict":
        lines += ["", *(f"- {label}" for _, label, _ in choices)] if choices else []
        return [f"> {line}".rstrip() for line in lines]
    for right, label, why in choices:
        verdict = "**Right.**" if right else "**No.**"
        summary = f"<details><summary>{html.escape(label)}</summary>"
        lines += ["", summary, "", f"{verdict} {why[0]}", *why[1:], "", "</details>"]
    return lines
