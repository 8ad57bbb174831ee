"""The bundle of Vega is made once for each version of its package."""

from self_hosted import kept_bundle, vega_bundle


def test_the_bundle_is_made_once_for_each_version(tmp_path):
    folder = tmp_path / ".vega"
    folder.mkdir()
    (folder / "0.0.1.js").write_text("of an earlier version")
    path = kept_bundle(folder)
    assert path.read_text(encoding="utf-8") == vega_bundle()
    assert [file.name for file in folder.iterdir()] == [path.name]
    made = path.stat().st_mtime_ns
    assert kept_bundle(folder) == path and path.stat().st_mtime_ns == made


def test_half_a_bundle_is_made_anew(tmp_path):
    path = kept_bundle(tmp_path / ".vega")
    path.rename(path.with_suffix(".part"))
    assert kept_bundle(tmp_path / ".vega").read_text(encoding="utf-8") == vega_bundle()
