"""Find what was handed in, in folders and zip files as platforms and people leave them.

Every file found becomes a submission or is listed with the reason why not.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import unicodedata
import zipfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from classroom import restore

LARGEST_MEMBER = 500_000_000
LARGEST_ZIP = 5_000_000_000
DEEPEST_ZIP = 3
NOTEBOOKS = (".ipynb", ".json", ".txt")
LEFT_BY_SYSTEMS = re.compile(
    r"^(\._.*|\.DS_Store|Thumbs\.db|desktop\.ini|timestamp\.txt|__MACOSX|\.ipynb_checkpoints)$"
)
# What learning platforms write around a name.
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+(_|$)")
CANVAS = re.compile(r"^(?P<name>[^_]+)_(late_)?(?P<number>\d+)_\d+_.", re.IGNORECASE)
BLACKBOARD = re.compile(r"^.*?_(?P<name>[^_]+)_attempt_\d{4}-\d\d-\d\d")
BRIGHTSPACE = re.compile(r"^\d+-\d+ - (?P<name>.+?) - ")
PLATFORMS = (MOODLE, BLACKBOARD, BRIGHTSPACE)
# Words that name no student, in folders and around the name of a set.
NEUTRAL = (
    "submissions?|submitted|attachments?|abgaben?|homeworks?|hw|assignments?|exercises?|sets?|"
    "works?|notebooks?|final|finished|draft|old|new|late|version|solutions?|answers?|src|"
    "downloads?|documents?|backup|nbgrader"
)
NEUTRAL_IN_FILES = rf"{NEUTRAL}|copy|kopie|of|von|de|my|s"
# A number that a platform gives a hand-in; shorter ones are part of a name.
HAND_IN = re.compile(r"^(?P<name>.*[^\W\d].*?)[_-](late[_-])?(?P<number>\d{5,})$", re.IGNORECASE)


@dataclass
class File:
    """A file that was found.

    Attributes
    ----------
    path : pathlib.Path
        Where it can be read.
    parts : tuple of str
        Its way from the folder of submissions, zip files included.
    time : float
        When it was last changed.
    """

    path: Path
    parts: tuple
    time: float
    exercise: str | None = None
    student: str | None = None
    result: str = ""
    notes: list = field(default_factory=list)
    readable: bool = False

    @property
    def shown(self):
        """Its way as one text."""
        return "/".join(self.parts)


@dataclass(frozen=True)
class Submission:
    """The notebook of a student that counts."""

    student: str
    exercise: str
    path: Path
    file: str = ""
    notes: tuple = ()

    @property
    def id(self):
        """Name of the student's folders: another for every student, and no pattern for files."""
        return "".join(
            letter
            if letter in " ._@-'()," or unicodedata.category(letter)[0] in "LMN"
            else "".join(f"%{byte:02X}" for byte in letter.encode())
            for letter in self.student
        )


def find_submissions(folder, releases, scratch):
    """Find the notebooks that count, and say of every other file why it does not.

    Parameters
    ----------
    folder : pathlib.Path
        A folder or a zip file.
    releases : dict
        Set to the notebook that was handed out.
    scratch : pathlib.Path
        Empty folder, for what zip files hold.

    Returns
    -------
    submissions : list of Submission
        One for each student and set.
    files : list of File
        Every file, with its result; empty for those that are to be graded.
    """
    files = list(_walk(folder, (), scratch))
    for file in files:
        if not file.result:
            _recognize(file, releases)
    _name_students([file for file in files if not file.result], releases)
    found = defaultdict(list)
    for file in files:
        if not file.result and file.student:
            found[file.student, file.exercise].append(file)
        elif not file.result:
            file.result = "no student in its name or folder"
    submissions = [_newest(*key, found[key]) for key in sorted(found)]
    return submissions, files


def file_table(files):
    """Tabulate every file that was found: file, time, student, exercise, result."""
    rows = [
        {
            "file": file.shown,
            "time": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(file.time)),
            "student": file.student,
            "exercise": file.exercise,
            "result": file.result or "graded",
        }
        for file in sorted(files, key=lambda file: file.parts)
    ]
    return pd.DataFrame(rows, columns=["file", "time", "student", "exercise", "result"])


def _walk(path, parts, scratch, depth=0):
    """Yield every file below a folder or in a zip file."""
    if path.is_symlink() and parts:
        yield File(path, parts, path.lstat().st_mtime, result="a link, not a file")
    elif path.is_dir():
        for entry in sorted(path.iterdir()):
            yield from _walk(entry, (*parts, entry.name), scratch, depth)
    elif any(LEFT_BY_SYSTEMS.match(part) for part in parts):
        yield File(path, parts, path.stat().st_mtime, result="left by a program, no hand-in")
    elif path.suffix.lower() == ".zip":
        yield from _unzip(path, parts, scratch, depth)
    else:
        yield File(path, parts, path.stat().st_mtime)


