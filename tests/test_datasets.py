"""Loading, typing and checking of the data files, with made-up "original" files only."""

import hashlib
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest

from helpers.data import RRandom, datasets
from helpers.data.datasets import (
    DataFileError,
    data_note,
    example_file,
    load_gpa,
    load_pupils,
    load_sleepstudy,
)
from tests.browsing import served

# Written by R 4.2 from a rule, not from records: a tibble of 1,000 rows with
# PUPIL = 1:1000 + 0, primary_school_id = rep(1:50, each = 20) + 0,
# achievement = (1:1000 %% 60) / 10 + 3 and ses = factor(rep(six levels, length.out = 1000)).
RDATA = Path(__file__).parent / "fixtures" / "pupils.RData"
SIX_LEVELS = ["lowest", "2", "3", "4", "5", "highest"]
# The collapse of the source document (Clark, Mixed Models with R).
COLLAPSED = ["low", "low", "low", "mid", "mid", "high"]
SES_TYPE = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)


@pytest.fixture(autouse=True)
def no_course_data_dir(monkeypatch):
    """Keep these tests independent of the reader's own setting."""
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)


@pytest.fixture
def original_gpa():
    """Random values in the shape of the original GPA file, other columns included."""
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "student": np.repeat(np.arange(1, 201), 6),
            "occas": np.tile([f"year {1 + i // 2} semester {1 + i % 2}" for i in range(6)], 200),
            "gpa": random.uniform(1, 4, 1200).round(1),
            "occasion": np.tile(np.arange(6), 200),
        }
    )


@pytest.fixture
def original_pupils():
    """Random values in the shape of the original pupils file, six levels of ses."""
    random = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "PUPIL": np.arange(1, 1001),
            "primary_school_id": np.repeat(np.arange(1, 51), 20),
            "achievement": random.uniform(3, 9, 1000).round(1),
            "sex": random.choice(["male", "female"], 1000),
            "ses": np.resize(SIX_LEVELS, 1000),
        }
    )


