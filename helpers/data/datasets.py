"""The book's three data sets as typed data frames.

GPA and pupils come in two versions: synthetic twins, which stand in the ``data`` folder, and the
original records, which a reader brings in a folder or has fetched. Sleepstudy has one version.
Every file is checked before it is handed over, and ``data_note`` says which version it was.
"""

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
import pooch

__all__ = [
    "DataFileError",
    "data_note",
    "example_file",
    "load_gpa",
    "load_pupils",
    "load_sleepstudy",
]

# Packed with an installed package, at the top of the repository.
PACKED = Path(__file__).parent / "files"
DATA_FOLDER = PACKED if PACKED.exists() else Path(__file__).parents[2] / "data"
FOLDER_VARIABLE = "COURSE_DATA_DIR"

# One commit each: a branch could move, and the pinned hash would then fail for every reader.
ORIGINAL_GPA = "a77f2fcd3a4307ed16c3cfee8c1bcbbfc2b69da5/data/gpa.csv"
ORIGINAL_PUPILS = "8d9c09fd60f863c400a7af733e7416bc838f3113/data/pupils.RData"
ORIGINALS = pooch.create(
    path=pooch.os_cache("borrowing-strength"),
    base_url="https://raw.githubusercontent.com/m-clark/mixed-models-with-R/",
    registry={
        ORIGINAL_GPA: "sha256:7c1eec50027b5ad9c82e118ef5b0d46bf30e300ddd195602b301856d9bc1c48c",
        ORIGINAL_PUPILS: "sha256:74fa1cccf7cd1b655cacacb37b9d8dd724b516fa46b769aabe3745eddf94ce64",
    },
)

SES_LEVELS = ("low", "mid", "high")
SES_COLLAPSE = {
    "lowest": "low",
    "2": "low",
    "3": "low",
    "4": "mid",
    "5": "mid",
    "highest": "high",
}


class DataFileError(ValueError):
    """A data file is missing, damaged, or not the file it should be."""


@dataclass(frozen=True)
class _Layout:
    """What a data set must look like: its bundled file, columns, rows and clusters."""

    file: str
    sha256: str
    columns: tuple[str, ...]
    n_rows: int
    cluster: str
    n_clusters: int


_GPA = _Layout(
    file="gpa.csv",
    sha256="d8259f25b5d7fe6938c18b510f6135e488b6ac4ff5365e310efbac3847112d4f",
    columns=("student", "occasion", "gpa"),
    n_rows=1200,
    cluster="student",
    n_clusters=200,
)
_PUPILS = _Layout(
    file="pupils.csv",
    sha256="9835d7210c50d5b051493ef888ca1f5a60795a9b491c89f75140da2aa1fdf34b",
    columns=("pupil", "primary_school_id", "ses", "achievement"),
    n_rows=1000,
    cluster="primary_school_id",
    n_clusters=50,
)
_SLEEPSTUDY = _Layout(
    file="sleepstudy.csv",
    sha256="6d387b03ea7e8909c1efd811b7e6ad37b654dd5c9518fcc457eeb69c238b2412",
    columns=("Reaction", "Days", "Subject"),
    n_rows=180,
    cluster="Subject",
    n_clusters=18,
)
READING_SHA256 = "7f74acec5e6ee3f0a98dfcaec88bc30158c08600d5ce34e345d90c4b043ee6d6"
_MEASUREMENTS = ("gpa", "achievement", "Reaction")


def load_gpa(source=None, *, folder=None):
    """Load the grade point averages of 200 students over six semesters.

    Parameters
    ----------
    source : {None, "synthetic", "original"}
        ``"synthetic"`` is the bundled twin. ``"original"`` is Hox's records: from `folder`, else
        from the folder in the environment variable ``COURSE_DATA_DIR``, else fetched from the
        public repository m-clark/mixed-models-with-R into a cache. ``None`` means
        ``"original"`` if `folder` or ``COURSE_DATA_DIR`` is given, ``"synthetic"`` otherwise.
    folder : str or path, optional
        Folder that holds the original ``gpa.csv``, with at least the columns ``student``,
        ``occasion`` and ``gpa``.

    Returns
    -------
    pandas.DataFrame
        1,200 rows: ``student`` (integer), ``occasion`` (integer, semesters since the first,
        0 to 5) and ``gpa`` (float, grade points). ``attrs["source"]`` is the source used.

    Raises
    ------
    ValueError
        If `source` is unknown, or `folder` is given for the synthetic twin.
    DataFileError
        If the file is missing, damaged, or not the file it should be.

    Examples
    --------
    >>> load_gpa("synthetic").head(2)
       student  occasion  gpa
    0        1         0  2.2
    1        1         1  2.6
    """
    source, folder = _resolve(source, folder)
    if source == "synthetic":
        return _load_bundled(_GPA, "the synthetic GPA twin; no real student's record is in it")
    if folder is None:
        path = _fetch(ORIGINAL_GPA)
    else:
        path = _original_file(folder, _GPA)
    frame = _typed(_read_csv(path), _GPA, path, _original_advice(path))
    _check_occasions(frame, path)
    return _with_note(frame, "original", f"the original GPA records (Hox), {_origin(folder)}")


