"""What several commands of the command line share: the panels of its help, options, and how sweeps are named."""

from pathlib import Path
from typing import Annotated

import typer

SWEEPS, CLUSTERS, MODELS, DATA = "Sweeps", "Clusters", "Models", "Data and machine"
"""The panels in which `voxtune --help` shows the commands."""

DATASET = "Folder in the layout of the Decathlon or of nnU-Net (dataset.json), or a CSV file of cases."

RUN = "A sweep's directory, or its name in the folder --runs."

RUNS = Path("runs")


def sweep_names(context: typer.Context, incomplete: str) -> list[str]:
    """What the Tab key offers for RUN: the sweeps in the folder `--runs`."""
    folder = Path(context.params.get("runs") or RUNS)
    names = [file.parent.name for file in folder.glob("*/sweep.yaml")]
    return sorted(name for name in names if name.startswith(incomplete))


RunName = Annotated[str, typer.Argument(metavar="RUN", help=RUN, autocompletion=sweep_names)]
Runs = Annotated[Path, typer.Option(help="Folder of all sweeps.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to run on, `auto` or HOST:PORT; by default Ray starts on this machine.")
]
Confirm = Annotated[bool, typer.Option(help="Train the best few again with other seeds, then choose.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Ray's and Optuna's messages too.")]
