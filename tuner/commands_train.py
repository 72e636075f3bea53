"""The command that trains configurations outside a search."""

from pathlib import Path
from typing import Annotated

import typer

from tuner.commands_model import PANEL
from tuner.terminal import console, say

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="One configuration: best/config.yaml of a sweep, or your own.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for model and scores.")] = Path("model"),
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu, cuda or e.g. cuda:1; by default the configuration's.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default the configuration's.")] = None,
) -> None:
    """Train one configuration to its full budget, without Ray."""
    from tuner.train import train_config
    from tuner.view import View

    trained = train_config(config, output, device=device, threads=threads, view=View(console))
    say(f"Dice {trained.score:.4f}. In {output}: {', '.join(sorted(file.name for file in output.iterdir()))}")
