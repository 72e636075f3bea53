"""What one trial of a sweep takes of a machine."""

import math
from dataclasses import dataclass
from typing import Literal

CPUS_A_SHARED_GPU = 8
"""Cores beside a GPU that trials share, where it is not known yet how many do."""


@dataclass(frozen=True, kw_only=True)
class TrialSize:
    """The sweep file's `resources`."""

    cpus: float
    gpus: float | Literal["auto"]

    @property
    def devices(self) -> int:
        """GPUs that the smallest machine for a trial has."""
        return 1 if self.gpus == "auto" else math.ceil(self.gpus)

    @property
    def machine_cpus(self) -> int:
        """Cores of a machine with that many GPUs, so that as many trials run there as its GPUs hold."""
        if self.gpus == "auto":
            return max(CPUS_A_SHARED_GPU, math.ceil(self.cpus))
        trials = int(1 / self.gpus + 1e-6) if 0 < self.gpus < 1 else 1
        return math.ceil(self.cpus * trials)

    def described(self) -> str:
        """In a line."""
        gpus = "a part of a GPU (gpus_per_trial: auto)" if self.gpus == "auto" else f"{self.gpus:g} GPU"
        return f"One trial takes {self.cpus:g} CPU and {gpus}."
