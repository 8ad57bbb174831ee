"""Chapter 1 and an exercise run in JupyterLab, opened as the README says."""

import ast
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).resolve().parents[1]
ALL_RAN = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
    .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_answering(address, server):
    for _ in range(120):
        assert server.poll() is None, "JupyterLab stopped"
        try:
            return urllib.request.urlopen(f"{address}/api").read()
        except OSError:
            time.sleep(0.5)
    raise TimeoutError("JupyterLab does not answer")


@contextmanager
def running_lab(folder, settings, **environment):
    """Start a JupyterLab in a folder; yield its address."""
    # Otherwise JupyterLab keeps only the cells in sight on the page.
    tracker = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={address.rpartition(':')[2]}", "--IdentityProvider.token="]
    # Its own workspace, or tabs of another session would be opened again.
    command += [f"--LabApp.user_settings_dir={settings}", f"--LabApp.workspaces_dir={settings}"]
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", **environment}
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_until_answering(address, server)
            yield address
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Folder where the kernel says how to talk to it."""
    return tmp_path_factory.mktemp("runtime")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, runtime):
    """Start a JupyterLab in a folder with chapter 1 alone; yield its address."""
    folder, settings = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("settings")
    shutil.copy(ROOT / "chapters" / "shrinkage.md", folder)
    surroundings = {"PYTHONPATH": str(ROOT), "JUPYTER_RUNTIME_DIR": str(runtime)}
    with running_lab(folder, settings, **surroundings) as address:
        yield address


def wait_for_kernel(page):
    """Wait until the notebook has its kernel; the notebook's own indicator says idle before."""
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
    page.wait_for_timeout(1000)


@pytest.fixture(scope="module")
def notebook(lab, browser):
    """Open the chapter as a notebook and run all its cells."""
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    page.set_default_timeout(60_000)
    page.goto(f"{lab}/lab")
    page.locator(".jp-DirListing-item", has_text="shrinkage.md").click(button="right")
    page.locator(".lm-Menu-itemLabel", has_text="Open With").hover()
    page.locator(".lm-Menu-itemLabel").get_by_text("Notebook", exact=True).click()
    wait_for_kernel(page)
    page.locator(".lm-MenuBar-itemLabel").get_by_text("Run", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(ALL_RAN, timeout=120_000)
    page.wait_for_timeout(2000)
    return page


def test_no_cell_fails(notebook):
    outputs = notebook.locator(".jp-OutputArea-output")
    troubles = [text for text in outputs.all_inner_texts() if "Traceback" in text]
    assert outputs.count() >= 20
    assert troubles == []


def test_every_figure_is_drawn(notebook):
    source = (ROOT / "chapters" / "shrinkage.md").read_text(encoding="utf-8")
    heights = notebook.eval_on_selector_all(
        ".jp-RenderedVegaCommon5 :is(svg, canvas).marks",
        "drawn => drawn.map(one => one.getBoundingClientRect().height)",
    )
    assert len(heights) == source.count("\ncharts.")
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


def test_controls_work_with_a_kernel_and_it_knows_their_values(notebook, runtime):
    explorer = notebook.locator(".explore").last
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


@pytest.fixture(scope="module")
def exercise(classes, browser, tmp_path_factory):
    """Open an exercise as a student has it, unpacked from the zip file that was handed out."""
    folder, settings = tmp_path_factory.mktemp("student"), tmp_path_factory.mktemp("settings")
    course = next(iter(classes.values()))
    shutil.unpack_archive(course.handouts / f"{course.name}.zip", folder)
    with running_lab(folder, settings, PYTHONPATH="") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 1500})
        page.set_default_timeout(60_000)
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
