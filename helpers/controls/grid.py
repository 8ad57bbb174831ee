"""A function over the grid of its controls: evaluated, checked, kept, packed into integers."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
import os
import pickle
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

import joblib
import numpy as np
import pandas as pd
import platformdirs
from IPython import get_ipython
from IPython.display import clear_output
from tqdm import tqdm

from helpers.charts import BUILDS_THE_BOOK
from helpers.controls.base import RESERVED, SIZE_LIMIT, ExploreError

PACKAGE = Path(__file__).parents[1]
#: So many grids are kept; a new one takes the place of the one that was not used for longest.
GRIDS_KEPT = 60
_LARGEST = 2**15 - 1
# Seconds of work from which starting processes pays, and after which that is asked: the first
# results may have filled caches for all.
_WORTH_PROCESSES = 4
_TRIAL = 1


@dataclass(frozen=True)
class Column:
    """Where a column stands among the packed states, and how its integers become values.

    Attributes
    ----------
    name : str
        Name in the data frame.
    start : int
        Position of its first integer.
    row_stride, state_stride : int
        How far the next row and the next state are; 0 if its values do not differ between them.
    low, step : float
        A value is ``low + step * integer``.
    labels : tuple of str
        Values of a column of strings; the integer is a position among them.
    """

    name: str
    start: int
    row_stride: int
    state_stride: int
    low: float = 0.0
    step: float = 1.0
    labels: tuple[str, ...] = ()

    def unpack(self, states: np.ndarray, state: int, n_rows: int) -> np.ndarray:
        """Return the column's values in one state, as the browser computes them."""
        rows = np.arange(n_rows)
        integers = states[self.start + self.row_stride * rows + self.state_stride * state]
        return np.array(self.labels)[integers] if self.labels else self.low + self.step * integers


def pack(frames: Mapping[str, np.ndarray]) -> tuple[list[Column], np.ndarray]:
    """Pack columns, each of shape (states, rows), into one array of 16-bit integers.

    Parameters
    ----------
    frames : mapping of str to ndarray
        Numbers or strings.

    Returns
    -------
    columns : list of Column
    states : ndarray of int16

    Examples
    --------
    >>> columns, states = pack({"y": np.array([[0.0, 0.5], [1.0, 0.25]])})
    >>> columns[0].unpack(states, 1, 2).round(4)
    array([1.  , 0.25])
    """
    columns, parts, start = [], [], 0
    for name, values in frames.items():
        by_row = bool((values != values[:, :1]).any())
        by_state = bool((values != values[:1]).any())
        kept = values[slice(None if by_state else 1), slice(None if by_row else 1)]
        integers, coding = _quantise(kept)
        columns.append(Column(name, start, by_row * len(kept), int(by_state), **coding))
        # A row's values in neighbouring states are alike, which makes them easy to compress.
        parts.append(integers.T.ravel())
        start += integers.size
    return columns, np.concatenate(parts)


def compress(states: np.ndarray) -> bytes:
    """Compress 16-bit integers, all their low bytes before all their high bytes.

    Parameters
    ----------
    states : ndarray of int16

    Returns
    -------
    bytes
        Deflated; a browser inflates it.

    Examples
    --------
    >>> len(compress(np.zeros(1000, "<i2"))) < 50
    True
    """
    planes = states.astype("<i2").view(np.uint8).reshape(-1, 2).T
    return zlib.compress(planes.tobytes(), level=9)


def _quantise(values):
    if values.dtype.kind in "UO":
        labels, codes = np.unique(values.astype(str), return_inverse=True)
        return codes.reshape(values.shape).astype("<i2"), {"labels": tuple(labels.tolist())}
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "iub" and high - low <= 2 * _LARGEST:
        middle, step = math.floor((low + high) / 2), 1
    else:
        middle, step = (low + high) / 2, (high - low) / (2 * _LARGEST) or 1.0
    return np.rint((values - middle) / step).astype("<i2"), {"low": middle, "step": step}


def evaluate(
    function: Callable[..., pd.DataFrame], offered: Mapping[str, list], taken: set[str]
) -> dict[str, np.ndarray]:
    """Every column over all combinations, shape (states, rows), from the cache if it is there.

    Parameters
    ----------
    function : callable
        Gives one data frame per combination.
    offered : mapping
        Values by name of control, in the order of the grid.
    taken : set of str
        Names of the controls and the chart's parameters, which columns may not have.

    Raises
    ------
    ExploreError
        If a combination fails or cannot be drawn like the first, or all are too large.
    """
    combinations = [
        dict(zip(offered, values, strict=True)) for values in itertools.product(*offered.values())
    ]
    first = _checked(function, combinations[0], None)
    _check_names(function, first, taken)
    _check_size(first, len(combinations), offered)
    cached = _cache_file(function, offered)
    stored = _read(cached)
    if stored is None:
        stored = _stack(_results(function, combinations, first))
        _write(cached, stored)
    return stored


def _results(function, combinations, first) -> list[pd.DataFrame]:
    others = _others(function, combinations[1:], first)
    shown = {"initial": 1, "total": len(combinations), "desc": "states"}
    frames = [first, *tqdm(others, **shown, file=sys.stdout, delay=1)]
    if get_ipython():
        clear_output()  # of the progress bar
    return frames