@pytest.fixture
def bundled_copy(tmp_path, monkeypatch):
    """Copy the bundled files to a folder where a test may damage them."""
    for path in datasets.DATA_FOLDER.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(datasets, "DATA_FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def server(tmp_path, monkeypatch, original_gpa):
    """Serve made-up originals on this computer, in place of the public repository."""
    root = tmp_path / "server"
    gpa_path, pupils_path = root / datasets.ORIGINAL_GPA, root / datasets.ORIGINAL_PUPILS
    gpa_path.parent.mkdir(parents=True)
    pupils_path.parent.mkdir(parents=True)
    original_gpa.to_csv(gpa_path, index=False)
    pupils_path.write_bytes(RDATA.read_bytes())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(root) as address:
        stand_in = pooch.create(
            path=tmp_path / "cache",
            base_url=f"{address}/",
            registry={
                datasets.ORIGINAL_GPA: sha256(gpa_path),
                datasets.ORIGINAL_PUPILS: sha256(pupils_path),
            },
        )
        monkeypatch.setattr(datasets, "ORIGINALS", stand_in)
        yield root


def sha256(path):
    """Hash a file as the registry does."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


# The bundled files


def test_gpa_twin_is_typed_and_complete():
    gpa = load_gpa()
    assert gpa.dtypes.astype(str).to_dict() == {
        "student": "int64",
        "occasion": "int64",
        "gpa": "float64",
    }
    assert gpa["occasion"].tolist() == list(range(6)) * 200
    assert gpa["student"].nunique() == 200
    assert gpa.attrs["source"] == "synthetic"


def test_pupils_twin_is_typed_and_complete():
    pupils = load_pupils()
    assert list(pupils.columns) == ["pupil", "primary_school_id", "ses", "achievement"]
    assert pupils.dtypes.drop("ses").astype(str).tolist() == ["int64", "int64", "float64"]
    assert pupils["ses"].dtype == SES_TYPE
    assert pupils["primary_school_id"].nunique() == 50
    # School 10's cell counts follow from its published standard errors.
    school = pupils.loc[pupils["primary_school_id"] == 10, "ses"]
    assert school.value_counts(sort=False).to_dict() == {"low": 10, "mid": 13, "high": 2}
    # The source's nested model has 148 school-by-ses groups.
    assert len(pupils[["primary_school_id", "ses"]].drop_duplicates()) == 148


def test_sleepstudy_equals_that_of_lme4():
    sleepstudy = load_sleepstudy()
    assert sleepstudy.dtypes.astype(str).tolist() == ["float64", "int64", "int64"]
    assert sleepstudy["Subject"].value_counts().eq(10).all()
    # R 4.2, lme4 1.1-31: dim, colMeans and the last row of sleepstudy.
    assert sleepstudy.shape == (180, 3)
    assert sleepstudy["Reaction"].mean() == pytest.approx(298.5078916667, abs=1e-9)
    assert sleepstudy.iloc[-1].tolist() == [364.1236, 9, 372]


def test_the_untidy_file_is_what_its_script_makes():
    names = runpy.run_path(str(Path(__file__).parents[1] / "data" / "make_reading.py"))
    stream = RRandom(names["SEED"])
    made = names["untidy"](names["tidy_records"](stream), stream)
    text = made.to_csv(index=False, lineterminator="\n")
    assert example_file().read_text(encoding="utf-8") == text


def test_a_changed_untidy_file_is_refused(bundled_copy):
    assert example_file().parent == bundled_copy
    with (bundled_copy / "reading.csv").open("a", encoding="utf-8") as file:
        file.write("x")
    with pytest.raises(DataFileError, match="is damaged.*git checkout"):
        example_file()
    (bundled_copy / "reading.csv").unlink()
    with pytest.raises(DataFileError, match="is missing"):
        example_file()


@pytest.mark.parametrize("load", [load_gpa, load_pupils, load_sleepstudy])
def test_windows_line_ends_are_no_damage(load, bundled_copy):
    expected = load()
    for path in bundled_copy.glob("*.csv"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(load(), expected)


def test_one_changed_value_is_damage(bundled_copy):
    path = bundled_copy / "gpa.csv"
    path.write_text(path.read_text().replace("1,0,2.2", "1,0,2.3", 1))
    with pytest.raises(
        DataFileError, match=r"(?s)gpa.csv is damaged.*expected d8259f.*git checkout"
    ):
        load_gpa()


def test_lost_rows_are_damage(bundled_copy):
    path = bundled_copy / "pupils.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    with pytest.raises(DataFileError, match=r"997 rows, expected 1000.*git checkout"):
        load_pupils()


def test_renamed_column_is_damage(bundled_copy):
    path = bundled_copy / "sleepstudy.csv"
    path.write_text(path.read_text().replace("Subject", "subject"))
    with pytest.raises(DataFileError, match=r"lacks the columns \['Subject'\].*git checkout"):
        load_sleepstudy()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00damaged", b'a,b\n1,2,3\n"'])
def test_unreadable_file_is_damage(bundled_copy, content):
    (bundled_copy / "gpa.csv").write_bytes(content)
    with pytest.raises(DataFileError, match=r"(?s)gpa.csv.*git checkout -- data/gpa.csv"):
        load_gpa()


def test_missing_file_says_where_it_should_be(bundled_copy):
    (bundled_copy / "gpa.csv").unlink()
    with pytest.raises(DataFileError, match=r"no file .*gpa.csv.*pip install -e.*git checkout"):
        load_gpa()


# Which source


def test_unknown_source_is_refused():
    with pytest.raises(ValueError, match="source is 'orignal'; allowed are 'synthetic'"):
        load_gpa("orignal")


def test_folder_with_synthetic_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Leave out one of the two"):
        load_pupils("synthetic", folder=tmp_path)


def test_variable_makes_originals_the_default(tmp_path, monkeypatch, original_gpa):
    original_gpa.to_csv(tmp_path / "gpa.csv", index=False)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    assert load_gpa().attrs["source"] == "original"
    assert load_gpa("original").attrs["source"] == "original"
    assert load_gpa("synthetic").attrs["source"] == "synthetic"


def test_argument_goes_before_variable(tmp_path, monkeypatch, original_gpa):
    original_gpa.to_csv(tmp_path / "gpa.csv", index=False)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "elsewhere"))
    assert load_gpa(folder=tmp_path).attrs["source"] == "original"


@pytest.mark.parametrize("load", [load_gpa, load_pupils])
def test_variable_never_falls_back_to_the_twin(load, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataFileError, match="nowhere does not exist.*COURSE_DATA_DIR"):
        load()
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(DataFileError, match="has no such file"):
        load()


def test_twins_are_not_taken_for_originals():
    with pytest.raises(DataFileError, match="synthetic twin, not the original"):
        load_gpa(folder=datasets.DATA_FOLDER)


def test_note_says_which_records(tmp_path, original_gpa):
    original_gpa.to_csv(tmp_path / "gpa.csv", index=False)
    assert "synthetic GPA twin" in data_note(load_gpa())
    assert "synthetic pupils twin" in data_note(load_pupils())
    assert "Belenky" in data_note(load_sleepstudy())
    note = data_note(load_gpa(folder=tmp_path))
    assert "original GPA records" in note
    assert str(tmp_path) not in note


def test_note_of_a_strange_frame_is_an_error():
    with pytest.raises(ValueError, match="pass the frame just as it was loaded"):
        data_note(pd.DataFrame({"gpa": [1.0]}))


# Originals from a folder


def test_original_gpa_has_the_twin_s_types(tmp_path, original_gpa):
    original_gpa.to_csv(tmp_path / "gpa.csv", index=False)
    gpa = load_gpa(folder=tmp_path)
    pd.testing.assert_series_equal(gpa.dtypes, load_gpa("synthetic").dtypes)
    pd.testing.assert_frame_equal(gpa, original_gpa[["student", "occasion", "gpa"]])


def test_six_levels_collapse_to_three(tmp_path, original_pupils):
    original_pupils.to_csv(tmp_path / "pupils.csv", index=False)
    pupils = load_pupils(folder=tmp_path)
    pd.testing.assert_series_equal(pupils.dtypes, load_pupils("synthetic").dtypes)
    assert pupils["ses"].tolist() == np.resize(COLLAPSED, 1000).tolist()
    assert pupils["pupil"].tolist() == list(range(1, 1001))
    assert pupils["achievement"].tolist() == original_pupils["achievement"].tolist()


def test_three_levels_and_no_pupil_column(tmp_path, original_pupils):
    frame = original_pupils.assign(ses=np.resize(COLLAPSED, 1000)).drop(columns="PUPIL")
    frame.to_csv(tmp_path / "pupils.csv", index=False)
    pupils = load_pupils(folder=tmp_path)
    assert pupils["ses"].tolist() == np.resize(COLLAPSED, 1000).tolist()
    assert pupils["pupil"].tolist() == list(range(1, 1001))


def wrong_gpa_files(gpa):
    """Return each way in which a GPA file can be wrong, with a part of its message."""
    return {
        r"lacks the columns \['occasion'\]: found \['student', 'occas', 'gpa'\]": gpa.drop(
            columns="occasion"
        ),
        "1194 rows, expected 1200": gpa.iloc[:-6],
        "199 different values of student, expected 200": gpa.replace({"student": {200: 199}}),
        "1 missing values in gpa": gpa.assign(gpa=gpa["gpa"].mask(gpa.index == 7)),
        "value three in gpa, expected only numbers": gpa.assign(
            gpa=gpa["gpa"].astype(object).mask(gpa.index == 7, "three")
        ),
        "value inf in gpa, expected only numbers": gpa.assign(
            gpa=gpa["gpa"].mask(gpa.index == 7, float("inf"))
        ),
        "value 0.5 in occasion, expected only whole numbers": gpa.replace({"occasion": {0: 0.5}}),
        r"occasions \[1, 2, 3, 4, 5, 6\]; expected": gpa.assign(occasion=gpa["occasion"] + 1),
        "1199 different pairs": gpa.assign(occasion=gpa["occasion"].mask(gpa.index == 0, 1)),
    }


def test_wrong_original_gpa_is_a_clear_error(tmp_path, original_gpa):
    for message, wrong in wrong_gpa_files(original_gpa).items():
        wrong.to_csv(tmp_path / "gpa.csv", index=False)
        with pytest.raises(DataFileError, match=message + ".*source='synthetic'"):
            load_gpa(folder=tmp_path)


def wrong_pupils_files(pupils):
    """Return each way in which a pupils file can be wrong, with a part of its message."""
    return {
        "lacks the columns .'achievement'.": pupils.drop(columns="achievement"),
        "990 rows, expected 1000": pupils.iloc[10:],
        "49 different values of primary_school_id": pupils.replace({"primary_school_id": {50: 49}}),
        "167 missing values in ses": pupils.replace({"ses": {"2": None}}),
        r"levels \['1', '2', '3', '4', '5', '6'\] in ses": pupils.replace(
            {"ses": {"lowest": "1", "highest": "6"}}
        ),
        r"levels \['2', '3', '4', '5', 'high', 'lowest'\] in ses": pupils.replace(
            {"ses": {"highest": "high"}}
        ),
    }


def test_wrong_original_pupils_is_a_clear_error(tmp_path, original_pupils):
    for message, wrong in wrong_pupils_files(original_pupils).items():
        wrong.to_csv(tmp_path / "pupils.csv", index=False)
        with pytest.raises(DataFileError, match=message + ".*source='synthetic'"):
            load_pupils(folder=tmp_path)


# Originals fetched


def test_fetched_gpa(server, original_gpa):
    gpa = load_gpa("original")
    pd.testing.assert_frame_equal(gpa, original_gpa[["student", "occasion", "gpa"]])
    assert "m-clark/mixed-models-with-R" in data_note(gpa)


@pytest.mark.filterwarnings("error")
def test_fetched_pupils_are_read_from_rdata_without_a_warning(server):
    pupils = load_pupils("original")
    expected = pd.DataFrame(
        {
            "pupil": np.arange(1, 1001),
            "primary_school_id": np.repeat(np.arange(1, 51), 20),
            "ses": pd.Series(np.resize(COLLAPSED, 1000)).astype(SES_TYPE),
            "achievement": np.arange(1, 1001) % 60 / 10 + 3,
        }
    )
    pd.testing.assert_frame_equal(pupils, expected)


def test_fetched_file_is_kept(server):
    load_gpa("original")
    (server / datasets.ORIGINAL_GPA).unlink()
    assert len(load_gpa("original")) == 1200


def test_fetched_file_with_wrong_hash_is_refused_and_not_kept(server):
    path = server / datasets.ORIGINAL_GPA
    path.write_text(path.read_text().replace("year 1", "year 9", 1))
    with pytest.raises(DataFileError, match="(?s)does not match the known hash.*COURSE_DATA_DIR"):
        load_gpa("original")
    assert not (Path(datasets.ORIGINALS.path) / datasets.ORIGINAL_GPA).exists()


def test_missing_remote_file_is_a_clear_error(server):
    (server / datasets.ORIGINAL_PUPILS).unlink()
    with pytest.raises(DataFileError, match="(?s)could not be fetched from http.*404.*'synthetic'"):
        load_pupils("original")


def test_unreachable_server_is_a_clear_error(server, monkeypatch):
    monkeypatch.setattr(datasets.ORIGINALS, "base_url", "http://127.0.0.1:9/")
    with pytest.raises(DataFileError, match="Check the network connection"):
        load_gpa("original")


def test_pinned_hashes_and_repository():
    # SHA-256 of data/gpa.csv and data/pupils.RData in m-clark/mixed-models-with-R.
    assert "githubusercontent.com/m-clark/mixed-models-with-R/" in datasets.ORIGINALS.base_url
    assert [value.split(":")[1][:8] for value in datasets.ORIGINALS.registry.values()] == [
        "7c1eec50",
        "74fa1ccc",
    ]
