"""What the trials of a sweep keep, and which of it a process goes on from."""

from pathlib import Path

import pytest

from tuner.checkpoints import MODEL, Checkpoints, state_name
from tuner.trial_files import LocalFiles


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(LocalFiles(tmp_path))


def put(checkpoints: Checkpoints, number: int, attempt: int, *names: str) -> None:
    for name in names:
        checkpoints.files.put(f"{checkpoints.folder('sweep', number, attempt)}/{name}", Path.touch)


def test_a_process_goes_on_from_what_the_study_knows_of(checkpoints: Checkpoints) -> None:
    put(checkpoints, 7, 1, state_name(111), state_name(333))
    put(checkpoints, 8, 1, state_name(1000))
    assert checkpoints.state_up_to("sweep", 7, 333) == "sweep_0007/attempt_1/state_0333.pt"
    # A process that was cut off went on to 333, which nobody was told.
    assert checkpoints.state_up_to("sweep", 7, 111) == "sweep_0007/attempt_1/state_0111.pt"
    assert checkpoints.state_up_to("sweep", 7, 37) is None
    assert checkpoints.state_up_to("confirm", 7, 333) is None


def test_the_latest_attempt_goes_before_what_one_that_was_cut_off_still_writes(checkpoints: Checkpoints) -> None:
    put(checkpoints, 7, 10, state_name(333), MODEL)
    put(checkpoints, 7, 9, state_name(111), state_name(333), MODEL)
    assert checkpoints.state_up_to("sweep", 7, 333) == "sweep_0007/attempt_10/state_0333.pt"
    assert checkpoints.model("sweep", 7) == "sweep_0007/attempt_10/model.pt"
    checkpoints.forget_states("sweep", 7)
    assert checkpoints.files.names() == ["sweep_0007/attempt_10/model.pt"]


def test_a_loser_leaves_nothing(checkpoints: Checkpoints) -> None:
    put(checkpoints, 3, 1, state_name(111), MODEL)
    put(checkpoints, 12345, 1, MODEL)
    assert checkpoints.trials("sweep") == [3, 12345]
    checkpoints.forget_trial("sweep", 3)
    assert checkpoints.trials("sweep") == [12345]
    assert checkpoints.trials("confirm") == []
    assert checkpoints.model("sweep", 3) is None
