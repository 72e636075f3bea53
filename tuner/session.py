"""A driver's time on Ray: connected, with its messages kept, and ended in order by Ctrl-C and SIGTERM."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from cluster.connect import Cluster, connect
from tuner import machine
from tuner.announcement import announced
from tuner.checkpoints import checkpoints_of
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.interrupt import terminated_as_interrupted
from tuner.precision_choice import Measured, measuring
from tuner.preparation import Prepared
from tuner.quiet import library_messages
from tuner.travel import check_libraries, code_of, reaching_driver
from tuner.trial_files import TrialFiles
from tuner.view import View


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a driver has while it is connected."""

    cluster: Cluster
    """Its nodes are those that the sweep file allows."""

    files: TrialFiles
    """The trials' files, as their processes reach them."""

    measured: Measured
    """Which number format is fastest on this machine, where that is being measured."""


@contextmanager
def on_ray(
    config: SweepConfig,
    directory: SweepDirectory,
    prepared: Prepared | None,
    view: View,
    *,
    address: str | None,
    verbose: bool,
    measures: bool = True,
    beside: Callable[[Measured], AbstractContextManager[None]] = lambda measured: nullcontext(),
) -> Iterator[Session]:
    """Connect to the cluster at `address`, or start Ray here, and leave it when the block ends.

    Args:
        measures: whether number formats are measured on this machine meanwhile.
        beside: what goes on meanwhile, once Ray starts.

    Raises ClusterError before a trial starts.
    """
    before_ray = signal.getsignal(signal.SIGTERM)
    with (
        library_messages(directory.log_file, verbose=verbose),
        measuring(config, prepared if measures else None, directory, local=address is None) as measured,
        beside(measured),
        connect(
            address,
            cores=machine.usable_cores(),
            code=code_of(config.trainable),
            sweep=config.name,
            verbose=verbose,
        ) as cluster,
        announced(directory, cluster.dashboard),
        reaching_driver(checkpoints_of(config, directory), cluster) as files,
        terminated_as_interrupted(afterwards=before_ray),
    ):
        if cluster.dashboard:
            view.note(f"Ray dashboard: {cluster.dashboard}")
        if config.resources.gpu_type:
            cluster = cluster.with_gpus(config.resources.gpu_type)
        check_libraries(cluster)
        yield Session(cluster=cluster, files=files, measured=measured)
