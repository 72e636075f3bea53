"""The commands around a sweep: write its file, run it, go on with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.command_options import DATASET, RUNS, SWEEPS, Address, Confirm, RunName, Runs, Verbose
from tuner.commands_cluster import is_dashboard, print_status_of_job, resume_job
from tuner.terminal import console, say

if TYPE_CHECKING:
    from tuner.directory import SweepDirectory
    from tuner.results import Results

app = typer.Typer()


@app.command(rich_help_panel=SWEEPS)
def new(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help=DATASET)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sweep file to write.")] = Path("sweep.yaml"),
    name: Annotated[str | None, typer.Option(help="Of the sweep; the data set's by default.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Configurations to try.")] = 16,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="What four of five searches end within; 10, with GPUs 60.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Search the ready-made space of a Decathlon task, e.g. hippocampus.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Deal the cases into so many; 5, or fewer for few cases.")] = None,
    fold: Annotated[int, typer.Option(help="The fold that validates, counted from 0.")] = 0,
    held_out: Annotated[float | None, typer.Option(help="Share of the cases that validates, instead of folds.")] = None,
    test_fraction: Annotated[float, typer.Option(help="Share of the cases that the search never sees.")] = 0.0,
    group: Annotated[
        str | None,
        typer.Option(help="Whose a case is, e.g. '(int(number) + 1) // 2': kept on one side of the split."),
    ] = None,
    groups_file: Annotated[
        Path | None, typer.Option(help="The same as a CSV file with the columns case,group.")
    ] = None,
    split_seed: Annotated[int, typer.Option(help="Another seed deals the cases otherwise.")] = 0,
) -> None:
    """Look at a data set and this machine, and write a sweep file to start from.

    Examples:

      voxtune new Task04_Hippocampus --group '(int(number) + 1) // 2'

      voxtune new Task02_Heart --preset heart --trials 50 --minutes 240 -o heart.yaml

      voxtune new nnUNet_raw/Dataset005_Prostate --test-fraction 0.2

      voxtune new cases.csv     # columns image (or image_T1, image_T2, ...), label and, if you have it, group
    """
    from trainables.layouts import read_dataset
    from tuner.files import check_output, write_text

    read_dataset(dataset)  # before the output: what was typed wrong is complained of first
    check_output(output)

    from tuner.draft import draft_sweep
    from tuner.view import View

    view = View(console)
    with view.preparing():
        text = draft_sweep(
            dataset,
            name=name,
            trials=trials,
            minutes=minutes,
            preset=preset,
            folds=folds,
            fold=fold,
            held_out=held_out,
            test_fraction=test_fraction,
            group=group,
            groups_file=groups_file,
            split_seed=split_seed,
            relative_to=output.absolute().parent,
            progress=view.progress,
            tell=view.note,
        )
    write_text(output, text)
    say(f"Wrote {output}. Look it over, then: voxtune run {output}")


@app.command(rich_help_panel=SWEEPS)
def run(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Instead of the file's search.trials.")] = None,
    name: Annotated[str | None, typer.Option(help="Instead of the file's name.")] = None,
    runs: Runs = RUNS,
    address: Address = None,
    confirm: Confirm = True,
    join: Annotated[
        bool, typer.Option("--join", help="Help with the sweep of this name that another driver began in `storage`.")
    ] = False,
    earlier: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="RUN", help="Try the best configurations of this earlier sweep first."),
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--continue", help="If the sweep was begun already, go on with it as `resume` does.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Run a sweep: search, confirm the best, report.

    Exit codes: 0 it finished; 1 no trial gave a result, or it could not go on; 2 something in the input is wrong and
    nothing was started; 130 it was stopped by Ctrl-C or SIGTERM, and `resume` goes on.

    Examples:

      voxtune run sweep.yaml

      voxtune run sweep.yaml --name heart-2 --from heart

      voxtune run sweep.yaml --address auto
    """
    from tuner.config import SweepConfig

    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = name
    if trials is not None:
        changes["search"] = {"trials": trials}
    if not confirm:
        changes["confirm"] = {"top": 0}
    config = SweepConfig.read(sweep).changed(changes)

    from tuner.directory import SweepDirectory

    directory = SweepDirectory(runs / config.name)
    if go_on and directory.sweep_file.is_file():
        # By its path: the name alone could be that of a folder here.
        resume(str(directory.root), trials=trials, address=address, confirm=confirm, verbose=verbose)
        return

    from tuner.sweep import run_sweep
    from tuner.view import View

    results = run_sweep(
        config,
        runs=runs,
        address=address,
        join=join,
        earlier=[SweepDirectory.find(run, runs) for run in earlier or ()],
        view=View(console),
        verbose=verbose,
    )
    print_outcome(results, directory)


@app.command(rich_help_panel=SWEEPS)
def resume(
    run: RunName,
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials in all, finished ones included.")] = None,
    minutes: Annotated[float | None, typer.Option(help="How long a search in all, the time so far included.")] = None,
    runs: Runs = RUNS,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to run on, as for `run`; or, for a sweep that was submitted, http://HEAD:8265."),
    ] = None,
    confirm: Confirm = True,
    verbose: Verbose = False,
) -> None:
    """Go on with a sweep that was interrupted, or for longer.

    Examples:

      voxtune resume heart

      voxtune resume heart --trials 32
    """
    if address is not None and is_dashboard(address):
        resume_job(run, address, trials=trials, minutes=minutes, confirm=confirm)
        return

    from tuner.directory import SweepDirectory

    directory = SweepDirectory.find(run, runs)

    from tuner.sweep import resume_sweep
    from tuner.view import View

    results = resume_sweep(
        directory, trials=trials, minutes=minutes, confirm=confirm, address=address, view=View(console), verbose=verbose
    )
    print_outcome(results, directory)


@app.command(rich_help_panel=SWEEPS)
def status(
    run: RunName,
    runs: Runs = RUNS,
    address: Annotated[
        str | None, typer.Option(help="Of the cluster that the sweep was submitted to, http://HEAD:8265.")
    ] = None,
) -> None:
    """Say how a sweep is doing, while it runs or after it stopped.

    Example:

      voxtune status heart
    """
    if address is not None:
        print_status_of_job(run, address)
        return

    from tuner.directory import SweepDirectory
    from tuner.status import read_status, status_lines, unfinished_trials

    found = read_status(SweepDirectory.find(run, runs))
    for line in status_lines(found):
        say(line)
    if found.search.running or found.search.interrupted:
        console.print()
        console.print(unfinished_trials(found))


@app.command(rich_help_panel=SWEEPS)
def schema() -> None:
    """Print the sweep file's JSON schema, for editors.

    Example:

      voxtune schema > sweep.schema.json
    """
    from tuner.editor_schema import editor_schema

    typer.echo(json.dumps(editor_schema(), indent=2))


def print_outcome(results: "Results", directory: "SweepDirectory") -> None:
    """The leaderboard, what the time went into, and where the report lies."""
    from tuner.leaderboard import leaderboard
    from tuner.report_answer import ahead
    from tuner.report_time import time_line

    console.print(leaderboard(results))
    if told := ahead(results):
        say(told)
    if line := time_line(results):
        say(f"{line}; {directory.gib():.2g} GiB on disk")
    for what, path in (("Best configuration", directory.best_config), ("Report", directory.report_page)):
        if path.is_file():  # a disk may have been full
            say(f"{what}: {path}")
