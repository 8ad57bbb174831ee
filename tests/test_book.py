"""A broken book must fail: each test plants one fault in a small copy and runs the real build."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from sphinx.errors import ExtensionError

from classroom import pages
from extensions.execution_cache import content_key

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Makefile", "_config.yml", "requirements.txt", "helpers", "data", "extensions")
TOC = """\
format: jb-book
root: chapters/index
chapters:
  - file: chapters/small
  - file: chapters/references
"""
SMALL = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
(small-page)=
# Small

```{code-cell} ipython3
from IPython.display import HTML

from helpers.data.datasets import load_gpa

gpa = load_gpa()
```

There are {eval}`len(gpa)` rows, see [above](#small-page) and {cite:t}`bates2015`: $y = X b$.

```{figure} _static/figure.svg
---
alt: A square
---
A square.
```

```{code-cell} ipython3
HTML('<figure class="vega-chart"><script type="application/json">{"mark":"bar"}</script></figure>')
```

```{code-cell} ipython3
import ipykernel
HTML(f"listens over {ipykernel.get_connection_info(unpack=True)['transport']}, "
     f"see {ipykernel.get_connection_file()}!")
```

```{code-cell} ipython3
import sys
HTML(f"runs in {sys.prefix}!")
```
"""


class Book:
    """A copy of the book with one small page, built by the command that builds the real one."""

    def __init__(self, folder):
        self.folder = folder
        self.page = folder / "chapters" / "small.md"
        self.site = folder / "_build" / "html"

    def command(self, *variables):
        """Put together the command of the build."""
        # Whatever the address of the real site is, the copy has none unless a test says so.
        command = ["make", "--no-print-directory", "html", f"VENV={sys.prefix}"]
        command += ["SITE_URL=", "REPOSITORY_URL=", *variables]
        return [*command, f"PYTHONPATH={self.folder}"]

    def build(self, *variables):
        """Run the build; return its exit code and everything it printed."""
        done = subprocess.run(
            self.command(*variables),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)

    def edit(self, old, new, path=None):
        """Replace the one occurrence of `old` in a file, the small page by default."""
        path = path or self.page
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")

    def add_cell(self, code):
        """Append a code cell to the small page."""
        with self.page.open("a", encoding="utf-8") as page:
            page.write(f"\n```{{code-cell}} ipython3\n{code}\n```\n")

    def add_page(self, name, code):
        """Add a page with one cell."""
        head = SMALL.partition("(small-page)=")[0]
        cell = f"# {name}\n\n```{{code-cell}} ipython3\n{code}\n```\n"
        (self.folder / "chapters" / f"{name}.md").write_text(head + cell, encoding="utf-8")
        with (self.folder / "_toc.yml").open("a", encoding="utf-8") as contents:
            contents.write(f"  - file: chapters/{name}\n")

    def add_text(self, text):
        """Append a paragraph to the small page."""
        with self.page.open("a", encoding="utf-8") as page:
            page.write(f"\n{text}\n")

    def add_exercise(self, old="", new=""):
        """Add the first exercise set, with one replacement."""
        text = (ROOT / "chapters" / "exercises" / "e1-shrinkage.md").read_text(encoding="utf-8")
        text = text.replace("../shrinkage.md", "../small.md").replace(old, new, 1)
        (self.folder / "chapters" / "exercises" / "e1-shrinkage.md").write_text(text)
        with (self.folder / "_toc.yml").open("a", encoding="utf-8") as contents:
            contents.write("  - file: chapters/exercises/e1-shrinkage\n")

    def everything_published(self):
        """Return the text of every file of the site that may hold some of a page."""
        kinds = (".html", ".ipynb", ".js", ".txt", ".md", ".inv")
        files = [path for path in self.site.rglob("*") if path.suffix in kinds]
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def copy_of_the_book(folder):
    """Copy what the build reads, with a landing page and one small page for chapters."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_file():
            shutil.copy(source, folder)
        else:
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(source, folder / name, ignore=ignored)
    (folder / "extensions" / "node_modules").symlink_to(ROOT / "extensions" / "node_modules")
    shutil.copytree(ROOT / "chapters" / "_static", folder / "chapters" / "_static")
    shutil.copytree(
        ROOT / "chapters" / "exercises",
        folder / "chapters" / "exercises",
        ignore=shutil.ignore_patterns("__pycache__", "*.md", "*.ipynb"),
    )
    for name in ("references.md", "references.bib"):
        shutil.copy(ROOT / "chapters" / name, folder / "chapters")
    (folder / "_toc.yml").write_text(TOC, encoding="utf-8")
    (folder / "chapters" / "index.md").write_text("# Index\n")
    (folder / "chapters" / "small.md").write_text(SMALL, encoding="utf-8")
    # As a reader leaves it who has downloaded the page's notebook: of no account.
    (folder / "chapters" / "small.ipynb").write_text(json.dumps(nbformat.v4.new_notebook()))
    (folder / "chapters" / "_static" / "figure.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9v9H0z"/></svg>'
    )
    return Book(folder)


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """The unbroken copy, built once where a user has a kernel that fails, and what was said."""
    user = tmp_path_factory.mktemp("user")
    kernel = user / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["false"], "display_name": "", "language": ""}')
    book = copy_of_the_book(tmp_path_factory.mktemp("sound") / "book")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(user))
        patch.setenv("JUPYTER_PATH", str(user))
        book.code, book.said = book.build()
    return book


def copy_of(sound, folder):
    """Copy the sound book and its cache of executed cells, without its site."""
    shutil.copytree(sound.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("html"))
    return Book(folder)


@pytest.fixture
def book(sound, tmp_path):
    """A copy of the sound book to change."""
    return copy_of(sound, tmp_path / "book")


def test_the_sound_copy_builds(sound):
    """Without this control the tests of faults would prove nothing."""
    assert sound.code == 0, sound.said
    assert "1200" in (sound.site / "chapters" / "small.html").read_text(encoding="utf-8")
    assert re.search(r"chapters/small +\d+\.\d", sound.said)


def test_chapters_run_in_the_kernel_of_this_environment(sound):
    page = (sound.site / "chapters" / "small.html").read_text(encoding="utf-8")
    assert f"runs in {sys.prefix}!" in page


def test_kernels_take_no_ports_and_leave_nothing_behind(sound):
    page = (sound.site / "chapters" / "small.html").read_text(encoding="utf-8")
    transport, connection_file = re.search(r"listens over (\w+), see (.+)!", page).groups()
    assert transport == "ipc"
    assert not Path(connection_file).parent.exists()


def raising_cell(book):
    book.add_cell("raise RuntimeError('planted')")
    return "small.md", "planted"


def endless_cell(book):
    config = book.folder / "_config.yml"
    timeout = re.search(r"timeout: \d+", config.read_text(encoding="utf-8")).group()
    book.edit(timeout, "timeout: 2", config)
    book.add_cell("import time\ntime.sleep(60)")
    return "small.md", "CellTimeoutError"


def noisy_cell(book):
    book.add_cell("import warnings\nwarnings.warn('planted')")
    return "small.md", "stderr was found"


def dangling_cross_reference(book):
    book.add_text("See [nothing](#no-such-label).")
    return "small.md", "no-such-label"


def dangling_figure_number(book):
    book.add_text("See {numref}`no-such-figure`.")
    return "small.md", "no-such-figure"


def link_to_missing_page(book):
    book.add_text("See [nothing](no-such-page.md).")
    return "small.md", "no-such-page.md"


def unknown_citation(book):
    book.add_text("See {cite}`nobody1900`.")
    return "small.md", "nobody1900"


def missing_figure(book):
    (book.folder / "chapters" / "_static" / "figure.svg").unlink()
    return "small.md", "figure.svg"


def page_not_in_the_contents(book):
    (book.folder / "chapters" / "forgotten.md").write_text("# Forgotten\n")
    return "forgotten.md", "toctree"


def contents_with_a_missing_page(book):
    with (book.folder / "_toc.yml").open("a", encoding="utf-8") as contents:
        contents.write("  - file: chapters/gone\n")
    return "chapters/gone", "nonexisting"


def false_claim(book):
    book.add_text("All rows are odd.")
    book.add_cell("from helpers import claim\nclaim(False, 'All rows are odd.')")
    return "small.md", 'This sentence of the page does not hold: "All rows are odd."'


def quiz_without_a_right_choice(book):
    book.add_text(":::{check-yourself} Which?\n- [ ] One.\n  No.\n- [ ] Two.\n  No.\n:::")
    return "small.md", "one of them right"


def quiz_without_a_reason(book):
    book.add_text(":::{check-yourself} Which?\n- [ ] One.\n- [x] Two.\n  Two is two.\n:::")
    return "small.md", '"One." has no reason'


def prediction_of_nothing(book):
    book.add_text(":::{predict} Which?\n- [ ] One.\n- [x] Two.\n:::")
    return "small.md", "followed by fewer"


def prediction_without_choices(book):
    book.add_text(":::{predict} Which?\n:::")
    return "small.md", "two choices or more"


def question_asked_twice(book):
    for _ in range(2):
        book.add_text(":::{check-yourself} Which?\n- [ ] One.\n  No.\n- [x] Two.\n  Yes.\n:::")
    return "small.md", "asks twice"


def caption_below_nothing(book):
    book.add_text("```python\nx\n```\n\n:::{caption} fig-none\nNothing is shown.\n:::")
    return "small.md", "'fig-none' does not stand"


def misspelt_marker(book):
    book.add_exercise("### BEGIN SOLUTION", "### BEGIN HIDEN TESTS")
    return "e1-shrinkage.md", "'### BEGIN HIDEN TESTS' is not a marker"


def reference_that_fails(book):
    book.add_exercise("by_hand = common_mean + share", "by_hand = common_mean - share")
    return "e1-shrinkage.md", "AssertionError"


# Sphinx goes on after these, so one build shows all of them.
WARNINGS = [
    quiz_without_a_right_choice,
    quiz_without_a_reason,
    prediction_without_choices,
    noisy_cell,
    dangling_cross_reference,
    dangling_figure_number,
    link_to_missing_page,
    unknown_citation,
    missing_figure,
    page_not_in_the_contents,
    contents_with_a_missing_page,
]
# Each of these ends its build.
ERRORS = [
    raising_cell,
    endless_cell,
    false_claim,
    misspelt_marker,
    reference_that_fails,
    prediction_of_nothing,
    question_asked_twice,
    caption_below_nothing,
]


def build_with(plant, book):
    """Plant a fault; return the file and cause to be named, the exit code and what was printed."""
    return *plant(book), *book.build()


@pytest.fixture(scope="module")
def broken_builds(sound, tmp_path_factory):
    """Builds of the faults that end one, by name, two at a time."""
    folder = tmp_path_factory.mktemp("broken")
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            plant: pool.submit(build_with, plant, copy_of(sound, folder / plant.__name__))
            for plant in ERRORS
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("plant", ERRORS, ids=lambda plant: plant.__name__)
def test_an_error_fails_the_build(broken_builds, plant):
    file, cause, code, said = broken_builds[plant].result()
    assert code != 0, said
    assert re.search(rf"{re.escape(file)}\b", said), said
    assert cause in said, said


LOST = "Before **{eval}`lost`**."
NO_NUMBER = "- {eval}`f'{gpa.gpa.head(1).std():.1f}'`"
UNSAID = 'claim(True, "Nobody says so.")'


def test_expressions_and_words_that_fail_are_named_with_their_lines(book):
    book.add_text(LOST)
    book.add_text(NO_NUMBER)
    book.add_cell(f"from helpers import claim\n{UNSAID}")
    code, said = book.build()
    assert code != 0
    lines = book.page.read_text(encoding="utf-8").split("\n")
    for text, problem in {
        LOST: "{eval}`lost` fails: NameError: name 'lost' is not defined",
        NO_NUMBER: f"{NO_NUMBER[2:]} fails: ValueError: it is 'nan'; only finite numbers",
        UNSAID: 'the words of a claim are not on the page: "Nobody says so."',
    }.items():
        assert f"{book.page}:{lines.index(text) + 1}: WARNING: {problem}" in said


@pytest.fixture(scope="module")
def warned(sound, tmp_path_factory):
    """One book with every fault that warns: what to look for, and what its build said."""
    book = copy_of(sound, tmp_path_factory.mktemp("warned") / "book")
    wanted = {plant: plant(book) for plant in WARNINGS}
    book.code, book.said = book.build()
    return book, wanted


@pytest.mark.parametrize("plant", WARNINGS, ids=lambda plant: plant.__name__)
def test_a_fault_is_a_warning_that_names_file_and_cause(warned, plant):
    book, wanted = warned
    file, cause = map(re.escape, wanted[plant])
    assert book.code != 0, book.said
    lines = [line for line in book.said.splitlines() if re.search("WARNING|ERROR|warning", line)]
    assert [line for line in lines if re.search(rf"{file}\b", line) and re.search(cause, line)], (
        book.said
    )


def test_one_warning_fails_every_build_and_leaves_the_last_good_site(book, sound):
    shutil.copytree(sound.site, book.site)
    good = (book.site / "chapters" / "small.html").read_text(encoding="utf-8")
    dangling_cross_reference(book)
    for _ in range(2):
        assert book.build()[0] != 0
        assert (book.site / "chapters" / "small.html").read_text(encoding="utf-8") == good


def wait_for(path, seconds=60):
    """Wait until a file exists."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.05)


