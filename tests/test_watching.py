"""A running sweep watched from outside: by Prometheus with the board's own queries, and by `voxtune dashboard`."""

import asyncio
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from make_sweep import open_study, play, sweep_directory
from optuna.trial import FrozenTrial, TrialState
from PIL import Image
from prometheus import Prometheus, prometheus, until
from services import missing

from cluster.monitoring import BOARD
from tuner.artifacts import attach_best
from tuner.best_cases import write_cases
from tuner.directory import SweepDirectory
from tuner.machine import cuda_devices
from tuner.results import read_results
from tuner.storage import open_storage
from tuner.study_server import StudyServer

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from browser import CURVES, DRAWN, browser

pytestmark = [pytest.mark.ray, pytest.mark.service, pytest.mark.slow]

VOXTUNE = Path(sys.executable).with_name("voxtune")

ENDINGS = ("best", "lower", "huge", "no memory", "bug", "wait")

RUN = """
import time
from dataclasses import replace
from pathlib import Path

import torch

from trainables.toy import ToyRun

RELEASED = Path({released!r})


class EndingRun(ToyRun):
    def __init__(self, parameters, **others):
        self.ending = parameters["ending"]
        rate = 1e-4 if self.ending == "lower" else 1e-3
        super().__init__({{"learning_rate": rate, "seconds_per_rung": 3}}, **others)

    @staticmethod
    def estimate_memory(parameters, **others):
        return 1000.0 if parameters.get("ending") == "huge" else 2.0

    def advance(self, budget):
        if self.ending == "no memory":
            raise torch.OutOfMemoryError("too large")
        if self.ending == "bug":
            raise RuntimeError("a bug")
        while self.ending == "wait" and budget > 10 and not RELEASED.exists():
            time.sleep(0.1)
        found = super().advance(budget)
        return replace(found, facts={{**found.facts, "voxels": 1000 * found.steps, "skipped_steps": 2}})
"""

SWEEP = f"""
name: endings
trainable: endings:EndingRun
budget: {{unit: steps, maximum: 90}}
space: {{ending: {{choice: {json.dumps(ENDINGS)}}}}}
search: {{sampler: grid}}
confirm: {{top: 0}}
resources: {{cpus_per_trial: 0.5, trials_at_once: 2, memory_limit_gib: 4}}
"""