def load_pupils(source=None, *, folder=None):
    """Load the achievement of 1,000 pupils in 50 primary schools.

    Parameters
    ----------
    source : {None, "synthetic", "original"}
        As in `load_gpa`.
    folder : str or path, optional
        Folder that holds the original ``pupils.csv``, with at least the columns
        ``primary_school_id``, ``ses`` and ``achievement``. Six levels of ``ses`` are collapsed
        to three: lowest, 2 and 3 to low, 4 and 5 to mid, highest to high. Pupils are numbered
        in file order if there is no column ``pupil`` or ``PUPIL``.

    Returns
    -------
    pandas.DataFrame
        1,000 rows: ``pupil`` (integer), ``primary_school_id`` (integer), ``ses`` (ordered
        categorical, low < mid < high) and ``achievement`` (float, test score).
        ``attrs["source"]`` is the source used.

    Raises
    ------
    ValueError
        If `source` is unknown, or `folder` is given for the synthetic twin.
    DataFileError
        If the file is missing, damaged, or not the file it should be.

    Examples
    --------
    >>> load_pupils("synthetic").head(2)
       pupil  primary_school_id   ses  achievement
    0      1                  1  high          6.1
    1      2                  1   mid          5.2
    """
    source, folder = _resolve(source, folder)
    if source == "synthetic":
        return _load_bundled(_PUPILS, "the synthetic pupils twin; no real pupil's record is in it")
    if folder is None:
        path = _fetch(ORIGINAL_PUPILS)
        frame = _read_rdata(path)
    else:
        path = _original_file(folder, _PUPILS)
        frame = _read_csv(path)
    frame = _typed(_prepare_pupils(frame), _PUPILS, path, _original_advice(path))
    return _with_note(frame, "original", f"the original pupils records (Hox), {_origin(folder)}")


def load_sleepstudy():
    """Load the reaction times of 18 sleep-deprived subjects over ten days (Belenky et al. 2003).

    Returns
    -------
    pandas.DataFrame
        180 rows: ``Reaction`` (float, average reaction time in milliseconds), ``Days`` (integer,
        0 to 9) and ``Subject`` (integer). ``attrs["source"]`` is ``"published"``.

    Raises
    ------
    DataFileError
        If the bundled file is missing or damaged.

    Examples
    --------
    >>> load_sleepstudy().head(2)
       Reaction  Days  Subject
    0  249.5600     0      308
    1  258.7047     1      308
    """
    return _load_bundled(
        _SLEEPSTUDY,
        "the sleepstudy data of Belenky et al. (2003), as published with lme4",
        source="published",
    )


def example_file():
    """Find the untidy file of the page on your own data: reading scores of pupils in schools.

    Returns
    -------
    pathlib.Path
        Of ``reading.csv``, made by ``data/make_reading.py``; nobody's record is in it.

    Raises
    ------
    DataFileError
        If it is missing or changed.

    Examples
    --------
    >>> pd.read_csv(example_file()).shape
    (320, 7)
    """
    path = DATA_FOLDER / "reading.csv"
    if not path.is_file() or _sha256(path) != READING_SHA256:
        state = "is damaged" if path.is_file() else "is missing"
        raise DataFileError(
            f"{path} {state}. To restore it, run there: git checkout -- data/reading.csv"
        )
    return path


