"""The command that runs a sweep as a Slurm job."""

import math
import shlex
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import ClusterError
from tuner.command_options import RUNS, SWEEPS, Runs
from tuner.files import replace_file, write_text
from tuner.terminal import say

if TYPE_CHECKING:
    from tuner.config import SweepConfig

app = typer.Typer()


@app.command(rich_help_panel=SWEEPS)
def slurm(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file.")],
    nodes: Annotated[int, typer.Option(help="How many machines.")] = 1,
    gpus_per_node: Annotated[
        str, typer.Option(metavar="[TYPE:]NUMBER", help="GPUs of each node, of a type if there are several.")
    ] = "0",
    cpus_per_task: Annotated[
        int | None,
        typer.Option(help="CPU cores of each node; what trials on its GPUs ask for, without GPUs the whole node's."),
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Where to queue; Slurm's default.")] = None,
    time: Annotated[
        str | None, typer.Option(help="Time limit, e.g. 12:00:00; then the job is queued again and goes on.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Who is charged.")] = None,
    setup: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Shell commands that make voxtune known on a node: module load, source ..."),
    ] = None,
    runs: Runs = RUNS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the batch script; submit nothing.")] = False,
) -> None:
    """Run a sweep as a Slurm job, or go on with it.

    Example:

      voxtune slurm sweep.yaml --nodes 4 --gpus-per-node 4 --time 12:00:00
    """
    from cluster.slurm import SlurmJob, check_slurm, gpus_of, submit
    from tuner.config import SweepConfig
    from tuner.storage import holds_password
    from tuner.webhook_url import is_secret

    config = SweepConfig.read(sweep)
    # A submitted job has a copy of its own: what is edited while it waits in the queue is for the next.
    copy = runs.absolute() / f"{config.name}.yaml"
    job = SlurmJob(
        name=config.name,
        sweep=sweep.absolute() if dry_run else copy,
        runs=runs.absolute(),
        folder=Path.cwd(),
        nodes=nodes,
        gpus_per_node=gpus_per_node,
        cpus_per_task=_cores(config, gpus=gpus_of(gpus_per_node)) if cpus_per_task is None else cpus_per_task,
        partition=partition,
        time=time,
        account=account,
        setup=_this_installation() if setup is None else _read(setup),
    )
    _check_size(config, cores=job.cpus_per_task, gpus=job.gpus)
    if dry_run:
        typer.echo(job.script(), nl=False)
        return
    check_slurm()
    private = holds_password(config.storage) or is_secret(config.on_end)
    replace_file(copy, lambda path: path.write_text(config.to_yaml(), encoding="utf-8"), private=private)
    write_text(job.file, job.script())
    number = submit(job.file)
    say(f"Job {number} runs {config.name} on {nodes} node{'s' if nodes > 1 else ''}, by {job.file}")
    if setup is None:
        say(f"Its nodes take voxtune from {_programs()}; where they don't see that, name another by --setup")
    say(f"Output: {job.output(number)}")


def _cores(config: "SweepConfig", *, gpus: int) -> int | None:
    """Cores for as many trials as so many GPUs hold; None: all that a node has."""
    a_trial = config.resources.gpus_per_trial
    trials = gpus if a_trial == "auto" else gpus / a_trial if a_trial else 0
    return math.ceil(trials * config.resources.cpus_per_trial) or None


def _check_size(config: "SweepConfig", *, cores: int | None, gpus: int) -> None:
    """Raises ClusterError if no trial of the sweep fits on a node, or if none uses the GPUs."""
    size = config.resources
    need = 1 if size.gpus_per_trial == "auto" else size.gpus_per_trial
    if gpus and not need:
        raise ClusterError(f"--gpus-per-node: no trial would use them, resources.gpus_per_trial is 0; got {gpus}")
    if need > gpus:
        shown = "auto" if size.gpus_per_trial == "auto" else f"{need:g}"
        raise ClusterError(f"--gpus-per-node: resources.gpus_per_trial is {shown}; got {gpus}")
    if cores is not None and size.cpus_per_trial > cores:
        raise ClusterError(f"--cpus-per-task: resources.cpus_per_trial is {size.cpus_per_trial:g}; got {cores}")


def _programs() -> Path:
    """The folder of the `voxtune` that runs now."""
    return Path(sysconfig.get_path("scripts"))


def _this_installation() -> str:
    """Shell commands that make this installation known. Raises ClusterError if it is not one that nodes could use."""
    if not (_programs() / "voxtune").is_file():
        raise ClusterError(f"--setup: say how nodes find voxtune; this one has no command in {_programs()}")
    return f"export PATH={shlex.quote(str(_programs()))}:$PATH"


def _read(setup: Path) -> str:
    try:
        return setup.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"--setup: {setup} can't be read: {getattr(error, 'strerror', None) or error}") from error
