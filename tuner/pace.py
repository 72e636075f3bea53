"""How fast this machine trains and evaluates: real steps of real configurations, timed while every slot is busy.

Trials that run side by side share caches and memory bandwidth, so one alone would promise too much. Each slot therefore
has a process of its own (`python -m tuner.pace`) that reads one job from its input, works at the same time as the
others, and answers in one line of JSON:

    parent                              each worker
      starts it                ─►       imports torch
                               ◄─       {"ready": true}
      the job, to all          ─►       a step to warm up, some steps and an evaluation of each configuration
                               ◄─       [{"step": 0.13, "evaluation": 0.04}, ...]
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Self

from trainables.protocol import Budget

TIMED_SECONDS = 0.5
"""What the timed steps of a configuration should take together."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What one configuration takes on a busy machine, in seconds."""

    step: float
    evaluation: float
    """One evaluation of the job's validation cases."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What each worker does."""

    trainable: str
    data: dict[str, Any]
    device: str
    configurations: list[dict[str, Any]]
    seconds: float
    """After these a worker begins no other configuration; the first one is always timed."""


class Pacers:
    """The workers, one a slot. Entering starts them and does not wait; there is time for other work meanwhile."""

    def __init__(self, *, slots: int, threads: int, trainable: str) -> None:
        self._slots, self._threads, self._trainable = slots, threads, trainable
        self._workers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        # Not the current folder (-P; an empty entry would mean it too): it may hold a `tuner` of the user's own.
        folders = [str(Path(__file__).parents[1]), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(folders),
            "OMP_NUM_THREADS": str(self._threads),
        }
        for _ in range(self._slots):
            command = [sys.executable, "-P", "-m", "tuner.pace", self._trainable]
            pipe = subprocess.PIPE
            worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
            self._workers.append(worker)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
            worker.communicate()

    def time(self, job: Job) -> list[Pace]:
        """The pace of the first configurations of `job`, as many as there was time for, averaged over the slots.

        Raises RuntimeError with what a worker wrote if one of them failed.
        """
        for worker in self._workers:
            self._answer(worker)
        for worker in self._workers:
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(asdict(job)) + "\n")
            worker.stdin.flush()
        answers = [[Pace(**pace) for pace in self._answer(worker)] for worker in self._workers]
        return [
            Pace(
                step=math.fsum(pace.step for pace in paces) / len(paces),
                evaluation=math.fsum(pace.evaluation for pace in paces) / len(paces),
            )
            for paces in zip(*answers, strict=False)
        ]

    def _answer(self, worker: subprocess.Popen[str]) -> Any:
        assert worker.stdout is not None
        line = worker.stdout.readline()
        if not line:
            _, errors = worker.communicate()
            raise RuntimeError(f"timing a training run failed: {errors.strip()[-2000:] or 'it ended without a word'}")
        return json.loads(line)


def time_job(job: Job) -> list[Pace]:
    """Do the job in this process."""
    begin = time.monotonic()
    paces: list[Pace] = []
    for parameters in job.configurations:
        if paces and time.monotonic() - begin > job.seconds:
            break
        paces.append(_time_configuration(job, parameters))
    return paces


def _time_configuration(job: Job, parameters: Mapping[str, Any]) -> Pace:
    module, _, name = job.trainable.partition(":")
    budget = Budget(unit="steps", maximum=1000)
    run = getattr(import_module(module), name)(parameters, data=job.data, budget=budget, seed=0, device=job.device)
    first = run.advance(1)
    steps = max(1, min(20, int(TIMED_SECONDS / max(first.training_seconds, 1e-3))))
    begin, waited = time.perf_counter(), _seconds_waited()
    second = run.advance(1 + steps)
    lasted = time.perf_counter() - begin
    # Other programs on these cores slow the timing down, but may be gone when the sweep runs.
    own_share = min(1.0, max(0.01, 1 - (_seconds_waited() - waited) / lasted))
    return Pace(
        step=own_share * (second.training_seconds - first.training_seconds) / steps,
        evaluation=own_share * (second.evaluation_seconds - first.evaluation_seconds),
    )


def _seconds_waited() -> float:
    """How long this thread was ready to run but had to wait for a core; 0 where the kernel does not say."""
    try:
        _, waited, _ = Path("/proc/thread-self/schedstat").read_text().split()
    except OSError:
        return 0.0
    return int(waited) / 1e9


def _serve(trainable: str, requests: Sequence[str] | IO[str], answers: IO[str]) -> None:
    import_module(trainable.partition(":")[0])
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in requests:
        print(json.dumps([asdict(pace) for pace in time_job(Job(**json.loads(line)))]), file=answers, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.stdin, sys.stdout)
