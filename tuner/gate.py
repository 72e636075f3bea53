"""Has the slots of a search open together, and numbers them: none begins its first trial before all have come up.

A slot takes seconds to come up; where trials are shorter than that, most would run one after another on the one that
came first.
"""

import asyncio
import uuid
from typing import Any

import ray

from cluster.asking import pinned_here
from tuner.pulse import BeatsKept

PATIENCE = 60.0
"""Seconds that a slot waits for the others; then there are fewer than was thought, and it begins."""


class _Gate(BeatsKept):
    """Keeps the slots' beats too: beside the driver there is then one process for both."""

    def __init__(self, slots: int, patience: float) -> None:
        super().__init__()
        self._slots = slots
        self._came = 0
        self._patience = patience
        self._all_here = asyncio.Event()

    async def pass_through(self) -> int:
        self._came += 1
        number = self._came
        if self._came >= self._slots:
            self._all_here.set()
        try:
            await asyncio.wait_for(self._all_here.wait(), self._patience)
        except TimeoutError:
            self._all_here.set()
        return number


class Gate:
    """A gate for `slots` processes. Its name is what they need to find it."""

    def __init__(self, slots: int, *, patience: float = PATIENCE) -> None:
        self.name = f"gate-{uuid.uuid4().hex[:12]}"
        actor = ray.remote(num_cpus=0)(_Gate)
        # On the driver's node: no other's loss then leaves slots standing before it.
        self.actor: Any = actor.options(name=self.name, scheduling_strategy=pinned_here()).remote(slots, patience)

    def close(self) -> None:
        """Remove it; who stands before it, or comes later, goes on."""
        ray.kill(self.actor)


def pass_gate(name: str) -> int | None:
    """Wait at the gate until all slots are here. Returns the slot's number, from 1 by who came first.

    Returns None at once where the gate is gone.
    """
    try:
        number: Any = ray.get(ray.get_actor(name).pass_through.remote())
    except (ValueError, ray.exceptions.RayActorError):
        return None
    return number
