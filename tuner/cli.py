"""The command line: `voxtune COMMAND`.

Each command imports what it needs, so that `voxtune --help` loads neither torch nor Ray.
"""

import errno
import sys
from typing import Annotated

import typer

from trainables.errors import PredictionError, TrainingError
from tuner import (
    commands_bundle,
    commands_cluster,
    commands_dashboard,
    commands_data,
    commands_logs,
    commands_model,
    commands_plan,
    commands_report,
    commands_slurm,
    commands_study,
    commands_sweep,
    commands_templates,
    commands_train,
    commands_watch,
)
from tuner.command_options import CLUSTERS, DATA
from tuner.errors import USER_ERRORS, SweepFailed, SweepInterrupted
from tuner.terminal import complain, say

REFUSALS = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EIO", "ENAMETOOLONG")}
"""What a system answers whose disk is full or broken, or whose files are others': no fault of ours, so no traceback."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for commands in (
    commands_sweep,
    commands_plan,
    commands_report,
    commands_watch,
    commands_dashboard,
    commands_logs,
    commands_slurm,
    commands_cluster,
    commands_train,
    commands_model,
    commands_bundle,
    commands_data,
):
    app.add_typer(commands.app)
app.add_typer(commands_templates.app, name="cluster", rich_help_panel=CLUSTERS)
app.add_typer(commands_study.app, name="study", rich_help_panel=DATA)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"voxtune {version('voxtune')}")
        raise typer.Exit


@app.callback()
def voxtune(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Search the hyperparameters of 3D medical image segmentation.

    Begin with: voxtune new DATASET, then: voxtune run sweep.yaml
    """


def main() -> None:
    """Run the command line. Exit codes: 1 the work failed, 2 the input is wrong, 130 interrupted."""
    try:
        app()
    except USER_ERRORS as error:
        complain(str(error))
        sys.exit(2)
    except (SweepFailed, TrainingError, PredictionError) as error:
        complain(str(error))
        sys.exit(1)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
        sys.exit(1)
    except SweepInterrupted as interruption:
        say(str(interruption))
        sys.exit(130)
    except SystemExit as ending:
        if ending.code == 130:  # what Typer makes of Ctrl-C
            complain("interrupted")
        raise


if __name__ == "__main__":
    main()
