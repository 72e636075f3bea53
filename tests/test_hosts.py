"""A sweep over three hosts that share no files: all train, one is cut off, and nothing is lost or counted twice."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hosts import Host, hosts, ray_on
from make_data import write_dataset
from optuna.trial import TrialState

from tuner.directory import SweepDirectory
from tuner.results import Results, read_results

pytestmark = [pytest.mark.ray, pytest.mark.service, pytest.mark.slow]

RUNS = Path("/tmp/runs")
MINE = "from trainables.toy import ToyRun\n\n\nclass MyRun(ToyRun):\n    pass\n"
TOY = {
    "trainable": "mine:MyRun",  # a module that lies in one host's own folder
    "training": {"seconds_per_rung": 4.0},
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}, "batch_size": {"choice": [1, 2, 4, 8]}},
    "budget": {"unit": "steps", "maximum": 900},
    "search": {"trials": 7, "stop_early": False},
    "confirm": {"top": 0},
}
BLOBS = {
    "dataset": {"path": "/tmp/Blobs"},
    "training": {"width": 4, "levels": 2, "batch_size": 1, "patch_size": 16, "precision": "fp32"},
    "space": {"learning_rate": {"float": [1e-3, 1e-2], "log": True}},
    "budget": {"unit": "steps", "maximum": 18},
    "search": {"trials": 6, "sampler": "random"},
    "confirm": {"top": 0},
}
QUICK_TO_MISS_A_HOST = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
TOKEN = "7f3e9a51c2d84b60" * 4


@pytest.fixture(scope="module")
def three() -> Iterator[list[Host]]:
    """A Ray cluster of three hosts with a core each, the first its head, that asks for a token; and a fourth host."""
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, **QUICK_TO_MISS_A_HOST}
    with hosts(["alpha", "beta", "gamma", "outside"], **environment) as up, ray_on(up[:3]):
        yield up


def voxtune(host: Host, name: str, sweep: dict) -> list[object]:
    """The command that runs a sweep from a file on the host's own disk."""
    host.write(Path("/tmp/mine.py"), MINE)
    host.write(Path(f"/tmp/{name}.yaml"), yaml.safe_dump({"name": name, **sweep}))
    return [sys.executable, "-m", "tuner.cli", "run", f"/tmp/{name}.yaml", "--runs", RUNS, "--address", "auto"]


def results(host: Host, name: str) -> Results:
    return read_results(SweepDirectory(host.path(RUNS / name)))


def nodes_of(found: Results) -> dict[int, list[str]]:
    """The hosts on which each trial trained, in order."""
    return {trial.number: [stint["node"] for stint in trial.user_attrs["stints"]] for trial in found.sweep_trials}


def test_data_go_out_and_models_come_back(three: list[Host]) -> None:
    head, *others = three[:3]
    write_dataset(head.path(Path("/tmp/Blobs")))
    done = head.run(*voxtune(head, "blobs", BLOBS), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sending the preprocessed volumes to beta, gamma" in done.stdout + done.stderr or (
        "Sending the preprocessed volumes to gamma, beta" in done.stdout + done.stderr
    )
    found = results(head, "blobs")
    assert {node for nodes in nodes_of(found).values() for node in nodes} == {"alpha", "beta", "gamma"}
    assert (found.trials["state"] == "FAIL").sum() == 0
    complete = [trial.number for trial in found.sweep_trials if trial.state == TrialState.COMPLETE]
    directory = SweepDirectory(head.path(RUNS / "blobs"))
    models = directory.checkpoints.glob("*/*/model.pt")
    assert sorted(int(model.parts[-3].rpartition("_")[2]) for model in models) == sorted(complete)
    assert directory.best_model.stat().st_size > 1000
    run = found.best.run
    assert json.loads(directory.best_cases.read_text())["run"] == f"{run.study}:{run.number}"
    assert len(list(directory.case_pictures.iterdir())) == len(found.case_scores(run))
    for host in others:
        assert not host.path(RUNS).exists()


