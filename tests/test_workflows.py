"""What GitHub runs: what two linters say of the workflows, and what may be published."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent
WRITES = {"pages": "write", "contents": "write"}


def said(*command):
    """Run a linter; return its exit code and all it printed."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def actionlint(root):
    """Return what actionlint finds in the workflows; it does not look into other files."""
    workflows = sorted((root / ".github" / "workflows").glob("*.yml"))
    code, findings = said(PROGRAMS / "node", ROOT / "tests" / "actionlint.mjs", *workflows)
    assert code == 0 and workflows, findings
    return findings


def zizmor(root):
    """Return what zizmor finds in the workflows and the other files of `.github`."""
    command = [PROGRAMS / "zizmor", "--offline", "--quiet", "--no-progress", "--persona=pedantic"]
    code, findings = said(*command, root / ".github")
    assert code in (0, *range(10, 15)), findings
    return findings if code else ""


@pytest.fixture
def plant(tmp_path):
    """Return a function that copies `.github` and replaces a text of one workflow."""

    def copy(name, old, new):
        shutil.copytree(ROOT / ".github", tmp_path / ".github")
        path = tmp_path / ".github" / "workflows" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        return tmp_path

    return copy


@pytest.mark.parametrize("linter", [actionlint, zizmor])
def test_linters_find_nothing(linter):
    assert linter(ROOT) == ""


@pytest.mark.parametrize(
    ("linter", "rule", "name", "old", "new"),
    [
        (actionlint, "permissions", "check.yml", "contents: read", "contents: reed"),
        (zizmor, "unpinned-uses", "check.yml", "@df4cb1c069e1874edd31b4311f1884172cec0e10", "@v6"),
    ],
)
def test_each_linter_finds_a_planted_fault(plant, linter, rule, name, old, new):
    assert f"[{rule}]" in linter(plant(name, old, new))


def jobs_of(path):
    """Return the jobs of a workflow by name."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def test_only_what_passed_the_tests_on_main_is_published():
    jobs = jobs_of(ROOT / ".github" / "workflows" / "book.yml")
    publishing = [job for job in jobs.values() if WRITES.items() & job["permissions"].items()]
    assert len(publishing) == 2
    for job in publishing:
        assert job["needs"] == "check"
        assert job["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
        # It neither builds nor fetches anything but what the tests left.
        assert job["steps"][0]["uses"].startswith("actions/download-artifact@")
        assert "make" not in " ".join(step.get("run", "") for step in job["steps"])
    assert jobs["check"]["uses"] == "./.github/workflows/check.yml"


def test_the_tests_are_those_of_make_test_after_a_clean_build():
    steps = jobs_of(ROOT / ".github" / "workflows" / "check.yml")["check"]["steps"]
    commands = [step["run"] for step in steps if "run" in step and "if" not in step]
    build, test = commands.index("make book"), commands.index("make test CHROMIUM=google-chrome")
    assert build < test
    assert not any(step.get("continue-on-error") for step in steps)


def test_no_other_workflow_publishes():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        if path.name != "book.yml":
            permissions = [job["permissions"].items() for job in jobs_of(path).values()]
            assert not any(WRITES.items() & each for each in permissions), path.name


def test_all_notebooks_run_every_week():
    newest = jobs_of(ROOT / ".github" / "workflows" / "weekly.yml")["newest"]
    assert newest["uses"] == "./.github/workflows/check.yml"
    assert newest["with"]["every-notebook"] is True
    check = jobs_of(ROOT / ".github" / "workflows" / "check.yml")["check"]
    assert check["env"]["EVERY_NOTEBOOK"] == "${{ inputs.every-notebook && 'yes' || 'no' }}"
    assert "export EVERY_NOTEBOOK ?=" in (ROOT / "Makefile").read_text(encoding="utf-8")
