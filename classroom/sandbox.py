"""The kernel of one submission: under bubblewrap, in a file system of its own without network.

Only the kernel runs the student's code, so only the kernel is locked in. It finds Python, the
helpers, the data and `checks.py`, all read-only, and a small temporary folder; nothing of the
course, of other submissions or of the home folder. It is reached through sockets in one folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

KERNEL_NAME = "submission"
HOME = "/home/student"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/fonts")
SCRATCH_BYTES = 100_000_000
# How a kernel is told that it must not wait for anything but its own code.
ENVIRONMENT = {
    "HOME": HOME,
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "IPYTHONDIR": "/tmp/ipython",
}


def is_available():
    """Whether bubblewrap is installed and this machine lets it work.

    Returns
    -------
    bool
    """
    if not shutil.which("bwrap"):
        return False
    command = ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "--proc", "/proc", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def write_kernel(folder, shared, *, protected):
    """Write the kernel specification that starts a submission's kernel.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of this submission's own: the kernel's sockets go there.
    shared : pathlib.Path
        Folder with what the notebooks import.
    protected : bool
        Under bubblewrap; otherwise the kernel can do whatever you can.

    Returns
    -------
    pathlib.Path
        The folder to search for specifications.
    """
    python = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    command = [*bubblewrap(folder, shared), *python] if protected else python
    specification = {
        "argv": command,
        "display_name": "Python 3",
        "language": "python",
        # A signal would reach bubblewrap, not the kernel in it.
        "interrupt_mode": "message",
        "env": {} if protected else unprotected_environment(shared),
    }
    kernel = folder / "kernels" / KERNEL_NAME
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    return kernel.parent


def bubblewrap(folder, shared):
    """Return the command that goes before the kernel's own.

    Parameters
    ----------
    folder, shared : pathlib.Path
        As in :func:`write_kernel`.

    Returns
    -------
    list of str
    """
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    for path in SYSTEM:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind-try", path, path]
    scratch = ["--perms", "0700", "--size", str(SCRATCH_BYTES), "--tmpfs"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for folder_in_memory in ("/tmp", HOME, "/dev/shm"):
        command += [*scratch, folder_in_memory]
    for prefix in dict.fromkeys([sys.base_prefix, sys.prefix]):
        command += ["--ro-bind", prefix, prefix]
    for path in sorted(shared.iterdir()):
        command += ["--ro-bind", str(path), f"{HOME}/{path.name}"]
    command += ["--bind", str(folder), str(folder)]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    return command


def unprotected_environment(shared):
    """Return the environment of a kernel without bubblewrap."""
    return {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(shared)}
