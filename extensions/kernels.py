"""Execute the notebooks of a build side by side, through sockets and not through ports.

Before Sphinx reads its first page, every notebook whose cells have changed is handed to a few
threads, each with a kernel of its own (fork_server.py). myst-nb finds the result there when it
comes to the page, and does with it, or with an error, what it does with its own.

A kernel is told its ports before it opens them. If another program takes one in between, the kernel
dies before it has answered, and with it the build: a busy machine would fail it now and then.
Sockets in a folder of their own cannot be taken.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import mkdtemp
from threading import Lock

import nbformat
import psutil
from jupyter_cache import get_cache
from jupyter_cache.executors.utils import single_nb_execution
from jupyter_client import AsyncKernelManager
from myst_nb.core.execute import cache
from myst_nb.core.read import create_nb_reader
from traitlets import default

LAUNCHER = "ipykernel_launcher"
# System libraries of other systems do not survive a fork.
FORKS = sys.platform == "linux"


def setup(app):
    """Connect to Sphinx, and to myst-nb, which has no option for it."""
    executed_ahead = ExecutedAhead()
    cache.single_nb_execution = executed_ahead.take_or_execute
    # After every other extension has had its say on which pages are read.
    app.connect("env-before-read-docs", executed_ahead.start, priority=900)
    app.connect("build-finished", executed_ahead.stop)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


class ForkServer:
    """The process whose copies the kernels are, started when it is asked for."""

    def __init__(self):
        self.lock = Lock()

    @cached_property
    def process(self):
        """The process of fork_server.py."""
        command = [sys.executable, "-P", Path(__file__).with_name("fork_server.py")]
        return Popen(command, stdin=PIPE, stdout=PIPE, text=True)

    def start_kernel(self, **order):
        """Return the process of a new kernel."""
        with self.lock:
            print(json.dumps(order), file=self.process.stdin, flush=True)
            return ForkedProcess(int(self.process.stdout.readline()))

    def stop(self):
        """End the server; kernels notice, and end too."""
        with self.lock:
            if "process" in vars(self):
                # Not by the end of its orders: who was forked from this process may hold them open.
                self.process.terminate()
                self.process.communicate()


class ForkedProcess(psutil.Process):
    """A process that is not a child of this one, with what jupyter_client asks of a child."""

    stdin = stdout = stderr = None

    def poll(self):
        """Return None as long as the process runs."""
        return None if self.is_running() else 0


class SocketKernel(AsyncKernelManager):
    """jupyter_client's manager of a kernel, with other defaults for how to start and reach it."""

    running = weakref.WeakSet()
    server = ForkServer()

    def __init__(self, **options):
        super().__init__(**options)
        self.running.add(self)

    @default("transport")
    def _transport_default(self):
        return "ipc"

    @default("connection_file")
    def _connection_file_default(self):
        folder = mkdtemp(prefix="kernel-")
        weakref.finalize(self, shutil.rmtree, folder)
        return f"{folder}/kernel.json"

    async def _async_launch_kernel(self, kernel_cmd, **options):
        """Start the kernel as a copy of the server where that is possible."""
        if not FORKS or LAUNCHER not in kernel_cmd:
            return await super()._async_launch_kernel(kernel_cmd, **options)
        arguments = kernel_cmd[kernel_cmd.index(LAUNCHER) + 1 :]
        started = self.server.start_kernel(
            arguments=arguments, cwd=options["cwd"], env=options["env"]
        )
        self.provisioner.process = started
        self.provisioner.pid = self.provisioner.pgid = started.pid


def execute(notebook, **options):
    """Execute a notebook in place, as jupyter-cache does; no line depends on when it was sent."""
    return single_nb_execution(
        notebook, kernel_manager_class=SocketKernel, coalesce_streams=True, **options
    )


class ExecutedAhead:
    """Notebooks that are executed before their pages are read, as many at a time as processors."""

    def __init__(self):
        self.results = {}
        self.workers = ThreadPoolExecutor(max(2, os.cpu_count() or 2))

    def start(self, app, env, docnames):
        """Start to execute the notebooks of some pages, and let Sphinx read these pages last."""
        executed = get_cache(app.config.nb_execution_cache_path)
        ahead = []
        for docname in longest_first(env, docnames):
            notebook = notebook_of(env, docname)
            if notebook is not None and not is_cached(executed, notebook):
                folder = str(Path(env.doc2path(docname)).parent)
                options = {"timeout": env.mystnb_config.execution_timeout, "allow_errors": False}
                self.results[content(notebook, folder)] = self.workers.submit(
                    execute, notebook, cwd=folder, **options
                )
                ahead.append(docname)
        docnames[:] = [name for name in docnames if name not in ahead] + ahead

    def take_or_execute(self, notebook, *, cwd, **options):
        """Execute a notebook in place, or wait for the result if it was started ahead."""
        result = self.results.pop(content(notebook, cwd), None)
        if result is None:
            return execute(notebook, cwd=cwd, **options)
        try:
            done = result.result()
        except KeyboardInterrupt:
            self.stop()
            raise
        notebook.update(done.nb)
        return done

    def stop(self, *event):
        """Start no further notebook, and end the kernels of those that run."""
        self.workers.shutdown(wait=False, cancel_futures=True)
        for kernel in list(SocketKernel.running):
            if kernel.has_kernel:
                kernel.provisioner.process.kill()
        SocketKernel.server.stop()
        # nbclient notices within a second and tidies up; at the interpreter's end it would hang.
        self.workers.shutdown()


def longest_first(env, docnames):
    """Sort pages by their length, which tells how long they take: the last ones run alone."""
    return sorted(docnames, key=lambda name: -Path(env.doc2path(name)).stat().st_size)


def notebook_of(env, docname):
    """Read a page as myst-nb will; None if it has no cells, or settings of its own for them."""
    path = env.doc2path(docname)
    source = [Path(path).read_text(encoding="utf-8")]
    env.events.emit("source-read", docname, source)
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, source[0])
    notebook = reader and reader.read(source[0])
    own_settings = notebook and env.mystnb_config.metadata_key in notebook.metadata
    return None if own_settings else notebook


def is_cached(executed, notebook):
    """Whether jupyter-cache holds the outputs of a notebook's cells."""
    try:
        executed.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def content(notebook, folder):
    """Return what tells a notebook from all others."""
    return folder, nbformat.writes(notebook)
