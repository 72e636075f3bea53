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


def test_a_loser_leaves_nothing(tmp_path):
    directory = SweepDirectory.create(tmp_path / "heart")
    directory.trial_folder("sweep", 3).mkdir()
    directory.state_file("sweep", 3).touch()
    directory.forget_trial("sweep", 3)
    assert list(directory.checkpoints.iterdir()) == []
