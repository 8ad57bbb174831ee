"""What the papers of the repository say of it: files, commands, licences and citation."""

import re
from pathlib import Path

import pytest
import yaml

import helpers
from extensions.self_hosted import SCRIPTS
from tests.browsing import SITE

ROOT = Path(__file__).resolve().parents[1]
PAPERS = [
    "README.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "data/README.md",
    "tests/reference/README.md",
    "chapters/exercises/teaching.md",
    ".github/pull_request_template.md",
    ".github/workflows/check.yml",
]
# Everything of these kinds there is made, copied or typed once: nobody edits it.
DERIVED = [
    "requirements.txt",
    "tests/requirements.txt",
    "chapters/*/requirements.txt",
    "extensions/*-lock.json",
    "data/*.csv",
    "data/*.json",
    "tests/*.json",
    "tests/reference/*.json",
    "tests/reference/*.csv",
    "tests/fixtures/*",
    "chapters/_static/*.png",
]
OTHERS = {".venv", "_build", "node_modules", "assignments", "grading"}


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def derived_files():
    """Return the patterns of the table of CONTRIBUTING.md, and the sources and commands in it."""
    section = read("CONTRIBUTING.md").partition("## Files made by a command")[2]
    rows = re.findall(r"(?m)^\| (`.*?) \| (.*?) \| (.*?) \|$", section.partition("\n## ")[0])
    return [[re.findall(r"`([^`]+)`", cell) for cell in row] for row in rows]


def test_the_table_of_derived_files_is_complete():
    listed = {path for row in derived_files() for pattern in row[0] for path in ROOT.glob(pattern)}
    there = {
        path
        for pattern in DERIVED
        for path in ROOT.glob(pattern)
        if not OTHERS & set(path.relative_to(ROOT).parts)
    }
    assert listed == there
    assert len(there) > 15


@pytest.mark.parametrize("row", derived_files(), ids=lambda row: row[0][0])
def test_derived_files_their_sources_and_scripts_exist(row):
    files, sources, commands = row
    scripts = [word for command in commands for word in command.split() if word.endswith(".R")]
    for pattern in files + sources + scripts:
        assert list(ROOT.glob(pattern)), pattern


@pytest.mark.parametrize("paper", PAPERS)
def test_commands_of_make_exist(paper):
    targets = re.search(r"(?m)^\.PHONY: (.*)$", read("Makefile"))[1].split()
    named = re.findall(r"(?:^|`|&& |run: )make ([a-z]+)", read(paper), flags=re.MULTILINE)
    assert set(named) <= set(targets)
    assert named or paper not in ("README.md", "CONTRIBUTING.md", ".github/workflows/check.yml")


@pytest.mark.parametrize("paper", PAPERS)
def test_links_lead_to_files(paper):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", read(paper))
    assert [link for link in links if not (ROOT / paper).parent.joinpath(link).exists()] == []


def test_files_named_in_contributing_exist():
    named = re.findall(
        r"`((?:chapters|data|helpers|tests|extensions|\.github)/[\w./-]+)`", read("CONTRIBUTING.md")
    )
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_citation_names_this_version_and_its_sources():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == helpers.__version__
    assert citation["title"] == yaml.safe_load(read("_config.yml"))["title"]
    addresses = [reference["url"] for reference in citation["references"]]
    assert len(addresses) == 3
    assert all(f"{{{address}}}" in read("chapters/references.bib") for address in addresses)


def test_the_licences_agree():
    licences = yaml.safe_load(read("CITATION.cff"))["license"]
    assert licences == ["MIT", "CC-BY-SA-4.0"]
    footer = yaml.safe_load(read("_config.yml"))["html"]["extra_footer"]
    readme = read("README.md").rpartition("\n\n")[2]
    for text in (read("LICENSE"), footer, readme):
        assert "MIT" in text
        assert re.search(r"CC BY-SA 4\.0|Attribution-ShareAlike 4\.0", text)


def test_scripts_of_others_come_with_their_licences():
    # Ours, which load the others.
    scripts = [name for name in SCRIPTS if name.endswith(".js")] + ["vega.js"]
    for name in set(scripts) - {"widgets.js"}:
        notice = SITE / "_static" / f"{name}.LICENSE.txt"
        text = notice if notice.exists() else SITE / "_static" / name
        assert re.search(
            r"Copyright|@license|Apache License", text.read_text(encoding="utf-8")[:500]
        )
