"""Talk to the kernels of a build through sockets in a folder of their own, not through ports.

A kernel is told its ports before it opens them. If another program takes one in between, the kernel
dies before it has answered, and with it the build: a busy machine would fail it now and then.
"""

from __future__ import annotations

import shutil
import weakref
from functools import partial
from tempfile import mkdtemp

from jupyter_cache.executors.utils import single_nb_execution
from jupyter_client import AsyncKernelManager
from myst_nb.core.execute import cache
from traitlets import default


def setup(app):
    """Connect to myst-nb, which has no option for it."""
    cache.single_nb_execution = partial(single_nb_execution, kernel_manager_class=SocketKernel)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class SocketKernel(AsyncKernelManager):
    """jupyter_client's manager of a kernel, with another default for how to reach it."""

    @default("transport")
    def _transport_default(self):
        return "ipc"

    @default("connection_file")
    def _connection_file_default(self):
        folder = mkdtemp(prefix="kernel-")
        weakref.finalize(self, shutil.rmtree, folder)
        return f"{folder}/kernel.json"
