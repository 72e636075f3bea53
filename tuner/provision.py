"""What each trial is provided with on a cluster, and how many trials that lets run at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.connect import Cluster
from cluster.growth import check_growth
from tuner.assignment import places
from tuner.config import SweepConfig
from tuner.preparation import Prepared
from tuner.share import Share, share_of_trial


@dataclass(frozen=True, kw_only=True)
class Provision:
    """The same for every trial of a search."""

    data: Mapping[str, Any]
    """What a trial is given to train on, as this process has it."""

    share: Share
    slots: int
    """How many trials the present nodes hold at once."""

    at_once: int
    """How many trials may run at the same time."""


def training_data(config: SweepConfig, prepared: Prepared | None) -> dict[str, Any]:
    """What a trial is given to train on, before the cluster is known."""
    size = config.resources
    data = prepared.training_data(threads=max(1, int(size.cpus_per_trial))) if prepared else {}
    if size.workers_per_trial > 1:
        data["workers"] = {"count": size.workers_per_trial}
    return data


def provide(
    config: SweepConfig,
    cluster: Cluster,
    *,
    data: Mapping[str, Any],
    worth_growing_for: int,
    tell: Callable[[str], None],
) -> Provision:
    """What `resources:` of the sweep file comes to on this cluster.

    Args:
        data: what a trial is given to train on.
        worth_growing_for: how many trials at once a cluster that grows for them is asked for, at least.

    Raises ClusterError where no node holds a trial, and none may come that does.
    """
    size = config.resources
    share = share_of_trial(config, cluster, data=data)
    if size.memory_limit_gib or 0 < share.gpus < 1:  # several on a device: each is held to its share
        data = {**data, "memory_limit_gib": share.memory_gib}
    slots = present = cluster.slots(cpus=share.cpus, gpus=share.gpus, workers=size.workers_per_trial)
    if not present:
        check_growth(places(share.resources, size.workers_per_trial))
        tell(f"No node holds a trial yet ({share}): trials wait for one; `ray status` on the head says if none comes")
    if cluster.elastic:
        slots = size.trials_at_once or max(slots, worth_growing_for, 1)
    return Provision(data=data, share=share, slots=present, at_once=min(slots, size.trials_at_once or slots))
