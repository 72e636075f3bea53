"""Timing by worker processes, with a run that trains nothing."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent, indent

import pytest

from trainables.errors import TrainingError
from tuner import pace
from tuner.pace import Job, Pacers, time_job

TOY = "trainables.toy:ToyRun"


def job(*configurations: Mapping[str, float], seconds: float = 60, trainable: str = TOY) -> Job:
    return Job(
        trainable=trainable, data={}, device="cpu", configurations=list(map(dict, configurations)), seconds=seconds
    )


def test_workers_time_each_configuration() -> None:
    """The toy sleeps 0.05 s, however many steps it is to make: up to 10, as many as may be timed in half a second."""
    with Pacers(slots=2, threads=1, trainable=TOY) as workers:
        slow, fast = workers.time(job({"learning_rate": 1e-3, "seconds_per_rung": 0.05}, {"learning_rate": 1e-2}))
    assert 0.05 / 10 * 0.9 < slow.step < 0.05 * 1.1
    assert 0 < fast.step < slow.step / 10
    assert slow.evaluation == 0


def test_the_current_folder_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tuner", "trainables"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not ours')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with Pacers(slots=1, threads=1, trainable=TOY) as workers:
        assert len(workers.time(job({}))) == 1


@pytest.fixture
def toy_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a training run that does something of its own at each rung, and gives its import string."""

    def make(statements: str) -> str:
        text = """\
            import os, signal, sys
            from trainables.toy import ToyRun
            class Run(ToyRun):
                def __init__(self, parameters, **given):
                    super().__init__(parameters, **given)
                    self.parameters = parameters
                def advance(self, budget):
        """
        module = dedent(text) + indent(dedent(statements), " " * 8) + "\n        return super().advance(budget)\n"
        (tmp_path / "other_toy.py").write_text(module)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        return "other_toy:Run"

    return make


def test_a_failing_run_shows_its_error() -> None:
    with (
        Pacers(slots=2, threads=1, trainable=TOY) as workers,
        pytest.raises(TrainingError, match=r"its process ended with status 1; (?s:.*)SettingError: dropout: unknown"),
    ):
        workers.time(job({"dropout": 0.5}))


def test_a_killed_run_is_told_from_a_failed_one(toy_that: Callable[[str], str]) -> None:
    trainable = toy_that("os.kill(os.getpid(), signal.SIGKILL)")
    with Pacers(slots=1, threads=1, trainable=trainable) as workers, pytest.raises(TrainingError) as raised:
        workers.time(job({}, trainable=trainable))
    assert str(raised.value) == (
        "timing a training run on this machine failed: its process was ended by SIGKILL, "
        "as the kernel does when memory runs out"
    )


def test_a_worker_that_died_before_its_job() -> None:
    with Pacers(slots=1, threads=1, trainable=TOY) as workers:
        (worker,) = workers._workers
        worker.answer()
        os.kill(worker._process.pid, signal.SIGTERM)
        worker._process.wait()
        with pytest.raises(TrainingError, match=r"its process was ended by SIGTERM$"):
            worker.ask({})


def test_what_a_run_writes_neither_stops_it_nor_is_taken_for_an_answer(toy_that: Callable[[str], str]) -> None:
    """A pipe holds 64 KiB."""
    trainable = toy_that("print('hello'); sys.stderr.write('a warning\\n' * 100_000)")
    with Pacers(slots=1, threads=1, trainable=trainable) as workers:
        assert len(workers.time(job({}, trainable=trainable))) == 1


def test_only_the_first_configuration_has_to_fit_in_memory(toy_that: Callable[[str], str]) -> None:
    trainable = toy_that("if self.parameters['batch_size'] > 4: import torch; torch.empty(1 << 60)")
    small, large = {"batch_size": 4}, {"batch_size": 8}
    assert len(time_job(job(small, large, small, trainable=trainable))) == 1
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        time_job(job(large, small, trainable=trainable))


def test_workers_end_with_the_block() -> None:
    with Pacers(slots=1, threads=1, trainable=TOY) as workers:
        processes = [worker._process for worker in workers._workers]
    assert [process.poll() for process in processes] == [-signal.SIGKILL]


def test_workers_that_were_started_end_where_another_can_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[pace._Worker] = []
    real = pace._Worker

    def start(command: list[str], environment: Mapping[str, str]) -> pace._Worker:
        if started:
            raise BlockingIOError("Resource temporarily unavailable")
        started.append(real(command, environment))
        return started[0]

    monkeypatch.setattr(pace, "_Worker", start)
    with pytest.raises(BlockingIOError), Pacers(slots=2, threads=1, trainable=TOY):
        pytest.fail("the block is entered")
    assert started[0]._process.poll() is not None


def test_no_more_configurations_than_there_is_time_for() -> None:
    configurations = [{"seconds_per_rung": 0.02}] * 5
    assert len(time_job(job(*configurations, seconds=60))) == 5
    assert len(time_job(job(*configurations, seconds=0))) == 1
