"""A training step and an evaluation beside what MONAI's users write: the same network, patches, batch and threads.

    python benchmarks/training_step.py ../shared/data/Task04_Hippocampus --group '(int(number) + 1) // 2'

Steps, in turn, a few of each side a round:

    ours          `SegmentationRun`: draws patches, warps them, trains, averages the weights, looks at every loss
    bare          forward, backward and AdamW on one batch that lies in memory; the network laid out as torch does
    bare, ours    the same with the network laid out as ours is (`trainables.networks.place_network`)
    loader ...    bare, its batches from MONAI's cached cases by random crop, flip, scale and shift, which is less work
                  than our warps: DataLoader without and with workers, and ThreadDataLoader

Ratios are speeds, the median over the rounds, in which both sides ran one after another: 1.1 is a tenth faster. They
are of elapsed time and, where a side is one process on a CPU, of processor time too, which others on the machine
disturb less. On a GPU all sides run in its `auto` precision. All sides share a process, so that what ours sets for it
(`MemoryMeter`: freed memory is kept, 7 to 15 % of a step) is stock's gain too.

The evaluation is that of the validation cases by a network that was trained for some seconds on the smallest patches,
beside MONAI's sliding_window_inference and DiceMetric.

Prints tables; writes benchmarks/results/training_step-DATE-DEVICE.json.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import repeat
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, ThreadDataLoader
from stock.steps import Stock, batches, cached_cases, mean_dice, trains

from trainables.evaluation import score_cases, segment_cases
from trainables.losses import SegmentationLoss
from trainables.networks import build_network
from trainables.precision import resolve_precision
from trainables.protocol import Budget
from trainables.segmentation import SegmentationRun
from tuner.config import DatasetConfig, PreprocessingConfig, cache_folder
from tuner.environment import describe_environment
from tuner.preparation import Prepared, prepare

RESULTS = Path(__file__).parent / "results"
SIZES = (((24, 40, 24), 2), ((32, 48, 32), 4), ((40, 56, 40), 8))
"""Patch and batch, from the smallest to the largest of what `voxtune new` searches for this data set."""

CASES = 64
"""Training cases in MONAI's cache; a random crop costs the same of any."""

SLICE = 0.5
"""Seconds that a side trains in a round, about."""

TRAINED = 300
"""Steps of the network that is evaluated: enough to find both classes."""

TARGET = 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--group")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--evaluations", type=int, default=5)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepared = prepare(
        DatasetConfig(path=given.dataset.absolute(), group=given.group),
        PreprocessingConfig(),
        cache=cache_folder(None),
    )
    steps, evaluations = [], []
    for threads in given.threads:
        torch.set_num_threads(threads)
        for patch_size, batch_size in SIZES:
            run = our_run(prepared, patch_size, batch_size, threads, device)
            steps.append(compare_steps(run, prepared, patch_size, batch_size, given.rounds, device))
            steps[-1]["threads"] = threads
            print(step_table(steps[-1]), flush=True)
            if (patch_size, batch_size) == SIZES[0]:
                run._train(TRAINED)
                evaluations.append(compare_evaluations(run, prepared, given.evaluations, device))
                evaluations[-1]["threads"] = threads
                print(evaluation_table(evaluations[-1]), flush=True)
    found = {
        "dataset": given.dataset.name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "target": TARGET,
        "steps": steps,
        "evaluations": evaluations,
        "environment": {**describe_environment(), "command": command(given)},
    }
    name = "cpu" if device.type == "cpu" else torch.cuda.get_device_name().replace(" ", "-")
    file = RESULTS / f"training_step-{date.today().isoformat()}-{name}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    print(file)


def command(given: argparse.Namespace) -> str:
    """What was typed, without folders."""
    group = f" --group '{given.group}'" if given.group else ""
    threads = " ".join(map(str, given.threads))
    return (
        f"python benchmarks/training_step.py {given.dataset.name}{group} --threads {threads} --rounds {given.rounds} "
        f"--evaluations {given.evaluations}"
    )


def our_run(
    prepared: Prepared, patch_size: tuple[int, int, int], batch_size: int, threads: int, device: torch.device
) -> SegmentationRun:
    return SegmentationRun(
        {"patch_size": list(patch_size), "batch_size": batch_size},
        data=prepared.training_data(threads=threads),
        budget=Budget(unit="steps", maximum=10_000),
        seed=0,
        device=device.type,
    )


