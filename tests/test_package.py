"""The package as others install it: a wheel, far from this repository."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import helpers
from helpers.data import datasets

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import helpers
from helpers.data import datasets
assert not str(datasets.DATA_FOLDER).startswith({root!r}), datasets.DATA_FOLDER
sleep = helpers.load_sleepstudy()
fit = helpers.fit_mixed("Reaction ~ Days + (Days | Subject)", sleep)
rows = [len(helpers.load_gpa()), len(helpers.load_pupils())]
print(helpers.__version__, *rows, round(fit.criterion, 3))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel, from a copy of what goes into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("helpers", "classroom", "data", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(source)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_a_wheel_brings_the_data_and_fits(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    run = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT.format(root=str(ROOT))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    # The criterion is lme4's.
    assert run.stdout.split() == [helpers.__version__, "1200", "1000", "1743.628"]


def test_every_package_is_packed(wheel):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = set(settings["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name in ("helpers", "classroom")
        for path in (ROOT / name).rglob("__init__.py")
    }
    assert packed == found | {"helpers.data.files"}
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    for path in datasets.DATA_FOLDER.glob("*.*"):
        assert f"helpers/data/files/{path.name}" in names
    assert {"helpers/controls/explore.js", "helpers/controls/explore.css"} <= names
