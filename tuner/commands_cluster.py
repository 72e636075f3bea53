"""The commands for sweeps that run as jobs of a cluster: submit, list, stop."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.command_options import CLUSTERS, Confirm
from tuner.errors import SweepInterrupted
from tuner.inert import inert_but_coloured
from tuner.terminal import console, say

if TYPE_CHECKING:
    from cluster.job_server import JobServer
    from cluster.jobs import Jobs
    from cluster.sweep_job import SweepJob

app = typer.Typer()

JobAddress = Annotated[
    str,
    typer.Option(
        "--address",
        envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
        help="Of the cluster's Ray dashboard, http://HEAD:8265.",
    ),
]
SweepName = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.")]

RUNS_THERE = "~/voxtune/runs"
"""Where sweeps lie on a cluster unless the user says otherwise: in the home of whom Ray runs as on the head."""

OUTCOME_LINES = 6
"""Of what a driver printed last, shown where its job failed."""


@app.command(rich_help_panel=CLUSTERS)
def submit(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file.")],
    address: JobAddress,
    trials: Annotated[int | None, typer.Option(min=1, help="Instead of the file's search.trials.")] = None,
    name: Annotated[str | None, typer.Option(help="Instead of the file's name.")] = None,
    data: Annotated[
        str | None, typer.Option(help="The data set's folder on the cluster, instead of the file's.")
    ] = None,
    runs: Annotated[str, typer.Option(help="Folder of all sweeps on the cluster.")] = RUNS_THERE,
    confirm: Confirm = True,
    code: Annotated[
        list[Path] | None,
        typer.Option(help="A file or folder that your own training run imports; what the sweep file names goes along."),
    ] = None,
    earlier: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="RUN", help="Try the best configurations of this sweep on the cluster first."),
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Help with the sweep of this name that another cluster began in `storage`.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show what it prints until it ends.")] = False,
) -> None:
    """Run a sweep in a cluster, whatever becomes of this terminal; or go on with it there.

    Example:

      voxtune submit sweep.yaml --address http://HEAD:8265 --data /data/Task02_Heart
    """
    from tuner.submission import order_to_run

    with TemporaryDirectory(prefix="voxtune-job-") as folder:
        order = order_to_run(
            Path(folder),
            sweep,
            runs=runs,
            name=name,
            trials=trials,
            confirm=confirm,
            data=data,
            code=code or (),
            earlier=earlier or (),
            join=join,
        )
        jobs = find_jobs(address)
        job_id = jobs.submit(order)
    say_submitted(order.sweep, job_id, runs=runs, url=jobs.url)
    if follow:
        _follow(jobs, jobs.latest(order.sweep))


@app.command("jobs", rich_help_panel=CLUSTERS)
def list_jobs(address: JobAddress) -> None:
    """List the sweeps that a cluster works on or worked on.

    Example:

      voxtune jobs --address http://HEAD:8265
    """
    from rich.table import Table

    from tuner.durations import duration

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("sweep", "state", "begun", "took", "job"):
        table.add_column(column, no_wrap=True)
    for job in find_jobs(address).all():
        begun = f"{job.started:%Y-%m-%d %H:%M}" if job.started else ""
        took = duration(round((job.ended - job.started).total_seconds())) if job.started and job.ended else ""
        table.add_row(job.sweep, job.state.lower(), begun, took, job.id)
    if table.row_count:
        console.print(table)
    else:
        say("No sweep was submitted to this cluster since it started.")


@app.command(rich_help_panel=CLUSTERS)
def stop(name: SweepName, address: JobAddress) -> None:
    """Stop a sweep's job in order; nothing is lost, and submitting it again goes on.

    Example:

      voxtune stop heart --address http://HEAD:8265
    """
    from cluster.errors import ClusterError
    from cluster.jobs import STOP_SECONDS

    jobs = find_jobs(address)
    job = jobs.latest(name)
    if not job.active:
        raise ClusterError(f"the job {job.id} of the sweep {name} does not run: {job.state.lower()}")
    say(f"Stopping {job.id}: what it has is written first, which may take up to {STOP_SECONDS} s.")
    say(outcome(jobs.stop(job)))


def find_jobs(address: str) -> "Jobs":
    """The jobs of the cluster whose dashboard is at `address`."""
    from cluster.jobs import Jobs

    return Jobs(find_server(address))


def find_server(address: str) -> "JobServer":
    """The dashboard at `address`; says so if it lets anybody in."""
    from cluster.job_server import find_job_server

    server = find_job_server(address)
    if server.token is None:
        say(f"Warning: {server.url} asks for no token: whoever reaches it can run programs on the cluster.")
    return server


def say_submitted(sweep: str, job_id: str, *, runs: str, url: str) -> None:
    """What was submitted, and what can be done about it."""
    say(f"Submitted {sweep} as {job_id}; its results will lie in {runs.rstrip('/')}/{sweep} on the cluster.")
    commands = f"voxtune logs {sweep} -f, voxtune status {sweep}, voxtune stop {sweep}"
    say(f"Watch it, ask about it, end it, each with --address {url}: {commands}")


def is_dashboard(address: str) -> bool:
    """Whether an address is a dashboard's, for jobs, and not that of a cluster to connect to."""
    return address.startswith(("http://", "https://"))


