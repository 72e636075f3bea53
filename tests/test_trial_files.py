"""A trial's files behave alike in a folder, on a share, and in object storage (the latter: test_object_storage.py)."""

import errno
from pathlib import Path

import pytest

from tuner.errors import SweepConfigError
from tuner.object_storage import ObjectStorage
from tuner.trial_files import LocalFiles, TrialFiles


@pytest.fixture(params=["folder", "share"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> TrialFiles:
    return LocalFiles(tmp_path / "heart") if request.param == "folder" else ObjectStorage(f"file://{tmp_path}", "heart")


def text(files: TrialFiles, name: str) -> str:
    with files.fetched(name) as path:
        return path.read_text()


def test_what_is_put_is_there_until_it_is_replaced_or_removed(files: TrialFiles) -> None:
    assert files.names() == []
    files.put("trial/a/state.pt", lambda path: path.write_text("one"))
    files.put("trial/a/state.pt", lambda path: path.write_text("two"))
    files.put("trial/b/model.pt", lambda path: path.write_text("three"))
    assert files.names() == ["trial/a/state.pt", "trial/b/model.pt"]
    assert files.names("trial/b") == ["trial/b/model.pt"]
    assert text(files, "trial/a/state.pt") == "two"
    files.remove("trial/a/state.pt")
    files.remove("trial/a/state.pt")
    assert files.names() == ["trial/b/model.pt"]
    files.remove("trial")
    files.remove("trial")
    assert files.names() == []
    with pytest.raises(FileNotFoundError), files.fetched("trial/b/model.pt"):
        pass


def test_a_file_is_whole_or_not_there(files: TrialFiles) -> None:
    def fails(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        files.put("trial/state.pt", fails)
    assert files.names() == []


def test_what_can_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert ObjectStorage(f"file://{tmp_path}", "heart").why_not_writable() is None
    assert str(tmp_path / "file") in (ObjectStorage(f"file://{tmp_path}/file", "heart").why_not_writable() or "")
    assert ObjectStorage(f"file://{tmp_path}", "heart").names() == []


@pytest.mark.parametrize("uri", ["ftp://host/folder", "s3://bucket/folder?endpont_override=host", "not a uri"])
def test_what_is_no_storage(uri: str) -> None:
    with pytest.raises(SweepConfigError, match=r"checkpoints: .* can't be used: "):
        ObjectStorage(uri, "heart").names()
