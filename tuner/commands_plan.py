"""The command that says what a sweep will take."""

from pathlib import Path
from typing import Annotated

import typer

from tuner.command_options import RUNS, SWEEPS, Runs
from tuner.terminal import console, say

app = typer.Typer()


@app.command(rich_help_panel=SWEEPS)
def plan(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file.")],
    devices: Annotated[
        str, typer.Option(metavar="A,B,...", help="Numbers of GPUs or, on CPUs, of trials' shares of cores.")
    ] = "1,2,4,8,16,32",
    price: Annotated[float | None, typer.Option(min=0, help="Of a device's hour.")] = None,
    earlier: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Take an earlier sweep's times, instead of timing some.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Say how long a sweep will take on some devices, how many device-hours that is, and what they cost.

    Example:

      voxtune plan sweep.yaml --devices 8,16,32 --price 2.50
    """
    from tuner.config import SweepConfig
    from tuner.directory import SweepDirectory
    from tuner.number_list import whole_numbers
    from tuner.plan import expected, plan_table
    from tuner.trial_costs import earlier_costs, measured_costs
    from tuner.view import View

    counts = whole_numbers(devices, option="--devices")
    config = SweepConfig.read(sweep)
    if earlier:
        directory = SweepDirectory.find(earlier, runs=runs)
        costs = earlier_costs(config, directory)
        say(f"As {len(costs)} trials of {directory.name} took:")
    else:
        costs = measured_costs(config, View(console))
        say(f"As {len(costs)} configurations were timed on this machine:")
    console.print(plan_table([expected(config, costs, count) for count in counts], price=price))
