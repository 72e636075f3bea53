"""What the trials of a sweep keep: states to go on from, and models. Who may go on from what.

    sweep_0007/attempt_1/state_0111.pt    of trial 7, when it had reached 111 thousandths of the budget
    sweep_0007/attempt_2/model.pt

Each time that a trial is taken up is an attempt, with a folder of its own. A host that was cut off may still write into
the folder of an attempt that another host goes on from by now: nothing of that is taken, since a new attempt starts
from a state that the study knows of, and the model is the last attempt's.
"""

import re
from dataclasses import dataclass

from tuner.config import SweepConfig
from tuner.directory import SweepDirectory, trial_name
from tuner.object_storage import ObjectStorage
from tuner.trial_files import LocalFiles, TrialFiles

MODEL = "model.pt"

_STATE = re.compile(r"/attempt_(\d+)/state_(\d+)\.pt$")
_MODEL = re.compile(r"/attempt_(\d+)/model\.pt$")
_FOLDER = re.compile(r"([^/]+)_(\d+)/")


def state_name(step: int) -> str:
    """The name of the state at `step` thousandths of the budget, in its attempt's folder."""
    return f"state_{step:04d}.pt"


@dataclass(frozen=True)
class Checkpoints:
    """The states and models of all trials, of the studies `sweep`, `confirm` and `folds`."""

    files: TrialFiles

    def folder(self, study: str, number: int, attempt: int) -> str:
        """Where the `attempt`th process that trains trial `number` keeps its files."""
        return f"{trial_name(study, number)}/attempt_{attempt}"

    def state_up_to(self, study: str, number: int, step: int) -> str | None:
        """The name of the state to go on from, for a trial whose last report in the study is at `step`.

        States of later steps are of a process whose word did not reach the study, or is no longer asked for.
        """
        states = [(int(found[2]), int(found[1]), name) for name, found in self._of(study, number, _STATE)]
        return max((state for state in states if state[0] <= step), default=(0, 0, None))[2]

    def model(self, study: str, number: int) -> str | None:
        """The name of the trial's model, if it has one: the last attempt's."""
        models = [(int(found[1]), name) for name, found in self._of(study, number, _MODEL)]
        return max(models, default=(0, None))[1]

    def forget_trial(self, study: str, number: int) -> None:
        """Remove a loser's states and models."""
        self.files.remove(trial_name(study, number))

    def forget_states(self, study: str, number: int) -> None:
        """Remove the states of a trial that will not go on, and the models of its earlier attempts."""
        kept = self.model(study, number)
        for name in self.files.names(trial_name(study, number)):
            if name != kept:
                self.files.remove(name)

    def trials(self, study: str) -> list[int]:
        """The numbers of the trials of `study` that left something."""
        found = (_FOLDER.match(name) for name in self.files.names())
        return sorted({int(folder[2]) for folder in found if folder and folder[1] == study})

    def _of(self, study: str, number: int, kind: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
        names = self.files.names(trial_name(study, number))
        return [(name, found) for name in names if (found := kind.search(name))]


def checkpoints_of(config: SweepConfig, directory: SweepDirectory) -> Checkpoints:
    """Where the sweep file says, or in the sweep's directory."""
    if config.checkpoints is None:
        return Checkpoints(LocalFiles(directory.checkpoints))
    return Checkpoints(ObjectStorage(config.checkpoints, config.name))