def load_speed():
    """Load how long programs took for the fits of ``make bench``.

    Returns
    -------
    pandas.DataFrame
        One row for each task and program: case, method, n_datasets (of the task), n_timed (of them
        fitted), n_failed, seconds (for those fitted), total (scaled up to all) and excess (of the
        worst fit's criterion over the optimum). ``attrs`` tells date, processor, cores, python and
        versions.

    Examples
    --------
    >>> load_speed().query("n_timed == 10000")["method"].unique().tolist()
    ['fit_many']
    """
    measured = json.loads((DATA_FOLDER / "how-fast.json").read_text(encoding="utf-8"))
    frame = pd.DataFrame(measured.pop("results"))
    frame["total"] = frame["seconds"] * frame["n_datasets"] / frame["n_timed"]
    frame.attrs = measured
    return frame


def data_note(frame):
    """Say in one sentence which records a loaded frame holds.

    Parameters
    ----------
    frame : pandas.DataFrame
        A frame from `load_gpa`, `load_pupils` or `load_sleepstudy`.

    Returns
    -------
    str
        One sentence to print on the page.

    Raises
    ------
    ValueError
        If the frame does not carry the note, for instance after a merge.

    Examples
    --------
    >>> data_note(load_gpa("synthetic"))
    "Data: the synthetic GPA twin; no real student's record is in it."
    """
    if "data_note" not in frame.attrs:
        raise ValueError(
            "This data frame does not say where its records come from. Only frames from load_gpa, "
            "load_pupils and load_sleepstudy do: pass the frame just as it was loaded."
        )
    return frame.attrs["data_note"]


def _resolve(source, folder):
    """Return the source to use and, for originals, the folder named by argument or variable."""
    if source not in (None, "synthetic", "original"):
        raise ValueError(
            f"source is {source!r}; allowed are 'synthetic', 'original' and None (the originals "
            f"if a folder or {FOLDER_VARIABLE} is given, the synthetic twin otherwise)."
        )
    if source == "synthetic":
        if folder is not None:
            raise ValueError(
                f"folder is {str(folder)!r} but source is 'synthetic'; a folder is allowed for "
                "the originals only. Leave out one of the two."
            )
        return "synthetic", None
    folder = folder or os.environ.get(FOLDER_VARIABLE) or None
    if source is None and folder is None:
        return "synthetic", None
    return "original", folder


def _load_bundled(layout, description, *, source="synthetic"):
    """Read and verify a file of the data folder: columns, rows, then every byte."""
    path = DATA_FOLDER / layout.file
    advice = (
        "The data folder stands beside the helpers folder in a full copy of the book's repository "
        f"(installed with: pip install -e .). To restore the file, run there: git checkout -- "
        f"data/{layout.file}"
    )
    if not path.is_file():
        raise DataFileError(f"There is no file {path}. {advice}")
    frame = _typed(_read_csv(path, advice), layout, path, advice)
    found = _sha256(path)
    if found != layout.sha256:
        raise DataFileError(
            f"{path} is damaged: its SHA-256 is {found}, expected {layout.sha256}. {advice}"
        )
    return _with_note(frame, source, description)


def _sha256(path):
    """Hash a text file with Unix line ends: git may have changed them to Windows' own."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _original_file(folder, layout):
    """Return the path of an original file in the reader's folder, refusing the synthetic twin."""
    path = Path(folder).expanduser().resolve() / layout.file
    if not path.is_file():
        problem = "has no such file" if path.parent.is_dir() else "does not exist"
        raise DataFileError(
            f"There is no file {path}: the folder {path.parent} {problem}. {_original_advice(path)}"
        )
    if _sha256(path) == layout.sha256:
        raise DataFileError(
            f"{path} is the book's synthetic twin, not the original. {_original_advice(path)}"
        )
    return path


def _original_advice(path):
    """Say what a reader can do about a missing or wrong original file."""
    return (
        f"Put the original {path.name} into a folder and name it with folder=... or in "
        f"{FOLDER_VARIABLE}, or use source='synthetic' (and unset {FOLDER_VARIABLE})."
    )


def _fetch(name):
    """Return the path of an original file in pooch's cache, fetched and verified if need be."""
    try:
        return Path(ORIGINALS.fetch(name))
    # pooch raises ValueError for a wrong hash; every network error of requests is an OSError.
    except (OSError, ValueError) as error:
        raise DataFileError(
            f"The original file could not be fetched from {ORIGINALS.get_url(name)}: {error} "
            "Check the network connection, or get gpa.csv and pupils.csv in another way and name "
            f"their folder with folder=... or in {FOLDER_VARIABLE}, or use source='synthetic'."
        ) from error


