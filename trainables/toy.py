"""A training run that trains nothing: a learning curve from a formula, to test searches without waiting for them."""

import math
import os
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainables.errors import NonFiniteLossError, SettingError
from trainables.protocol import Budget, Evaluation

_PARAMETERS = {"learning_rate", "batch_size", "patch_size", "seconds_per_rung", "fail_at", "fail_with"}


class ToyRun:
    """Its score rises with the budget towards a height that a good `learning_rate` makes higher.

    Parameters: `learning_rate` (best at 1e-3), `batch_size` (best at 4), `patch_size` (best at 128, and pretended to
    take memory as a cube does); `seconds_per_rung` it sleeps in `advance`; `fail_at`, a share of the budget at which it
    raises the error named by `fail_with` (`nan` or `bug`), its process is killed (`kill`), or it hangs (`hang`).

    Data: `memory_limit_gib`, above which it ends out of memory.
    """

    def __init__(
        self, parameters: Mapping[str, Any], *, data: Mapping[str, Any], budget: Budget, seed: int, device: str
    ) -> None:
        unknown = parameters.keys() - _PARAMETERS
        if unknown:
            raise SettingError(f"{', '.join(sorted(unknown))}: unknown to the toy run")
        self._parameters = dict(parameters)
        self._budget = budget
        self._seed = seed
        self._device = device
        self._used = 0.0
        self._training_seconds = 0.0
        self._memory_gib = self.estimate_memory(parameters, data=data, device=device)
        self._memory_limit_gib = data.get("memory_limit_gib") or math.inf

    @staticmethod
    def estimate_memory(parameters: Mapping[str, Any], *, data: Mapping[str, Any], device: str) -> float:
        """GiB that a run pretends to take: 2 for a batch of 4 patches of 128 x 128 x 128 voxels."""
        voxels = parameters.get("batch_size", 4) * parameters.get("patch_size", 128) ** 3
        return float(voxels) / 2**22

    def advance(self, budget: float) -> Evaluation:
        if self._memory_gib > self._memory_limit_gib:
            import torch

            raise torch.OutOfMemoryError(
                f"the toy run takes {self._memory_gib:.2f} GiB, memory_limit_gib is {self._memory_limit_gib:g}"
            )
        started = time.perf_counter()
        time.sleep(self._parameters.get("seconds_per_rung", 0.0))
        self._training_seconds += time.perf_counter() - started
        self._used = budget
        share = budget / self._budget.maximum
        if share >= self._parameters.get("fail_at", math.inf):
            if self._parameters.get("fail_with", "nan") == "nan":
                raise NonFiniteLossError(f"the loss became nan at {share:.0%} of the budget")
            if self._parameters["fail_with"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._parameters["fail_with"] == "hang":
                threading.Event().wait()
            raise RuntimeError("a bug in the toy run")
        score = self._height() * (1 - math.exp(-4 * share))
        return Evaluation(
            score=score,
            budget_used=budget,
            steps=round(100 * share),
            training_seconds=self._training_seconds,
            evaluation_seconds=0.0,
            metrics={"loss": 1 - score},
            cases={"toy_001": {"toy": score}},
            facts={
                "device": self._device,
                "precision": "fp32",
                "parameters": 1,
                "peak_gib": self._memory_gib,
            },
        )

    def state_dict(self) -> dict[str, Any]:
        return {"used": self._used, "training_seconds": self._training_seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._used = float(state["used"])
        self._training_seconds = float(state["training_seconds"])

    def _height(self) -> float:
        rate = math.log10(self._parameters.get("learning_rate", 1e-3)) + 3
        batch = math.log2(self._parameters.get("batch_size", 4)) - 2
        patch = math.log2(self._parameters.get("patch_size", 128)) - 7
        noise = np.random.default_rng(self._seed).normal(0, 0.005)
        return float(0.9 * math.exp(-0.3 * rate**2 - 0.05 * batch**2 - 0.05 * patch**2) + noise)