def _unzip(path, parts, scratch, depth):
    """Yield what a zip file holds, its times kept."""
    target = scratch / str(sum(1 for _ in scratch.iterdir()))
    target.mkdir()
    try:
        if depth >= DEEPEST_ZIP:
            raise zipfile.BadZipFile("zip files in zip files in zip files")
        with zipfile.ZipFile(path) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            if sum(member.file_size for member in members) > LARGEST_ZIP:
                raise zipfile.BadZipFile("it unpacks to more than 5 GB")
            for number, member in enumerate(members):
                yield from _extract(packed, member, parts, target / str(number), (scratch, depth))
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        yield File(path, parts, path.stat().st_mtime, result=f"not to be unpacked: {error}")


def _extract(packed, member, parts, target, place):
    """Yield one member of a zip file, or what a zip file in it holds."""
    inside = tuple(
        part for part in _member_name(member).split("/") if part not in ("", ".", "..")
    ) or ("?",)
    member_time = time.mktime((*member.date_time, 0, 0, -1))
    try:
        if member.file_size > LARGEST_MEMBER:
            raise zipfile.BadZipFile("it has more than 500 MB")
        # Under a name of ours: theirs may be too long, or lead elsewhere.
        target = target.with_suffix(Path(inside[-1]).suffix[:20])
        with packed.open(member) as source, target.open("wb") as copied:
            shutil.copyfileobj(source, copied)
        os.utime(target, (member_time, member_time))
    # RuntimeError: it is encrypted.
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        result = f"not to be unpacked: {error}"
        yield File(target, (*parts, *inside), member_time, result=result)
        return
    yield from _walk(target, (*parts, *inside), *place[:1], place[1] + 1)


def _member_name(member):
    """Return a member's name; macOS and others write UTF-8 without saying so."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _recognize(file, releases):
    """Tell which set a file is, from its cells, else from its name; or why it is none."""
    name = file.parts[-1]
    named = next((exercise for exercise in releases if _token(exercise).search(name)), None)
    if not name.lower().endswith(NOTEBOOKS) and ".ipynb" not in name.lower():
        file.result = "not a notebook"
        return
    try:
        notebook, _ = restore.read_notebook(file.path)
        file.readable = True
    except restore.UnreadableError as error:
        is_notebook = ".ipynb" in name.lower()
        file.exercise = named if is_notebook else None
        if file.exercise is None:
            file.result = str(error) if is_notebook else "not a notebook"
        return
    file.exercise = restore.find_set(notebook, releases) or named
    if file.exercise is None:
        file.result = f"a notebook of none of the sets {', '.join(releases)}"
    elif named not in (None, file.exercise):
        file.notes.append(f"the file is named {named} but holds {file.exercise}")


def _token(exercise):
    """Return the pattern of a set's name: e1-shrinkage, E1 shrinkage, e1."""
    number, _, word = exercise.partition("-")
    ends = rf"(?<![^\W_]){number}(?![^\W_])"
    return re.compile(rf"{number}[-_ ]*{word}|{ends}" if word else ends, re.IGNORECASE)


def _name_students(files, releases):
    """Give every file its student."""
    for file in files:
        file.parts = tuple(unicodedata.normalize("NFC", part) for part in file.parts)
    _name_by_platform(files)
    rest = [file for file in files if file.student is None]
    tokens = [_token(exercise) for exercise in releases]
    folders = {id(file): _folders(file, tokens) for file in rest}
    flat = _flat_folders(rest, tokens, folders)
    depths = Counter(len(found) for file in rest if (found := folders[id(file)]))
    usual = min((-count, depth) for depth, count in depths.items())[1] if depths else 0
    for file in rest:
        found = folders[id(file)]
        if found and file.parts[:-1] not in flat:
            file.student = found[min(usual, len(found)) - 1]
    _name_by_hand_in([file for file in rest if file.student is None], tokens)
    known = sorted({file.student for file in files if file.student}, key=len, reverse=True)
    for file in rest:
        if file.student is None:
            # A renamed file: whose name does it begin with?
            file.student = next((name for name in known if _begins_with(file, name)), None)


def _begins_with(file, name):
    return re.match(rf"{re.escape(name)}(?![^\W_])", _clean(file.parts[-1]), re.IGNORECASE)


