"""Training runs that say what they do, and that fail as the run's plan says.

A run's folder is a file system that all processes of the sweep see:

    advances.jsonl   each call of `advance`: where and when it began and ended
    plan.json        {"fault": "nan", "at": 3, "again": false}: the third advance of the sweep meets it
    struck           the trial that met it
"""

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainables.errors import NonFiniteLossError
from trainables.protocol import Evaluation
from trainables.segmentation import SegmentationRun
from trainables.toy import ToyRun

ADVANCES, PLAN, STRUCK, GROUP = "advances.jsonl", "plan.json", "struck", "memory_group"


class Watched:
    """What both kinds of runs have in common: `FOLDER` is set by the module that a run's sweep names."""

    FOLDER: Path
    trial: str
    """The trial's parameters, as JSON: no two trials of a sweep have the same."""

    def note(self, what: str, budget: float) -> None:
        entry = {"what": what, "trial": self.trial, "budget": budget, "pid": os.getpid()}
        entry |= {"node": socket.gethostname(), "time": time.time()}
        with (self.FOLDER / ADVANCES).open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def watched(self, advance: Callable[[float], Evaluation], budget: float) -> Evaluation:
        self.note("begin", budget)
        fault = self._fault()
        if fault:
            self.note("strike", budget)
            found = self.strike(fault, advance, budget)
        else:
            found = advance(budget)
        self.note("end", budget)
        return found

    def strike(self, fault: str, advance: Callable[[float], Evaluation], budget: float) -> Evaluation:
        if fault == "hang":
            threading.Event().wait()
        if fault == "leak":
            self._leak()
        raise AssertionError(fault)

    def _fault(self) -> str | None:
        """What is to happen to this advance."""
        plan = self.FOLDER / PLAN
        if not plan.is_file():
            return None
        wanted, struck = json.loads(plan.read_text()), self.FOLDER / STRUCK
        if struck.exists():
            again = wanted["again"] and struck.read_text() == self.trial
            return str(wanted["fault"]) if again else None
        begun = sum('"begin"' in line for line in (self.FOLDER / ADVANCES).read_text().splitlines())
        if begun < wanted["at"]:
            return None
        try:
            with struck.open("x") as file:
                file.write(self.trial)
        except FileExistsError:
            return None
        return str(wanted["fault"])

    def _leak(self) -> None:
        """Take memory without end, in the control group that bounds it."""
        (Path((self.FOLDER / GROUP).read_text()) / "cgroup.procs").write_text(str(os.getpid()))
        taken = []
        while True:
            taken.append(bytearray(os.urandom(1024)) * 4096)


class WatchedToy(Watched, ToyRun):
    """A toy run whose state has `ballast`, in MiB, so that it takes a while to write."""

    def __init__(self, parameters: dict[str, Any], **given: Any) -> None:
        parameters = dict(parameters)
        self._ballast = parameters.pop("ballast", 1)
        super().__init__(parameters, **given)
        self.trial = json.dumps(parameters, sort_keys=True)

    def advance(self, budget: float) -> Evaluation:
        return self.watched(super().advance, budget)

    def strike(self, fault: str, advance: Callable[[float], Evaluation], budget: float) -> Evaluation:
        if fault == "nan":
            raise NonFiniteLossError("the loss became nan")
        if fault == "raise":
            raise RuntimeError("the evaluation broke")
        return super().strike(fault, advance, budget)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "ballast": torch.ones(2**18 * self._ballast)}


class WatchedSegmentation(Watched, SegmentationRun):
    """A real run on phantom data."""

    def __init__(self, parameters: dict[str, Any], **given: Any) -> None:
        super().__init__(parameters, **given)
        self.trial = json.dumps(parameters, sort_keys=True)

    def advance(self, budget: float) -> Evaluation:
        return self.watched(super().advance, budget)

    def strike(self, fault: str, advance: Callable[[float], Evaluation], budget: float) -> Evaluation:
        if fault == "nan":
            with torch.no_grad():
                next(self._network.parameters()).fill_(math.nan)
            return advance(budget)
        if fault == "raise":
            self._evaluate = _broken  # type: ignore[method-assign]
            return advance(budget)
        return super().strike(fault, advance, budget)


def _broken() -> Evaluation:
    raise RuntimeError("the evaluation broke")
