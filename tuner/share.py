"""What each trial of a sweep gets of the machines: cores, GPUs, memory."""

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.connect import Cluster
from cluster.nodes import GPU_TYPE, Node
from tuner import machine
from tuner.config import SweepConfig
from tuner.config_search import ResourcesConfig
from tuner.machine import CudaDevice
from tuner.memory_check import estimate_of
from tuner.packing import gpus_per_trial, memory_of_share

log = logging.getLogger("voxtune")

PATIENCE = 60.0
"""Seconds to wait for a cluster's nodes to say what GPUs they have."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """The same for every trial, or for each worker of one."""

    cpus: float
    gpus: float
    gpu_type: str | None = None
    """As Ray names it; None: any."""

    memory_gib: float | None
    """What a trial may take of its device's memory; None where it is not known."""

    def __str__(self) -> str:
        """For people."""
        return f"{self.cpus:g} CPU and {self.gpus:g} GPU"

    @property
    def device(self) -> str:
        """`cpu` or `cuda`, as torch calls it."""
        return "cuda" if self.gpus else "cpu"

    @property
    def resources(self) -> dict[str, float]:
        """As Ray wants them: a sliver of its GPU's type brings a trial to a node that has it."""
        return {"cpu": self.cpus, "gpu": self.gpus} | ({f"{GPU_TYPE}{self.gpu_type}": 0.001} if self.gpu_type else {})


def share_of_trial(config: SweepConfig, cluster: Cluster, *, data: Mapping[str, Any]) -> Share:
    """What `resources:` of the sweep file comes to on this cluster.

    Args:
        data: the trials' data, for estimates of their memory.
    """
    size = config.resources
    devices = () if not size.gpus_per_trial else machine.cuda_devices() if cluster.local else _devices_of(cluster)
    if size.gpus_per_trial != "auto":
        gpus = size.gpus_per_trial
    elif devices and size.memory_estimate and size.workers_per_trial == 1:
        gpus = gpus_per_trial(
            devices,
            space=config.search_space,
            default=config.default,
            estimate=estimate_of(config.trainable, data=data, device="cuda"),
            most=min(
                (int(node.cpus / node.gpus / size.cpus_per_trial) for node in cluster.nodes if node.gpus >= 1),
                default=1,
            ),
        )
        log.info("resources.gpus_per_trial: auto is %g here", gpus)
    else:
        gpus = 1.0
    memory = size.memory_limit_gib
    if memory is None and devices:
        memory = memory_of_share(devices, gpus)
    elif memory is None and cluster.local and not gpus:
        memory = machine.memory_gib() / max(1, cluster.slots(cpus=size.cpus_per_trial, gpus=0))
    return Share(cpus=size.cpus_per_trial, gpus=gpus, memory_gib=memory, gpu_type=size.gpu_type)


def check_trials_fit_here(size: ResourcesConfig) -> None:
    """What a Ray of this machine's own would be asked for once it runs: before any data are prepared for it.

    Raises ClusterError where this machine holds no trial of that size.
    """
    gpus = 1.0 if size.gpus_per_trial == "auto" else size.gpus_per_trial
    here = Node(name=socket.gethostname(), cpus=machine.usable_cores(), gpus=machine.cuda_count() if gpus else 0)
    alone = Cluster(dashboard=None, nodes=(here,), local=True)
    alone.slots(cpus=size.cpus_per_trial, gpus=gpus, workers=size.workers_per_trial)


def _devices_of(cluster: Cluster) -> Sequence[CudaDevice]:
    """One GPU of each node that has any; none where they don't say."""
    look = ray.remote(num_cpus=0, num_gpus=0.01, scheduling_strategy="SPREAD")(machine.cuda_devices)
    asked = [look.remote() for node in cluster.nodes if node.gpus >= 1]
    try:
        return [device for devices in ray.get(asked, timeout=PATIENCE) for device in devices]
    except (RayError, TimeoutError) as error:
        log.warning("the cluster's GPUs did not say how much memory they have: %s", error)
        return ()
