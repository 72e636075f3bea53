from pathlib import Path
from typing import Any

import pytest
from make_sweep import sweep_directory

from tuner.best_cases import picture_of
from tuner.directory import SweepDirectory
from tuner.errors import SweepDirectoryError
from tuner.sweep_files import read_best_cases, read_environment, read_split


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    return sweep_directory(tmp_path / "heart")


def test_what_is_not_there_is_empty(directory: SweepDirectory) -> None:
    assert [read(directory) for read in (read_split, read_environment, read_best_cases)] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not valid JSON: Expecting property name"),
        (b"\xff", "not valid JSON: 'utf-8' codec"),
        (b"[" * 100_000, "not valid JSON: maximum recursion depth"),
        (b'{"train": [], "validation": [], "test": [' + b"9" * 5000 + b"]}", "not valid JSON: Exceeds the limit"),
        (b"3", "should be a valid dictionary"),
        (b'{"train": [], "validation": "a", "test": []}', "validation: should be a valid list, got 'a'"),
        (b'{"train": [], "validation": []}', "test: Field required"),
    ],
)
def test_a_split_of_another_form(directory: SweepDirectory, content: bytes, told: str) -> None:
    directory.split_file.write_bytes(content)
    with pytest.raises(SweepDirectoryError) as refused:
        read_split(directory)
    assert str(refused.value).startswith(f"{directory.split_file}: {told}")


def test_an_environment_of_another_form(directory: SweepDirectory) -> None:
    directory.environment_file.write_text('{"dataset": {"modalities": ["CT", []]}, "anything": {"else": 1}}')
    with pytest.raises(SweepDirectoryError, match=r"json: dataset\.modalities\.1: should be a valid string"):
        read_environment(directory)


@pytest.mark.parametrize("picture", ["../../x.jpg", "/etc/x.png", "cases/1.svg", "a\0b.jpg", f"{'x' * 3000}.jpg", ""])
def test_a_picture_lies_in_its_folder(directory: SweepDirectory, picture: Any) -> None:
    directory.best_cases.parent.mkdir()
    with pytest.raises(SweepDirectoryError, match=r"best/cases\.json: .* is no picture in its folder"):
        picture_of({"picture": picture}, directory)
