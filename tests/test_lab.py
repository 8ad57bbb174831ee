"""Chapter 1 and an exercise run in JupyterLab, opened as the README says."""

import ast
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

from helpers import create_data, fit_mixed
from lab import KERNEL
from tests.browsing import SITE
from tests.lab import errors_on, run_all, running_lab, wait_for_kernel, wait_until_all_ran

ROOT = Path(__file__).resolve().parents[1]
EXPORTED = "chapters/categorical-effects.ipynb"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start a JupyterLab on the copies of the chapters; yield its address and runtime folder."""
    folder, settings = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("settings")
    subprocess.run([sys.executable, ROOT / "extensions" / "lab.py", folder], check=True)
    shutil.copy(SITE / EXPORTED, folder / "exported.ipynb")
    kept = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(EXPLORER)])
    kept.metadata["kernelspec"] = KERNEL
    nbformat.write(kept, folder / "kept.ipynb")
    with running_lab(folder, settings, PYTHONPATH=str(ROOT)) as address_and_runtime:
        yield address_and_runtime


@pytest.fixture(scope="module")
def notebook(lab, browser):
    """Open the chapter with a double click and run all its cells."""
    address, _ = lab
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    page.set_default_timeout(180_000)
    page.goto(f"{address}/lab")
    page.locator(".jp-DirListing-item", has_text="shrinkage.ipynb").dblclick()
    wait_for_kernel(page)
    run_all(page)
    wait_until_all_ran(page)
    return page


def test_no_cell_fails(notebook):
    assert notebook.locator(".jp-OutputArea-output").count() >= 20
    assert errors_on(notebook) == []


def test_every_figure_is_drawn(notebook):
    source = (ROOT / "chapters" / "shrinkage.md").read_text(encoding="utf-8")
    heights = notebook.eval_on_selector_all(
        ".jp-RenderedVegaCommon5 :is(svg, canvas).marks",
        "drawn => drawn.map(one => one.getBoundingClientRect().height)",
    )
    assert len(heights) == source.count("\ncharts.") + source.count("\nalt.Chart(")
    assert min(heights) > 100


def explorer_values(runtime, position):
    """Values of an explorer's controls, asked of the kernel."""
    client = BlockingKernelClient()
    client.load_connection_file(str(next(runtime.glob("kernel-*.json"))))
    client.start_channels()
    shown = "[out for out in Out.values() if type(out).__name__ == 'Explorer']"
    answer = client.execute(
        "", user_expressions={"values": f"{shown}[{position}].values"}, reply=True, timeout=30
    )
    client.stop_channels()
    return ast.literal_eval(answer["content"]["user_expressions"]["values"]["data"]["text/plain"])


def test_controls_work_with_a_kernel_and_it_knows_their_values(notebook, lab):
    _, runtime = lab
    explorer = notebook.locator(".explore").last
    explorer.get_by_text("Change the world").click()
    handle = explorer.get_by_role("slider", name="observations per cluster", exact=True)
    drawn = "box => [...box.querySelectorAll('svg.marks')].map(e => e.innerHTML).join('')"
    handle.press("Home")
    notebook.wait_for_timeout(500)
    before = explorer.evaluate(drawn)
    handle.press("End")
    notebook.wait_for_timeout(1000)
    assert explorer.evaluate(drawn) != before
    assert explorer_values(runtime, -1)["observations_per_cluster"] == 100
    handle.press("Home")
    notebook.wait_for_timeout(1000)
    assert explorer.evaluate(drawn) == before
    assert explorer_values(runtime, -1)["observations_per_cluster"] == 3


SAYS = """number => [...document.querySelectorAll(".jp-MarkdownCell li")]
    .some(item => item.innerText.includes(`REML criterion, ${number}`))"""


def wait_for_criterion(page, number):
    """Wait until a sentence of the chapter gives this number for the criterion."""
    page.wait_for_function(SAYS, arg=number, timeout=240_000)


def notices(page):
    """What the chapter says of sentences that no longer hold."""
    return page.locator(".jp-OutputArea-output", has_text="No longer true").all_inner_texts()


def test_sentences_follow_a_reader_who_changes_the_seed(notebook):
    wait_for_criterion(notebook, "3012.2")
    assert notices(notebook) == []
    texts = notebook.locator(".jp-CodeCell").all_inner_texts()
    place = next(n for n, text in enumerate(texts) if "settings = {" in text)
    write(notebook, place, WORLD)
    run_all(notebook)
    notebook.locator(".jp-CodeCell .jp-InputArea-prompt", has_text="[*]").first.wait_for()
    wait_until_all_ran(notebook)
    assert errors_on(notebook) == []
    world = create_data(seed=7, sd_slope=1)
    wait_for_criterion(notebook, f"{fit_mixed('y ~ x + (x | cluster)', world).criterion:.1f}")
    assert any("“shrinkage is … % for the intercepts”" in notice for notice in notices(notebook))
    assert "“The pull is weak”" not in "".join(notices(notebook))


WORLD = """settings = {"seed": 7, "n_cluster": 100, "obs_per_cluster": 10,
    "intercept": 1, "beta": 0.5, "sd_int": 0.5, "sd_slope": 1, "sigma": 1}
data = create_data(**settings)"""


