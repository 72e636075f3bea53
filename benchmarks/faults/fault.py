"""What a fault is: where it can strike, what it does to a running sweep, and what is done before the sweep goes on.

A strike leaves what proves that it struck, besides the trials that trained at that moment; it raises NotStruckError
where it did not, and the run is then made again with another moment.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faults.disks import Disk, MemoryGroup
from faults.server import Server
from faults.sweeps import FaultSweep, Kind

OWN, JOINED, HOSTS = "own Ray", "running Ray", "three hosts"
EVERYWHERE = (OWN, JOINED, HOSTS)
BOTH: tuple[Kind, ...] = ("toy", "phantom")


class NotStruckError(Exception):
    """The fault did not come about: the run does not count."""


@dataclass
class Struck:
    """A run's fault as it came about."""

    sweep: FaultSweep
    draw: random.Random
    proof: dict[str, Any] = field(default_factory=dict)
    disk: Disk | None = None
    server: Server | None = None
    group: MemoryGroup | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    name: str
    strike: Callable[[Struck], None]
    places: tuple[str, ...] = EVERYWHERE
    kinds: tuple[Kind, ...] = BOTH
    prepare: Callable[[Struck], None] = lambda struck: None
    mend: Callable[[Struck], None] = lambda struck: None
    """What the user does, told by the error, before going on."""

    fails: bool = False
    """Whether the trial that it strikes may end as FAIL."""

    ends_driver: bool = False
    """Whether the driver is ended by it, and says nothing."""

    advances_by_plan: bool = False
    """Whether a trial strikes itself, by plan.json, instead of at a moment."""


def running_trial(struck: Struck) -> Any:
    """One of the trials that train now, and its process."""
    sweep = struck.sweep
    entry = struck.draw.choice(sweep.training() or [None])  # type: ignore[list-item]
    process = entry and sweep.place.process(entry["node"], entry["pid"])
    if process is None:
        raise NotStruckError("no trial trained at that moment")
    struck.proof["victim"] = entry
    return process
