"""The commands around one model: score it, use it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tuner.terminal import complain, console, say

app = typer.Typer()

PANEL = "Models"

DICE_FILE = Path("dice.csv")

Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="cpu, cuda or e.g. cuda:1; by default the GPU if there is one.")
]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A model.pt.")]


@app.command(rich_help_panel=PANEL)
def evaluate(
    model: ModelFile,
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder with a Decathlon-style dataset.json.")],
    cases: Annotated[
        Path | None, typer.Option(help="File naming the cases, one a line, or a split.json; all cases by default.")
    ] = None,
    part: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(help="Which cases of a split.json; validation by default."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV file: Dice per case and class.")] = DICE_FILE,
    device: Device = None,
) -> None:
    """Dice per case and class, in each case's own grid, as CSV and a summary."""
    from tuner.evaluate import dice_table, evaluate_model
    from tuner.view import View

    view = View(console)
    with view.preparing():
        scores = evaluate_model(
            model,
            dataset,
            cases=cases,
            part=part,
            output=output,
            device=device,
            progress=view.progress,
            tell=view.note,
        )
    console.print(dice_table(scores))
    say(f"Per case and class: {output}")


@app.command(rich_help_panel=PANEL)
def predict(
    model: ModelFile,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="NIfTI images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the labels.")],
    device: Device = None,
) -> None:
    """Label images: one NIfTI each, in the image's own grid."""
    from trainables.model_file import load_model
    from trainables.prediction import predict_files
    from tuner.view import View

    view = View(console)
    with view.preparing():
        outcome = predict_files(
            load_model(model),
            images,
            output,
            device=device,
            progress=lambda done, of: view.progress("Predicting", done, of),
        )
    for path, problem in outcome.failed.items():
        complain(f"{path}: {problem}")
    say(f"{len(outcome.written)} of {len(images)} labels in {output}")
    if outcome.failed:
        raise typer.Exit(1)
