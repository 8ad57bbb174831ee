"""Install what the course's modules need and this Python lacks, with the versions of the course.

Run by the first cell of an exported notebook, in Colab for instance, where most of it is there.
"""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def needed():
    """List the packages that the modules of the course import, with the versions they allow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(line) for line in project["dependencies"]]


def pins():
    """Return the version of each package that the course is tested with, by name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line[:1].isalnum()]
    fitting = [pin for pin in pinned if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): f"{pin.name}{pin.specifier}" for pin in fitting}


def is_missing(requirement):
    """Whether a package is absent, or older than the course allows."""
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return True
    return not requirement.specifier.contains(installed, prereleases=True)


def main():
    """Install the pinned version of everything that is missing, or nothing."""
    pinned = pins()
    missing = [pinned[canonicalize_name(need.name)] for need in needed() if is_missing(need)]
    if missing:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing], check=True)


if __name__ == "__main__":
    main()