MEETS_THE_OTHER = """\
import time
from pathlib import Path
Path("{me}.here").touch()
while not Path("{other}.here").exists():
    time.sleep(0.05)
"""


def test_notebooks_are_executed_side_by_side(book):
    for me, other in (("one", "two"), ("two", "one")):
        book.add_page(me, MEETS_THE_OTHER.format(me=me, other=other))
    code, said = book.build()
    assert code == 0, said


SLOW = """\
import os, time
from pathlib import Path
Path("started.part").write_text(str(os.getpid()))
Path("started.part").rename("started")
time.sleep(60)
"""


def wait_for_end(process, seconds=30):
    """Wait until a process that is no child of ours has ended."""
    end = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.kill(process, 0)
            time.sleep(0.05)
        pytest.fail(f"{process} still runs")


def test_an_interrupted_build_leaves_the_last_good_site_and_no_kernel(book, sound):
    shutil.copytree(sound.site, book.site)
    book.add_cell(SLOW)
    started = book.folder / "chapters" / "started"
    for _ in range(2):
        build = subprocess.Popen(book.command(), cwd=book.folder, start_new_session=True)
        wait_for(started)
        os.killpg(build.pid, signal.SIGINT)
        assert build.wait(60) != 0
        assert (book.site / "index.html").exists()
        wait_for_end(int(started.read_text()))
        started.unlink()