def resume_job(name: str, address: str, *, trials: int | None, minutes: float | None, confirm: bool) -> None:
    """`voxtune resume` where the address is a dashboard's."""
    from tuner.submission import order_to_resume

    options = [] if trials is None else ["--trials", str(trials)]
    options += [] if minutes is None else ["--minutes", str(minutes)]
    options += [] if confirm else ["--no-confirm"]
    jobs = find_jobs(address)
    with TemporaryDirectory(prefix="voxtune-job-") as folder:
        order = order_to_resume(Path(folder), jobs.latest(name), options)
        job_id = jobs.submit(order)
    say_submitted(order.sweep, job_id, runs=order.runs, url=jobs.url)


def print_logs_of_job(name: str, address: str, *, follow: bool) -> None:
    """`voxtune logs` where the address is a dashboard's: what the job printed."""
    jobs = find_jobs(address)
    job = jobs.latest(name)
    if follow:
        _follow(jobs, job)
        return
    printed = jobs.logs(job)
    typer.echo(inert_but_coloured(printed or job.message), nl=not printed)


def print_trial_of_job(name: str, address: str, *, trial: int, confirm: bool) -> None:
    """`voxtune logs --trial` where the address is a dashboard's."""
    jobs = find_jobs(address)
    printed, code = _asked(jobs, jobs.latest(name), ["logs", name, "--trial", str(trial), *["--confirm"] * confirm])
    typer.echo(inert_but_coloured(printed), nl=False)
    if code:
        raise typer.Exit(code)


def print_status_of_job(name: str, address: str) -> None:
    """`voxtune status` where the address is a dashboard's: how the job is, then what the cluster says of the study."""
    jobs = find_jobs(address)
    job = jobs.latest(name)
    say(outcome(job))
    if job.state == "PENDING":
        return
    printed, code = _asked(jobs, job, ["status", name])
    if code and job.active:
        say("It prepares: no trial was begun yet.")
        return
    typer.echo(inert_but_coloured(printed), nl=False)
    if code:
        raise typer.Exit(code)


def _asked(jobs: "Jobs", job: "SweepJob", arguments: Sequence[str]) -> tuple[str, int]:
    """What `voxtune` with these arguments prints in the cluster, and its exit code."""
    from cluster.job_folder import fill_job_folder
    from tuner.submission import command_there

    with TemporaryDirectory(prefix="voxtune-job-") as folder:
        fill_job_folder(Path(folder))
        return jobs.ask(job.sweep, command_there(arguments, runs=job.runs), Path(folder))


def outcome(job: "SweepJob") -> str:
    """How a job is; where it failed, with the last that it printed."""
    said = f"{job.id}: {job.state.lower()}"
    if job.state == "FAILED":
        code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
        return "\n".join([f"{said}{code}", *job.message.strip().splitlines()[-OUTCOME_LINES:]])
    if job.state == "STOPPED":
        return f"{said}; go on by submitting it again"
    return said


def _follow(jobs: "Jobs", job: "SweepJob") -> None:
    """Show what a job prints until it ends, and end as it did; Ctrl-C ends the showing alone."""
    try:
        ended = jobs.follow(job, lambda text: typer.echo(inert_but_coloured(text), nl=False))
    except KeyboardInterrupt:
        raise SweepInterrupted(f"The job {job.id} goes on; end it by: voxtune stop {job.sweep}") from None
    if ended.state == "STOPPED":
        raise SweepInterrupted(outcome(ended))
    if ended.exit_code is None and ended.state == "FAILED":
        say(outcome(ended))
    raise typer.Exit(ended.exit_status)
