"""The command that trains configurations outside a search: one of them, or the best on every fold."""

from pathlib import Path
from typing import Annotated

import typer

from tuner.command_options import MODELS, RUNS, Address, Runs, Verbose
from tuner.terminal import console, say

app = typer.Typer()


@app.command(rich_help_panel=MODELS)
def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG|RUN",
            help="One configuration: best/config.yaml of a sweep, or your own. Or, with --folds, a sweep.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for model and scores: `model`, with --folds `folds`."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu, cuda or e.g. cuda:1; by default the configuration's.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default the configuration's.")] = None,
    folds: Annotated[
        str | None,
        typer.Option(metavar="all|N", help="Train on every fold, side by side on Ray, for the cross-validated Dice."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="With a RUN: so many of its best configurations; 1 by default.")
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Gather the best configuration's models of all folds as one.")
    ] = False,
    runs: Runs = RUNS,
    address: Address = None,
    verbose: Verbose = False,
) -> None:
    """Train one configuration to its full budget, without Ray; or the best ones of a sweep on every fold.

    With --folds what comes out lies in RUN/folds, or in the folder --output; the same command goes on after Ctrl-C.

    Examples:

      voxtune train runs/heart/best/config.yaml -o model

      voxtune train heart --folds all --top 3 --ensemble
    """
    from tuner.errors import SweepConfigError

    if folds is None:
        for name in (name for name, value in {"top": top, "ensemble": ensemble, "address": address}.items() if value):
            raise SweepConfigError(f"--{name}: goes with --folds; without it one configuration is trained here")
        _refuse_sweep(Path(what), runs)
        _train_one(Path(what), output or Path("model"), device=device, threads=threads)
        return

    from tuner.fold_request import folds_asked, plan_of_config, plan_of_run
    from tuner.view import View

    asked, view = folds_asked(folds), View(console)
    if Path(what).is_file():
        if top is not None:
            raise SweepConfigError(f"--top: {what} is one configuration; --top chooses among those of a RUN")
        plan = plan_of_config(
            Path(what), output or Path("folds"), folds=asked, device=device, threads=threads, view=view
        )
    else:
        own = {"output": output, "device": device, "threads": threads}
        for name in (name for name, value in own.items() if value is not None):
            raise SweepConfigError(
                f"--{name}: goes with a CONFIG; what comes of a RUN lies in its folder folds, and its sweep file says "
                "on what it is trained"
            )

        from tuner.directory import SweepDirectory

        plan = plan_of_run(SweepDirectory.find(what, runs), folds=asked, top=top or 1, view=view)

    from tuner.cross_validation_report import PAGE, cross_validation_table
    from tuner.fold_training import train_folds

    cross = train_folds(plan, view, ensemble=ensemble, address=address, verbose=verbose)
    console.print(cross_validation_table(cross))
    say(f"Cross-validation: {plan.output / PAGE}")
    if ensemble:
        say(f"Ensemble: {plan.output / 'ensemble'}")


def _train_one(config: Path, output: Path, *, device: str | None, threads: int | None) -> None:
    from tuner.train import train_config
    from tuner.view import View

    trained = train_config(config, output, device=device, threads=threads, view=View(console))
    say(f"Dice {trained.score:.4f}. In {output}: {', '.join(sorted(file.name for file in output.iterdir()))}")


def _refuse_sweep(what: Path, runs: Path) -> None:
    from tuner.directory import SweepDirectory
    from tuner.errors import SweepConfigError

    for directory in (SweepDirectory(what), SweepDirectory(runs / what)):
        if not what.is_file() and directory.sweep_file.is_file():
            raise SweepConfigError(
                f"{directory.root} is a sweep: --folds all trains its best configuration on every fold; to train it as "
                f"the sweep did, name {directory.best_config}"
            )
