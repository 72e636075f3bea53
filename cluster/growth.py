"""Asks a cluster that grows whether it can ever grow to hold a trial, before trials wait for that in vain.

The cluster is asked in the only way there is: by a request like a trial's. Ray's newer autoscaler (`ray up`, KubeRay)
tells of each request that no node type can fill; the older one tells nothing, and then nothing is known.
"""

import time
from collections.abc import Mapping, Sequence

import ray

# What `ray status` reads: no public call tells of requests that can't be filled.
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply  # type: ignore[attr-defined]
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group

from cluster.errors import ClusterError

PATIENCE = 25.0
"""Seconds for an answer: the autoscaler looks every 5."""

CERTAIN = 10.0
"""Seconds for which it must say no: nodes that it has just asked for, or gives up, may change its mind."""


def check_growth(places: Sequence[Mapping[str, float]]) -> None:
    """Raises ClusterError if the autoscaler says that it can't add nodes that hold a trial.

    Returns as soon as it is about to add some, or after `PATIENCE` seconds.

    Args:
        places: what a trial asks for, by Ray's names: `[{"CPU": 2, "GPU": 1}]`, one place a worker.
    """
    group = placement_group([dict(place) for place in places], strategy="PACK")
    client = GcsClient(ray.get_runtime_context().gcs_address)
    began = time.monotonic()
    refused_since: float | None = None
    try:
        while time.monotonic() < began + PATIENCE:
            if group.wait(1):
                return
            reply = GetClusterStatusReply()
            try:
                reply.ParseFromString(client.get_cluster_status(timeout_s=5))
            except RayError:  # the head is busy: nothing is known
                continue
            state = reply.autoscaling_state
            refused = any(
                request.details.startswith(group.id.hex()) for request in state.infeasible_gang_resource_requests
            )
            if not refused:
                refused_since = None
                if state.pending_instances or state.pending_instance_requests:
                    return
            elif refused_since is None:
                refused_since = time.monotonic()
            elif time.monotonic() > refused_since + CERTAIN:
                raise ClusterError(
                    f"resources: a trial asks for {_told(places)}, and no node type of the cluster's autoscaler can "
                    "hold it; lower what a trial asks for, or give the cluster larger nodes, or more of them"
                )
    finally:
        remove_placement_group(group)


def _told(places: Sequence[Mapping[str, float]]) -> str:
    """`2 CPU and 1 GPU`, `4 times 2 CPU`."""
    one = " and ".join(f"{amount:g} {kind}" for kind, amount in places[0].items())
    return one if len(places) == 1 else f"{len(places)} times {one}"
