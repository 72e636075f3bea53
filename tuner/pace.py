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
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

from trainables.errors import TrainingError
from trainables.protocol import Budget

TIMED_SECONDS = 0.5
"""What the timed steps of a configuration should take together."""

LAST_LINES = 8
"""How much of what a failed worker wrote is shown; a traceback's error is its last line."""


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
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        # Not the current folder (-P; an empty entry would mean it too): it may hold a `tuner` of the user's own.
        folders = [str(Path(__file__).parents[1]), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(folders),
            "OMP_NUM_THREADS": str(self._threads),
        }
        with ExitStack() as begun:  # none goes on where a later one can't be started
            for _ in range(self._slots):
                self._workers.append(_Worker([sys.executable, "-P", "-m", "tuner.pace", self._trainable], environment))
                begun.callback(self._workers[-1].end)
            self._begun = begun.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.close()

    def time(self, job: Job) -> list[Pace]:
        """The pace of the first configurations of `job`, as many as there was time for, averaged over the slots.

        Raises TrainingError with the last lines that a worker wrote if one of them failed.
        """
        for worker in self._workers:
            worker.answer()
        for worker in self._workers:
            worker.ask(asdict(job))
        answers = [[Pace(**pace) for pace in worker.answer()] for worker in self._workers]
        return [
            Pace(
                step=math.fsum(pace.step for pace in paces) / len(paces),
                evaluation=math.fsum(pace.evaluation for pace in paces) / len(paces),
            )
            for paces in zip(*answers, strict=False)
        ]


class _Worker:
    """A process that reads and answers in lines of JSON."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        # A file, not a pipe: nobody reads while the worker works, and a full pipe would stop it for ever.
        self._messages = TemporaryFile()  # noqa: SIM115 (closed by `end`)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=environment,
        )

    def ask(self, question: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def answer(self) -> Any:
        """Waits for one. Raises TrainingError if the process ends instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        return json.loads(line)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._messages.close()

    def _failure(self) -> TrainingError:
        status = self._process.wait()
        how = f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
        if status == -signal.SIGKILL:
            how += ", as the kernel does when memory runs out"
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        wrote = "\n".join(["; it last wrote:", *lines]) if lines else ""
        return TrainingError(f"timing a training run on this machine failed: its process {how}{wrote}")


def time_job(job: Job) -> list[Pace]:
    """Do the job in this process, up to where time, or memory for another configuration than the first, runs out."""
    begin = time.monotonic()
    paces: list[Pace] = []
    for parameters in job.configurations:
        if paces and time.monotonic() - begin > job.seconds:
            break
        try:
            paces.append(_time_configuration(job, parameters))
        except Exception as error:
            from trainables.memory_errors import is_out_of_memory

            if not (paces and is_out_of_memory(error)):
                raise
            break
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
    with redirect_stdout(sys.stderr):  # what a library prints is no answer
        import_module(trainable.partition(":")[0])
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in requests:
            paces = time_job(Job(**json.loads(line)))
            print(json.dumps(list(map(asdict, paces))), file=answers, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.stdin, sys.stdout)
