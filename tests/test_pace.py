"""Timing by worker processes, with a run that trains nothing."""

from pathlib import Path

import pytest

from tuner.pace import Job, Pacers, time_job

TOY = "trainables.toy:ToyRun"


def job(*configurations: dict[str, float], seconds: float = 60) -> Job:
    return Job(trainable=TOY, data={}, device="cpu", configurations=list(configurations), seconds=seconds)


def test_workers_time_each_configuration() -> None:
    """The toy says that training took 1 s for all of its 1000 steps, and an evaluation no time of its own."""
    with Pacers(slots=2, threads=1, trainable=TOY) as workers:
        slow, fast = workers.time(job({"learning_rate": 1e-3, "seconds_per_rung": 0.05}, {"learning_rate": 1e-2}))
    assert 0 < slow.step <= 0.001 + 1e-9
    assert 0 < fast.step <= 0.001 + 1e-9
    assert slow.evaluation == 0


def test_the_current_folder_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tuner", "trainables"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not ours')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with Pacers(slots=1, threads=1, trainable=TOY) as workers:
        assert len(workers.time(job({}))) == 1


def test_a_failing_run_shows_its_error() -> None:
    with (
        Pacers(slots=1, threads=1, trainable=TOY) as workers,
        pytest.raises(RuntimeError, match=r"timing a training run failed: (?s:.*)SettingError: dropout: unknown"),
    ):
        workers.time(job({"dropout": 0.5}))


def test_workers_end_with_the_block() -> None:
    with Pacers(slots=1, threads=1, trainable=TOY) as workers:
        processes = workers._workers
    assert all(process.poll() is not None for process in processes)


def test_no_more_configurations_than_there_is_time_for() -> None:
    configurations = [{"seconds_per_rung": 0.02}] * 5
    assert len(time_job(job(*configurations, seconds=60))) == 5
    assert len(time_job(job(*configurations, seconds=0))) == 1
