"""A state is written beside the training, whole, and a failure is told once."""

from pathlib import Path

import torch

from tuner.checkpoint_writer import CheckpointWriter
from tuner.trial_files import LocalFiles


def test_what_was_begun_is_on_the_disk_after_waiting(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    files = LocalFiles(tmp_path)
    writer.write({"steps": 1}, files, "trial/state_0001.pt")
    writer.write({"steps": 2, "weights": torch.ones(3)}, files, "trial/state_0002.pt", instead_of="trial/state_0001.pt")
    assert writer.wait() is None
    state = torch.load(tmp_path / "trial" / "state_0002.pt", weights_only=True)
    assert state["steps"] == 2
    assert [path.name for path in (tmp_path / "trial").iterdir()] == ["state_0002.pt"]


def test_why_nothing_was_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = CheckpointWriter()
    writer.write({"steps": 1}, LocalFiles(tmp_path), "file/state_0001.pt")
    told = writer.wait()
    assert told is not None
    assert "file" in told
    assert writer.wait() is None
