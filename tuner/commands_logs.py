"""`voxtune logs`: what a sweep's driver, its job on a cluster, or one of its trials wrote."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.command_options import RUNS, SWEEPS, RunName, Runs
from tuner.commands_cluster import is_dashboard, print_logs_of_job, print_trial_of_job
from tuner.errors import SweepDirectoryError, SweepInterrupted
from tuner.inert import inert_but_coloured

if TYPE_CHECKING:
    from tuner.directory import SweepDirectory

app = typer.Typer()

POLL_SECONDS = 1.0

LOOK_SECONDS = 30.0
"""Between two looks at the study while a trial's log does not grow: its end adds a line, if that can be written."""


@app.command(rich_help_panel=SWEEPS)
def logs(
    context: typer.Context,
    run: RunName,
    trial: Annotated[int | None, typer.Option(min=0, help="What this trial wrote, and how it ended.")] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Of those trials that confirm the best.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    runs: Runs = RUNS,
    address: Annotated[
        str | None,
        typer.Option(
            envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
            help="Of the cluster that the sweep was submitted to, http://HEAD:8265.",
        ),
    ] = None,
) -> None:
    """Show what a sweep, its job on a cluster, or one of its trials wrote.

    Examples:

      voxtune logs heart

      voxtune logs heart --trial 12 -f
    """
    if confirm and trial is None:
        raise typer.BadParameter("--confirm says of which trial, by --trial N")
    source = context.get_parameter_source("address")
    typed = source is not None and source.name == "COMMANDLINE"  # RAY_ADDRESS may be that of a cluster to connect to
    if address is not None and (typed or is_dashboard(address)):
        if trial is None:
            print_logs_of_job(run, address, follow=follow)
        elif follow:
            raise typer.BadParameter(
                "--follow with --trial is for a sweep of this machine; without --trial it follows the job"
            )
        else:
            print_trial_of_job(run, address, trial=trial, confirm=confirm)
        return

    from tuner.directory import SweepDirectory

    directory = SweepDirectory.find(run, runs)
    file = _driver_log(directory) if trial is None else _trial_log(directory, trial, confirm=confirm)
    if not follow:
        typer.echo(inert_but_coloured(file.read_text(encoding="utf-8", errors="replace")), nl=False)
        return
    try:
        for text in _followed(file, directory, trial, confirm=confirm):
            typer.echo(inert_but_coloured(text), nl=False)
    except KeyboardInterrupt:
        raise SweepInterrupted("") from None


def _driver_log(directory: "SweepDirectory") -> Path:
    """Raises SweepDirectoryError if no driver has written anything."""
    if not directory.log_file.is_file():
        raise SweepDirectoryError(f"sweep {directory.name} has no log (yet): {directory.log_file} is not there")
    return directory.log_file


def _trial_log(directory: "SweepDirectory", trial: int, *, confirm: bool) -> Path:
    """Raises SweepDirectoryError if the trial has written nothing."""
    from tuner.storage import CONFIRM, SWEEP

    study = CONFIRM if confirm else SWEEP
    file = directory.trial_log(study, trial)
    if not file.is_file():
        ends = (other.stem.removeprefix(f"{study}_") for other in file.parent.glob(f"{study}_*.txt"))
        numbers = sorted(int(end) for end in ends if end.isdecimal())
        there = f"{len(numbers)} have one, {numbers[0]} to {numbers[-1]}" if numbers else "nor has any other"
        raise SweepDirectoryError(f"--trial: trial {trial} of {directory.name} has no log (yet); {there}")
    return file


def _followed(file: Path, directory: "SweepDirectory", trial: int | None, *, confirm: bool) -> Iterator[str]:
    """What stands in `file`, then what is added, until the trial, or the driver, has ended."""
    from tuner.owner import read_owner

    ended = (lambda: False) if trial is None else _end_of(directory, trial, confirm=confirm)
    looked, over = -math.inf, False
    with file.open(encoding="utf-8", errors="replace") as opened:
        while True:
            text = opened.read()
            yield text
            if over:
                return
            owner = read_owner(directory.root)
            over = owner is None or not owner.alive
            if text or time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                over = over or ended()
            time.sleep(POLL_SECONDS)  # a trial's last line is written a moment after its end stands in the study


def _end_of(directory: "SweepDirectory", trial: int, *, confirm: bool) -> Callable[[], bool]:
    """Asks the study whether a trial has ended."""
    from tuner.reading import StudyReader
    from tuner.storage import CONFIRM, SWEEP

    reader = StudyReader(directory)

    def ended() -> bool:
        study = reader.study(CONFIRM if confirm else SWEEP)
        trials = [] if study is None else study.trials()
        return trial < len(trials) and trials[trial].state.is_finished()

    return ended
