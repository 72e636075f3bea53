"""A real Slurm runs sweeps as its jobs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from make_sweep import TOY_SWEEP
from services import missing
from slurm_cluster import Slurm, missing_program, slurm_cluster

from tuner.directory import SweepDirectory
from tuner.results import read_results
from tuner.utilisation import stints

TOY = {**TOY_SWEEP, "budget": {"unit": "steps", "maximum": 900}, "search": {"trials": 8}}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A Slurm of two nodes with two cores each. Skips where it can't be, unless services are a must."""
    if os.geteuid() != 0:
        missing("only root makes the namespaces of Slurm's nodes")
    if program := missing_program():
        missing(f"{program} is not installed; `.ci/services` installs it on Debian")
    with slurm_cluster(nodes=2, cpus=2) as running:
        yield running


def submitted(slurm: Slurm, *arguments: str, **changes: object) -> tuple[int, SweepDirectory, Path]:
    """Submit a toy sweep by `voxtune slurm`; returns the job's number, the sweep's directory and the job's output."""
    folder = slurm.folder / "shared"
    name = str(changes["name"])
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**TOY, **changes}))
    command = [sys.executable, "-m", "tuner.cli", "slurm", f"{name}.yaml", *arguments]
    environment = {**os.environ, **slurm.environment}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    output = Path(done.stdout.splitlines()[-1].removeprefix("Output: "))
    return int(done.stdout.split()[1]), SweepDirectory(folder / "runs" / name), output


def wait_for_words(words: str, output: Path) -> None:
    """Wait until the job has said so."""
    end = time.monotonic() + 300
    while not output.exists() or words not in output.read_text():
        assert time.monotonic() < end, f"the job only said: {output.read_text() if output.exists() else 'nothing'}"
        time.sleep(0.3)


def wait_for_state(slurm: Slurm, number: int, state: str, output: Path) -> None:
    end = time.monotonic() + 300
    while (job := slurm.job(number))["JobState"] != state:
        assert time.monotonic() < end, f"not {state}: {job}; it said: {output.read_text()[-5000:]}"
        time.sleep(0.3)


def left_behind(slurm: Slurm) -> list[str]:
    """Files of jobs and processes of Ray on the nodes."""
    found = []
    for node in slurm.nodes:
        found += [f"{node.name}: {name}" for name in node.run("ls", "/tmp", "/dev/shm").split() if "vt-" in name]
        found += [f"{node.name}: {line}" for line in node.run("ps", "-eo", "args").splitlines() if "ray" in line]
    return found


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.service
def test_job_on_two_nodes_is_cut_short_and_ends_with_every_trial_done_once(slurm):
    number, directory, output = submitted(
        slurm,
        *("--nodes", "2", "--cpus-per-task", "1", "--time", "10"),
        name="two",
        training={"seconds_per_rung": 1.0},
        search={"trials": 8},
    )
    wait_for_words("stopped at rung", output)
    token_file = slurm.nodes[1].run("bash", "-c", f"echo /tmp/vt-{number}-*/token").strip()
    tokens = {node.run("cat", token_file) for node in slurm.nodes}
    modes = {node.run("stat", "--format=%a", token_file).strip() for node in slurm.nodes}
    shown = [node.run("ps", "-eo", "args") for node in slurm.nodes]
    slurm.run("scancel", "--signal=USR1", "--batch", str(number))  # as Slurm does when the time is nearly up

    wait_for_state(slurm, number, "PENDING", output)
    assert left_behind(slurm) == []
    ended = {trial.number for trial in read_results(directory).sweep_trials if trial.state.is_finished()}
    # Slurm would wait for two minutes, so that what it hears last of the first run is not taken for the second's.
    slurm.run("scontrol", "update", f"JobId={number}", "StartTime=now+5")
    wait_for_state(slurm, number, "COMPLETED", output)
    assert slurm.job(number)["ExitCode"] == "0:0"
    assert slurm.job(number)["Restarts"] == "1"
    assert left_behind(slurm) == []

    results = read_results(directory)
    assert sorted(results.trials["number"]) == list(range(8))
    assert set(results.trials["stop_reason"]) == {"full budget", "stopped at rung"}
    ran = stints(results.sweep_trials)
    assert set(ran["node"]) == {"n1", "n2"}
    often = ran.groupby("number").size()
    assert 0 < len(ended) < 8
    assert often[sorted(ended)].tolist() == [1] * len(ended)  # what had ended was not done again
    # What was interrupted was taken up again, from its last rung if it had reported one.
    assert {trial.user_attrs["attempt"] for trial in results.sweep_trials} == {1, 2}
    assert not results.curves.duplicated(["number", "step"]).any()
    assert directory.best_config.is_file()

    assert len(tokens) == 1
    assert modes == {"600"}
    token = tokens.pop()
    assert len(token) == 64
    shown += [slurm.run("scontrol", "show", "job", str(number))]
    written = [path.read_bytes() for path in directory.root.parent.rglob("*") if path.is_file()]
    assert not any(token in text for text in shown)
    assert not any(token.encode() in content for content in written)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.service
def test_two_jobs_on_one_node_keep_to_themselves_and_end_as_their_sweeps_do(slurm):
    where = ("--partition", "first", "--cpus-per-task", "1")
    training = {"seconds_per_rung": 0.5}
    good, good_directory, good_output = submitted(slurm, *where, name="good", training=training)
    bad, bad_directory, bad_output = submitted(slurm, *where, name="bad", training={**training, "fail_at": 0.0})
    wait_for_state(slurm, good, "COMPLETED", good_output)
    wait_for_state(slurm, bad, "FAILED", bad_output)
    assert slurm.job(good)["ExitCode"] == "0:0"
    assert slurm.job(bad)["ExitCode"] == "1:0"
    assert "no trial gave a result; the first error" in bad_output.read_text()
    assert left_behind(slurm) == []
    for directory in (good_directory, bad_directory):
        ran = stints(read_results(directory).sweep_trials)
        assert set(ran["node"]) == {"n1"}
        assert ran["slot"].nunique() == 1  # of the node's two cores each job has one
    assert good_directory.best_config.is_file()


@pytest.mark.slow
@pytest.mark.service
def test_node_without_voxtune_is_told(slurm, tmp_path):
    (tmp_path / "setup.sh").write_text("PATH=/usr/bin:/bin")
    number, _, output = submitted(slurm, "--nodes", "2", "--setup", str(tmp_path / "setup.sh"), name="bare")
    wait_for_state(slurm, number, "FAILED", output)
    assert slurm.job(number)["ExitCode"] == "2:0"
    assert "voxtune: n1 has no voxtune on its PATH, /usr/bin:/bin\n" in output.read_text()


@pytest.mark.service
def test_slurms_own_refusal(slurm):
    with pytest.raises(AssertionError, match=r"sbatch refuses .*none.sbatch: sbatch: error: .*invalid partition"):
        submitted(slurm, "--partition", "nowhere", name="none")
