"""Execute the notebooks of a build side by side, through sockets and not through ports.

Before Sphinx reads its first page, every notebook whose cells have changed is handed to a few
threads, each with a kernel of its own. myst-nb finds the result there when it comes to the page,
and does with it, or with an error, what it does with its own.

A kernel is told its ports before it opens them. If another program takes one in between, the kernel
dies before it has answered, and with it the build: a busy machine would fail it now and then.
Sockets in a folder of their own cannot be taken.
"""

from __future__ import annotations

import os
import shutil
import weakref
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import mkdtemp
from threading import Thread

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.executors.utils import single_nb_execution
from jupyter_client import AsyncKernelManager
from myst_nb.core.execute import cache
from myst_nb.core.read import create_nb_reader
from traitlets import default


def setup(app):
    """Connect to Sphinx, and to myst-nb, which has no option for it."""
    executed_ahead = ExecutedAhead()
    cache.single_nb_execution = executed_ahead.take_or_execute
    # After every other extension has had its say on which pages are read.
    app.connect("env-before-read-docs", executed_ahead.start, priority=900)
    app.connect("build-finished", executed_ahead.stop)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


class SocketKernel(AsyncKernelManager):
    """jupyter_client's manager of a kernel, with another default for how to reach it."""

    running = weakref.WeakSet()

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


def execute(notebook, **options):
    """Execute a notebook in place, as jupyter-cache does."""
    return single_nb_execution(notebook, kernel_manager_class=SocketKernel, **options)


class ExecutedAhead:
    """Notebooks that are executed before their pages are read, as many at a time as processors."""

    def __init__(self):
        self.results = {}
        self.waiting = SimpleQueue()
        self.threads = []

    def start(self, app, env, docnames):
        """Start to execute the notebooks of some pages, in their order."""
        executed = get_cache(app.config.nb_execution_cache_path)
        for docname in docnames:
            notebook = notebook_of(env, docname)
            if notebook is not None and not is_cached(executed, notebook):
                folder = str(Path(env.doc2path(docname)).parent)
                result = self.results[content(notebook, folder)] = Future()
                self.waiting.put((result, notebook, folder, env.mystnb_config.execution_timeout))
        for _ in range(min(self.waiting.qsize(), max(2, os.cpu_count() or 2))):
            self.threads.append(Thread(target=execute_all, args=(self.waiting,), daemon=True))
            self.threads[-1].start()

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
        with suppress(Empty):
            while True:
                self.waiting.get_nowait()
        for kernel in list(SocketKernel.running):
            if kernel.has_kernel:
                kernel.provisioner.process.kill()
        # nbclient notices within a second and tidies up; at the interpreter's end it would hang.
        for thread in self.threads:
            thread.join(timeout=10)


def execute_all(waiting):
    """Execute one notebook after the other until none is left."""
    while True:
        try:
            result, notebook, folder, timeout = waiting.get_nowait()
        except Empty:
            return
        try:
            result.set_result(execute(notebook, cwd=folder, timeout=timeout, allow_errors=False))
        except Exception as error:
            result.set_exception(error)


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
