"""Notebooks outside the book: run where the course is not installed, launched as Binder would."""

import ast
import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree

import altair as alt
import jupytext
import nbformat
import pooch
import pytest
from sphinx.errors import ExtensionError

import launch
from classroom import sources
from helpers import charts
from plain_markdown import plain_markdown
from tests.browsing import PAGES, SITE
from tests.lab import errors_on, run_all, running_lab, wait_for_kernel, wait_until_all_ran

ROOT = Path(__file__).resolve().parents[1]
HOME = "https://github.com/owner/name"
UV = [sys.executable, "-m", "uv", "--quiet"]
GIT = ["git", "-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
NOT_COMMITTED = shutil.ignore_patterns(
    "_build", ".venv", ".git", "node_modules", "__pycache__", ".*_cache", "*.egg-info", "*.ipynb"
)
EXERCISES = "chapters/exercises/"
NOTEBOOKS = [name for name in PAGES if (SITE / f"{name}.ipynb").exists()]
# One of each kind here, all of them in weekly.yml: figures, an exercise, statsmodels' own names.
BARE = ["chapters/shrinkage", f"{EXERCISES}e2-sleep", "chapters/appendix/phrase-book"]
IN_LAB = ["chapters/cluster-weighting", f"{EXERCISES}e2-sleep"]
if os.environ.get("EVERY_NOTEBOOK") == "yes":
    BARE = IN_LAB = NOTEBOOKS


def run(command, **options):
    """Run a command that must succeed; return what it said."""
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The course as somebody finds it: a repository with one commit."""
    if not shutil.which("git"):
        pytest.skip("git is not installed: nothing can be cloned")
    folder = tmp_path_factory.mktemp("repository") / "course"
    shutil.copytree(ROOT, folder, ignore=NOT_COMMITTED)
    run(["git", "init", "--quiet", folder])
    run([*GIT, "add", "--all"], cwd=folder)
    run([*GIT, "commit", "--quiet", "--message=All"], cwd=folder)
    return folder


@pytest.fixture(scope="module")
def home(repository, tmp_path_factory):
    """A home with a clone of the repository, whose packages Binder has installed in venv/."""
    home = tmp_path_factory.mktemp("home")
    run(["git", "clone", "--quiet", repository.as_uri(), home / "course"])
    run([*UV, "venv", "--seed", f"--python={sys.executable}", home / "venv"])
    install = [*UV, "pip", "install", f"--python={home}/venv/bin/python"]
    run([*install, "-r", "binder/requirements.txt"], cwd=home / "course")
    return home


def surroundings(home):
    """Variables of somebody else's machine; only what explorers have computed is shared."""
    return {
        "HOME": str(home),
        "PATH": f"{home}/venv/bin:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(pooch.os_cache("borrowing-strength").parent),
        "OPENBLAS_NUM_THREADS": "1",
    }


def test_every_chapter_and_exercise_offers_its_notebook():
    titles = {name: (SITE / f"{name}.html").read_text(encoding="utf-8") for name in NOTEBOOKS}
    assert len([name for name in NOTEBOOKS if name.startswith(EXERCISES)]) == 5
    assert len([name for name in NOTEBOOKS if not name.startswith(EXERCISES)]) >= 8
    for name, html in titles.items():
        assert f'<a href="{Path(name).name}.ipynb" download>' in html


def answer(notebook, source):
    """Fill in the solutions: a question without an answer stops the notebook, and says so."""
    solutions = {
        cell.metadata.nbgrader.grade_id: sources.solution(cell)
        for cell in sources.read_source(source).cells
        if sources.is_answer(cell)
    }
    for cell in filter(sources.is_answer, notebook.cells):
        cell.source = solutions[cell.metadata.nbgrader.grade_id]


@pytest.fixture(scope="module")
def executed(repository, home, tmp_path_factory):
    """Run exported notebooks in an empty folder without the course, two at a time."""
    bare = tmp_path_factory.mktemp("bare")
    python = home / "venv" / "bin" / "python"
    not_installed = subprocess.run([python, "-c", "import helpers"], cwd=bare, capture_output=True)
    assert not_installed.returncode == 1

    def execute(name):
        folder = bare / Path(name).name
        folder.mkdir()
        notebook = nbformat.read(SITE / f"{name}.ipynb", as_version=4)
        is_exercise = name.startswith(EXERCISES)
        modules = "checks, helpers" if is_exercise else "helpers"
        assert notebook.cells[0].source == launch.first_cell("", modules)
        notebook.cells[0].source = launch.first_cell(repository.as_uri(), modules)
        if is_exercise:
            answer(notebook, ROOT / f"{name}.md")
        nbformat.write(notebook, folder / "page.ipynb")
        command = [python, "-m", "jupyter", "nbconvert", "--execute", "--to=notebook", "--inplace"]
        # Over sockets: a port may be taken by another test before the kernel has opened it.
        command += ["--KernelManager.transport=ipc", "--KernelManager.connection_file=kernel.json"]
        run([*command, "page.ipynb"], cwd=folder, env=surroundings(home))
        return folder

    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(execute, name) for name in BARE}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", BARE)
