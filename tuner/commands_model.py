"""The commands around one model: score it, use it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tuner.command_options import DATASET, MODELS
from tuner.terminal import complain, console, say

app = typer.Typer()

SCORES_FILE = Path("scores.csv")

Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="cpu, cuda or e.g. cuda:1; by default the GPU if there is one.")
]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model.pt, or a folder of models (*.pt) to average: an ensemble.")
]
Flips = Annotated[
    str,
    typer.Option(
        metavar="AXES",
        help="Average over images mirrored along these axes, letters of xyz (x: left-right); each doubles the time. "
        "For models trained with such flips; never x where left and right are classes of their own.",
    ),
]


@app.command(rich_help_panel=MODELS)
def evaluate(
    model: ModelFile,
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help=DATASET)],
    cases: Annotated[
        Path | None, typer.Option(help="File naming the cases, one a line, or a split.json; all cases by default.")
    ] = None,
    part: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(help="Which cases of a split.json; validation by default."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV file: scores per case and class.")] = SCORES_FILE,
    surface: Annotated[bool, typer.Option(help="Compare surfaces too: NSD and HD95.")] = True,
    tolerance: Annotated[
        float,
        typer.Option(metavar="MM", min=0, help="By how much surfaces may differ in NSD. The Decathlon has one a task."),
    ] = 1.0,
    flips: Flips = "",
    device: Device = None,
) -> None:
    """Dice and surface distances per case and class, in each case's own grid, as CSV and a summary.

    Dice is 1 where a class is rightly left out, 0 where it is in label or prediction only.

    NSD, the normalised surface Dice, is the share of both surfaces that lies within the tolerance of the other.

    HD95 is the 95th percentile of the distances between them, in mm.

    Examples:

      voxtune evaluate runs/heart/best/model.pt Task02_Heart --cases runs/heart/split.json --part test

      voxtune evaluate models/ Task09_Spleen --tolerance 3 --flips yz
    """
    from tuner.evaluate import dice_table, evaluate_model, surface_table
    from tuner.view import View

    view = View(console)
    failed: list[str] = []
    with view.preparing():
        scores = evaluate_model(
            model,
            dataset,
            cases=cases,
            part=part,
            output=output,
            device=device,
            flips=flips,
            tolerance=tolerance if surface else None,
            progress=view.progress,
            tell=view.note,
            on_failure=failed.append,
        )
    for problem in failed:
        complain(problem)
    if len(scores):
        console.print(dice_table(scores))
        if surface:
            console.print()
            console.print(surface_table(scores, tolerance=tolerance))
        say(f"Per case and class: {output}")
    if failed:
        raise typer.Exit(1)


@app.command(rich_help_panel=MODELS)
def predict(
    model: ModelFile,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="NIfTI images, folders of them, or a data set: a folder with a dataset.json, a CSV file.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the labels, named as their images.")],
    flips: Flips = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace labels that are there already.")] = False,
    device: Device = None,
) -> None:
    """Label images: one NIfTI each, in the image's own grid.

    Examples:

      voxtune predict runs/heart/best/model.pt patient.nii.gz -o labels

      voxtune predict models/ Task09_Spleen/imagesTs -o labels --flips yz

      voxtune predict model.pt patient_0000.nii.gz patient_0001.nii.gz -o labels     # two channels of one image
    """
    from trainables.image_files import find_images
    from trainables.model_file import load_models
    from trainables.prediction import predict_files
    from tuner.view import View

    models = load_models(model)
    images = find_images(inputs, modalities=models[0].modalities)
    view = View(console)
    with view.preparing():
        outcome = predict_files(
            models,
            images,
            output,
            device=device,
            flips=flips,
            overwrite=overwrite,
            progress=lambda done, of: view.progress("Predicting", done, of),
            tell=lambda text: view.note(f"warning: {text}"),
        )
    for image, problem in outcome.failed.items():
        complain(f"{image}: {problem}")
    say(f"{len(outcome.written)} of {len(images)} images labelled: {output}")
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)