def test_a_host_that_is_cut_off_loses_no_trial(three: list[Host]) -> None:
    head, _, gamma, _ = three
    process = head.start(*voxtune(head, "toy", TOY))
    directory = SweepDirectory(head.path(RUNS / "toy"))

    def running_on_gamma() -> list[int]:
        if process.poll() is not None:
            pytest.fail(process.communicate()[0])
        if not directory.journal.is_file():
            return []
        return [
            trial.number
            for trial in read_results(directory).sweep_trials
            if trial.state == TrialState.RUNNING
            and trial.user_attrs.get("stints", [{}])[-1].get("node") == "gamma"
            and list(trial.intermediate_values) == [111]  # two rungs of four seconds are left
        ]

    end = time.monotonic() + 120
    while not (lost := running_on_gamma()):
        assert time.monotonic() < end
        time.sleep(0.2)
    gamma.cut_off()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    found = results(head, "toy")
    (number,) = lost
    # As the study tells it, before the host that was cut off comes back.
    (trial,) = [trial for trial in found.sweep_trials if trial.number == number]
    assert nodes_of(found)[number][0] == "gamma"
    assert nodes_of(found)[number][-1] in ("alpha", "beta")
    assert (trial.user_attrs["attempt"], trial.user_attrs["lost"]) == (2, 1)
    # From its last rung: what it had reported was not trained again but for the rung that was being saved.
    steps = [evaluation["step"] for evaluation in trial.user_attrs["evaluations"]]
    assert max(Counter(steps).values()) <= 2
    assert sum(Counter(steps).values()) <= len(set(steps)) + 1
    assert [trial.state for trial in found.sweep_trials] == [TrialState.COMPLETE] * 7
    before = directory.journal.read_bytes()

    gamma.put_back()
    time.sleep(5)
    assert directory.journal.read_bytes() == before
    folders = {path.name for path in directory.checkpoints.glob("*/attempt_*")}
    assert folders <= {"attempt_1", "attempt_2"}


def test_without_the_token_nobody_comes_in(three: list[Host]) -> None:
    head, *_ = three
    command = voxtune(head, "intruder", TOY)
    for variables, said in (
        (["RAY_AUTH_MODE", "RAY_AUTH_TOKEN"], "asks for a token, and there is none here"),
        (["RAY_AUTH_MODE"], "refuses the token of RAY_AUTH_TOKEN"),
    ):
        unset = [f"--unset={name}" for name in variables]
        wrong = ["RAY_AUTH_TOKEN=" + "0" * 64] if "RAY_AUTH_TOKEN" not in variables else []
        started = time.monotonic()
        done = head.run("env", *unset, *wrong, *command, timeout=60)
        assert done.returncode == 2
        assert said in done.stderr
        assert TOKEN not in done.stdout + done.stderr
        assert time.monotonic() - started < 30
    assert not head.path(RUNS / "intruder").exists()
    for file in head.path(RUNS).rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (
            "10.87.0.1:6379",
            "this machine is none of the cluster at 10.87.0.1:6379, whose nodes are 10.87.0.1, 10.87.0.2",
        ),
        ("auto", "address: auto finds no Ray cluster on this machine; start one by `ray start --head`"),
        ("10.87.0.1:1", "no Ray cluster answers at 10.87.0.1:1: [Errno 111] Connection refused"),
        ("10.87.0.77:6379", "no Ray cluster answers at 10.87.0.77:6379: [Errno 113] No route to host"),
    ],
)
def test_what_a_host_outside_is_told_within_half_a_minute(three: list[Host], address: str, said: str) -> None:
    outside = three[3]
    started = time.monotonic()
    done = outside.run(*voxtune(outside, "toy", TOY)[:-1], address, timeout=60)
    assert time.monotonic() - started < 30
    assert done.returncode == 2
    assert said in done.stderr
    assert not outside.path(RUNS / "toy").exists()
