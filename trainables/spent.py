"""The seconds that a run has spent, by what it spent them on."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from trainables.workers import exchange_seconds

Kind = Literal["training", "evaluation", "data"]


@dataclass
class Spent:
    """Of one run, those before it was interrupted included."""

    training: float = 0.0
    """What follows but `evaluation` is part of it."""

    evaluation: float = 0.0
    data: float = 0.0
    """Drawing batches."""

    exchange: float = 0.0
    """Adding up with the other workers, waiting for them included."""

    def __post_init__(self) -> None:
        self._exchanged_before = exchange_seconds()

    @contextmanager
    def on(self, kind: Kind) -> Iterator[None]:
        """Count the block, unless it ends by an error."""
        started = time.perf_counter()
        yield
        setattr(self, kind, getattr(self, kind) + time.perf_counter() - started)

    def count_exchange(self) -> None:
        """Bring `exchange` up to date. Waits for the device."""
        now = exchange_seconds()
        self.exchange += now - self._exchanged_before
        self._exchanged_before = now

    def state_dict(self) -> dict[str, float]:
        return {
            "training_seconds": self.training,
            "evaluation_seconds": self.evaluation,
            "data_seconds": self.data,
            "exchange_seconds": self.exchange,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.training = state["training_seconds"]
        self.evaluation = state["evaluation_seconds"]
        self.data = state.get("data_seconds", 0.0)  # states of earlier versions lack it, and the next
        self.exchange = state.get("exchange_seconds", 0.0)
