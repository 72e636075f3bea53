"""The processes that train a trial together, where `resources.workers_per_trial` asks for several.

The trial's actor is the first worker. The others are actors in its own placement group, so that a trial has all its
places or none and two trials never wait for one another's; they live as long as it does, from trial to trial.
"""

import os
import threading
from collections.abc import Sequence
from typing import Any

import psutil
import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from trainables.protocol import TrainingRun
from trainables.workers import Workers, free_address, leave, meet
from tuner.assignment import Assignment, build_run

GRACE = 15.0
"""Seconds that the first worker has to notice by itself that another one failed."""


class _Member:
    """A worker but the first: it does what the first one does, at the same time."""

    def __init__(self, workers: Workers, device: str) -> None:
        self._workers = workers
        self._device = device
        self._run: TrainingRun | None = None

    def meet(self, address: str) -> None:
        _speak_by_node_address()
        meet(self._workers, address=address, device=self._device)

    def begin(self) -> None:
        self._run = None

    def advance(self, assignment: Assignment, budget: float) -> None:
        try:
            if self._run is None:
                self._run = build_run(assignment, rank=self._workers.rank)
            self._run.advance(budget)
        except BaseException:
            leave()  # the others wait for us
            raise


class Team:
    """The other workers of this process's trials."""

    def __init__(self, assignment: Assignment) -> None:
        """Bring them up, and meet them."""
        count = assignment.workers
        group = get_current_placement_group()
        assert group is not None, "a trial of several workers has a placement group"
        member: Any = ray.remote(_Member)
        self._members = [
            member.options(
                num_cpus=assignment.resources["cpu"],
                num_gpus=assignment.resources["gpu"],
                resources={kind: n for kind, n in assignment.resources.items() if kind not in ("cpu", "gpu")},
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
            ).remote(Workers(rank=rank, count=count), assignment.device)
            for rank in range(1, count)
        ]
        _speak_by_node_address()
        address = free_address(get_node_ip_address())
        met = [member.meet.remote(address) for member in self._members]
        meet(Workers(count=count), address=address, device=assignment.device)
        ray.get(met)
        self._advancing: list[Any] = []
        self._over = threading.Event()

    def begin(self) -> None:
        """Have them forget the trial before."""
        ray.get([member.begin.remote() for member in self._members])

    def start(self, assignment: Assignment, budget: float) -> None:
        """Have them advance as this process does next."""
        self._advancing = [member.advance.remote(assignment, budget) for member in self._members]
        self._over = threading.Event()
        threading.Thread(target=_end_if_stuck, args=(self._advancing, self._over), daemon=True).start()

    def finish(self) -> None:
        """Wait for them, when this process has advanced."""
        self._over.set()
        advancing, self._advancing = self._advancing, []
        ray.get(advancing)

    def disband(self, error: Exception) -> Exception:
        """End them, after this process failed to advance. Returns the error of whoever failed first."""
        self._over.set()
        cause = error
        done, _ = ray.wait(self._advancing, num_returns=len(self._advancing), timeout=GRACE / 3)
        for answer in done:
            try:
                ray.get(answer)
            except RayTaskError as theirs:
                # Who is left by another is told of a broken connection, a RuntimeError like many.
                if type(error) is RuntimeError and isinstance(theirs.cause, Exception):
                    cause = theirs.cause
            except RayActorError as theirs:
                cause = theirs
        self._advancing = []
        for member in self._members:
            ray.kill(member)
        leave()
        return cause


def _end_if_stuck(advancing: Sequence[Any], over: threading.Event) -> None:
    """End this process if it still waits for a worker that has failed: nothing else takes it out of a sum on a GPU, or
    over a network that was cut. Its trial then goes on in another."""
    pending = list(advancing)
    while pending:
        done, pending = ray.wait(pending)
        try:
            ray.get(done)
        except Exception:
            if not over.wait(GRACE):
                os._exit(1)
            return


def _speak_by_node_address() -> None:
    """Have gloo and NCCL use the network that Ray does: they would look up the host's name, which may say nothing."""
    address = get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
