"""The command line: `voxtune COMMAND`.

Each command imports what it needs, so that `voxtune --help` loads neither torch nor Ray.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tuner.errors import USER_ERRORS, SweepFailed, SweepInterrupted

if TYPE_CHECKING:
    from tuner.results import Results

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Search the hyperparameters of 3D medical image segmentation.",
)
console = Console()

DICE_FILE = Path("dice.csv")

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Ray's and Optuna's messages too.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to run on, `auto` or HOST:PORT; by default Ray starts on this machine.")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A sweep's directory, or its name under runs/.")]


@app.command()
def new(
    dataset: Annotated[Path, typer.Argument(help="Folder with a Decathlon-style dataset.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sweep file to write.")] = Path("sweep.yaml"),
    name: Annotated[str | None, typer.Option(help="Of the sweep; the data set's by default.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Configurations to try.")] = 16,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="What four of five searches end within; 10, with GPUs 60.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Subject of a case, e.g. '(int(number) + 1) // 2': never on both sides.")
    ] = None,
    test_fraction: Annotated[float, typer.Option(min=0, max=0.9, help="Share of cases kept from the search.")] = 0.0,
) -> None:
    """Look at a data set and this machine, and write a sweep file to start from."""
    from tuner.draft import draft_sweep
    from tuner.errors import SweepDirectoryError
    from tuner.files import replace_file
    from tuner.view import View

    if output.exists():
        raise SweepDirectoryError(f"{output} exists already: nothing was written; choose another --output")
    view = View(console)
    with view.preparing():
        text = draft_sweep(
            dataset,
            name=name,
            trials=trials,
            minutes=minutes,
            group=group,
            test_fraction=test_fraction,
            relative_to=output.absolute().parent,
            progress=view.progress,
        )
    replace_file(output, lambda path: path.write_text(text))
    view.note(f"Wrote {output}. Look it over, then: voxtune run {output}")


@app.command()
def run(
    sweep: Annotated[Path, typer.Argument(help="The sweep file.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Instead of the file's search.trials.")] = None,
    name: Annotated[str | None, typer.Option(help="Instead of the file's name.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all sweeps.")] = Path("runs"),
    address: Address = None,
    confirm: Annotated[bool, typer.Option(help="Train the best few again with other seeds, then choose.")] = True,
    verbose: Verbose = False,
) -> None:
    """Run a sweep: search, confirm the best, report."""
    from tuner.config import SweepConfig

    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = name
    if trials is not None:
        changes["search"] = {"trials": trials}
    if not confirm:
        changes["confirm"] = {"top": 0}
    config = SweepConfig.read(sweep).changed(changes)

    from tuner.sweep import run_sweep
    from tuner.view import View

    results = run_sweep(config, runs=runs, address=address, view=View(console), verbose=verbose)
    _print_outcome(results, runs / config.name)


@app.command()
def resume(
    run: RunName,
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials in all, finished ones included.")] = None,
    address: Address = None,
    verbose: Verbose = False,
) -> None:
    """Go on with a sweep that was interrupted, or with more trials."""
    from tuner.directory import SweepDirectory

    directory = SweepDirectory.find(run)

    from tuner.sweep import resume_sweep
    from tuner.view import View

    results = resume_sweep(directory, trials=trials, address=address, view=View(console), verbose=verbose)
    _print_outcome(results, directory.root)


@app.command()
def report(run: RunName) -> None:
    """Write a sweep's report and its best configuration, at any time."""
    from tuner.directory import SweepDirectory
    from tuner.report import write_report

    files = write_report(SweepDirectory.find(run))
    console.print(f"Report: {files.markdown}", highlight=False, soft_wrap=True)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="One configuration: best/config.yaml of a sweep, or your own.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for model and scores.")] = Path("model"),
    device: Annotated[str | None, typer.Option(help="cpu or cuda; the machine's GPU by default.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; as in the sweep by default.")] = None,
) -> None:
    """Train one configuration, without Ray."""
    from tuner.train import train_config
    from tuner.view import View

    trained = train_config(config, output, device=device, threads=threads, view=View(console))
    console.print(f"Dice {trained.score:.4f}. Model: {output / 'model.pt'}", highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.pt.")],
    dataset: Annotated[Path, typer.Argument(help="Folder with a Decathlon-style dataset.json.")],
    cases: Annotated[
        Path | None, typer.Option(help="File naming the cases, one a line, or a split.json; all cases by default.")
    ] = None,
    part: Annotated[str, typer.Option(help="Which cases of a split.json: train, validation or test.")] = "validation",
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV file: Dice per case and class.")] = DICE_FILE,
) -> None:
    """Dice per case and class, in each case's own grid, as CSV and a summary."""
    from tuner.evaluate import evaluate_model
    from tuner.view import View

    view = View(console)
    with view.preparing():
        table = evaluate_model(model, dataset, cases=cases, part=part, output=output, progress=view.progress)
    console.print(table)
    console.print(f"Per case and class: {output}", highlight=False, soft_wrap=True)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model.pt.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="NIfTI images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the labels.")],
) -> None:
    """Label images: one NIfTI each, in the image's own grid."""
    from trainables.model_file import load_model
    from trainables.prediction import predict_files
    from tuner.view import View

    view = View(console)
    with view.preparing():
        outcome = predict_files(
            load_model(model), images, output, progress=lambda done, of: view.progress("Predicting", done, of)
        )
    for path, problem in outcome.failed.items():
        _complain(f"{path}: {problem}")
    console.print(f"{len(outcome.written)} of {len(images)} labels in {output}", highlight=False, soft_wrap=True)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def phantom(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the data set to.")],
    task: Annotated[str, typer.Option(help="heart, spleen or brain.")] = "heart",
    cases: Annotated[int, typer.Option(min=1)] = 12,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    size: Annotated[float, typer.Option(help="Voxels along each axis, as a factor: 0.25 to 4.")] = 1.0,
) -> None:
    """Generate a data set with organ-like labels, to try things on."""
    from trainables.phantom import write_phantom

    folder = write_phantom(output, task=task, cases=cases, seed=seed, size=size)
    console.print(f"Wrote {cases} cases to {folder}. Next: voxtune new {folder}", highlight=False, soft_wrap=True)


