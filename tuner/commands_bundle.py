"""The command that makes a MONAI Bundle of a model."""

from pathlib import Path
from typing import Annotated

import typer

from tuner.command_options import MODELS, RUNS, Runs
from tuner.terminal import say

app = typer.Typer()


@app.command(rich_help_panel=MODELS)
def bundle(
    source: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="A sweep, whose best model is taken, or a model.pt.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle; it must not exist.")],
    dataset: Annotated[
        Path | None,
        typer.Option(help="Folder whose dataset.json tells name, licence and reference of the training data."),
    ] = None,
    authors: Annotated[str | None, typer.Option(metavar="NAMES", help="Who answers for the bundle.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Make a MONAI Bundle of a model: MONAI's own tools run it, without voxtune.

    Example:

      voxtune bundle runs/hippocampus -o hippocampus_bundle
    """
    from tuner.bundle import write_bundle
    from tuner.bundle_source import find_source
    from tuner.files import check_output

    check_output(output)
    written = write_bundle(find_source(source, runs=runs, dataset=dataset), output, authors=authors)
    say(f"In {output}: {', '.join(sorted({path.relative_to(output).parts[0] for path in written}))}")
    say("Label images there by: python -m monai.bundle run --config_file configs/inference.json --images \"['IMAGE']\"")