def _read_csv(path, advice=None):
    try:
        return pd.read_csv(BytesIO(path.read_bytes()))
    # pandas' parser errors and decoding errors are all ValueErrors.
    except ValueError as error:
        raise DataFileError(
            f"{path} cannot be read as comma-separated text: {error} "
            f"{advice or _original_advice(path)}"
        ) from error


def _read_rdata(path):
    """Read the data frame ``pupils`` from an R workspace file."""
    # Imported here because it is slow to import and only the fetched originals need it.
    import rdata

    with warnings.catch_warnings():
        # A tibble is an R data frame with more class names; the data frame is all we want.
        warnings.filterwarnings("ignore", message="Missing constructor for R class")
        return rdata.read_rda(path)["pupils"]


def _prepare_pupils(frame):
    """Give original pupils the twin's column names, numbering the pupils if the file does not."""
    frame = frame.reset_index(drop=True).rename(columns={"PUPIL": "pupil"})
    if "pupil" not in frame.columns:
        frame = frame.assign(pupil=range(1, len(frame) + 1))
    return frame


def _typed(frame, layout, path, advice):
    """Check columns, rows, values and clusters; return the layout's columns, typed."""
    missing = [column for column in layout.columns if column not in frame.columns]
    if missing:
        raise DataFileError(
            f"{path} lacks the columns {missing}: found {list(map(str, frame.columns))}, expected "
            f"{list(layout.columns)}. {advice}"
        )
    if len(frame) != layout.n_rows:
        raise DataFileError(f"{path} has {len(frame)} rows, expected {layout.n_rows}. {advice}")
    typed = pd.DataFrame(
        {column: _typed_column(frame[column], path, advice) for column in layout.columns}
    )
    n_clusters = typed[layout.cluster].nunique()
    if n_clusters != layout.n_clusters:
        raise DataFileError(
            f"{path} has {n_clusters} different values of {layout.cluster}, expected "
            f"{layout.n_clusters}. {advice}"
        )
    return typed


def _typed_column(column, path, advice):
    """Convert one column to an ordered categorical (ses), a float (measurement) or an integer."""
    if column.isna().any():
        raise DataFileError(
            f"{path} has {column.isna().sum()} missing values in {column.name}, expected none. "
            f"{advice}"
        )
    if column.name == "ses":
        return _typed_ses(column, path, advice)
    # By way of object: an R factor arrives as a categorical, whose labels are the numbers meant.
    numbers = pd.to_numeric(column.astype(object), errors="coerce").astype("float64")
    is_measurement = column.name in _MEASUREMENTS
    wrong = column[~numbers.abs().lt(float("inf")) | (~is_measurement & (numbers % 1 != 0))]
    if len(wrong):
        kind = "numbers" if is_measurement else "whole numbers"
        raise DataFileError(
            f"{path} has the value {wrong.iloc[0]} in {column.name}, expected only {kind}. {advice}"
        )
    return numbers if is_measurement else numbers.astype("int64")


def _typed_ses(column, path, advice):
    """Collapse six levels of socio-economic status to three, or take three as they are."""
    levels = column.astype(str)
    found = set(levels)
    if found <= set(SES_COLLAPSE):
        levels = levels.map(SES_COLLAPSE)
    elif not found <= set(SES_LEVELS):
        raise DataFileError(
            f"{path} has the levels {sorted(found)} in ses, expected {list(SES_LEVELS)} or "
            f"{list(SES_COLLAPSE)}. {advice}"
        )
    return levels.astype(pd.CategoricalDtype(SES_LEVELS, ordered=True))


def _check_occasions(frame, path):
    """Check that the GPA design is balanced: each student once at each of the six occasions."""
    n_pairs = frame[["student", "occasion"]].drop_duplicates().shape[0]
    occasions = sorted(frame["occasion"].unique().tolist())
    if n_pairs != len(frame) or occasions != list(range(6)):
        raise DataFileError(
            f"{path} has {n_pairs} different pairs of student and occasion, with occasions "
            f"{occasions}; expected {len(frame)} pairs with occasions 0 to 5. "
            f"{_original_advice(path)}"
        )


def _origin(folder):
    """Say where originals came from, without printing a reader's private path on a page."""
    if folder is None:
        return "fetched from the repository m-clark/mixed-models-with-R"
    return "read from a folder on this computer"


def _with_note(frame, source, description):
    frame.attrs = {"source": source, "data_note": f"Data: {description}."}
    return frame
