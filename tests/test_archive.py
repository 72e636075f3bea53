"""Archives of tensors and plain types: what comes back, and that torch is left out of those without tensors."""

import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.archive import MOST_VALUES, read_archive, write_archive
from trainables.errors import ModelFileError

PLAIN = {"steps": 3, "rate": 1e-3, "names": ["a", "\u00e4"], "inner": {"over": False, "none": None, "far": -math.inf}}

WITHOUT_TORCH = """
import sys
from pathlib import Path
from tuner.checkpoint_writer import CheckpointWriter
from tuner.trial_files import LocalFiles
from trainables.archive import read_archive

writer = CheckpointWriter()
writer.write({"steps": 3}, LocalFiles(Path(sys.argv[1])), "state.pt")
assert writer.wait() is None
assert read_archive(Path(sys.argv[1]) / "state.pt") == {"steps": 3}
assert "torch" not in sys.modules
"""


def again(content: dict[str, Any], folder: Path) -> Any:
    write_archive(content, folder / "state.pt")
    return read_archive(folder / "state.pt")


def entries(folder: Path) -> list[str]:
    with zipfile.ZipFile(folder / "state.pt") as archive:
        return archive.namelist()


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    assert again(PLAIN, tmp_path) == PLAIN
    assert entries(tmp_path) == ["plain.json"]
    assert math.isnan(again({"loss": math.nan}, tmp_path)["loss"])


@pytest.mark.parametrize("value", [(1, 2), {1: "a key that is no string"}, torch.tensor(2.0), [torch.tensor(2.0)]])
def test_what_json_would_change_is_torch_s(tmp_path: Path, value: object) -> None:
    assert again({**PLAIN, "value": value}, tmp_path) == {**PLAIN, "value": value}
    assert "plain.json" not in entries(tmp_path)


def test_a_process_without_torch_stays_without_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", WITHOUT_TORCH, tmp_path]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not a voxtune model: Expecting property name"),
        ("[" * 100_000, "not a voxtune model: maximum recursion depth exceeded"),
        ("9" * 5000, "not a voxtune model: Exceeds the limit"),
        (json.dumps([0] * MOST_VALUES), f"holds more than {MOST_VALUES} values"),
    ],
    ids=["no JSON", "deep", "a long number", "many values"],
)
def test_json_that_nobody_wrote_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "state.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("plain.json", text)
    with pytest.raises(ModelFileError) as error:
        read_archive(path)
    assert str(error.value).startswith(f"{path}: {fault}")


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_archive(PLAIN, path)
    path.write_bytes(path.read_bytes().replace(b'"steps": 3', b'"steps": 2'))
    with pytest.raises(ModelFileError, match=r"damaged: the checksum of 'plain\.json' is wrong"):
        read_archive(path)
