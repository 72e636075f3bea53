import errno
import os
from pathlib import Path

import pytest

from tuner.errors import OutputError
from tuner.files import check_output, replace_file


def test_what_can_be_written(tmp_path: Path) -> None:
    check_output(tmp_path / "new.csv")
    check_output(tmp_path / "deep" / "er" / "new.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("mine.csv", "{}/mine.csv exists already: nothing was written; choose another --output"),
        (
            "mine.csv/dice.csv",
            "{0}/mine.csv/dice.csv can't be written: {0}/mine.csv is a file; choose another --output",
        ),
    ],
)
def test_what_can_not(tmp_path: Path, output: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(OutputError) as error:
        check_output(tmp_path / output)
    assert str(error.value) == message.format(tmp_path)
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_a_folder_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.files.os.access", lambda *_: False)  # the superuser may write everywhere
    with pytest.raises(OutputError, match=r"dice.csv can't be written: .* is not writable; choose another --output"):
        check_output(tmp_path / "new" / "dice.csv")


def test_a_private_file_is_its_owners_alone(tmp_path: Path) -> None:
    modes = []

    def write(path: Path) -> None:
        path.write_text("secret")
        modes.append(path.stat().st_mode & 0o777)

    file = tmp_path / "sweep.yaml"
    file.touch(mode=0o644)
    replace_file(file, write, private=True)
    assert file.read_text() == "secret"
    assert [*modes, file.stat().st_mode & 0o777] == [0o600, 0o600]


def test_a_full_disk_says_which_file_it_had_no_room_for(tmp_path: Path) -> None:
    (tmp_path / "dice.csv").write_text("mine")

    def write(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left on device") as error:
        replace_file(tmp_path / "dice.csv", write)
    assert error.value.filename == str(tmp_path / "dice.csv")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_the_content_is_on_the_disk_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def fsync(descriptor: int) -> None:
        synced = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(("content" if synced.is_file() else "names", (tmp_path / "new.csv").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(tmp_path / "new.csv", lambda path: path.write_text("mine"))
    assert done == [("content", False), ("names", True)]