@app.command()
def download(
    task: Annotated[str, typer.Argument(help="A Decathlon task, e.g. Task09_Spleen.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to put the task's folder in.")] = Path(),
) -> None:
    """Fetch a Medical Segmentation Decathlon task, checked, going on where an interrupted download stopped."""
    from trainables.download import download_task
    from tuner.view import View

    view = View(console)
    with view.preparing():
        folder = download_task(task, output, progress=lambda done, of: view.progress("Downloading", done, of))
    console.print(f"{folder} is complete. Next: voxtune new {folder}", highlight=False, soft_wrap=True)


@app.command()
def doctor() -> None:
    """Say what this machine can do, and what is wrong with it."""
    from tuner.doctor import diagnose, doctor_table

    checks = diagnose(start_ray=True)
    console.print(doctor_table(checks))
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the sweep file's JSON schema, for editors."""
    from tuner.config import SweepConfig

    typer.echo(json.dumps(SweepConfig.model_json_schema(), indent=2))


def _print_outcome(results: "Results", directory: Path) -> None:
    """The leaderboard, and where the report lies."""
    from tuner.leaderboard import leaderboard

    console.print(leaderboard(results))
    console.print(f"Best configuration: {directory / 'best' / 'config.yaml'}", highlight=False, soft_wrap=True)
    console.print(f"Report: {directory / 'report' / 'report.md'}", highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line. Exit codes: 1 the work failed, 2 the input is wrong, 130 interrupted."""
    try:
        app()
    except USER_ERRORS as error:
        _complain(str(error))
        sys.exit(2)
    except SweepFailed as error:
        _complain(str(error))
        sys.exit(1)
    except SweepInterrupted as interruption:
        console.print(Text(str(interruption)), soft_wrap=True)
        sys.exit(130)
    except SystemExit as ending:
        if ending.code == 130:  # what Typer makes of Ctrl-C
            _complain("interrupted")
        raise


def _complain(message: str) -> None:
    Console(stderr=True).print(Text("error: ", style="red").append(message, style="default"), soft_wrap=True)


if __name__ == "__main__":
    main()
