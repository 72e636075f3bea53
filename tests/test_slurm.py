"""A sweep as a Slurm job: the script that is written, how it is submitted, and what is refused."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from command_line import run_voxtune
from make_sweep import TOY_SWEEP

from cluster.errors import ClusterError
from cluster.slurm import SlurmJob
from tuner import machine

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


def test_names_mean_nothing_to_the_shell(tmp_path):
    folder = tmp_path / "a $(touch ran) `touch ran`; touch ran & 'b'"
    script = job(sweep=folder / "heart.yaml", runs=folder, folder=folder, setup="exit").script()
    (tmp_path / "job.sbatch").write_text(script.replace("\nexit\n", '\nprintf "%s" "$sweep" "$runs"; exit\n'))
    done = subprocess.run(["bash", "job.sbatch"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder}/heart.yaml{folder}"
    assert [path.name for path in tmp_path.iterdir()] == ["job.sbatch"]


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
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(TOY_SWEEP))
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
    sweep = {**TOY_SWEEP, "cache": "volumes", "storage": "postgresql://me:hunter2@db.example/voxtune"}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    assert voxtune().returncode == 0
    (tmp_path / "sweep.yaml").unlink()
    copy = tmp_path / "runs" / "toy.yaml"
    assert yaml.safe_load(copy.read_text())["cache"] == str(tmp_path / "volumes")
    assert copy.stat().st_mode & 0o777 == 0o600  # since it holds a password
    assert "hunter2" not in (tmp_path / "runs" / "toy.sbatch").read_text()
    assert f"sweep={copy}" in (tmp_path / "runs" / "toy.sbatch").read_text().splitlines()


def test_a_copy_that_holds_a_webhook_is_its_owners(tmp_path, monkeypatch, capsys):
    (tmp_path / "bin").mkdir()
    fake_sbatch(tmp_path, "echo 17")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**TOY_SWEEP, "on_end": "https://chat.example/hunter2"}))
    ended = run_voxtune("slurm", "sweep.yaml", monkeypatch=monkeypatch, capsys=capsys)
    assert (ended.code, ended.err) == (0, "")
    assert (tmp_path / "runs" / "toy.yaml").stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in (tmp_path / "runs" / "toy.sbatch").read_text()


def test_a_site_s_sbatch_may_greet_before_it_tells_the_number(voxtune, tmp_path):
    fake_sbatch(tmp_path, "echo 'Welcome to 2 clusters'; echo 23")
    assert f"Output: {tmp_path / 'runs' / 'toy-23.out'}" in voxtune().stdout.splitlines()
    fake_sbatch(tmp_path, "echo 'Submitted'")
    done = voxtune()
    assert done.returncode == 2
    assert "toy.sbatch, but tells no job's number: 'Submitted'; see `squeue`" in done.stderr


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
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**TOY_SWEEP, "resources": resources}))
    done = voxtune(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(("gpus_per_trial", "cores"), [(1, 16), (0.5, 32), (2, 8), ("auto", 16)])
def test_a_node_has_cores_for_the_trials_that_its_gpus_hold(voxtune, tmp_path, gpus_per_trial, cores):
    resources = {"gpus_per_trial": gpus_per_trial, "cpus_per_trial": 4}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**TOY_SWEEP, "resources": resources}))
    done = voxtune("--dry-run", "--gpus-per-node", "h100:4")
    assert options(done.stdout)["cpus-per-task"] == str(cores)


def test_a_sweep_keeps_to_its_jobs_cores_where_slurm_does_not_enforce_them(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "12")
    assert machine.usable_cores() == 12
