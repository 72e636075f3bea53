"""The command that reports: one sweep, or several side by side."""

import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from tuner.command_options import RUN, RUNS, SWEEPS, Runs, sweep_names
from tuner.terminal import console, say

app = typer.Typer()


@app.command(rich_help_panel=SWEEPS)
def report(
    sweeps: Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN, autocompletion=sweep_names)],
    compare: Annotated[
        bool, typer.Option("--compare", help="Write a page that compares several sweeps, the first with the others.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page of --compare; compare.html by default.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of a device's hour, to say what it cost.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Write a sweep's report and its best configuration, at any time; or compare sweeps.

    Examples:

      voxtune report heart --price 2.50

      voxtune report --compare heart heart-2
    """
    from tuner.directory import SweepDirectory
    from tuner.errors import UserError

    if compare:
        from tuner.report_comparison import write_comparison

        files = write_comparison(
            [SweepDirectory.find(run, runs) for run in sweeps], output=output or Path("compare.html"), price=price
        )
        say(f"Comparison: {files.html}, {files.markdown}")
        return
    if output is not None:
        raise UserError("--output goes with --compare: a sweep's report lies in its directory")
    if len(sweeps) > 1:
        raise UserError(f"one RUN at a time, got {', '.join(sweeps)}; to compare them say --compare")

    from tuner.case_pictures import draw_here
    from tuner.report import write_report
    from tuner.results import read_results
    from tuner.view import View

    directory, view = SweepDirectory.find(sweeps[0], runs), View(console)
    results = read_results(directory)
    with view.preparing():
        undrawn = draw_here(directory, results, progress=lambda done, of: view.progress("Pictures of cases", done, of))
    if undrawn:
        say(f"No pictures of the best model's cases: {undrawn}")
    # The two that take longest import scikit-learn and torch: seconds each, on cores that wait otherwise.
    with ProcessPoolExecutor(2, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        written = write_report(directory, price=price, results=results, pool=pool)
    say(f"Report: {written.html}")
