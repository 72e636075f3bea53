"""A training run that waits for as long as a recorded trial took, and scores what it scored: `replay:ReplayRun`."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.protocol import Budget, Evaluation


class ReplayRun:
    """Parameters: `trial`, its number in the recording; `recording`, the file; `scale`, of the recorded seconds."""

    def __init__(
        self, parameters: Mapping[str, Any], *, data: Mapping[str, Any], budget: Budget, seed: int, device: str
    ) -> None:
        self._rungs: list[dict[str, float]] = json.loads(Path(parameters["recording"]).read_text())["trials"][
            parameters["trial"]
        ]
        self._scale = parameters["scale"]
        self._budget = budget
        self._done = 0
        self._waited = 0.0

    def advance(self, budget: float) -> Evaluation:
        step = round(1000 * budget / self._budget.maximum)
        while self._done < len(self._rungs) and self._rungs[self._done]["step"] <= step:
            seconds = self._scale * self._rungs[self._done]["seconds"]
            time.sleep(seconds)
            self._waited += seconds
            self._done += 1
        score = self._rungs[self._done - 1]["score"]
        return Evaluation(
            score=score, budget_used=budget, steps=step, training_seconds=self._waited, evaluation_seconds=0.0
        )

    def state_dict(self) -> dict[str, Any]:
        return {"done": self._done, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._done, self._waited = state["done"], state["waited"]
