"""Logs and TensorBoard events of trials: read back as plain text, and by TensorBoard itself."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from make_sweep import SPACE, evaluation
from make_work import toy_work
from optuna.storages import InMemoryStorage
from services import free_port

from search_spaces.space import parse_space
from trainables.picture import overlay
from trainables.targets import Targets
from tuner.directory import SweepDirectory
from tuner.study import StopReason, SweepStudy
from tuner.trial_record import TrialRecord

PARAMETERS = {"learning_rate": 1e-3, "patch_size": [16, 24, 16], "loss": "dice"}


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    return SweepDirectory.create(tmp_path / "toys")


def picture() -> bytes:
    label = np.zeros((8, 8, 8), np.uint8)
    targets = Targets(names=("a",), members=((1,),), regions=False)
    return overlay(np.zeros((1, 8, 8, 8)), label, label, targets=targets, spacing=(1, 1, 1))


def lines(directory: SweepDirectory, number: int, study: str = "sweep") -> list[str]:
    """The log's lines without the times that begin ours."""
    written = directory.trial_log(study, number).read_text().splitlines()
    return [line[25:] if line[:2] == "20" else line for line in written]


def test_a_log_holds_what_was_written_and_how_the_trial_went_on(directory: SweepDirectory) -> None:
    record = TrialRecord(directory, "sweep")
    record.begun(7, PARAMETERS)
    record.reported(7, 111, evaluation(0.5, 111), "one\n")
    record.left(7, "interrupted")
    record.begun(7, PARAMETERS)
    record.reported(7, 333, evaluation(0.6, 333), "two\n")
    record.ended(7, "stopped at rung")
    record.of_study("confirm").ended(7, "error", written="three\n")
    handed = "trial 7: handed to a slot; its lines come with its evaluations"
    assert lines(directory, 7) == [
        handed,
        "one",
        "trial 7: interrupted",
        handed,
        "two",
        "trial 7: stopped at rung",
    ]
    assert lines(directory, 7, "confirm") == ["three", "trial 7: error"]


def test_a_log_says_how_a_trial_truly_ended(directory: SweepDirectory) -> None:
    study = SweepStudy.open(InMemoryStorage(), "sweep", parse_space(SPACE), objectives=("dice", "peak_gib"))
    work = toy_work(directory.root, study=study)
    for facts in ({}, {"peak_gib": 1.0}):
        number = study.ask().number
        study.report(number, 1000, replace(evaluation(0.6, 1000), facts=facts))
        work.end(number, "full budget")
    assert lines(directory, 0) == ["trial 0: error: search.objectives: the trainable reports no peak_gib"]
    assert lines(directory, 1) == ["trial 1: full budget"]


def test_where_nothing_can_be_written_that_is_told_once(
    directory: SweepDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    (directory.root / "logs").write_text("in the way")
    record = TrialRecord(directory, "sweep")
    with caplog.at_level(logging.WARNING):
        for step in (111, 333):
            record.reported(1, step, evaluation(0.5, step), "one\n")
        record.ended(1, "stopped at rung")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("logs and TensorBoard events of trials can't be written: ")


def test_what_is_no_number_ends_no_search(directory: SweepDirectory, caplog: pytest.LogCaptureFixture) -> None:
    record = TrialRecord(directory, "sweep")
    record.begun(1, {"huge": 10**30})
    odd = replace(evaluation(0.5, 111), metrics={"a": "x"}, facts={"voxels": None})  # type: ignore[dict-item]
    with caplog.at_level(logging.WARNING):
        record.reported(1, 111, odd, "one\n")
        record.ended(1, "stopped at rung")
    assert len(caplog.messages) == 1
    assert lines(directory, 1)[1:] == ["one", "trial 1: stopped at rung"]


@contextmanager
def tensorboard(folder: Path) -> Iterator[Callable[..., Any]]:
    """TensorBoard on a folder: what it answers of a path, as JSON, given its parameters."""
    port = free_port()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--load_fast=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{port}/data/{path}", data, {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else (answer.headers, content)

    def loaded() -> bool:
        assert process.poll() is None, "TensorBoard ended"
        try:
            return bool(ask("plugin/scalars/tags"))
        except URLError:
            return False

    try:
        deadline = time.monotonic() + 90
        while not loaded():
            assert time.monotonic() < deadline, "TensorBoard shows nothing"
            time.sleep(0.5)
        yield ask
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_tensorboard_shows_curves_parameters_and_pictures(directory: SweepDirectory) -> None:
    record = TrialRecord(directory, "sweep")
    shown = picture()
    for number, score in ((0, 0.5), (1, 0.6)):
        record.begun(number, PARAMETERS)
        record.reported(number, 111, replace(evaluation(score, 111), picture=shown), "")
        record.left(number, "interrupted")
        record.begun(number, PARAMETERS)
        record.reported(number, 1000, evaluation(score + 0.2, 1000), "")
    record.ended(1, "full budget")
    endings: dict[int, StopReason] = {2: "stopped at rung", 3: "error", 4: "out of memory"}
    for number, reason in endings.items():
        record.begun(number, PARAMETERS)
        record.reported(number, 111, evaluation(0.1, 111), "")
        record.ended(number, reason)
    # Trial 0 still runs: its file is open.
    with tensorboard(directory.root / "tensorboard") as ask:
        assert ask("plugin/scalars/tags").keys() == {f"sweep_000{number}" for number in range(5)}
        tags = set(ask("plugin/scalars/tags")["sweep_0001"])
        assert {"Dice", "Dice/Anterior", "Dice/Posterior", "loss", "time/training s", "peak GiB"} <= tags
        points = ask("plugin/scalars/scalars?tag=Dice&run=sweep_0000")
        assert [(step, round(value, 4)) for _, step, value in points] == [(111, 0.5), (1000, 0.7)]

        (tag,) = ask("plugin/images/tags")["sweep_0000"]
        (sample,) = ask(f"plugin/images/images?run=sweep_0000&tag={tag.replace(' ', '%20')}&sample=0")
        headers, content = ask(f"plugin/images/individualImage?{sample['query']}")
        assert (sample["step"], headers["Content-Type"], content) == (111, "image/jpeg", shown)

        experiment = ask("plugin/hparams/experiment", {})
        assert {info["name"] for info in experiment["hparamInfos"]} == set(PARAMETERS)

        def groups(status: str) -> list[Any]:
            query = {"startIndex": 0, "sliceSize": 9, "colParams": [], "allowedStatuses": [f"STATUS_{status}"]}
            found = ask("plugin/hparams/session_groups", query)["sessionGroups"]
            return sorted(found, key=lambda group: group["sessions"][0]["name"])

        trials = {status: [one["sessions"][0]["name"] for one in groups(status)] for status in ("SUCCESS", "FAILURE")}
        assert trials == {"SUCCESS": ["sweep_0001", "sweep_0002"], "FAILURE": ["sweep_0003", "sweep_0004"]}
        group = groups("SUCCESS")[0]
        assert group["hparams"] == {"learning_rate": 1e-3, "patch_size": "[16, 24, 16]", "loss": "dice"}
        assert group["metricValues"][0]["value"] == pytest.approx(0.8)
