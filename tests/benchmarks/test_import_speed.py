"""How long every kernel waits for ``import helpers``: at most a second."""

import subprocess
import sys
import time


def test_import_takes_at_most_a_second():
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import helpers"], check=True)
        seconds.append(time.perf_counter() - start)
    print(f"import helpers: {min(seconds):.2f} s")
    assert min(seconds) <= 1