EXPLORER = """import altair as alt
import pandas as pd

from helpers import explore

chart = alt.Chart().mark_line().encode(x="x:Q", y="y:Q")
chart = chart.properties(width="container", description="A line.")
explore(lambda slope: pd.DataFrame({"x": [0, 1], "y": [0, slope]}), chart, slope=[1, 2, 3])"""
END_KERNEL = """async () => {
    const sessions = await (await fetch("/api/sessions")).json();
    const { id } = sessions.find(({ path }) => path === "kept.ipynb");
    const token = document.cookie.match(/_xsrf=([^;]*)/)?.[1] ?? "";
    const options = { method: "DELETE", headers: { "X-XSRFToken": token } };
    return (await fetch(`/api/sessions/${id}`, options)).status;
}"""


def outputs_on_disk(address):
    """Outputs of the explorer's cell, as JupyterLab has saved them."""
    with urllib.request.urlopen(f"{address}/api/contents/kept.ipynb") as answer:
        return json.load(answer)["content"]["cells"][0]["outputs"]


def test_a_saved_notebook_shows_a_picture_until_its_explorer_runs_again(lab, browser):
    address, _ = lab
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(180_000)
    live, still = page.locator(".explore svg.marks"), page.locator(".explore-still img")
    for _ in range(2):
        page.goto(f"{address}/lab/tree/kept.ipynb?reset")
        wait_for_kernel(page)
        if outputs_on_disk(address):
            page.get_by_text("model not found").wait_for(state="attached")
            assert not page.get_by_text("model not found").is_visible()
            assert still.is_visible()
            assert still.evaluate("image => image.naturalWidth") > 400
        run_all(page)
        live.wait_for()
        still.wait_for(state="hidden")
        page.keyboard.press("Control+s")
        page.locator(".jp-mod-dirty").wait_for(state="detached")
        assert len(outputs_on_disk(address)) == 2
        assert page.evaluate(END_KERNEL) == 204
    page.close()


def test_an_exported_notebook_shows_its_figures_to_whoever_has_not_run_it(lab, browser):
    address, _ = lab
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(180_000)
    page.goto(f"{address}/lab/tree/exported.ipynb?reset")
    wait_for_kernel(page)
    images = page.locator(".jp-OutputArea-output img").all()
    assert len(images) == (SITE / EXPORTED).read_text(encoding="utf-8").count("data:image/svg")
    assert min(image.evaluate("image => image.naturalWidth") for image in images) > 200
    assert page.locator(".jp-OutputArea-output table").count() > 10
    page.close()


@pytest.fixture(scope="module")
def exercise(course, browser, tmp_path_factory):
    """Open an exercise as a student has it, unpacked from the zip file that was handed out."""
    folder, settings = tmp_path_factory.mktemp("student"), tmp_path_factory.mktemp("settings")
    shutil.unpack_archive(course.handouts / f"{course.name}.zip", folder)
    with running_lab(folder, settings, PYTHONPATH="") as (address, _):
        page = browser.new_page(viewport={"width": 1280, "height": 1500})
        page.set_default_timeout(180_000)
        page.goto(f"{address}/lab/tree/{course.name}/e2-sleep.ipynb")
        wait_for_kernel(page)
        yield page


HAS_RUN = """([number, before]) => {
    const cell = document.querySelectorAll('.jp-CodeCell')[number];
    const label = cell.querySelector('.jp-InputArea-prompt').textContent;
    return label !== before && /\\[\\d+\\]/.test(label);
}"""


def run_cell(page, number):
    """Run a code cell as a student does; return what it says."""
    cell = page.locator(".jp-CodeCell").nth(number)
    before = cell.locator(".jp-InputArea-prompt").inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(HAS_RUN, arg=[number, before])
    return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts()).strip()


def run_above(page, number):
    """Run all cells above a code cell."""
    page.locator(".jp-CodeCell").nth(number).locator(".cm-content").click()
    page.locator(".lm-MenuBar-itemLabel").get_by_text("Run", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Run All Above Selected Cell").click()
    page.wait_for_function(HAS_RUN, arg=[number - 1, ""])


def write(page, number, code):
    """Replace the code of a cell."""
    page.locator(".jp-CodeCell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(code)


def test_a_student_is_told_which_mistake_it_was_and_then_that_it_is_right(exercise):
    texts = exercise.locator(".jp-CodeCell").all_inner_texts()
    check = next(n for n, text in enumerate(texts) if "check(slope_variance" in text)
    run_above(exercise, check - 1)
    fit = 'fit = fit_mixed("Reaction ~ Days + (Days | Subject)", sleep)\n'
    table = 'components = variance_components(fit).set_index("effect")\n'
    said = []
    for column in ("sd", "variance"):
        write(
            exercise, check - 1, f'{fit}{table}slope_variance = components.loc["Days", "{column}"]'
        )
        assert run_cell(exercise, check - 1) == ""
        said.append(run_cell(exercise, check))
    assert said == [
        "Not yet. slope_variance: your variance is a standard deviation: square it.",
        "slope_variance: right.",
    ]
