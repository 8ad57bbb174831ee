"""Chapter 1 run in JupyterLab, opened as the README says."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start a JupyterLab in a folder with chapter 1 alone; yield its address."""
    folder, settings = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("settings")
    shutil.copy(ROOT / "chapters" / "shrinkage.md", folder)
    # Otherwise JupyterLab keeps only the cells in sight on the page.
    tracker = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={address.rpartition(':')[2]}", "--IdentityProvider.token="]
    command += [f"--LabApp.user_settings_dir={settings}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1"}
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_until_answering(address, server)
            yield address
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def notebook(lab, browser):
    """Open the chapter as a notebook and run all its cells."""
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    page.set_default_timeout(60_000)
    page.goto(f"{lab}/lab")
    page.locator(".jp-DirListing-item", has_text="shrinkage.md").click(button="right")
    page.locator(".lm-Menu-itemLabel", has_text="Open With").hover()
    page.locator(".lm-Menu-itemLabel").get_by_text("Notebook", exact=True).click()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for()
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
    assert len(heights) == source.count(":tags: [hide-input]")
    assert min(heights) > 100
