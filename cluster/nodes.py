"""The machines of a cluster, and how many trials of a size each of them holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_GROUP_LABEL = "ray.io/node-group"
"""Given by Ray to nodes that `ray up`, KubeRay or Spark started as one of a group."""

GPU_TYPE = "accelerator_type:"
"""Before the type of a node's GPUs, among its resources in Ray."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine (or pod) of a cluster, with what Ray hands out of it."""

    name: str
    id: str = ""
    """As Ray calls it, to place something on it."""

    cpus: float
    gpus: float

    gpu_type: str | None = None
    """As Ray calls it: `A100`, `H100`. None without GPUs, or if Ray does not know it."""

    def slots(self, *, cpus: float, gpus: float) -> int:
        """How many trials of this size it holds at once; none is ever spread over several nodes."""
        by_cpu = _times(self.cpus, cpus)
        if not gpus:
            return by_cpu
        # Whole trials on each GPU: three trials of 0.4 GPU do not fit on one.
        by_gpu = _times(self.gpus, gpus) if gpus >= 1 else int(self.gpus) * _times(1.0, gpus)
        return min(by_cpu, by_gpu)


def alive_nodes(table: Iterable[Mapping[str, Any]]) -> tuple[Node, ...]:
    """The nodes of `ray.nodes()` that are up."""
    return tuple(
        Node(
            name=entry["NodeManagerHostname"],
            id=entry["NodeID"],
            cpus=entry["Resources"].get("CPU", 0.0),
            gpus=entry["Resources"].get("GPU", 0.0),
            gpu_type=_gpu_type(entry["Resources"]),
        )
        for entry in table
        if entry["Alive"]
    )


def _gpu_type(resources: Mapping[str, float]) -> str | None:
    names = (name.removeprefix(GPU_TYPE) for name in resources if name.startswith(GPU_TYPE))
    return next(names, None)


def in_groups(table: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any node of `ray.nodes()` was started as one of a group."""
    return any(_GROUP_LABEL in entry["Labels"] for entry in table)


def _times(have: float, need: float) -> int:
    """How often `need` goes into `have`; 0.2 goes into 1 five times, whatever floats say."""
    return int(have / need + 1e-6)
