"""The command that shows a sweep that runs elsewhere."""

import typer

from tuner.command_options import RUNS, SWEEPS, RunName, Runs
from tuner.commands_sweep import print_outcome
from tuner.errors import SweepFailed, SweepInterrupted
from tuner.terminal import console

app = typer.Typer()


@app.command(rich_help_panel=SWEEPS)
def watch(run: RunName, runs: Runs = RUNS) -> None:
    """Show a sweep that runs in another process or on another machine, as `run` does, and end as it does.

    Ctrl-C ends the watching alone. Exit codes are those of `run`.

    Example:

      voxtune watch heart
    """
    from tuner.directory import SweepDirectory
    from tuner.failure import told_failure
    from tuner.results import read_results
    from tuner.view import View
    from tuner.watch import watch as watch_sweep

    directory = SweepDirectory.find(run, runs)
    try:
        ending = watch_sweep(directory, view=View(console))
    except KeyboardInterrupt:
        raise SweepInterrupted(f"The sweep {directory.name} goes on unwatched") from None
    go_on = f"go on by: voxtune resume {directory.root}"
    match ending:
        case "finished":
            print_outcome(read_results(directory), directory)
        case "failed":
            raise SweepFailed(told_failure(directory) or f"no trial gave a result; see {directory.root}")
        case "died":
            raise SweepFailed(f"the sweep's driver died; {go_on}")
        case "interrupted":
            raise SweepInterrupted(f"It was stopped; {go_on}")
