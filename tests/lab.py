"""A JupyterLab driven in the browser: what several test modules need."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

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
def running_lab(folder, settings, python=sys.executable, **environment):
    """Start the JupyterLab of a Python in a folder; yield its address."""
    # Otherwise JupyterLab keeps only the cells in sight on the page.
    tracker = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')
    address = f"http://127.0.0.1:{free_port()}"
    command = [python, "-m", "jupyterlab", "--no-browser", "--allow-root"]
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
    page.wait_for_function(ALL_RAN, timeout=120_000)
    page.wait_for_timeout(2000)


def errors_on(page):
    """Texts of the outputs that are errors."""
    outputs = page.locator(".jp-OutputArea-output").all_inner_texts()
    return [text for text in outputs if "Traceback" in text]
