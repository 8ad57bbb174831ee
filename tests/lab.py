"""A JupyterLab driven in the browser: what several test modules need."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ALL_RAN = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
    .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"""


def address_of(server, runtime):
    """Wait until JupyterLab answers; return its address, with the port that it has found free."""
    record = Path(runtime, f"jpserver-{server.pid}.json")
    for _ in range(120):
        assert server.poll() is None, "JupyterLab stopped"
        try:
            address = f"http://127.0.0.1:{json.loads(record.read_text())['port']}"
            urllib.request.urlopen(f"{address}/api").read()
            return address
        except (OSError, json.JSONDecodeError):
            time.sleep(0.5)
    raise TimeoutError("JupyterLab does not answer")


@contextmanager
def running_lab(folder, settings, python=sys.executable, **environment):
    """Start the JupyterLab of a Python in a folder; yield its address and its runtime folder."""
    # Otherwise JupyterLab keeps only the cells in sight on the page.
    tracker = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')
    command = [python, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    # Kernels on sockets: a port may be taken by another test before its kernel has opened it.
    command += ["--KernelManager.transport=ipc", "--IdentityProvider.token="]
    # Its own workspace, or tabs of another session would be opened again.
    command += [f"--LabApp.user_settings_dir={settings}", f"--LabApp.workspaces_dir={settings}"]
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", **environment}
    # The address of a socket has room for about a hundred characters.
    with (
        TemporaryDirectory(prefix="lab-", dir="/tmp") as runtime,
        open(folder / "lab.log", "w") as log,
    ):
        environment["JUPYTER_RUNTIME_DIR"] = runtime
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield address_of(server, runtime), Path(runtime)
        finally:
            server.terminate()
            server.wait(30)


def wait_for_kernel(page):
    """Wait until the notebook has its kernel; the notebook's own indicator says idle before."""
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
    page.wait_for_timeout(1000)


def run_all(page):
    """Run all cells of the notebook, without waiting for them."""
    page.locator(".lm-MenuBar-itemLabel").get_by_text("Run", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()


def wait_until_all_ran(page):
    """Wait until every cell has run and its output is drawn."""
    page.wait_for_function(ALL_RAN, timeout=240_000)
    page.wait_for_timeout(2000)


def errors_on(page):
    """Texts of the outputs that are errors."""
    outputs = page.locator(".jp-OutputArea-output").all_inner_texts()
    return [text for text in outputs if "Traceback" in text]