def last_run(book):
    """Return what the table of last runs says of the small page, in UTC."""
    page = (book.site / "chapters" / "index.html").read_text(encoding="utf-8")
    return datetime.strptime(re.search(r"<td><p>(\d{4}-.*?)</p>", page)[1], "%Y-%m-%d %H:%M")


def test_only_what_changed_is_executed(book, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    start = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    (book.folder / "chapters" / "index.md").write_text("# Index\n\n```{nb-exec-table}\n```\n")
    book.add_text("A sentence more.")
    code, said = book.build()
    assert code == 0, said
    assert re.search(r"chapters/small +unchanged, not executed", said)
    assert start - timedelta(hours=1) < last_run(book) <= start
    with (book.folder / "helpers" / "datasets.py").open("a", encoding="utf-8") as module:
        module.write("# a change\n")
    code, said = book.build()
    assert code == 0, said
    assert re.search(r"chapters/small +\d+\.\d", said)
    assert start <= last_run(book) < start + timedelta(hours=1)
    assert len(list((book.folder / "_build" / ".jupyter_cache").iterdir())) == 1


def test_the_cache_depends_on_all_that_cells_can_read(book, tmp_path, monkeypatch):
    own_data = tmp_path / "own"
    own_data.mkdir()
    monkeypatch.setenv("COURSE_DATA_DIR", str(own_data))
    changes = [book.folder / "helpers" / "__init__.py", book.folder / "data" / "gpa.csv"]
    changes += [book.folder / "requirements.txt", own_data / "gpa.csv"]
    changes += [book.folder / "chapters" / "exercises" / "checks.py"]
    keys = [content_key(book.folder)]
    for path in changes:
        with path.open("a", encoding="utf-8") as file:
            file.write("# a change\n")
        keys.append(content_key(book.folder))
    assert content_key(book.folder) == keys[-1]
    assert len(set(keys)) == len(changes) + 1


SOLUTION = "share_kept = between / (between + within / n)"
MODEL_ANSWER = "Intercepts hardly differ between"
HIDDEN = ("assert abs(share_kept", "sd_between, sd_within", "BEGIN HIDDEN", "BEGIN SOLUTION")


def plain(html):
    """Return the text of a page without its tags."""
    return re.sub(r"<[^>]+>", "", html).replace("&lt;", "<").replace("&#39;", "'")


def test_solutions_are_folded_or_absent(book):
    book.add_exercise()
    offered = []
    for variables, wanted in (((), 1), ((), 1), (("SOLUTIONS=no",), 0)):
        code, said = book.build(*variables)
        assert code == 0, said
        unchanged = re.search(r"e1-shrinkage +unchanged, not executed", said)
        assert bool(unchanged) == (len(offered) == 1)
        published = plain(book.everything_published())
        assert published.count(SOLUTION) == wanted
        assert (MODEL_ANSWER in published) == bool(wanted)
        assert [line for line in HIDDEN if line in published] == []
        html = (book.site / "chapters" / "exercises" / "e1-shrinkage.html").read_text()
        assert html.count("<details") == 5 * wanted
        assert "check(share_kept=share_kept, by_hand=by_hand)" in plain(html).replace("\n", "")
        assert '<a href="e1-shrinkage.ipynb" download>' in html
        notebook = book.site / "chapters" / "exercises" / "e1-shrinkage.ipynb"
        offered.append([cell["source"] for cell in json.loads(notebook.read_text())["cells"]])
    # The second build did not execute it.
    assert offered[0] == offered[1] == offered[2]
    assert "share_kept = ...\n" in sum(offered[0], [])


TEXT = "There are 1200 rows, see above and Bates et al. [2015]: $y = X b$.\n\nA square."


ADDRESS = "https://course.example.org/book/"


@pytest.fixture(scope="module")
def addressed(sound, tmp_path_factory):
    """A book that knows its repository and its address."""
    book = copy_of(sound, tmp_path_factory.mktemp("addressed") / "book")
    meta = "myst:\n  html_meta:\n    description: Small & sound.\n---\n(small-page)="
    book.edit("---\n(small-page)=", meta)
    code, said = book.build(
        "REPOSITORY_URL=https://github.com/owner/name", f"SITE_URL={ADDRESS.rstrip('/')}"
    )
    assert code == 0, said
    return book


def test_pages_offer_to_be_launched_once_there_is_a_repository(sound, addressed):
    alone = (sound.site / "chapters" / "small.html").read_text(encoding="utf-8")
    assert '<a href="small.ipynb" download>' in alone
    assert "mybinder.org" not in alone and "colab.research" not in alone
    launched = (addressed.site / "chapters" / "small.html").read_text(encoding="utf-8")
    for link in ("mybinder.org/v2/gh/owner/name/HEAD", "colab.research.google.com/github/owner"):
        assert launched.count(f'<a href="https://{link}') == 1
    without = (addressed.site / "chapters" / "references.html").read_text(encoding="utf-8")
    assert "launch-links" not in without
    cells = json.loads((addressed.site / "chapters" / "small.ipynb").read_text())["cells"]
    assert '"https://github.com/owner/name"' in "".join(cells[0]["source"])
    assert TEXT in ["".join(cell["source"]).strip() for cell in cells]


def test_a_wish_that_is_neither_yes_nor_no_is_refused(monkeypatch):
    monkeypatch.setenv("SOLUTIONS", "maybe")
    with pytest.raises(ExtensionError, match="SOLUTIONS is 'maybe'; allowed are yes and no."):
        pages.with_solutions()


def test_without_an_address_pages_claim_none(sound):
    assert not (sound.site / "sitemap.xml").exists()
    page = (sound.site / "chapters" / "small.html").read_text(encoding="utf-8")
    assert [claim for claim in ("canonical", "og:", "twitter:") if f'="{claim}' in page] == []


def test_an_address_is_on_every_page_and_in_the_sitemap(addressed):
    page = (addressed.site / "chapters" / "small.html").read_text(encoding="utf-8")
    assert f'<link rel="canonical" href="{ADDRESS}chapters/small.html"' in page
    assert f'<meta property="og:url" content="{ADDRESS}chapters/small.html"' in page
    assert '<meta property="og:description" content="Small & sound."' in page
    assert f'<meta property="og:image" content="{ADDRESS}_static/card.png"' in page
    assert (addressed.site / "_static" / "card.png").exists()
    assert 'property="og:title"' in (addressed.site / "index.html").read_text(encoding="utf-8")
    sitemap = (addressed.site / "sitemap.xml").read_text(encoding="utf-8")
    listed = [f"{ADDRESS}chapters/{name}.html" for name in ("index", "references", "small")]
    assert sorted(re.findall("<loc>(.*?)</loc>", sitemap)) == listed


class Requests(HTMLParser):
    """Collect the addresses a browser asks for when it opens a page."""

    ATTRIBUTES = ("src", "srcset", "poster", "data", "action")
    LINKS_FOLLOWED_BY_READERS = ("a", "area")

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        if ("rel", "canonical") in attributes:
            return  # the page's own address, which nobody asks for
        for name, value in attributes:
            asked = name in self.ATTRIBUTES or (
                name == "href" and tag not in self.LINKS_FOLLOWED_BY_READERS
            )
            if asked and value:
                self.addresses.append(value)


def off_host_requests(site):
    """List (file, address) of everything the pages and style sheets of a site ask other hosts."""
    other_host = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
    found = []
    for page in site.rglob("*.html"):
        parser = Requests()
        parser.feed(page.read_text(encoding="utf-8"))
        found += [(page.name, url) for url in parser.addresses if other_host.match(url)]
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        urls = re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")\s]+)", text)
        found += [(sheet.name, url) for url in urls if other_host.match(url)]
    return found


