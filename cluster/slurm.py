"""A sweep as a Slurm job: the batch script that runs it, and its submission."""

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError

BODY = Path(__file__).with_name("templates") / "slurm.sh"
"""What the script does, the same for every job; its settings stand before it."""

WARNING_SECONDS = 90
"""How long before its time is up a job is told. Slurm looks once a minute, so it may be told that much earlier."""

LEAST_MINUTES = 5
"""A job needs some time before it is told to end: to start Ray and to bring a trial to its next rung."""

_TIMES = (
    r"(?P<minutes>\d+)(:(?P<seconds>\d+))?",
    r"(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)",
    r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+)(:(?P<seconds>\d+))?)?",
)
_SECONDS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """A sweep on the nodes that Slurm gives it. Raises ClusterError for what Slurm would refuse, or would not suit."""

    name: str
    """The sweep's, and so the job's."""

    sweep: Path
    """The sweep file. It, `runs` and `folder` are absolute, and lie where all nodes see them."""

    runs: Path
    """Folder of all sweeps."""

    folder: Path
    """Where the sweep is run: modules that the sweep file names are looked for there."""

    nodes: int = 1
    gpus_per_node: str = "0"
    """A number, or TYPE:NUMBER where the cluster has several types."""

    cpus_per_task: int | None = None
    """CPU cores of each node; None: all that the node has, which no other job then shares."""

    partition: str | None = None
    time: str | None = None
    """Time limit in one of Slurm's forms; None: the partition's."""

    account: str | None = None
    setup: str
    """Shell commands that bring `voxtune`, `ray` and `python` on the PATH of a node."""

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise ClusterError(f"--nodes: must be 1 or more; got {self.nodes}")
        if self.cpus_per_task is not None and self.cpus_per_task < 1:
            raise ClusterError(f"--cpus-per-task: must be 1 or more; got {self.cpus_per_task}")
        gpus_of(self.gpus_per_node)
        for option, value in {"--partition": self.partition, "--account": self.account}.items():
            if value is not None and not re.fullmatch(r"[\w.,@+-]+", value):
                raise ClusterError(f"{option}: must be a name that Slurm knows; got {value!r}")
        for path in (self.sweep, self.runs, self.folder):
            if re.search(r"[\n\\%]", str(path)):
                raise ClusterError(rf"{path}: Slurm has a meaning of its own for \ and % in a path; choose another")
        if self.time is not None and (seconds := _seconds(self.time)) and seconds < LEAST_MINUTES * 60:
            raise ClusterError(
                f"--time: must be {LEAST_MINUTES} minutes or more, since the sweep is ended in order some "
                f"{WARNING_SECONDS} s before the time is up; got {self.time}"
            )

    @property
    def gpus(self) -> int:
        """GPUs of each node."""
        return gpus_of(self.gpus_per_node)

    @property
    def file(self) -> Path:
        """Where the batch script is written."""
        return self.runs / f"{self.name}.sbatch"

    def output(self, number: int | str = "%j") -> Path:
        """What the job with this number prints; it goes on in the same file when it is queued again."""
        return self.runs / f"{self.name}-{number}.out"

    def script(self) -> str:
        """The batch script."""
        options = {
            "job-name": self.name,
            "nodes": self.nodes,
            "ntasks-per-node": 1,
            "cpus-per-task": self.cpus_per_task,
            "gpus-per-node": self.gpus_per_node if self.gpus else None,
            "partition": self.partition,
            "account": self.account,
            "time": self.time,
            "signal": f"B:USR1@{WARNING_SECONDS}",
            "output": self.output(),
            "open-mode": "append",
            "chdir": self.folder,
        }
        flags = ["requeue"] if self.cpus_per_task else ["requeue", "exclusive"]
        lines = [f"#SBATCH --{name}={_quoted(value)}" for name, value in options.items() if value is not None]
        settings = {"script": self.file, "sweep": self.sweep, "runs": self.runs}
        return "\n".join(
            [
                "#!/bin/bash",
                "# Runs a sweep, or goes on with it. Written by `voxtune slurm`, which writes it anew each time.",
                *lines,
                *(f"#SBATCH --{flag}" for flag in flags),
                "",
                *(f"{name}={shlex.quote(str(value))}" for name, value in settings.items()),
                "",
                self.setup.rstrip("\n"),
                BODY.read_text(),
            ]
        )


def gpus_of(text: str) -> int:
    """The number in NUMBER or TYPE:NUMBER. Raises ClusterError if it is neither."""
    found = re.fullmatch(r"([\w.-]+:)?(\d+)", text)
    if found is None:
        raise ClusterError(f"--gpus-per-node: must be NUMBER or TYPE:NUMBER; got {text!r}")
    return int(found[2])


def check_slurm() -> None:
    """Raises ClusterError if there is no Slurm on this machine."""
    if shutil.which("sbatch") is None:
        raise ClusterError(
            "sbatch is not on the PATH: there is no Slurm on this machine; --dry-run prints the batch script, for one "
            "that has it"
        )


def submit(script: Path) -> int:
    """Hand a batch script to Slurm; returns the job's number.

    Raises ClusterError if Slurm refuses, in its words, or does not tell a number.
    """
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"sbatch refuses {script}: {done.stderr.strip()}")
    # JOB or, where there are several clusters, JOB;CLUSTER, in the last line: a site's sbatch may greet first.
    told = re.search(r"^(\d+)(;\S*)?\s*\Z", done.stdout, re.MULTILINE)
    if told is None:
        raise ClusterError(f"sbatch took {script}, but tells no job's number: {done.stdout.strip()!r}; see `squeue`")
    return int(told[1])


def _seconds(text: str) -> int:
    """Seconds of a time limit; 0 where there is none. Raises ClusterError if Slurm has no such form."""
    if text.upper() in ("UNLIMITED", "INFINITE"):
        return 0
    found = next(filter(None, (re.fullmatch(form, text) for form in _TIMES)), None)
    if found is None:
        raise ClusterError(
            "--time: must be MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS, DAYS-HOURS:MINUTES, "
            f"DAYS-HOURS:MINUTES:SECONDS or UNLIMITED; got {text!r}"
        )
    return sum(int(number) * _SECONDS[unit] for unit, number in found.groupdict().items() if number)


def _quoted(value: object) -> str:
    """As sbatch reads it in its script, where a blank ends an option."""
    text = str(value)
    return f'"{text}"' if " " in text else text
