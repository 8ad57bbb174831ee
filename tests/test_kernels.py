"""Kernels of the build: copies of one process, in which notebooks give what they give elsewhere."""

import os
import signal
import sys
import time
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from jupyter_cache.executors.utils import single_nb_execution

import kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there kernels are forked")
TABLES = """\
import numpy as np, pandas as pd
wide = pd.DataFrame(np.arange(60).reshape(2, 30) / 7)
wide"""
SETTINGS = """\
import os, subprocess, sys
print([pd.get_option(f"display.{name}") for name in ("max_columns", "max_rows", "width")])
print(os.getcwd(), sorted(sys.path), os.environ["PLANTED"])
print(subprocess.run(["echo", "said"], capture_output=True, check=True).stdout)"""
CHART = """\
import altair as alt
from helpers import charts
alt.Chart(wide.add_prefix("c")).mark_point().encode(x="c0", y="c1").properties(description="c")"""


@pytest.fixture(scope="module", autouse=True)
def server():
    own = kernels.ForkServer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels.SocketKernel, "server", own)
        patch.setenv("PLANTED", "in the environment")
        patch.setenv("BORROWING_STRENGTH_BUILD", "1")
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        yield own
        own.stop()


def notebook_of(*cells):
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": kernelspec},
    )


def executed(folder, *cells, execute=kernels.execute):
    done = execute(notebook_of(*cells), cwd=str(folder), timeout=60, allow_errors=False)
    assert done.err is None, done.exc_string
    return [cell.outputs for cell in done.nb.cells]


def test_outputs_are_those_of_a_kernel_that_is_no_copy(tmp_path):
    cells = ["from helpers import claim", TABLES, CHART, SETTINGS]
    assert executed(tmp_path, *cells) == executed(tmp_path, *cells, execute=single_nb_execution)


def test_kernels_share_what_is_imported_but_not_the_helpers(tmp_path):
    (outputs,) = executed(
        tmp_path,
        "import sys; print([name in sys.modules for name in ('statsmodels', 'helpers')])",
    )
    assert outputs[0].text == "[True, False]\n"


def test_a_notebook_finds_modules_beside_it_and_none_of_the_build(tmp_path):
    (tmp_path / "beside.py").write_text("word = 'found'")
    (outputs,) = executed(
        tmp_path,
        "import beside, importlib.util\nprint(beside.word, importlib.util.find_spec('kernels'))",
    )
    assert outputs[0].text == "found None\n"


def test_lines_do_not_depend_on_when_they_are_sent(tmp_path):
    (outputs,) = executed(
        tmp_path, "import time\nfor word in 'abc':\n    print(word, end=' ')\n    time.sleep(0.4)"
    )
    assert [output.text for output in outputs] == ["a b c "]


def test_a_kernel_that_dies_is_noticed(tmp_path):
    with pytest.raises(RuntimeError, match="Kernel died"):
        executed(tmp_path, "import os; os._exit(1)")


def test_kernels_end_with_the_process_they_are_copies_of(tmp_path):
    own = kernels.ForkServer()
    arguments = ["-f", str(tmp_path / "connection.json")]
    kernel = own.start_kernel(arguments=arguments, cwd=str(tmp_path), env=dict(os.environ))
    while not (tmp_path / "connection.json").exists():
        time.sleep(0.05)
    own.process.send_signal(signal.SIGKILL)
    kernel.wait(timeout=10)
    assert kernel.poll() == 0
    own.stop()


def test_a_server_never_asked_for_is_not_started_to_be_stopped():
    idle, before = kernels.ForkServer(), psutil.Process().children()
    idle.stop()
    assert psutil.Process().children() == before


def test_the_longest_pages_are_executed_first(tmp_path):
    for name, length in {"a": 10, "b": 3000, "c": 200}.items():
        (tmp_path / name).write_text("x" * length)
    env = SimpleNamespace(doc2path=lambda name: str(tmp_path / name))
    assert kernels.longest_first(env, ["a", "b", "c"]) == ["b", "c", "a"]
