"""Run one submission within its limits, in a process of its own: ``python -m classroom.execution``.

Whatever the notebook does, a notebook comes back in which every code cell has an output, an error
or was run: a cell that was never reached holds an error that says why, so it can earn nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from classroom.sandbox import KERNEL_NAME, write_kernel
from classroom.sources import is_check

CELL_SECONDS = 30
TOTAL_SECONDS = 180
MEMORY_BYTES = 3 * 2**30
# Of what is printed so much is kept; at the second number a cell is interrupted.
OUTPUT_CHARACTERS = 200_000
MOST_CHARACTERS = 50_000_000
FILE_BYTES = 100_000_000
# After its time is up a cell is interrupted; if it goes on, the kernel is ended.
GRACE_SECONDS = 5
WATCH_SECONDS = 0.25


class Execution(NotebookClient):
    """nbclient, with a limit on what a notebook may print, and on its time as a whole."""

    def __init__(self, notebook, cell_seconds, folder, **options):
        super().__init__(
            notebook,
            timeout=cell_seconds,
            interrupt_on_timeout=True,
            allow_errors=True,
            startup_timeout=60,
            on_cell_error=insist_on_error,
            **options,
        )
        self.cell_seconds = cell_seconds
        self.folder = folder
        self.finished = threading.Event()
        self.reasons = []
        self.printed = 0
        self.running, self.ended = "the notebook", None
        self.ends = time.monotonic() + TOTAL_SECONDS

    def run(self):
        """Run the cells in order; return the reasons why some did not run as they should."""
        # Not to our own output: what the kernel writes past Jupyter has no limit.
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with self.setup_kernel(env={"PATH": os.environ["PATH"]}, **silent):
            threading.Thread(target=self._watch, daemon=True).start()
            stopped = None
            for index, cell in enumerate(self.nb.cells):
                if cell.cell_type == "code":
                    stopped = stopped or self._run_cell(cell, index)
                    if stopped:
                        forbid_points(cell, stopped)
            self.finished.set()
        return self.reasons

    def _watch(self):
        """End the kernel if it takes too much memory, or fills the folder of its sockets.

        That folder is the only one on the disk. Memory is what is resident: a limit on addresses
        would stop programs that reserve many and use few, as the one that draws charts does.
        """
        while not self.finished.wait(WATCH_SECONDS):
            if resident_bytes(self.km.provisioner.pid) > MEMORY_BYTES:
                gigabytes = MEMORY_BYTES / 2**30
                self.ended = f"{self.running} used more than {gigabytes:.0f} GB of memory"
            elif bytes_in(self.folder) > FILE_BYTES:
                self.ended = "the notebook filled the disk"
            else:
                continue
            self._note(self.ended)
            self._end_kernel()
            return

    def _run_cell(self, cell, index):
        """Run a cell; return why no further cell can run, or None."""
        remaining = self.ends - time.monotonic()
        if remaining <= 0:
            return self._note(f"the whole notebook took longer than {TOTAL_SECONDS} seconds")
        self.timeout = min(self.cell_seconds, int(remaining) + 1)
        start = time.monotonic()
        self.running = label(cell, index)
        guard = threading.Timer(self.timeout + GRACE_SECONDS, self._end_kernel)
        guard.start()
        try:
            self.execute_cell(cell, index)
        except DeadKernelError:
            if self.ended:
                return self.ended
            late = time.monotonic() - start > self.timeout
            return self._note(
                f"{label(cell, index)} did not end within {self.timeout} seconds nor let itself "
                "be interrupted"
                if late
                else f"{label(cell, index)} ended the kernel"
            )
        finally:
            guard.cancel()
        if time.monotonic() - start > self.timeout:
            self._note(f"{label(cell, index)} took longer than {self.timeout} seconds")
            forbid_points(cell, "interrupted")
        return None

    def _note(self, reason):
        self.reasons.append(reason)
        return reason

    def _end_kernel(self):
        """End the kernel from outside, with whatever it has started."""
        os.killpg(self.km.provisioner.pgid, signal.SIGKILL)

    def process_message(self, msg, cell, cell_index):
        """Take an output as text, unless too much has been printed already.

        Nobody sees the controls of a notebook that is graded: their messages are left unread.
        """
        if msg["msg_type"].startswith("comm"):
            return None
        if "data" in msg["content"]:
            shown = msg["content"]["data"].get("text/plain", "")
            msg["content"] |= {"data": {"text/plain": shown}, "metadata": {}}
        if msg["msg_type"] not in ("status", "execute_input") and self._is_too_much(msg, cell):
            return None
        return super().process_message(msg, cell, cell_index)

    def _is_too_much(self, msg, cell):
        """Count an output; one that never ends is interrupted. An error, which ends it, is kept."""
        before = self.printed
        self.printed += len(json.dumps(msg["content"], default=str))
        if before <= OUTPUT_CHARACTERS < self.printed:
            self._note(f"{self.running} printed too much; the rest was left out")
        if before <= MOST_CHARACTERS < self.printed:
            asyncio.ensure_future(self.km.interrupt_kernel())
        return self.printed > OUTPUT_CHARACTERS and msg["msg_type"] != "error"


def resident_bytes(pid):
    """Return the memory that a process and all it has started hold, what they share once.

    Parameters
    ----------
    pid : int

    Returns
    -------
    int
    """
    held, shared = 0, False
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.Error):
                held += process.memory_info().rss
        shared = len(processes) > 1 and held > MEMORY_BYTES
        if shared and hasattr(parent.memory_full_info(), "pss"):
            held = 0
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    held += process.memory_full_info().pss
    return held


def bytes_in(folder):
    """Return the size of all files below a folder, which may change while we look."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def label(cell, index):
    """Name a cell for the teacher."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", f"cell {index + 1}")


def insist_on_error(cell, cell_index, execute_reply):
    """Keep an error that the student's code has kept from being shown."""
    if not any(output.output_type == "error" for output in cell.outputs):
        forbid_points(cell, f"{execute_reply['content'].get('ename', 'an error')}, not shown")


