"""Imports go one way: which wing, package or script may know of which, read from the sources."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each may import what stands before it.
WINGS = ["data", "models", "tables", "studies", "charts", "controls"]
PACKAGES = ["helpers", "classroom", "extensions"]
OUTSIDE = {"tests", "chapters", "binder"}


def modules_of(package, root=ROOT):
    """Sources of a package by dotted name."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        if "node_modules" not in path.parts:
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imports_of(source):
    """Pairs (module, name) that a source imports anywhere; the name is None for a whole module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out from the top"
            yield from ((node.module, alias.name) for alias in node.names)


def wing_of(module, name=None):
    """Wing that an import reaches, or that a module stands in; None outside of the wings."""
    parts = [*module.split("."), name]
    return parts[1] if parts[0] == "helpers" and parts[1] in WINGS else None


def arrows(modules):
    """Triples (importing module, imported module, name) within the helpers."""
    return [
        (importer, module, name)
        for importer, source in modules.items()
        for module, name in imports_of(source)
        if module.split(".")[0] == "helpers"
    ]


def backward(modules):
    """Imports that run up the list of wings, or from a wing to the package that gathers them."""
    found = []
    for importer, module, name in arrows(modules):
        here, there = wing_of(importer), wing_of(module, name)
        if here and (there is None or WINGS.index(there) > WINGS.index(here)):
            found.append((importer, module, name))
    return found


def private(modules):
    """Names that a wing imports from another one whose ``__init__`` does not offer them."""
    found = []
    for importer, module, name in arrows(modules):
        here, there = wing_of(importer), wing_of(module, name)
        if there and here != there and not is_offered(modules, there, module, name):
            found.append((importer, module, name))
    return found


def is_offered(modules, wing, module, name):
    """Whether a wing lets others import this name from this module of its own."""
    if name is None or name == wing:
        return module in ("helpers", f"helpers.{wing}")
    assignments = [
        node
        for node in ast.parse(modules[f"helpers.{wing}"]).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    ]
    return name in ast.literal_eval(assignments[0].value)


def rooms_in_a_circle(modules):
    """Raise CycleError if modules import each other in a circle."""
    graph = {name: set() for name in modules}
    for importer, module, name in arrows(modules):
        inner = f"{module}.{name}"
        graph[importer].add(inner if inner in modules else module)
    return list(TopologicalSorter(graph).static_order())


def test_no_import_of_the_helpers_runs_back():
    modules = modules_of("helpers")
    assert {wing_of(name) for name in modules} == {*WINGS, None}
    assert backward(modules) == []


def test_no_wing_reads_what_another_keeps_to_itself():
    assert private(modules_of("helpers")) == []


def test_no_modules_of_the_helpers_import_each_other_in_a_circle():
    order = rooms_in_a_circle(modules_of("helpers"))
    assert order.index("helpers.data.simulate") < order.index("helpers")


def test_each_package_stands_without_what_rests_on_it():
    """The course without the classroom, both without the extensions, all without their tests."""
    for place, package in enumerate(PACKAGES):
        above = OUTSIDE.union(PACKAGES[place + 1 :])
        for name, source in modules_of(package).items():
            reached = {module.split(".")[0] for module, _ in imports_of(source)}
            assert reached & above == set(), name


@pytest.mark.parametrize(
    ("find", "fault"),
    [
        (backward, {"helpers.models.planted": "from helpers.charts import ChartGrid"}),
        (backward, {"helpers.data.planted": "def f():\n    import helpers.models.fits"}),
        (backward, {"helpers.tables.planted": "from helpers import fit_mixed"}),
        (backward, {"helpers.studies.planted": "from helpers import controls"}),
        (private, {"helpers.studies.planted": "from helpers.models.fits import _anything"}),
        (private, {"helpers.charts.planted": "import helpers.tables.effects"}),
        (private, {"helpers.charts.planted": "from helpers.tables import effects"}),
    ],
)
def test_a_planted_arrow_is_found(find, fault):
    assert len(find(modules_of("helpers") | fault)) == 1


def test_a_planted_circle_is_found():
    circle = {"helpers.data.one": "import helpers.data.two"}
    circle["helpers.data.two"] = "from helpers.data import one"
    with pytest.raises(CycleError):
        rooms_in_a_circle(modules_of("helpers") | circle)


def test_what_takes_long_to_import_waits_until_it_is_used():
    script = "import sys, helpers; print(*sys.modules)"
    run = [sys.executable, "-c", script]
    loaded = set(subprocess.run(run, capture_output=True, check=True, text=True).stdout.split())
    assert "helpers.models.fits" in loaded
    assert (
        loaded & {"statsmodels", "scipy.stats", "formulaic", "vl_convert", "distributed"} == set()
    )