@dataclass(frozen=True, kw_only=True)
class RunningSweep:
    """A sweep of which one trial waits at its second rung until all tests are over."""

    directory: SweepDirectory
    environment: dict[str, str]
    token: str
    folder: Path

    def voxtune(self, *arguments: object) -> list[str]:
        return [str(VOXTUNE), *map(str, arguments)]

    def trials(self) -> list[FrozenTrial]:
        return list(read_results(self.directory).sweep_trials)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSweep]:
    folder = tmp_path_factory.mktemp("watching")
    released = folder / "released"
    (folder / "endings.py").write_text(RUN.format(released=str(released)))
    (folder / "sweep.yaml").write_text(SWEEP)
    token = secrets.token_hex(32)
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(token)
    hidden = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    directory = SweepDirectory(folder / "runs" / "endings")
    running = RunningSweep(directory=directory, environment=environment, token=token, folder=folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            running.voxtune("run", "sweep.yaml"), cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            until(directory.ray_file.is_file, seconds=90, what=f"Ray is up: {folder / 'log'}")
            yield running
            released.touch()
            assert process.wait(timeout=60) == 0, (folder / "log").read_text()
            assert not directory.ray_file.exists()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def watching(sweep: RunningSweep) -> Iterator[Prometheus]:
    """Prometheus as `voxtune dashboard --grafana` sets it up, once one trial waits and all others have ended."""
    folder = sweep.folder / "monitoring"
    printed = _voxtune(sweep, "dashboard", "endings", "--grafana", folder)
    assert f"prometheus --config.file={folder}/prometheus.yml" in printed

    def waits() -> bool:
        states = Counter(trial.state for trial in sweep.trials())
        return states[TrialState.WAITING] == 0 and states[TrialState.RUNNING] == 1

    with prometheus(folder / "prometheus.yml", sweep.folder) as server:
        until(sweep.directory.journal.is_file, seconds=60, what=f"the study begins: {sweep.folder / 'log'}")
        until(waits, seconds=90, what=f"one trial waits: {sweep.folder / 'log'}")
        yield server


def test_prometheus_says_what_the_study_says(sweep: RunningSweep, watching: Prometheus) -> None:
    trials = sweep.trials()
    states = Counter(
        "running" if trial.state == TrialState.RUNNING else trial.user_attrs["stop_reason"] for trial in trials
    )
    assert states["running"] == 1
    assert states["out of memory"] == states["error"] == states["turned away"] == 1
    assert states["full budget"] + states["stopped at rung"] == 2

    states["to go"] = 0  # no other point of the grid is for the one turned away

    def told() -> dict[str, float]:
        return watching.by("state", 'max by (state) (ray_voxtune_trials{sweep="endings"})')

    until(told, seconds=60, what=f"metrics arrive: {watching.targets()}")
    until(lambda: told()["running"] == 1 and told()["to go"] == states["to go"], seconds=60, what=f"{states}: {told()}")
    assert told() == {"interrupted": 0, "stopped at rung": 0, "timed out": 0, **states}
    best = max(trial.intermediate_values.get(1000, 0.0) for trial in trials)
    assert best > 0.8
    ((_, dice),) = watching.query('max by (sweep) (ray_voxtune_best_dice{sweep="endings"})')
    assert dice == best


def test_running_trials_alone_are_told(sweep: RunningSweep, watching: Prometheus) -> None:
    trials = sweep.trials()
    (running,) = (trial for trial in trials if trial.state == TrialState.RUNNING)
    number = str(running.number)
    dice = "max by (trial) (ray_voxtune_trial_dice)"
    until(lambda: list(watching.by("trial", dice)) == [number], seconds=90, what=f"of trial {number} alone")
    assert watching.by("trial", dice) == {number: running.intermediate_values[111]}
    ratio = "max by (trial) (ray_voxtune_trial_budget_ratio)"  # of trials without a Dice too, until they have ended
    until(lambda: watching.by("trial", ratio) == {number: 0.111}, seconds=30, what=f"of trial {number} alone")
    voxels = watching.by("trial", "max by (trial) (ray_voxtune_trial_voxels_per_second)")
    assert voxels == {number: pytest.approx(1000 * 11 / 3, rel=0.05)}
    # That of others stood there while they ran, and is gone.
    best = next(trial for trial in trials if trial.user_attrs.get("stop_reason") == "full budget")
    assert watching.query(f'max_over_time(ray_voxtune_trial_rung{{trial="{best.number}"}}[10m])')


def test_every_query_of_the_board_gives_data(watching: Prometheus) -> None:
    board = json.loads(BOARD.read_text())
    variable = next(one for one in board["templating"]["list"] if one["name"] == "sweep")
    assert variable["query"]["query"] == "label_values(ray_voxtune_trials, sweep)"
    assert watching.label_values("ray_voxtune_trials", "sweep") == ["endings"]
    queries = [
        target["expr"].replace("$sweep", "endings") for panel in board["panels"] for target in panel.get("targets", ())
    ]
    assert len(queries) > 20
    empty = {query for query in queries if not watching.query(query)}
    of_gpus = {query for query in queries if "ray_node_g" in query}
    assert len(of_gpus) == 2
    assert empty == (set() if cuda_devices() else of_gpus)


def test_all_targets_answer(watching: Prometheus) -> None:
    targets = watching.targets()
    assert targets
    assert set(targets.values()) == {"up"}, targets


def test_no_token_is_written(sweep: RunningSweep, watching: Prometheus) -> None:
    written = [path for path in (sweep.folder / "monitoring").rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"prometheus.yml", "grafana.ini", "voxtune.yml", "voxtune.json"}
    assert not [path for path in written if sweep.token in path.read_text()]
    assert str(sweep.folder / "token") in (sweep.folder / "monitoring" / "prometheus.yml").read_text()


@contextmanager
def shown(sweep: RunningSweep) -> Iterator[tuple[str, str]]:
    """What `voxtune dashboard` prints while it runs, and the address of its optuna-dashboard; ended by Ctrl-C."""
    command = sweep.voxtune("dashboard", "endings", "--port", 0)
    with subprocess.Popen(
        command, cwd=sweep.folder, env=sweep.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            lines = []
            while "Ctrl-C ends it" not in (line := process.stdout.readline()):
                assert line, "".join(lines)
                lines.append(line)
            (address,) = (line.split()[1] for line in lines if line.startswith("optuna-dashboard: "))
            yield "".join(lines), address
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0, process.stdout.read()
        finally:
            process.kill()


@contextmanager
def ended_sweep(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of the study of a sweep that was played to its end, in this process, and its best trial's number."""
    directory = sweep_directory(folder)
    study = open_study(open_storage(None, directory.journal, owner=True))
    play(study, 3)
    best = read_results(directory).best.run
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(picture, format="JPEG")
    write_cases(directory, best, {"<b>x": {"a": 0.8}}, {"<b>x": picture.getvalue()})
    attach_best(directory, study.optuna)
    server = StudyServer(directory, port=0)
    thread = Thread(target=server._server.serve_forever)
    thread.start()
    try:
        yield server.url, best.number
    finally:
        server._server.shutdown()
        server._server.server_close()
        thread.join()


@pytest.mark.usefixtures("watching")
def test_dashboard_of_a_running_sweep(sweep: RunningSweep) -> None:
    trials = sweep.trials()
    ray = json.loads(sweep.directory.ray_file.read_text())["dashboard"]
    with shown(sweep) as (printed, address):
        assert f"Ray dashboard: {ray}\n" in printed
        assert f"the one in {sweep.folder / 'token'}: paste what `ray get-auth-token` prints" in printed
        assert sweep.token not in printed
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address.replace("/dashboard/", "/api/"), timeout=20) as answer:
            study = json.load(answer)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(address.replace("/dashboard/", "/api/"), method="DELETE"), timeout=20
            )
        assert refused.value.code == 403
    curves = {trial["number"]: [value["value"] for value in trial["intermediate_values"]] for trial in study["trials"]}
    assert curves == {trial.number: list(trial.intermediate_values.values()) for trial in trials}


def test_browser_shows_job_slots_and_curves(sweep: RunningSweep, watching: Prometheus) -> None:
    if shutil.which("chromium") is None:
        missing("Chromium is not installed; `.ci/services` installs it on Debian")
    ray = json.loads(sweep.directory.ray_file.read_text())["dashboard"]
    trials = sweep.trials()
    (too_large,) = (trial for trial in trials if trial.user_attrs.get("stop_reason") == "out of memory")

    async def look(study: str, ended: str, best: int) -> tuple[list[list[float]], list[list[object]]]:
        async with browser(sweep.folder / "browser") as page:
            await page.open(f"{ray}/#/jobs", width=1500, height=640, token=sweep.token)
            await page.until("document.body.innerText.includes('endings')")
            await page.open(f"{ray}/#/actors", width=1500, height=640, token=sweep.token)
            await page.until("document.body.innerText.includes('slot 1 of endings')")
            await page.open(f"{study}/trials?numbers={too_large.number}", width=1300, height=760)
            await page.until("document.body.innerText.includes('stop_reason out of memory')")
            await page.open(study, width=1300, height=2400)
            await page.until(DRAWN)
            curves = [line["y"] for line in await page.plotted(CURVES)]
            await page.open(f"{ended}/trials?numbers={best}", width=1300, height=1000)
            await page.until("[...document.images].length && [...document.images].every(image => image.complete)")
            said = await page.run("document.body.innerText")
            assert "Artifacts" in said
            assert f"sweep_{best:04d}_config.yaml" in said
            assert f"sweep_{best:04d}_case_1_of_1_dice_0.800_<b>x.jpg" in said
            images = "[...document.images].map(image => [image.naturalWidth, image.naturalHeight])"
            return curves, await page.run(images)

    with shown(sweep) as (_, address), ended_sweep(sweep.folder / "ended") as (ended, best):
        drawn, images = asyncio.run(look(address, ended, best))
    assert images == [[64, 48]]
    curves = [list(trial.intermediate_values.values()) for trial in trials if trial.intermediate_values]
    assert [len(curve) for curve in curves].count(3) >= 1
    assert sorted(drawn) == sorted(curves)


def _voxtune(sweep: RunningSweep, *arguments: object) -> str:
    ended = subprocess.run(
        sweep.voxtune(*arguments), cwd=sweep.folder, env=sweep.environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
