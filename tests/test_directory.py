"""A sweep's directory: made once, found by path or name, worked on by one driver."""

import pytest

from tuner.directory import SweepDirectory
from tuner.errors import SweepDirectoryError


def test_made_once_and_found_by_name_and_path(tmp_path):
    directory = SweepDirectory.create(tmp_path / "heart")
    with pytest.raises(SweepDirectoryError, match=r"no sweep at heart or .*: a sweep's directory holds a sweep\.yaml"):
        SweepDirectory.find("heart", runs=tmp_path)
    directory.sweep_file.write_text("")
    assert SweepDirectory.find("heart", runs=tmp_path) == directory
    assert SweepDirectory.find(str(tmp_path / "heart")) == directory
    with pytest.raises(SweepDirectoryError, match="exists already"):
        SweepDirectory.create(tmp_path / "heart")


def test_an_unknown_sweep_is_told_with_those_that_are_there(tmp_path):
    def told(name: str) -> str:
        with pytest.raises(SweepDirectoryError) as error:
            SweepDirectory.find(name, runs=tmp_path)
        return str(error.value)

    assert told("hart").endswith(f"no sweep at hart or {tmp_path}/hart: a sweep's directory holds a sweep.yaml")
    for name in ("heart", "a", "b", "c", "d", "e"):
        SweepDirectory.create(tmp_path / name).sweep_file.write_text("")
    SweepDirectory.create(tmp_path / "hart never began")
    assert told("hart").endswith("holds a sweep.yaml; did you mean heart?")
    assert told("runs/hart").endswith("; did you mean heart?")
    assert told("spleen").endswith(f"holds a sweep.yaml; in {tmp_path} are a, b, c, d, e and 1 more")


def test_no_sweep_has_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(SweepDirectoryError, match="no sweep at "):
        SweepDirectory.find("h" * 300, runs=tmp_path)


@pytest.mark.parametrize("make", [SweepDirectory.check_free, SweepDirectory.create])
@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("a file/heart", "{}/a file: Not a directory"),
        ("a file/new/heart", "{}/a file: Not a directory"),
        ("h" * 300, "{}: File name too long"),
    ],
)
def test_a_directory_that_can_not_be_made(tmp_path, make, root, why):
    (tmp_path / "a file").write_text("mine")
    with pytest.raises(SweepDirectoryError) as error:
        make(tmp_path / root)
    told = f"sweep directory {tmp_path / root} can't be made: {why.format(tmp_path)}; choose another folder by --runs"
    assert str(error.value) == told
    assert (tmp_path / "a file").read_text() == "mine"


def test_what_was_left_half_written_goes(tmp_path):
    directory = SweepDirectory.create(tmp_path / "heart")
    ensemble = directory.folds / ".ensemble.tmp"  # a folder, filled before it is renamed
    ensemble.mkdir(parents=True)
    (ensemble / ".fold_0.pt.7.tmp").touch()
    (directory.root / ".split.json.7.tmp").touch()
    directory.split_file.touch()
    directory.remove_torn_files()
    assert [path.name for path in directory.root.rglob("*") if path.is_file()] == ["split.json"]
    assert not ensemble.exists()


def test_asking_leaves_nothing(tmp_path):
    SweepDirectory.check_free(tmp_path / "runs" / "heart")
    assert list(tmp_path.iterdir()) == []
