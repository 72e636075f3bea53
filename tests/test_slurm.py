"""A sweep as a Slurm job: the script that is written, what is refused, and a real Slurm that runs it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from services import missing
from slurm_cluster import Slurm, missing_program, slurm_cluster

from cluster.errors import ClusterError
from cluster.slurm import SlurmJob
from tuner import machine
from tuner.directory import SweepDirectory
from tuner.results import read_results
from tuner.utilisation import stints

TOY = {
    "name": "toy",
    "trainable": "trainables.toy:ToyRun",
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}},
    "budget": {"unit": "steps", "maximum": 900},
    "search": {"trials": 8},
    "confirm": {"top": 0},
}

JOB = {
    "name": "hearts",
    "sweep": Path("/data/my sweeps/hearts.yaml"),
    "runs": Path("/data/my sweeps/runs"),
    "folder": Path("/data/my sweeps"),
    "setup": "module load voxtune\n",
}


def job(**changes: object) -> SlurmJob:
    return SlurmJob(**{**JOB, **changes})


def options(script: str) -> dict[str, str]:
    """What sbatch is told in the script."""
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH ")]
    return dict((*line.split("=", 1), "")[:2] for line in lines)


def test_script_asks_for_what_the_job_is_given():
    asked = options(job(nodes=3, gpus_per_node="a100:4", cpus_per_task=32, partition="gpu", time="1-12").script())
    assert asked == {
        "job-name": "hearts",
        "nodes": "3",
        "ntasks-per-node": "1",
        "cpus-per-task": "32",
        "gpus-per-node": "a100:4",
        "partition": "gpu",
        "time": "1-12",
        "signal": "B:USR1@90",
        "output": '"/data/my sweeps/runs/hearts-%j.out"',
        "open-mode": "append",
        "chdir": '"/data/my sweeps"',
        "requeue": "",
    }


def test_script_asks_for_whole_nodes_where_no_cores_are_named():
    asked = options(job().script())
    assert "exclusive" in asked
    assert not {"cpus-per-task", "gpus-per-node", "partition", "time", "account"} & asked.keys()


def test_script_is_bash_with_the_settings_before_its_work(tmp_path):
    file = tmp_path / "job.sbatch"
    file.write_text(job().script())
    subprocess.run(["bash", "-n", file], check=True)
    lines = file.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    assert lines.index("sweep='/data/my sweeps/hearts.yaml'") < lines.index("module load voxtune")
    assert not [line for line in lines if "ray stop" in line or "symmetric-run" in line]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 0}, "--nodes: must be 1 or more; got 0"),
        ({"cpus_per_task": 0}, "--cpus-per-task: must be 1 or more; got 0"),
        ({"gpus_per_node": "4:a100"}, "--gpus-per-node: must be NUMBER or TYPE:NUMBER; got '4:a100'"),
        ({"partition": "gpu --uid=root"}, "--partition: must be a name that Slurm knows; got 'gpu --uid=root'"),
        ({"account": "a\nb"}, r"--account: must be a name that Slurm knows; got 'a\\nb'"),
        ({"runs": Path("/data/100%")}, r"/data/100%: Slurm has a meaning of its own for \\ and % in a path"),
        ({"time": "2 days"}, "--time: must be MINUTES, .* or UNLIMITED; got '2 days'"),
        ({"time": "1:2:3:4"}, "--time: must be MINUTES, .* or UNLIMITED; got '1:2:3:4'"),
        ({"time": "4:59"}, "--time: must be 5 minutes or more, .* 90 s before the time is up; got 4:59"),
    ],
)
def test_what_slurm_would_refuse_is_refused(changes, message):
    with pytest.raises(ClusterError, match=f"^{message}"):
        job(**changes)


@pytest.mark.parametrize("time", ["5", "5:00", "0:05:00", "0-1", "2-0:30", "1-2:3:4", "0", "UNLIMITED"])
def test_time_in_each_of_slurms_forms(time):
    assert options(job(time=time).script())["time"] == time


@pytest.mark.parametrize(("answers", "left"), [(True, ["vt-12-abcd", "vt-notes-x"]), (False, None)])
def test_what_a_killed_job_left_goes_with_the_next(tmp_path: Path, answers: bool, left: list[str] | None) -> None:
    node, programs = tmp_path / "tmp", tmp_path / "bin"
    for folder in ("vt-11-abcd", "vt-12-abcd", "vt-1-abcd", "vt-notes-x"):
        (node / folder).mkdir(parents=True)
    programs.mkdir()
    squeue = programs / "squeue"
    squeue.write_text(f"#!/bin/bash\necho 12\necho 110\nexit {0 if answers else 1}\n")
    squeue.chmod(0o755)
    body = job().script()
    function = body[body.index("remove_leftovers() {") :].partition("\n}\n")[0] + "\n}\n"
    subprocess.run(
        ["bash", "-c", f'{function} remove_leftovers "$1"', "-", str(node)],
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        check=True,
    )
    everything = ["vt-1-abcd", "vt-11-abcd", "vt-12-abcd", "vt-notes-x"]
    assert sorted(path.name for path in node.iterdir()) == (left if left is not None else everything)


@pytest.fixture
def voxtune(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `voxtune slurm` in a folder with a sweep file and, on the PATH before all else, a folder `bin`."""
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(TOY))
    (tmp_path / "bin").mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/local/bin"}
        command = [sys.executable, "-m", "tuner.cli", "slurm", "sweep.yaml", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def fake_sbatch(folder: Path, script: str) -> None:
    """An sbatch that keeps its arguments in the file `asked` and then does as `script` says."""
    file = folder / "bin" / "sbatch"
    file.write_text(f'#!/bin/bash\necho "$@" >{folder}/asked\n{script}\n')
    file.chmod(0o755)


def test_job_is_submitted(voxtune, tmp_path):
    fake_sbatch(tmp_path, "echo '17;north'")
    done = voxtune("--nodes", "2", "--time", "1:00:00")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().split() == ["--parsable", str(tmp_path / "runs" / "toy.sbatch")]
    asked = options((tmp_path / "runs" / "toy.sbatch").read_text())
    assert (asked["job-name"], asked["nodes"], asked["time"]) == ("toy", "2", "1:00:00")
    assert f"Output: {tmp_path / 'runs' / 'toy-17.out'}" in done.stdout.splitlines()


def test_job_has_a_sweep_file_of_its_own(voxtune, tmp_path):
    fake_sbatch(tmp_path, "echo 17")
    sweep = {**TOY, "cache": "volumes", "storage": "postgresql://me:hunter2@db.example/voxtune"}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    assert voxtune().returncode == 0
    (tmp_path / "sweep.yaml").unlink()
    copy = tmp_path / "runs" / "toy.yaml"
    assert yaml.safe_load(copy.read_text())["cache"] == str(tmp_path / "volumes")
    assert copy.stat().st_mode & 0o777 == 0o600  # since it holds a password
    assert "hunter2" not in (tmp_path / "runs" / "toy.sbatch").read_text()
    assert f"sweep={copy}" in (tmp_path / "runs" / "toy.sbatch").read_text().splitlines()


def test_refusal_is_told_in_slurms_words(voxtune, tmp_path):
    fake_sbatch(tmp_path, "echo 'sbatch: error: invalid partition specified: gpus' >&2; exit 1")
    done = voxtune("--partition", "gpus")
    assert done.returncode == 2
    assert done.stderr.strip().endswith("toy.sbatch: sbatch: error: invalid partition specified: gpus")


def test_without_slurm_nothing_is_written(voxtune, tmp_path):
    done = voxtune()
    assert done.returncode == 2
    assert "sbatch is not on the PATH: there is no Slurm on this machine; --dry-run prints the batch" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_dry_run_prints_the_script_and_submits_nothing(voxtune, tmp_path):
    fake_sbatch(tmp_path, "echo 17")
    (tmp_path / "setup.sh").write_text("module load voxtune/1.0")
    done = voxtune("--dry-run", "--setup", "setup.sh")
    assert done.returncode == 0, done.stderr
    assert "\nmodule load voxtune/1.0\n" in done.stdout
    assert f"\nsweep={tmp_path / 'sweep.yaml'}\n" in done.stdout
    assert not (tmp_path / "asked").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("resources", "arguments", "message"),
    [
        (
            {},
            ["--gpus-per-node", "2"],
            "--gpus-per-node: no trial would use them, resources.gpus_per_trial is 0; got 2",
        ),
        ({"gpus_per_trial": "auto"}, [], "--gpus-per-node: resources.gpus_per_trial is auto; got 0"),
        ({"gpus_per_trial": 4}, ["--gpus-per-node", "2"], "--gpus-per-node: resources.gpus_per_trial is 4; got 2"),
        ({"cpus_per_trial": 8}, ["--cpus-per-task", "6"], "--cpus-per-task: resources.cpus_per_trial is 8; got 6"),
        ({"cpus": 8}, [], "sweep.yaml: resources.cpus: unknown key"),
        ({}, ["--setup", "none.sh"], "--setup: none.sh can't be read: No such file or directory"),
    ],
)
def test_sweep_that_would_not_fit_its_nodes(voxtune, tmp_path, resources, arguments, message):
    fake_sbatch(tmp_path, "echo 17")
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**TOY, "resources": resources}))
    done = voxtune(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(("gpus_per_trial", "cores"), [(1, 16), (0.5, 32), (2, 8), ("auto", 16)])
def test_a_node_has_cores_for_the_trials_that_its_gpus_hold(voxtune, tmp_path, gpus_per_trial, cores):
    resources = {"gpus_per_trial": gpus_per_trial, "cpus_per_trial": 4}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**TOY, "resources": resources}))
    done = voxtune("--dry-run", "--gpus-per-node", "h100:4")
    assert options(done.stdout)["cpus-per-task"] == str(cores)


def test_a_sweep_keeps_to_its_jobs_cores_where_slurm_does_not_enforce_them(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "12")
    assert machine.usable_cores() == 12


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
