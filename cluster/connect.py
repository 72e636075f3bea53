"""Connects to Ray: to one started here for this sweep alone, or to a running cluster."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from cluster.apart import starting_apart
from cluster.errors import ClusterError
from cluster.head import prepare_to_join
from cluster.loopback import on_loopback
from cluster.nodes import Node, alive_nodes, in_groups
from cluster.shadowing import hiding
from cluster.sweep_job import NAME
from cluster.token import keep_private


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that this process is connected to."""

    dashboard: str | None
    """Address of the Ray dashboard, for a browser on this machine."""

    nodes: tuple[Node, ...]
    """Those that are up; at least this machine."""

    local: bool = False
    """Whether it was started here for this process alone: then it is this machine and no other."""

    elastic: bool = False
    """Whether nodes may come when more trials wait than fit: `nodes` are then no bound on what can run at once.

    Ray does not say whether an autoscaler is at work, or how far it goes. The sign taken is that nodes belong to node
    groups, as those of `ray up` and of KubeRay do; under KubeRay without `enableInTreeAutoscaling` it is misleading.
    """

    def with_gpus(self, gpu_type: str) -> "Cluster":
        """Its nodes with GPUs of this type alone. Raises ClusterError if there are none and none may come."""
        nodes = tuple(node for node in self.nodes if node.gpu_type == gpu_type)
        if not nodes and not self.elastic:
            types = sorted({node.gpu_type for node in self.nodes if node.gpu_type})
            there = f"there are {', '.join(types)}" if types else "no node has GPUs"
            raise ClusterError(f"resources.gpu_type: no node has {gpu_type} GPUs; {there}")
        return replace(self, nodes=nodes)

    def slots(self, *, cpus: float, gpus: float, workers: int = 1) -> int:
        """How many trials its present nodes hold at once, each of so many workers of this size.

        On an elastic cluster that can be 0, since nodes which hold one may come only when a trial waits for them.
        Elsewhere ClusterError is raised if no node holds one.
        """
        places = sum(node.slots(cpus=cpus, gpus=gpus) for node in self.nodes)
        if not places and not self.elastic:
            raise ClusterError(self._too_large(cpus, gpus))
        if places < workers and not self.elastic:
            raise ClusterError(
                f"resources.workers_per_trial: a trial asks for {workers} workers of {cpus:g} CPU and {gpus:g} GPU, "
                f"but the cluster holds {places}; lower it, or connect to a larger cluster by --address"
            )
        return places // workers

    def _too_large(self, cpus: float, gpus: float) -> str:
        """Why no node holds a trial of this size."""
        larger = "or connect to a cluster with larger nodes by --address"
        for kind, need in (("cpu", cpus), ("gpu", gpus)):
            largest = max(self.nodes, key=attrgetter(f"{kind}s"))
            have = getattr(largest, f"{kind}s")
            if need > have:
                return (
                    f"resources: a trial asks for {need:g} {kind.upper()}, but the largest node, {largest.name}, has "
                    f"{have:g}; lower {kind}s_per_trial, {larger}"
                )
        best = max((node for node in self.nodes if node.gpus >= gpus), key=lambda node: node.cpus)
        return (
            f"resources: a trial asks for {cpus:g} CPU and {gpus:g} GPU on one node, but the largest that has the "
            f"GPUs, {best.name}, has {best.cpus:g} CPU; lower cpus_per_trial, {larger}"
        )


@contextmanager
def connect(
    address: str | None = None,
    *,
    cores: int | None = None,
    code: Sequence[Path] = (),
    sweep: str | None = None,
    verbose: bool = False,
) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, or start Ray on this machine and end it afterwards.

    Args:
        address: `auto` or `HOST:PORT` of a cluster that has a node on this machine; None starts one here.
        cores: of a cluster started here; by default Ray counts them, blind to CPU affinity and nested groups.
        code: packages and modules that are sent to the nodes of a running cluster, and go before theirs.
        sweep: the name of Ray's job in its dashboard.
        verbose: whether what the workers print reaches the terminal.

    Raises ClusterError if none answers, or if its workers would import something else in our packages' place.
    """
    if files := hiding(Path.cwd()):
        raise ClusterError(
            f"the current folder hides voxtune's own modules from Ray's workers: {', '.join(files)}; "
            "run from another folder, or give these another name"
        )
    # Ray reads these when it is imported, and its workers inherit them.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    import ray

    if address:
        prepare_to_join(_head_of_this_machine() if address == "auto" else address)
    try:
        with starting_apart(), nullcontext() if address else on_loopback():
            context = ray.init(
                address=address or "local",
                num_cpus=None if address else cores,
                include_dashboard=None if address else True,
                log_to_driver=verbose,
                runtime_env={"py_modules": [str(path) for path in code]} if address and code else None,
                job_config=ray.job_config.JobConfig(metadata={NAME: sweep} if sweep else None),
                configure_logging=False,  # the caller decides; Ray then takes all handlers off its logger
            )
    except Exception as error:
        # Ray has no class for a start that takes too long on a busy machine.
        if not isinstance(error, ConnectionError | RuntimeError | ValueError) and type(error) is not Exception:
            raise
        what = f"the cluster at {address} can't be joined" if address else "Ray can't be started on this machine"
        advice = "" if address else "; if the machine was busy, try again, else `voxtune doctor` looks for the cause"
        raise ClusterError(f"{what}: {error}{advice}") from error
    keep_private()  # the token that Ray makes where there is none yet
    try:
        url = context.dashboard_url
        nodes = ray.nodes()
        yield Cluster(
            dashboard=f"http://{url}" if url else None,
            nodes=alive_nodes(nodes),
            local=address is None,
            elastic=in_groups(nodes),
        )
    finally:
        ray.shutdown()


def head_lives() -> bool:
    """Whether the head of the cluster that this process is connected to still takes connections; asks for 2 s at most.

    Ray itself would go on asking for a minute, and then end the process.
    """
    import ray

    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2.0).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # a network that is away for a moment, as Ray too allows it to be
        return True
    return True


def own_node_lives() -> bool:
    """Whether the cluster still counts this process's own node among its nodes.

    Without it Ray starts nothing for this process any more, and says so to nobody: it would wait for ever.
    """
    import ray

    own = ray.get_runtime_context().get_node_id()
    return any(node["NodeID"] == own and node["Alive"] for node in ray.nodes())


def _head_of_this_machine() -> str:
    """HOST:PORT of the head that RAY_ADDRESS names, or of the cluster that this machine belongs to.

    Raises ClusterError if there is none.
    """
    from ray._private.services import canonicalize_bootstrap_address

    address: str | None = None
    with suppress(ValueError, ConnectionError):
        address = canonicalize_bootstrap_address("auto")
    if address is None:
        raise ClusterError("address: auto finds no Ray cluster on this machine; start one by `ray start --head`")
    return address
