"""The commands that bring data and look at the machine."""

from pathlib import Path
from typing import Annotated

import typer

from tuner.command_options import DATA
from tuner.terminal import console, say

app = typer.Typer()


@app.command(rich_help_panel=DATA)
def phantom(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the data set to.")],
    task: Annotated[str, typer.Option(metavar="TASK", help="heart, spleen or brain.")] = "heart",
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other anatomies.")] = 0,
    size: Annotated[float, typer.Option(help="Voxels along each axis, as a factor: 0.25 to 4.")] = 1.0,
) -> None:
    """Generate a data set with organ-like labels, to try things on.

    Example:

      voxtune phantom hearts --cases 20
    """
    from trainables.phantom import write_phantom
    from tuner.view import View

    view = View(console)
    with view.preparing():
        folder = write_phantom(
            output,
            task=task,
            cases=cases,
            seed=seed,
            size=size,
            progress=lambda done, of: view.progress("Writing cases", done, of),
        )
    say(f"Wrote {cases} case{'s' * (cases != 1)} to {folder}. Next: voxtune new {folder}")


@app.command(rich_help_panel=DATA)
def download(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A Decathlon task, e.g. Task09_Spleen.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to put the task's folder in.")] = Path(),
) -> None:
    """Fetch a Medical Segmentation Decathlon task, checked, going on where an interrupted download stopped.

    Example:

      voxtune download Task09_Spleen -o data
    """
    from trainables.download import download_task
    from tuner.view import View

    view = View(console)
    with view.preparing():
        folder = download_task(task, output, progress=lambda done, of: view.progress("Downloading", done, of))
    say(f"{folder} is complete. Next: voxtune new {folder}")


@app.command(rich_help_panel=DATA)
def doctor() -> None:
    """Say what this machine can do, and what is wrong with it.

    Example:

      voxtune doctor
    """
    from tuner.doctor import diagnose, doctor_table

    checks = diagnose(start_ray=True)
    console.print(doctor_table(checks))
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(1)