def test_off_host_requests_are_noticed(tmp_path):
    (tmp_path / "page.html").write_text('<a href="https://a.org"></a><img src="//b.org/x.png">')
    (tmp_path / "sheet.css").write_text('@import "https://c.org/x.css";')
    assert off_host_requests(tmp_path) == [
        ("page.html", "//b.org/x.png"),
        ("sheet.css", "https://c.org/x.css"),
    ]


def test_pages_ask_no_other_host(sound):
    assert off_host_requests(sound.site) == []


def test_the_book_asks_no_other_host():
    site = ROOT / "_build" / "html"
    assert (site / "index.html").exists(), "the book is not built: run `make book`"
    assert off_host_requests(site) == []


def test_scripts_are_on_the_pages_that_need_them(sound):
    small = (sound.site / "chapters" / "small.html").read_text(encoding="utf-8")
    plain = (sound.site / "chapters" / "references.html").read_text(encoding="utf-8")
    assert "<mjx-container" in small and 'class="marks"' in small
    assert "<mjx-container" not in plain
    for script in ("mathjax.js", "vega.js", "controls.js", "fontawesome.js"):
        assert script not in small + plain
    for script in ("vega.js", "controls.js"):
        assert (sound.site / "_static" / script).stat().st_size > 100


def test_the_zip_files_are_made_in_a_folder_with_a_blank(tmp_path):
    folder = tmp_path / "a course"
    for part in ("chapters", "classroom", "helpers", "data", "extensions", "_build/html/chapters"):
        (folder / part).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for file in ("_config.yml", "_toc.yml", "requirements.txt", "_build/html/chapters/one.ipynb"):
        (folder / file).write_text("{}")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "_build" / "html" / "index.html").write_text("the site")
    done = subprocess.run(["make", "dist"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    packed = sorted((folder / "_build" / "dist").glob("*.zip"))
    assert [path.name for path in packed] == [
        "borrowing-strength-notebooks.zip",
        "borrowing-strength.zip",
    ]
    with zipfile.ZipFile(packed[0]) as notebooks:
        assert "borrowing-strength-notebooks/chapters/one.ipynb" in notebooks.namelist()
