"""The helpers as a package of their own: built, and installed where no repository is."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import helpers

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = ["pyproject.toml", "README.md", "LICENSE", "classroom", "data", "helpers"]
# What README.md shows, and what it came to.
SHOWN = re.compile(r"```python\n(.*?)```", re.DOTALL)
IN_A_PROJECT = f"""
{SHOWN.search((ROOT / "README.md").read_text(encoding="utf-8"))[1]}
import json, helpers
rows = [len(load()) for load in (helpers.load_gpa, helpers.load_pupils, helpers.load_sleepstudy)]
print(json.dumps([helpers.__file__, helpers.__version__, rows, round(fit.criterion, 1)]))
"""


def run(command, cwd):
    """Run a command that must succeed; return what it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the package and install it in an environment that knows no copy of the repository."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in BUILT_FROM:
        path = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, source / name, **({"ignore": ignored} if path.is_dir() else {}))
    pip = [sys.executable, "-m", "pip"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], folder)
    shutil.rmtree(source)
    run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    python = folder / "venv" / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(run(ask, folder).strip())
    (wheel,) = folder.glob("*.whl")
    run([*pip, "install", "--no-deps", "--no-index", f"--target={site}", wheel], folder)
    # What the helpers import, from here; an editable install beside it is not followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_an_installed_package_loads_the_data_and_fits(installed, tmp_path):
    said = run([installed, "-c", IN_A_PROJECT], tmp_path)
    where, version, rows, criterion = json.loads(said.splitlines()[-1])
    assert Path(where).is_relative_to(installed.parents[1])
    assert version == helpers.__version__
    assert rows == [1200, 1000, 180]
    # lme4's documentation prints 1743.6 for this fit.
    assert criterion == 1743.6


def test_every_part_of_the_packages_is_installed():
    """A list in pyproject.toml: setuptools finds no folder that stands elsewhere."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    parts = [
        path.parent
        for name in ("classroom", "helpers")
        for path in (ROOT / name).rglob("__init__.py")
    ]
    names = {".".join(part.relative_to(ROOT).parts) for part in parts}
    assert set(listed["setuptools"]["packages"]) == {*names, "helpers.data.files"}
