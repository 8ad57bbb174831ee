"""Copy the chapters as notebooks for JupyterLab, where they read like their pages.

``make lab`` and Binder run this. What a reader has opened and saved there is never written over.
Numbers in the text stay expressions, which jupyterlab-myst works out in the notebook's own kernel.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import jupytext
import nbformat
import yaml
from pybtex.database import parse_file

from launch import ABOUT_THE_BUILD, FOLDED, cite_roles
from plain_markdown import plain_markdown

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "chapters"
GLOSSARY = CHAPTERS / "appendix" / "glossary.md"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# Of private use: no page has it.
PLACE = "\ue000"
EVAL = re.compile(r"\{eval\}`[^`]+`")
TERM = re.compile(r"\{term\}`([^`<]+?)(?:\s*<([^>`]+)>)?`")
PAGE = re.compile(r"\{doc\}`([^`<]+?)(?:\s*<([^>`]+)>)?`")
CAPTION = re.compile(r"^:::\{caption\} (\S+)", re.MULTILINE)
TITLED_LABEL = re.compile(r"^\(([\w-]+)\)=\n#+ (.+)$", re.MULTILINE)
DEFINITIONS = re.compile(r"```\{glossary\}\n(.*?)\n```", re.DOTALL)


def pages():
    """List the pages with cells and the glossary; exercises come as their students' notebooks."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(CHAPTERS.rglob("*.md"))}
    return [
        path
        for path, text in texts.items()
        if ("\nkernelspec:" in text or path == GLOSSARY)
        and path.parent.name != "exercises"
        and path != ROOT / f"{ABOUT_THE_BUILD}.md"
    ]


def numbers():
    """Say the number of each figure and table by its label, as the book does."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    numbered = [page["file"] for part in parts if part.get("numbered") for page in part["chapters"]]
    said = {}
    for path in pages():
        docname = path.relative_to(ROOT).with_suffix("").as_posix()
        chapter = f"{numbered.index(docname) + 1}." if docname in numbered else ""
        counts = {"Figure": 0, "Table": 0}
        for label in CAPTION.findall(path.read_text(encoding="utf-8")):
            kind = "Table" if label.startswith("tab-") else "Figure"
            counts[kind] += 1
            said[label] = f"{kind} {chapter}{counts[kind]}"
    return said


def title_of(path):
    """Return the title of a page."""
    return re.search(r"(?m)^# (.+)$", path.read_text(encoding="utf-8"))[1]


def labels():
    """Return the headings that have a label, by it."""
    texts = [path.read_text(encoding="utf-8") for path in CHAPTERS.rglob("*.md")]
    return dict(pair for text in texts for pair in TITLED_LABEL.findall(text))


def all_roles():
    """Return what each role says in a notebook."""
    figures, headings = numbers(), labels()
    bibliography = parse_file(CHAPTERS / "references.bib")
    return {
        "download": lambda file: Path(file).name,
        "ref": headings.__getitem__,
        "numref": figures.__getitem__,
        **cite_roles(bibliography.entries),
    }


def lab_text(text, path, roles):
    """Turn a page's text into what JupyterLab shows, links and live numbers kept.

    Parameters
    ----------
    text : str
        MyST Markdown.
    path : pathlib.Path
        Of the page.
    roles : mapping of str to callable
        As :func:`all_roles` returns.

    Returns
    -------
    str
    """
    glossary = os.path.relpath(GLOSSARY, path.parent)

    def term(found):
        heading = "-".join((found[2] or found[1]).split())
        return f"[{found[1]}]({glossary}#{heading})"

    def page(found):
        target = f"{(found[2] or found[1]).strip()}.md"
        return f"[{found[1] if found[2] else title_of(path.parent / target)}]({target})"

    kept = EVAL.findall(text)
    text = EVAL.sub(PLACE, PAGE.sub(page, TERM.sub(term, text)))
    plain = plain_markdown(text, roles, lambda target: notebook_target(target, path))
    return re.sub(PLACE, lambda _: kept.pop(0), plain)


def notebook_target(target, path):
    """Say where a link to a page leads among the notebooks; empty if there is no such notebook."""
    name, _, heading = target.partition("#")
    linked = (path.parent / name).resolve()
    if linked not in pages() and linked.parent.name != "exercises":
        return ""
    return Path(name).with_suffix(".ipynb").as_posix() + (f"#{heading}" if heading else "")


def lab_notebook(path, roles):
    """Make the notebook of a page.

    Parameters
    ----------
    path : pathlib.Path
    roles : mapping of str to callable

    Returns
    -------
    nbformat.NotebookNode
        Its folded and hidden cells are folded; it has no outputs.
    """
    text = DEFINITIONS.sub(_as_headings, path.read_text(encoding="utf-8"))
    notebook = jupytext.reads(text, fmt="md:myst")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "markdown":
            cell.source = lab_text(cell.source, path, roles)
        elif FOLDED & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}
    notebook.metadata = {"kernelspec": KERNEL}
    return notebook


def _as_headings(found):
    """Turn the terms of the glossary into headings, which links can lead to."""
    entries = [re.sub(r"(?m)^(?=\S)", "### ", entry) for entry in found[1].split("\n\n")]
    return "\n\n".join(re.sub(r"(?m)^    ", "", entry) for entry in entries)


def copy_exercises(folder):
    """Copy the students' notebooks, where they have been made, and what they import."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*(CHAPTERS / "exercises").glob("*.ipynb"), CHAPTERS / "exercises" / "checks.py"]:
        if not (folder / path.name).exists():
            shutil.copy(path, folder)


def main(folder=ROOT / "lab"):
    """Write what is not there yet."""
    folder, roles = Path(folder), all_roles()
    for path in pages():
        copy = (folder / path.relative_to(CHAPTERS)).with_suffix(".ipynb")
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(lab_notebook(path, roles), copy)
    copy_exercises(folder / "exercises")


if __name__ == "__main__":
    main(*sys.argv[1:])
