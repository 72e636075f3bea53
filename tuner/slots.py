"""How a machine is divided among trials that run at the same time."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.machine import CudaDevice

PROCESS_GIB = 1.0
"""What a trial's process takes before its network: torch, MONAI and Ray."""

USABLE = 0.8
"""Share of the free memory that trials may fill; the rest is for Ray, the driver and cached files."""

TRIALS_A_SLOT = 4
"""At least so many trials follow one another in each slot, so that later ones learn from earlier ones."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Equal parts of a machine, one for each trial that runs."""

    count: int
    cpus: int
    """Cores of each."""

    gpus: int
    """GPUs of each; 0 or 1."""

    memory_gib: float
    """What a network in training may take in each: of the GPU's memory, or of the machine's."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`, as torch calls it."""
        return "cuda" if self.gpus else "cpu"


def plan_slots(*, trials: int, cores: int, memory_gib: float, devices: Sequence[CudaDevice]) -> Slots:
    """A slot for each GPU that has a core; without one, a slot a core, but fewer and wider ones for few trials or
    little memory."""
    if devices:
        memory = USABLE * min(device.memory_gib for device in devices)
        count = min(len(devices), cores)
        return Slots(count=count, cpus=cores // count, gpus=1, memory_gib=memory)
    by_memory = int(USABLE * memory_gib / (2 * PROCESS_GIB))
    count = max(1, min(cores, max(2, trials // TRIALS_A_SLOT), by_memory))
    memory = max(0.1, USABLE * memory_gib / count - PROCESS_GIB)
    return Slots(count=count, cpus=cores // count, gpus=0, memory_gib=memory)
