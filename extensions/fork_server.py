"""Kernels as copies of one process that has imported what notebooks import.

A kernel on its own works three seconds on imports before its first cell. Here each line on stdin
asks for a kernel, and is answered by the number of its process.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module

from ipykernel.kernelapp import IPKernelApp

# The helpers stand for all that they import.
AHEAD = ("helpers", "statsmodels.formula.api")


def serve():
    """Start a kernel for each line, until there are no more."""
    signal.signal(signal.SIGCHLD, take_leave)
    # An interrupt is for the build, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_ahead()
    # Collecting garbage would copy the memory that the kernels share.
    gc.freeze()
    for line in sys.stdin:
        process = os.fork()
        if not process:
            run_kernel(**json.loads(line))
        print(process, flush=True)


def import_ahead():
    """Import what notebooks import, except the helpers themselves."""
    for name in AHEAD:
        import_module(name)
    # Those tell the shell of a kernel how to show tables, so each kernel imports them.
    for name in [name for name in sys.modules if name.partition(".")[0] == "helpers"]:
        del sys.modules[name]
    # Imported outside a notebook, pandas took this process for a terminal.
    sys.modules["pandas"].set_option("display.max_columns", 20)


def take_leave(*event):
    """Let the kernels that have ended go, so that nobody takes them for running."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def run_kernel(arguments, cwd, env):
    """Run a kernel in this process until it is told to end.

    Parameters
    ----------
    arguments : list of str
        As for ``python -m ipykernel_launcher``.
    cwd : str
    env : dict of str to str
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    server = os.getppid()
    os.setsid()
    os.chdir(cwd)
    # A notebook imports modules beside it; this file, run with -P, does not.
    sys.path.append("")
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # What a kernel prints outside its cells is no answer to an order.
    os.dup2(2, 1)
    IPKernelApp.launch_instance([*arguments, f"--IPKernelApp.parent_handle={server}"])
    sys.exit()


if __name__ == "__main__":
    serve()
