"""A search as a driver has it, without a driver, for tests."""

from pathlib import Path
from typing import Any

from make_sweep import RUNGS, open_study

from trainables.protocol import Budget
from tuner.checkpoints import Checkpoints
from tuner.directory import SweepDirectory
from tuner.limits import Limits
from tuner.trial_files import LocalFiles
from tuner.trial_record import TrialRecord
from tuner.work import Work


def toy_work(folder: Path, **settings: Any) -> Work:
    """A search of toys one after another, none of which is stopped, in the sweep's directory `folder`."""
    files = LocalFiles(folder)
    toys: dict[str, Any] = {
        "sweep": "toys",
        "study_name": "sweep",
        "checkpoints": Checkpoints(files),
        "trial_files": files,
        "record": TrialRecord(SweepDirectory(folder), "sweep"),
        "ray_results": folder / "ray",
        "trainable": "trainables.toy:ToyRun",
        "data": {},
        "budget": Budget(unit="steps", maximum=900),
        "trials": 8,
        "limits": Limits(),
        "rungs": None,
        "steps": RUNGS,
        "resources": {"cpu": 1},
        "trials_at_once": 1,
    }
    return Work(**{"study": open_study(), **toys, **settings})
