"""The studies that voxtune makes on one's own data and devices: `voxtune study ...`."""

from pathlib import Path
from typing import Annotated

import typer

from tuner.command_options import Address
from tuner.terminal import console, say

app = typer.Typer(no_args_is_help=True)


@app.callback()
def study() -> None:
    """Measure on your own data and device what is worth it."""


@app.command()
def amp(
    dataset: Annotated[
        Path | None, typer.Option(help="Folder or CSV file of a data set to train on; by default a generated heart.")
    ] = None,
    network: Annotated[str | None, typer.Option(help="unet3d, compact_unet, residual_unet or dynunet.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels of its first level.")] = None,
    patch: Annotated[str | None, typer.Option(metavar="A,B,...", help="Patch sizes, such as 128,160.")] = None,
    batch: Annotated[str | None, typer.Option(metavar="A,B,...", help="Batch sizes, such as 2,4,8.")] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="fp32 and those to compare with it: tf32, fp16, bf16.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Of the learning curves.")] = None,
    steps: Annotated[int | None, typer.Option(min=6, help="Of a learning curve.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Of training of each of the largest networks.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default the GPU if there is one.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default all cores.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("amp-study"),
) -> None:
    """Mixed precision against fp32: time of a step, memory, learning curves, the largest network in the same memory.

    The sizes are those of the first study of the kind on a GPU, and small ones that end in two minutes on a CPU.

    Example:

      voxtune study amp --patch 128 --batch 2,4,8
    """
    from tuner.amp_command import study_amp
    from tuner.view import View

    page = study_amp(
        output,
        dataset=dataset,
        device=device,
        threads=threads,
        view=View(console),
        network=network,
        width=width,
        patches=patch,
        batches=batch,
        precisions=precision,
        seeds=seeds,
        steps=steps,
        seconds=seconds,
    )
    say(f"Wrote {page}, with its tables as CSV, its pictures, and study.json")


@app.command()
def parallelism(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file.")],
    devices: Annotated[
        str, typer.Option(metavar="A,B,...", help="Numbers of devices; more than are at hand are modelled.")
    ] = "1,2,4,8,16,32",
    trials: Annotated[int, typer.Option(min=2, help="Of each search.")] = 32,
    repetitions: Annotated[int, typer.Option(min=1, help="Of each search.")] = 1,
    address: Address = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("parallelism-study"),
) -> None:
    """A trial on each device, or several devices on one trial: the same trials both ways, measured and modelled.

    Each way is a search of its own, with and without early stopping. What was broken off goes on when the command is
    given again.

    Example:

      voxtune study parallelism sweep.yaml --devices 1,2,4,8
    """
    from tuner.config import SweepConfig
    from tuner.number_list import whole_numbers
    from tuner.parallelism_command import study_parallelism
    from tuner.view import View

    page = study_parallelism(
        SweepConfig.read(sweep),
        output,
        devices=whole_numbers(devices, option="--devices"),
        trials=trials,
        repetitions=repetitions,
        address=address,
        view=View(console),
    )
    say(f"Wrote {page}, with its picture, ways.csv and study.json")
