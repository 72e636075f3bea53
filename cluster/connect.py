"""Connects to Ray: to one started here for this sweep alone, or to a running cluster."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.shadowing import hiding


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that this process is connected to."""

    dashboard: str | None
    """Address of the Ray dashboard, for a browser on this machine."""

    resources: dict[str, float]
    """What all its nodes have in sum: `CPU`, `GPU`, ..."""

    def slots(self, *, cpus: float, gpus: float) -> int:
        """How many trials of this size its nodes hold at once. Raises ClusterError if not even one fits."""
        have = {"CPU": self.resources.get("CPU", 0.0), "GPU": self.resources.get("GPU", 0.0)}
        for kind, need in (("CPU", cpus), ("GPU", gpus)):
            if need > have[kind]:
                raise ClusterError(
                    f"resources: a trial asks for {need:g} {kind}, but the cluster has {have[kind]:g}; "
                    f"lower {kind.lower()}s_per_trial, or connect to a larger cluster by --address"
                )
        by_cpu = _times(have["CPU"], cpus)
        if not gpus:
            return by_cpu
        # Whole trials on each GPU: three trials of 0.4 GPU do not fit on one.
        by_gpu = _times(have["GPU"], gpus) if gpus >= 1 else int(have["GPU"]) * _times(1.0, gpus)
        return min(by_cpu, by_gpu)


@contextmanager
def connect(address: str | None = None, *, cores: int | None = None, verbose: bool = False) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, or start Ray on this machine and end it afterwards.

    Args:
        address: `auto` or `HOST:PORT` of a cluster that has a node on this machine; None starts one here.
        cores: of a cluster started here; by default Ray counts them, blind to CPU affinity and nested groups.
        verbose: whether what the workers print reaches the terminal.

    Raises ClusterError if none answers, or if its workers would import something else in our packages' place.
    """
    if files := hiding(Path.cwd()):
        raise ClusterError(
            f"the current folder hides voxtune's own modules from Ray's workers: {', '.join(files)}; "
            "run from another folder, or give these another name"
        )
    if address not in (None, "auto"):
        _knock(address)
    # Ray reads these when it is imported, and its workers inherit them.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    import ray

    try:
        context = ray.init(
            address=address or "local",
            num_cpus=None if address else cores,
            include_dashboard=None if address else True,
            log_to_driver=verbose,
            configure_logging=False,  # the caller decides; Ray then takes all handlers off its logger
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster answers at {address or 'this machine'}: {error}") from error
    try:
        url = context.dashboard_url
        yield Cluster(dashboard=f"http://{url}" if url else None, resources=ray.cluster_resources())
    finally:
        ray.shutdown()


def _times(have: float, need: float) -> int:
    """How often `need` goes into `have`; 0.2 goes into 1 five times, whatever floats say."""
    return int(have / need + 1e-6)


def _knock(address: str) -> None:
    """Raises ClusterError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"address: expected auto or HOST:PORT, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error
