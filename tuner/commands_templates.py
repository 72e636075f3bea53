"""`voxtune cluster ...`: files from which Kubernetes, AWS or a lab's machines make a cluster for a sweep."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.errors import SweepConfigError
from tuner.terminal import say

if TYPE_CHECKING:
    from cluster.trial_size import TrialSize
    from tuner.config import SweepConfig

app = typer.Typer(help="Write a file that makes a cluster for a sweep.", no_args_is_help=True)

Sweep = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file to write, instead of the terminal.")]
Workers = Annotated[int, typer.Option(min=1, help="At most so many machines or pods run trials.")]


@app.command()
def kuberay(
    sweep: Sweep,
    image: Annotated[str, typer.Option(help="Container image with voxtune and its libraries, Ray in our version.")],
    output: Output = None,
    data: Annotated[str | None, typer.Option(help="The data set's folder in the pods, under /data.")] = None,
    workers: Workers = 4,
    worker_cpus: Annotated[int | None, typer.Option(min=1, help="Of a worker; by default as its trials take.")] = None,
    worker_memory: Annotated[int, typer.Option(min=1, help="Of a worker, in GiB.")] = 32,
    volume: Annotated[str, typer.Option(help="Name of the claim for data and results.")] = "voxtune",
    volume_size: Annotated[int, typer.Option(min=1, help="In GiB.")] = 100,
    storage_class: Annotated[str | None, typer.Option(help="Of the volume; it must let several nodes write.")] = None,
    node_label: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=VALUE that a worker's node must have, e.g. nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB"
        ),
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="Let workers run on nodes that may be taken away.")] = False,
) -> None:
    """A RayJob for Kubernetes: a cluster that comes with the sweep, grows with it and goes with it.

    Example:

      voxtune cluster kuberay sweep.yaml --image registry.example/voxtune:1 --data /data/Task02_Heart -o job.yaml
    """
    from cluster.kuberay import KubeRayJob
    from tuner.submission import travelling_files

    config, files = travelling_files(sweep, data=data)
    size = _size(config)
    job = KubeRayJob(
        sweep=config.name,
        files=files,
        image=image,
        size=size,
        workers=workers,
        worker_cpus=worker_cpus or size.machine_cpus,
        worker_memory_gib=worker_memory,
        volume=volume,
        volume_gib=volume_size,
        storage_class=storage_class,
        node_selector=_labels(node_label or []),
        spot=spot,
    )
    _write(job.render(), output, then="kubectl apply -f")


@app.command()
def aws(
    sweep: Sweep,
    region: Annotated[str, typer.Option(help="E.g. eu-central-1.")],
    efs: Annotated[str, typer.Option(help="An EFS file system for data and results, fs-...")],
    output: Output = None,
    name: Annotated[str, typer.Option(help="Of the cluster.")] = "voxtune",
    workers: Workers = 4,
    worker: Annotated[
        str | None, typer.Option(help="Instance type of workers; by default the smallest that holds a trial.")
    ] = None,
    head: Annotated[str, typer.Option(help="Instance type of the head.")] = "m6i.xlarge",
    spot: Annotated[bool, typer.Option(help="Take spot instances as workers.")] = True,
) -> None:
    """A file for `ray up`: machines on AWS that come when trials wait.

    Example:

      voxtune cluster aws sweep.yaml --region eu-central-1 --efs fs-0123456789abcdef0 -o aws.yaml
    """
    from cluster.ray_up import AwsCluster

    cluster = AwsCluster(
        name=name,
        size=_size(_read(sweep)),
        region=region,
        file_system=efs,
        workers=workers,
        worker_type=worker,
        head_type=head,
        spot=spot,
    )
    _write(cluster.render(), output, then="ray up")


@app.command()
def onprem(
    sweep: Sweep,
    head: Annotated[str, typer.Option(help="Address of the machine that runs the head.")],
    worker: Annotated[list[str], typer.Option(help="Address of another machine; may be given several times.")],
    ssh_user: Annotated[str, typer.Option(help="Whom SSH logs in as; ours alone on these machines.")],
    output: Output = None,
    name: Annotated[str, typer.Option(help="Of the cluster.")] = "voxtune",
    ssh_key: Annotated[Path | None, typer.Option(help="SSH's private key, if not the usual one.")] = None,
    venv: Annotated[
        str, typer.Option(help="Virtual environment on each machine, made where missing.")
    ] = "~/voxtune-venv",
) -> None:
    """A file for `ray up`: a lab's machines, by SSH.

    Example:

      voxtune cluster onprem sweep.yaml --head 10.0.0.1 --worker 10.0.0.2 --ssh-user voxtune -o lab.yaml
    """
    from cluster.ray_up import OnPremCluster

    cluster = OnPremCluster(
        name=name,
        size=_size(_read(sweep)),
        head=head,
        workers=tuple(worker),
        ssh_user=ssh_user,
        ssh_key=ssh_key,
        environment=venv,
    )
    _write(cluster.render(), output, then="ray up")


def _read(sweep: Path) -> "SweepConfig":
    from tuner.config import SweepConfig

    return SweepConfig.read(sweep)


def _size(config: "SweepConfig") -> "TrialSize":
    from cluster.trial_size import TrialSize

    return TrialSize(cpus=config.resources.cpus_per_trial, gpus=config.resources.gpus_per_trial)


def _labels(given: list[str]) -> dict[str, str]:
    """Raises SweepConfigError if one is no KEY=VALUE."""
    for label in given:
        if not all(label.partition("=")):
            raise SweepConfigError(f"--node-label: expected KEY=VALUE, got {label!r}")
    return {key: value for key, _, value in (label.partition("=") for label in given)}


def _write(text: str, output: Path | None, *, then: str) -> None:
    from tuner.files import check_output, write_text

    if output is None:
        typer.echo(text, nl=False)
        return
    check_output(output)
    write_text(output, text)
    say(f"Wrote {output}. Look it over, then: {then} {output}")
