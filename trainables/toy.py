"""A training run that trains nothing: a learning curve from a formula, to test searches without waiting for them."""

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainables.errors import NonFiniteLossError, SettingError
from trainables.protocol import Budget, Evaluation


class ToyRun:
    """Its score rises with the budget towards a height that a good `learning_rate` makes higher.

    Parameters: `learning_rate` (best at 1e-3), `batch_size` (best at 4); `seconds_per_rung` it sleeps in `advance`;
    `fail_at`, a share of the budget at which it raises the error named by `fail_with` (`nan` or `bug`).
    """

    def __init__(
        self, parameters: Mapping[str, Any], *, data: Mapping[str, Any], budget: Budget, seed: int, device: str
    ) -> None:
        unknown = parameters.keys() - {"learning_rate", "batch_size", "seconds_per_rung", "fail_at", "fail_with"}
        if unknown:
            raise SettingError(f"{', '.join(sorted(unknown))}: unknown to the toy run")
        self._parameters = dict(parameters)
        self._budget = budget
        self._seed = seed
        self._device = device
        self._used = 0.0

    def advance(self, budget: float) -> Evaluation:
        time.sleep(self._parameters.get("seconds_per_rung", 0.0))
        self._used = budget
        share = budget / self._budget.maximum
        if share >= self._parameters.get("fail_at", math.inf):
            if self._parameters.get("fail_with", "nan") == "nan":
                raise NonFiniteLossError(f"the loss became nan at {share:.0%} of the budget")
            raise RuntimeError("a bug in the toy run")
        score = self._height() * (1 - math.exp(-4 * share))
        return Evaluation(
            score=score,
            budget_used=budget,
            steps=round(100 * share),
            training_seconds=share,
            evaluation_seconds=0.01,
            metrics={"loss": 1 - score},
            cases={"toy_001": {"toy": score}},
            facts={"device": self._device, "precision": "fp32", "parameters": 1},
        )

    def state_dict(self) -> dict[str, Any]:
        return {"used": self._used}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._used = float(state["used"])

    def _height(self) -> float:
        rate = math.log10(self._parameters.get("learning_rate", 1e-3)) + 3
        batch = math.log2(self._parameters.get("batch_size", 4)) - 2
        noise = np.random.default_rng(self._seed).normal(0, 0.005)
        return float(0.9 * math.exp(-0.3 * rate**2 - 0.05 * batch**2) + noise)