def _others(function, combinations, first) -> Iterator[pd.DataFrame]:
    """Yield results in order, from several processes if a second's worth shows that they pay."""
    began, done = time.perf_counter(), 0
    while done < len(combinations) and time.perf_counter() - began < _TRIAL:
        yield _checked(function, combinations[done], first)
        done += 1
    left = len(combinations) - done
    expected = left * (time.perf_counter() - began) / max(done, 1)
    tasks = (joblib.delayed(_attempt)(function, values, first) for values in combinations[done:])
    # The book's build has a kernel for each processor.
    pays = expected > _WORTH_PROCESSES and BUILDS_THE_BOOK not in os.environ
    n_jobs = -1 if pays else 1
    for result in joblib.Parallel(n_jobs=n_jobs, return_as="generator")(tasks):
        if isinstance(result, ExploreError):
            # Where in which process it failed says nothing to the reader; the message does.
            raise result from None
        yield result


def _attempt(function, values, first) -> pd.DataFrame | ExploreError:
    try:
        return _checked(function, values, first)
    except ExploreError as error:
        return ExploreError(str(error))


def _stack(frames) -> dict[str, np.ndarray]:
    stacked = {name: np.stack([frame[name].to_numpy() for frame in frames]) for name in frames[0]}
    return {
        name: values if values.dtype.kind in "biuf" else values.astype(str)
        for name, values in stacked.items()
    }


def _checked(function, values, first) -> pd.DataFrame:
    """Return the result of one combination; refuse what cannot be drawn like the first."""
    called = f"{function.__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})"
    try:
        frame = function(**values)
    except Exception as error:
        raise ExploreError(
            f"{called} failed: {type(error).__name__}: {error} "
            "Leave that value out of its control, or let the function handle it."
        ) from error
    if not isinstance(frame, pd.DataFrame) or not len(frame):
        raise ExploreError(f"{called} returned no data frame with rows; return one row per mark.")
    if first is not None and (len(frame), *frame) != (len(first), *first):
        raise ExploreError(
            f"{called} returned {len(frame)} rows of {list(frame)}, the first combination "
            f"{len(first)} rows of {list(first)}. Return the same shape for every combination."
        )
    for name, column in frame.items():
        if not _is_complete(column):
            raise ExploreError(
                f"{called} has missing or infinite values in its column {name}. "
                "Leave such rows out, or replace the values in the function."
            )
    return frame


def _is_complete(column) -> bool:
    """Whether a column's values are all there, and finite if they are numbers."""
    if not pd.api.types.is_numeric_dtype(column):
        return not column.isna().any()
    return bool(np.isfinite(column.to_numpy(float, na_value=np.nan)).all())


def _check_names(function, first, taken) -> None:
    for name in first:
        if not str(name).isidentifier() or name in RESERVED:
            raise ExploreError(
                f"{function.__name__} returned a column {name!r}, which an expression of the "
                "chart cannot name. Choose another name for it."
            )
        if name in taken:
            raise ExploreError(
                f"{function.__name__} returned a column {name!r}, and a control or parameter of "
                "the chart has that name too. Choose another name for the column."
            )


def _check_size(first, n_states, offered):
    # Columns that repeat are stored once: what is certain to be stored is what differs by row.
    varying = sum(first[name].nunique() > 1 for name in first)
    size = 2 * n_states * len(first) * varying
    if size > SIZE_LIMIT:
        steps = " x ".join(f"{len(values)} {name}" for name, values in offered.items())
        raise ExploreError(
            f"{n_states} states ({steps}) of {len(first)} rows and {varying} varying columns take "
            f"about {size:,} bytes; the limit is {SIZE_LIMIT:,}. Offer fewer values per control, "
            "or return fewer rows or columns."
        )


def _cache_file(function, offered) -> Path | None:
    """Where the grid is kept; None for a function whose content cannot be told."""
    try:
        parts = [hashlib.sha256(part).digest() for part in _foundations(function)]
    except (OSError, TypeError, AttributeError, pickle.PicklingError):
        return None
    digest = hashlib.sha256(repr((offered, sys.version)).encode() + b"".join(parts))
    folder = platformdirs.user_cache_path("borrowing-strength")
    return folder / f"{digest.hexdigest()[:24]}.npz"


def _foundations(function):
    """Yield all a result rests on: what the function is and names, this package, numpy, pandas."""
    yield from _content(function, set())
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.read_bytes()
    for package in (np, pd):
        yield package.__version__.encode()


def _content(function, seen):
    """Source and defaults of a function, and of everything that it names."""
    seen.add(function)
    yield inspect.getsource(function).encode()
    yield pickle.dumps((function.__defaults__, function.__kwdefaults__))
    scope = inspect.getclosurevars(function)
    # What a function of this package names outside of itself stands in the package's own files.
    ours = function.__module__.partition(".")[0] == PACKAGE.name
    named = scope.nonlocals if ours else {**scope.globals, **scope.nonlocals}
    for name, value in sorted(named.items()):
        yield name.encode()
        if isinstance(value, FunctionType):
            if value not in seen:
                yield from _content(value, seen)
        elif not isinstance(value, (ModuleType, BuiltinFunctionType)):
            yield pickle.dumps(value)


def _read(cached) -> dict[str, np.ndarray] | None:
    try:
        with open(cached, "rb") as file, np.load(file) as stored:
            frames = dict(stored)
        os.utime(cached)
    # None, absent, out of reach, or cut short by a full disk: computed anew.
    except (TypeError, OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return frames


def _write(cached, frames) -> None:
    """Keep a grid for next time, where there is a place that can be written."""
    if cached is None:
        return
    partial = cached.with_name(f"{os.getpid()}-{cached.name}")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(partial, **frames)
        partial.replace(cached)
        grids = sorted(cached.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for stale in grids[:-GRIDS_KEPT]:
            stale.unlink(missing_ok=True)
    except OSError:
        return