def test_notebooks_run_where_the_course_is_not_installed(executed, name):
    folder = executed[name].result()
    notebook = nbformat.read(folder / "page.ipynb", as_version=4)
    nbformat.validate(notebook)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert [out for out in outputs if out.output_type == "error"] == []
    assert (folder / "borrowing-strength" / "helpers").is_dir()
    assert len(outputs) >= 3


def cells_of(name):
    """Code cells of an exported notebook, less the one that fetches the course."""
    cells = nbformat.read(SITE / f"{name}.ipynb", as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"][1:]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_reads_no_file_that_stands_beside_its_page(name):
    """The others do not run here, but their cells have run in the build, where such files are."""
    beside = ROOT / Path(name).parent
    nodes = [node for cell in cells_of(name) for node in ast.walk(ast.parse(cell))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    paths = [text for text in texts if isinstance(text, str) and re.fullmatch(r"[\w./-]+", text)]
    assert [path for path in paths if (beside / path).is_file()] == []


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if not name.startswith(EXERCISES)])
def test_a_notebook_has_the_cells_of_its_page(name):
    page = jupytext.read(ROOT / f"{name}.md")
    assert cells_of(name) == [cell.source for cell in page.cells if cell.cell_type == "code"]


def html_of(name):
    """What the cells of an exported notebook show as HTML."""
    cells = nbformat.read(SITE / f"{name}.ipynb", as_version=4).cells
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    return "".join(out.get("data", {}).get("text/html", "") for out in outputs)


IMAGE = re.compile(r'<img src="data:image/svg\+xml;base64,([^"]*)" alt="([^"]*)">')


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if not name.startswith(EXERCISES)])
def test_a_notebook_shows_the_figures_and_tables_of_its_page_before_it_is_run(name):
    page, shown = (SITE / f"{name}.html").read_text(encoding="utf-8"), html_of(name)
    figures = re.findall(r'<figure class="vega-chart[^>]* aria-label="([^"]*)"', page)
    assert [alt for _, alt in IMAGE.findall(shown)] == figures
    assert shown.count('class="dataframe') == page.count('class="dataframe')
    assert "<script" not in shown
    assert (SITE / f"{name}.ipynb").stat().st_size < 2_000_000


def test_an_image_in_a_notebook_is_a_drawing_on_white():
    for source, _ in IMAGE.findall(html_of("chapters/cluster-weighting")):
        svg = ElementTree.fromstring(base64.b64decode(source))
        assert (svg[0].tag.rpartition("}")[2], svg[0].get("fill")) == ("rect", "white")
        assert len(svg.findall(".//{*}text")) > 3


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name.startswith(EXERCISES)])
def test_an_exercise_does_not_tell_its_answers(name):
    cells = nbformat.read(SITE / f"{name}.ipynb", as_version=4).cells
    assert [cell.outputs for cell in cells if cell.get("outputs")] == []