def _name_by_platform(files):
    """Name students by what a platform writes; a number tells those of one name apart."""
    numbered = defaultdict(list)
    for file in files:
        for part in file.parts:
            for pattern in (*PLATFORMS, *((CANVAS,) if part == file.parts[-1] else ())):
                if file.student is None and (found := pattern.match(part)):
                    file.student = _clean(found["name"])
                    if "number" in found.groupdict():
                        # Moodle numbers anew for each set.
                        scope = file.exercise if pattern is MOODLE else ""
                        numbered[pattern, scope, file.student].append((found["number"], file))
    shared = {
        name for (_, _, name), found in numbered.items() if len({number for number, _ in found}) > 1
    }
    for (_, _, name), found in numbered.items():
        for number, file in found:
            if name in shared:
                file.student = f"{name} ({number})"
                file.notes.append(
                    f"several students are named {name}; the number is the platform's"
                )


def _folders(file, tokens):
    """Return the folders around a file that could name a student."""
    parts = [re.sub(r"\.zip$", "", part, flags=re.IGNORECASE) for part in file.parts[:-1]]
    return [name for part in parts if (name := _without_set(part, tokens))]


def _without_set(text, tokens, neutral=NEUTRAL, *, numbered=False):
    """Take the name of a set out of a text; what is left may be a student's name."""
    rest = text
    for token in tokens:
        rest = token.sub("", rest)
    if rest != text or numbered:
        neutral = rf"{neutral}|(copy|v)?\d{{1,2}}"
    words = [word for word in re.split(r"[\s_()\[\]+-]+", rest) if word]
    is_neutral = all(re.fullmatch(neutral, word, re.IGNORECASE) for word in words)
    return "" if is_neutral else _clean(rest)


def _flat_folders(files, tokens, folders):
    """Return the folders that hold several students' files side by side, names in front."""
    prefixes = defaultdict(set)
    for file in files:
        if name := _around_set(file.parts[-1], tokens):
            prefixes[file.parts[:-1], file.exercise].add(name)
    with_own = {file.parts[:-1] for file in files if not _around_set(file.parts[-1], tokens)}
    return {
        parts
        for (parts, _), names in prefixes.items()
        if len(names) > 2 or (len(names) > 1 and parts not in with_own)
    }


def _around_set(name, tokens):
    """Return what stands before the set's name in a file's, else what stands behind it."""
    stem = re.sub(r"(\.ipynb|\.json|\.txt)+$", "", name, flags=re.IGNORECASE)
    for token in tokens:
        if found := token.search(stem):
            before = _without_set(stem[: found.start()], tokens, NEUTRAL_IN_FILES)
            behind = stem[found.end() :]
            return before or _without_set(behind, tokens, NEUTRAL_IN_FILES, numbered=True)
    return ""


def _name_by_hand_in(files, tokens):
    """Name students by their files; a platform's number of the hand-in is no part of a name."""
    names = {id(file): _around_set(file.parts[-1], tokens) for file in files}
    split = {name: HAND_IN.match(name) for name in names.values()}
    numbers, sets = defaultdict(set), defaultdict(set)
    for file in files:
        if found := split[names[id(file)]]:
            numbers[found["name"], file.exercise].add(found["number"])
            sets[names[id(file)]].add(file.exercise)
    for file in files:
        file.student = names[id(file)] or None
        found = split[file.student or ""] if file.student else None
        if not found:
            continue
        name = found["name"]
        counts = [len(given) for (other, _), given in numbers.items() if other == name]
        # The same number in two sets is a student's; so are those behind a word like "student".
        of_students = any(
            len(sets[full]) > 1 for full, one in split.items() if one and one["name"] == name
        )
        if of_students or max(counts) > 2:
            continue
        file.student = _clean(name)
        if max(counts) > 1:
            note = f"the numbers behind {_clean(name)} were taken for hand-ins of one student"
            file.notes.append(note)


def _clean(name):
    """Write a name in one way, but leave apart what somebody could mean to tell apart."""
    name = "".join(
        letter if letter.isprintable() else " " * letter.isspace()
        for letter in unicodedata.normalize("NFC", name)
    )
    return re.sub(r"\s+", " ", name).strip(" _-.")


def _newest(student, exercise, files):
    """Choose the hand-in that counts: the newest that can be read."""
    ranked = sorted(files, key=lambda file: (file.readable, file.time, _attempt(file), file.parts))
    *others, best = ranked
    for other in others:
        other.result = f"superseded by {best.shown}"
        if not other.readable:
            other.result = f"not readable; {best.shown} counts"
            if other.time > best.time:
                best.notes.append(f"a later file, {other.shown}, cannot be read")
    return Submission(student, exercise, best.path, best.shown, tuple(best.notes))


def _attempt(file):
    """Return the number that a platform or browser puts behind a name handed in again."""
    found = re.search(r"[-_ (](\d{1,3})\)?(\.\w+)+$", file.parts[-1])
    return int(found[1]) if found else 0