def forbid_points(cell, reason):
    """Give a cell an error output: without one, nbgrader takes a cell that never ran for right."""
    cell.outputs.append(
        nbformat.v4.new_output("error", ename="NotRun", evalue=reason, traceback=[reason])
    )


def clean_checks(notebook):
    """Let the outputs of checks say what nbgrader takes them for.

    The traceback of a hidden check would show it. A warning of the student's own function is no
    error, and the last value of a cell is no partial credit.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []) if is_check(cell) else []:
            if output.get("ename") == "AssertionError":
                output.traceback = ["A hidden check is not passed."]
            elif output.get("name") == "stderr":
                output.name = "stdout"
            elif output.output_type == "execute_result":
                output.output_type = "display_data"
                output.pop("execution_count", None)


def limit_resources():
    """Limit what this process and the kernel it starts may use."""
    for limit, value in (
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CPU, TOTAL_SECONDS + 60),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def run_submission(notebook, shared, *, protected, cell_seconds):
    """Run a notebook; change it in place.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        With the checks it is graded by.
    shared : pathlib.Path
        Folder with what the notebooks import.
    protected : bool
        Under bubblewrap.
    cell_seconds : int
        Longest time of a cell.

    Returns
    -------
    list of str
        Reasons why cells did not run as they should.
    """
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        kernels = write_kernel(Path(folder), shared, protected=protected)
        manager = AsyncKernelManager(
            kernel_name=KERNEL_NAME,
            kernel_spec_manager=KernelSpecManager(
                kernel_dirs=[str(kernels)], ensure_native_kernel=False
            ),
            transport="ipc",
            connection_file=f"{folder}/kernel.json",
        )
        execution = Execution(notebook, cell_seconds, Path(folder), km=manager)
        execution.owns_km = True
        reasons = execution.run()
    clean_checks(notebook)
    return reasons


def main(arguments):
    """Run the notebook at one path; write it to another, the reasons among its metadata."""
    parser = argparse.ArgumentParser()
    parser.add_argument("notebook", type=Path)
    parser.add_argument("executed", type=Path)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--unprotected", action="store_true")
    parser.add_argument("--cell-seconds", type=int, default=CELL_SECONDS)
    options = parser.parse_args(arguments)
    limit_resources()
    notebook = nbformat.read(options.notebook, as_version=4)
    reasons = run_submission(
        notebook,
        options.shared,
        protected=not options.unprotected,
        cell_seconds=options.cell_seconds,
    )
    notebook.metadata["reasons"] = reasons
    nbformat.write(notebook, options.executed)


if __name__ == "__main__":
    main(sys.argv[1:])
