"""Execute a chapter again when anything its cells rest on has changed, and say how long each took.

jupyter-cache compares a notebook's own cells only. Its cache therefore lies in a folder named after
the content of everything else the cells can read: the helpers, the data, the pinned packages.
"""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

from jupyter_cache import get_cache
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
FOUNDATIONS = ("helpers/**/*", "data/**/*", "chapters/exercises/*.py", "requirements.txt")


def setup(app):
    """Connect to Sphinx."""
    # Kernels inherit it: charts become figures of the page, not outputs of JupyterLab.
    os.environ["BORROWING_STRENGTH_BUILD"] = "1"
    # The cache keeps UTC without saying so; the table of last runs would read it as local time.
    os.environ["TZ"] = "UTC"
    time.tzset()
    # The trees of all pages stay to the end: to look for garbage among them takes a seventh of a
    # build in which nothing is executed.
    gc.set_threshold(200_000, 20, 20)
    app.connect("config-inited", choose_cache)
    app.connect("build-finished", report_times)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def content_key(root):
    """Return a short name that changes with whatever the cells of any chapter rest on.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the book.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    digest = hashlib.sha256(sys.version.encode())
    for path in foundation_files(root):
        digest.update(path.as_posix().removeprefix(root.as_posix()).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def foundation_files(root):
    """List the files that cells can read, the reader's own data folder included."""
    found = [path for pattern in FOUNDATIONS for path in root.glob(pattern)]
    if own_data := os.environ.get("COURSE_DATA_DIR"):
        found += Path(own_data).glob("*.csv")
    return sorted(path for path in found if path.is_file() and path.suffix != ".pyc")


def choose_cache(app, config):
    """Point jupyter-cache at the folder of the present content and remove all others."""
    caches = Path(app.srcdir, "_build", ".jupyter_cache")
    current = caches / content_key(Path(app.srcdir))
    for stale in caches.glob("*"):
        if stale != current:
            shutil.rmtree(stale)
    config.nb_execution_cache_path = str(current)
    app.records_before = {record.pk for record in get_cache(current).list_cache_records()}


def report_times(app, exception):
    """Print the seconds each notebook took, or that its cells were not executed."""
    if exception:
        return
    records = get_cache(app.config.nb_execution_cache_path).list_cache_records()
    executed_now = {record.uri for record in records if record.pk not in app.records_before}
    LOGGER.info("\nSeconds each chapter took to execute:")
    for docname in sorted(app.env.found_docs):
        execution = NbMetadataCollector.get_exec_data(app.env, docname)
        if execution:
            unchanged = app.env.doc2path(docname) not in executed_now
            seconds = "unchanged, not executed" if unchanged else f"{execution['runtime']:.1f}"
            LOGGER.info("  %-40s %s", docname, seconds)