def compare_steps(
    run: SegmentationRun,
    prepared: Prepared,
    patch_size: tuple[int, int, int],
    batch_size: int,
    rounds: int,
    device: torch.device,
) -> dict[str, Any]:
    """Seconds a step of each side, and how fast ours is beside each other."""
    precision = resolve_precision("auto", device)

    def stock(*, laid_out: bool) -> Stock:
        network = build_network(run.network_config, device).train()
        if not laid_out:
            for parameter in network.parameters():
                parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        return Stock(network, SegmentationLoss("dice_ce", prepared.volumes.targets.regions), precision, device)

    batch = (
        torch.randn(batch_size, prepared.volumes.channels, *patch_size, device=device),
        torch.randint(0, len(prepared.volumes.targets.names) + 1, (batch_size, *patch_size), device=device).byte(),
    )
    sides: dict[str, Callable[[int], None]] = {
        "ours": lambda count: run._train(run.used + count),
        "bare": trains(stock(laid_out=False), repeat(batch)),
        "bare, ours": trains(stock(laid_out=True), repeat(batch)),
    }
    cached = cached_cases(prepared.dataset, prepared.split.train[:CASES], patch_size)
    shared: Mapping[str, Any] = {"batch_size": batch_size, "shuffle": True, "drop_last": True}
    loaders = {
        "loader, no workers": DataLoader(cached, num_workers=0, **shared),
        "loader, 2 workers": DataLoader(cached, num_workers=2, persistent_workers=True, **shared),
        "loader, thread": ThreadDataLoader(cached, num_workers=0, **shared),
    }
    for name, loader in loaders.items():
        sides[name] = trains(stock(laid_out=False), batches(loader))

    started = time.perf_counter()
    for _ in range(2):
        for side in sides.values():
            side(1)
    count = max(1, round(SLICE * 2 * len(sides) / (time.perf_counter() - started)))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sides if number % 2 else reversed(sides):
            elapsed, used = timed(partial(sides[name], count), device)
            seconds[name].append(elapsed / count)
            processor[name].append(used / count)
    if device.type == "cuda":
        processor.clear()
    processor.pop("loader, 2 workers", None)
    return {
        "patch_size": patch_size,
        "batch_size": batch_size,
        "seconds": {name: median(times) for name, times in seconds.items()},
        "processor_seconds": {name: median(times) for name, times in processor.items()},
        "each": seconds,
        "speed_of_ours": speeds(seconds),
        "speed_of_ours_in_processor_time": speeds(processor),
        "share_of_data": run._spent.data / run._spent.training,
    }


def speeds(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How many times as fast as each other side ours was."""
    return {
        name: median(other / ours for other, ours in zip(times, seconds["ours"], strict=True))
        for name, times in seconds.items()
        if name != "ours"
    }


def timed(action: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Elapsed and processor seconds."""
    started = time.perf_counter(), time.process_time()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def compare_evaluations(run: SegmentationRun, prepared: Prepared, repeats: int, device: torch.device) -> dict[str, Any]:
    """Seconds for all validation cases, and the mean Dice."""
    network, config, volumes = run._evaluated_network, run._config, prepared.volumes
    precision = resolve_precision("auto", device)
    names = list(prepared.split.validation)
    cases = [
        (torch.from_numpy(np.array(volumes[name].image, np.float32)), torch.from_numpy(np.array(volumes[name].label)))
        for name in names
    ]

    def ours() -> float:
        found = segment_cases(
            network,
            volumes,
            names,
            config=config,
            strides=run.network_config.strides,
            device=device,
            precision=precision,
            resident=run._resident,
        )
        scores = score_cases(found, volumes)
        return float(np.mean([list(case.values()) for case in scores.values()]))

    monai = partial(
        mean_dice,
        network,
        cases,
        patch_size=config.patch_size,
        classes=len(volumes.targets.names),
        precision=precision,
        device=device,
    )
    sides: dict[str, Callable[[], float]] = {
        "ours": ours,
        "monai, as in its tutorials": monai,
        "monai, blended as ours": partial(monai, overlap=config.overlap, mode="gaussian"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    dice = {name: side() for name, side in sides.items()}
    for _ in range(repeats):
        for name, side in sides.items():
            elapsed, used = timed(side, device)
            seconds[name].append(elapsed)
            processor[name].append(used)
    return {
        "cases": len(names),
        "voxels": sum(prod(volumes.shapes[name]) for name in names),
        "steps_trained": run.used,
        "seconds": {name: median(times) for name, times in seconds.items()},
        "processor_seconds": {name: median(times) for name, times in processor.items()},
        "each": seconds,
        "dice": dice,
    }


def step_table(row: Mapping[str, Any]) -> str:
    size = "x".join(map(str, row["patch_size"]))
    lines = [
        f"\nstep, {size} x {row['batch_size']}, {row['threads']} threads",
        f"{'':28}{'ms':>8}{'speed of ours':>16}{'processor ms':>16}{'speed of ours':>16}",
    ]
    for name, seconds in row["seconds"].items():
        used = row["processor_seconds"].get(name)
        ratios = [row[key].get(name) for key in ("speed_of_ours", "speed_of_ours_in_processor_time")]
        speed, of_processor = ("" if ratio is None else f"{ratio:.3f}" for ratio in ratios)
        lines.append(
            f"{name:28}{1e3 * seconds:8.1f}{speed:>16}{f'{1e3 * used:.1f}' if used else '':>16}{of_processor:>16}"
        )
    return "\n".join([*lines, f"batches are {row['share_of_data']:.1%} of our step"])


def evaluation_table(row: Mapping[str, Any]) -> str:
    lines = [
        f"\nevaluation of {row['cases']} cases after {row['steps_trained']:.0f} steps, {row['threads']} threads",
        f"{'':28}{'s':>8}{'processor s':>14}{'Dice':>9}",
    ]
    lines += [
        f"{name:28}{seconds:8.2f}{row['processor_seconds'][name]:14.2f}{row['dice'][name]:9.4f}"
        for name, seconds in row["seconds"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