packages_of_modules = cache(metadata.packages_distributions)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_imports_only_what_is_installed_with_it(name):
    """What the requirements bring, the standard library, and the course that its cell fetches."""
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    brought = set(re.findall(r"(?m)^([\w.-]+)==", pinned)) | {"helpers", "checks"}
    packages = packages_of_modules()
    nodes = [node for cell in cells_of(name) for node in ast.walk(ast.parse(cell))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    tops = {module.split(".")[0] for module in modules} - sys.stdlib_module_names
    unknown = [top for top in tops if not brought & {top, *map(str.lower, packages.get(top, []))}]
    assert unknown == []


def links_of(name):
    """Addresses that a page offers once the course has a repository, by the host's name."""
    found = re.findall(r'href="(https://[^"]+)"', launch.page_links(name, HOME))
    return {urlsplit(address).hostname: address for address in found}


@pytest.fixture(scope="module")
def binder(executed, home, tmp_path_factory):
    """Do the rest of what Binder does, once no notebook needs a Python without the course."""
    wait(executed.values())
    settings, clone = tmp_path_factory.mktemp("settings"), home / "course"
    variables = {"PYTHONPATH": "", **surroundings(home)}
    run(["binder/postBuild"], cwd=clone, env={**os.environ, **variables})
    with running_lab(clone, settings, home / "venv/bin/python", **variables) as (address, _):
        yield address


@pytest.fixture(scope="module")
def launched(binder, browser):
    """Follow a page's link and run all; the next page runs meanwhile."""
    opened = {}
    # One context, so that JupyterLab's scripts are read once.
    context = browser.new_context(viewport={"width": 1280, "height": 1500})
    context.set_default_timeout(180_000)

    def follow(name):
        link = urlsplit(links_of(name)["mybinder.org"])
        assert link.path == "/v2/gh/owner/name/HEAD"
        page = context.new_page()
        # What BinderHub makes of labpath; reset closes what the link before it has opened.
        page.goto(f"{binder}/lab/tree/{quote(parse_qs(link.query)['labpath'][0])}?reset")
        wait_for_kernel(page)
        run_all(page)
        return page

    def get(name):
        place = IN_LAB.index(name)
        for wanted in IN_LAB[place : place + 2]:
            if wanted not in opened:
                opened[wanted] = follow(wanted)
        return opened[name]

    return get


DRAWN = "box => [...box.querySelectorAll('svg.marks')].map(e => e.innerHTML).join('')"


@pytest.mark.parametrize("name", IN_LAB)
def test_a_binder_link_opens_a_notebook_that_runs(launched, name):
    page = launched(name)
    if name.startswith(EXERCISES):
        page.locator(".jp-OutputArea-output", has_text="Replace the three dots").wait_for()
    else:
        wait_until_all_ran(page)
    source = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    assert page.locator(".jp-NotebookPanel:visible .jp-CodeCell").count() >= 3
    assert errors_on(page) == []
    for explorer in page.locator(".explore", has=page.get_by_role("slider")).all():
        before = explorer.evaluate(DRAWN)
        explorer.get_by_role("slider").first.press("ArrowRight")
        page.wait_for_function(
            f"([box, before]) => ({DRAWN})(box) !== before", arg=[explorer.element_handle(), before]
        )
    assert page.locator(".explore").count() == len(re.findall(r"^explore\(", source, re.M))
    page.close()


def test_binder_understands_the_configuration(tmp_path, repository):
    """repo2docker itself reads it; the image would need Docker."""
    said = run([sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."], cwd=repository)
    steps = [
        "Building conda environment for python=3.11",
        "COPY --chown=0:0 src/ ",
        '/bin/pip install --no-cache-dir -r "binder/requirements.txt"',
        "RUN ./binder/postBuild",
    ]
    places = [said.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_pins_resolve(version, tmp_path):
    command = [*UV, "pip", "install", "--dry-run", f"--python-version={version}"]
    run([*command, "--only-binary=:all:", f"--target={tmp_path}", "-r", ROOT / "requirements.txt"])


def test_links_need_a_repository():
    assert links_of("chapters/shrinkage") == {
        "mybinder.org": "https://mybinder.org/v2/gh/owner/name/HEAD?labpath=lab%2Fshrinkage.ipynb",
        "colab.research.google.com": "https://colab.research.google.com/github/owner/name/blob/"
        "notebooks/chapters/shrinkage.ipynb",
    }
    assert "https://" not in launch.page_links("chapters/shrinkage", "")


def configured(address, monkeypatch, variable=""):
    """Return the repository's address as the extension reads it."""
    monkeypatch.setenv("REPOSITORY_URL", variable)
    config = types.SimpleNamespace(html_theme_options={"repository_url": address})
    launch.read_repository(None, config)
    return config.html_theme_options["repository_url"]


def test_the_environment_goes_before_the_configuration(monkeypatch):
    assert configured("", monkeypatch) == ""
    assert configured(f"{HOME}/", monkeypatch) == HOME
    assert configured("https://github.com/a/b", monkeypatch, HOME) == HOME


@pytest.mark.parametrize(
    "wrong",
    ["owner/name", "http://github.com/owner/name", "https://gitlab.com/owner/name", f"{HOME}/tree"],
)
def test_an_address_that_nothing_could_open_is_refused(wrong, monkeypatch):
    with pytest.raises(ExtensionError, match=rf"'{wrong}'; it must be https://github.com/owner/"):
        configured("", monkeypatch, wrong)


MYST = """\
(a-label)=
## Title

:::{admonition} 1. Which?
:class: question

```{dropdown} This & that
**No.** See {cite:p}`bates2015`.
```

```python
x = 1
```
:::

A {term}`cluster`, {term}`many <cluster>`, {evaluated}`9:eval-1`, [a page](other.md#x) and
[a site](https://example.org).
"""
PLAIN = """\
## Title

> **1. Which?**
>
> <details><summary>This &amp; that</summary>
>
> **No.** See [Bates et al., 2015].
>
> </details>
>
> ```python
> x = 1
> ```

A cluster, many, 2.0, a page and
[a site](https://example.org).
"""
ROLES = {
    "term": str,
    "cite:p": lambda key: "[Bates et al., 2015]",
    "evaluated": lambda place: "2.0",
}


def test_markup_becomes_plain_markdown():
    assert plain_markdown(MYST, ROLES) == PLAIN


@pytest.mark.parametrize("unknown", ["{new}`x`", ":::{new}\nx\n:::"])
def test_markup_that_a_notebook_cannot_show_is_refused(unknown):
    with pytest.raises(ValueError, match=r"cannot show the (role|directive) \{new\}; it can show"):
        plain_markdown(unknown, ROLES)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_markup_is_left_in_a_notebook(name):
    cells = nbformat.read(SITE / f"{name}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert [mark for mark in (":::", "}`", "```{", ")=\n", ".md)") if mark in text] == []
    assert len(text) > 500


def test_a_notebook_has_the_numbers_of_its_page():
    cells = nbformat.read(SITE / "chapters" / "shrinkage.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "**REML criterion**, 3012.2, is minus twice" in text
    assert "follow Clark [2019], called" in text and "lme4 [Bates et al., 2015] the model" in text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_lists_what_its_page_cites(name):
    page = (SITE / f"{name}.html").read_text(encoding="utf-8")
    cited = set(re.findall(r'references\.html#(id\d+)"', page))
    last = nbformat.read(SITE / f"{name}.ipynb", as_version=4).cells[-1]
    listed = last.source.split("\n- ")[1:] if last.source.startswith("## References") else []
    assert len(listed) == len(cited)


@pytest.fixture
def installer():
    """The script that the first cell runs."""
    path = ROOT / "binder" / "install_missing.py"
    spec = importlib.util.spec_from_file_location("install_missing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_what_is_missing_or_too_old_is_installed(installer, monkeypatch):
    commands = []
    monkeypatch.setattr(
        installer.subprocess, "run", lambda command, check: commands.append(command)
    )
    installer.main()
    assert commands == []
    real = metadata.version
    old = {"altair": "5.5.0"}
    monkeypatch.setattr(metadata, "version", lambda name: old.get(name) or absent(name, real))
    installer.main()
    assert commands == [
        [sys.executable, "-m", "pip", "install", "--quiet"]
        + [f"altair=={real('altair')}", f"anywidget=={real('anywidget')}"]
    ]


def absent(name, real):
    """Version of a package; one of them is not there."""
    if name == "anywidget":
        raise metadata.PackageNotFoundError(name)
    return real(name)


def test_the_helpers_need_nothing_of_the_book():
    code = (
        "import sys; sys.modules['myst_nb'] = None; import helpers; helpers.claim(True, 'n');"
        "print({'sphinx', 'jupyterlab', 'jupytext'} & set(sys.modules))"
    )
    assert run([sys.executable, "-c", code], cwd=ROOT).strip() == "set()"


def test_a_notebook_alone_says_what_to_do():
    with pytest.raises(ImportError, match="run `make lab`"):
        exec(launch.first_cell("", "no_longer_here"), {})


def test_colab_gets_charts_it_can_draw(monkeypatch):
    chart = alt.Chart(alt.Data(values=[])).mark_point().properties(description="A chart")
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    for shown in (chart, charts.ChartGrid(chart, chart)):
        bundle, _ = shown._repr_mimebundle_()
        assert "vegaEmbed" in bundle["text/html"]
        assert (
            json.dumps("A chart") in bundle["text/html"] or "A chart A chart" in bundle["text/html"]
        )
    assert alt.renderers.active == "course"
