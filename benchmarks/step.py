"""A training step on a GPU: ours beside a plain loop and MONAI's fast recipe, on the same network, volumes and patches.

    python benchmarks/step.py [--minutes 8] [--out FOLDER]

Sides:

    ours          `SegmentationRun` in the precision and layout that its own check chooses: volumes on the device, crops
                  and flips there, drawn ahead, the step replayed as one CUDA graph, running average of the weights
    plain         forward, backward and AdamW in fp16 with autocast and GradScaler, on one batch that lies on the device
    compiled      `plain` with its network compiled by torch.compile, in the first cells alone: it takes long to begin
    fp32          `plain` without autocast, TF32 off
    monai         MONAI's fast-training tutorial: cases cached on the device with their foreground, random crops and
                  flips there, ThreadDataLoader without workers, fp16 autocast, GradScaler, AdamW

Cells come in order of importance, and the result file is written after each, so that a call that is cut short leaves
those that matter. A cell that does not fit is a result. Steps and patches a second are medians of rounds in which the
sides follow one another. The share of the peak is of what an 8192-cube half-precision product reaches on the device.
On a CPU (`--tiny` sizes) it shows that the script runs, and claims nothing.
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
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, ThreadDataLoader, set_track_meta
from monai.transforms import Compose, EnsureTyped, FgBgToIndicesd, RandCropByPosNegLabeld, RandFlipd
from stock.steps import Stock, batches, trains
from training_step import timed

from trainables.levels import level_strides
from trainables.losses import SegmentationLoss
from trainables.memory_errors import is_out_of_memory
from trainables.network_config import NetworkConfig
from trainables.networks import build_network
from trainables.normalisation import ChannelNormalisation
from trainables.precision import resolve_precision
from trainables.precision_check import check_precisions
from trainables.preprocessing import PreprocessingPlan
from trainables.protocol import Budget
from trainables.segmentation import SegmentationRun
from trainables.targets import Targets
from trainables.volume_store import Volume, Volumes, VolumeWriter
from trainables.work import training_step_flops
from tuner.environment import describe_environment

RESULTS = Path(__file__).parent / "results"
NETWORKS: dict[str, dict[str, Any]] = {
    "unet3d": {"network": "unet3d", "width": 32, "levels": 4},
    "monai unet 16-256": {"network": "residual_unet", "width": 16, "levels": 5},
    "monai unet 32-512": {"network": "residual_unet", "width": 32, "levels": 5},
    "dynunet 32-320": {"network": "dynunet", "width": 32, "levels": 5},
}
CELLS = (
    ("unet3d", 128, 2),
    ("monai unet 16-256", 128, 2),
    ("monai unet 16-256", 96, 2),
    ("monai unet 32-512", 128, 2),
    ("dynunet 32-320", 128, 2),
    ("unet3d", 96, 2),
    ("monai unet 16-256", 128, 8),
    ("dynunet 32-320", 96, 2),
    ("monai unet 32-512", 96, 2),
    ("unet3d", 128, 8),
    ("dynunet 32-320", 128, 8),
    ("unet3d", 160, 2),
    ("monai unet 16-256", 160, 2),
    ("dynunet 32-320", 160, 2),
    ("monai unet 32-512", 128, 8),
    ("unet3d", 160, 8),
)
"""Network, patch and batch: those of the targets first."""

COMPILED_CELLS = 2
"""In so many cells the compiled network is measured too."""

COMPILER = "inductor"

TINY = (("monai unet 16-256", 32, 2), ("dynunet 32-320", 32, 2))
CASES = 6
ROUNDS = 5
SECONDS = 1.0
"""That a side trains in a round, about."""

PLAN = PreprocessingPlan(spacing=(1.0, 1.0, 1.0), normalisation=(ChannelNormalisation(kind="zscore"),))
TARGETS = Targets(names=("organ",), members=((1,),), regions=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="begin no cell after this time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--tiny", action="store_true", help="two small cells: shows that all works")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ends = time.monotonic() + 60 * given.minutes
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / f"step-{date.today().isoformat()}-{name.replace(' ', '-')}.json"
    found: dict[str, Any] = {
        "device": name,
        "peak_flops": measured_peak(device, 1024 if given.tiny else 8192),
        "cells": [],
        "environment": {**describe_environment(), "command": f"python benchmarks/step.py --minutes {given.minutes:g}"},
    }
    print(f"{name}: {found['peak_flops'] / 1e12:.1f} TFLOP/s in a half-precision product", flush=True)
    with TemporaryDirectory() as folder:
        volumes = write_volumes(Path(folder), side=48 if given.tiny else 192)
        for index, (network, patch, batch) in enumerate(TINY if given.tiny else CELLS):
            if time.monotonic() > ends:
                print(f"left out for time: from {network}, {patch}, {batch} on")
                break
            compiled = index < COMPILED_CELLS and not given.tiny
            cell = compare(volumes, network, patch, batch, device, found["peak_flops"], compiled=compiled)
            found["cells"].append(cell)
            print(line(found["cells"][-1]), flush=True)
            if not given.tiny:
                file.write_text(json.dumps(found, indent=1) + "\n")
    if not given.tiny:
        print(file)


def measured_peak(device: torch.device, size: int) -> float:
    """FLOP/s of a product of two half-precision matrices (on a CPU of single precision)."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        elapsed, _ = timed(lambda: a @ b, device)
        best = min(best, elapsed)
    return 2 * size**3 / best


def write_volumes(folder: Path, *, side: int) -> Volumes:
    """Noise around a bright ball, of `side` voxels along each axis."""
    rng = np.random.default_rng(0)
    grid = np.indices((side,) * 3)
    with VolumeWriter(folder) as writer:
        for number in range(CASES):
            centre = rng.uniform(0.35, 0.65, (3, 1, 1, 1)) * side
            label = (((grid - centre) ** 2).sum(0) < (side / 5) ** 2).astype(np.uint8)
            image = (rng.standard_normal(label.shape, np.float32) + label)[None].astype(np.float16)
            voxels = np.argwhere(label).astype(np.int32)
            writer.add(f"case{number}", Volume(image, label, (voxels[rng.permutation(len(voxels))[:5000]],)))
        writer.finish(plan=PLAN, targets=TARGETS, modalities=["made up"])
    return Volumes(folder)


def compare(
    volumes: Volumes, network: str, patch: int, batch: int, device: torch.device, peak: float, *, compiled: bool = False
) -> dict[str, Any]:
    """Seconds a step of each side, and what follows from them."""
    size = (patch, patch, patch)
    config = NetworkConfig(
        architecture=NETWORKS[network]["network"],
        in_channels=1,
        out_channels=2,
        width=NETWORKS[network]["width"],
        levels=NETWORKS[network]["levels"],
        strides=level_strides(NETWORKS[network]["levels"], PLAN.spacing),
        normalisation="batch",
    )
    makers: dict[str, Callable[[], Callable[[int], None]]] = {
        "ours": partial(ours, volumes, network, config, size, batch, device),
        "plain": partial(plain, config, size, batch, device, half=True),
        "fp32": partial(plain, config, size, batch, device, half=False),
        "monai": partial(monai, volumes, config, size, batch, device),
    }
    if compiled:
        makers["compiled"] = partial(plain, config, size, batch, device, half=True, compiled=True)
    seconds, first, peaks, failures, formats = {}, {}, {}, {}, {}
    for name, make in makers.items():  # one after another: together they would not fit
        try:
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            side = make()
            formats[name] = getattr(side, "formats", None)
            first[name], _ = timed(partial(side, 1), device)
            seconds[name] = measure(side, device)
            if device.type == "cuda":
                peaks[name] = torch.cuda.max_memory_allocated() / 2**30
        except RuntimeError as error:
            failures[name] = "out of memory" if is_out_of_memory(error) else str(error).splitlines()[0]
        side = None  # type: ignore[assignment]
    flops = training_step_flops(config, size, batch)
    return {
        "network": network,
        "patch": patch,
        "batch": batch,
        "step_seconds": {name: median(times) for name, times in seconds.items()},
        "each": seconds,
        "first_step_seconds": first,
        "patches_per_second": {name: batch / median(times) for name, times in seconds.items()},
        "speed_of_ours": {
            name: median(times) / median(seconds["ours"])
            for name, times in seconds.items()
            if "ours" in seconds and name != "ours"
        },
        "share_of_peak": {name: flops / median(times) / peak for name, times in seconds.items()},
        "peak_gib": peaks,
        "failures": failures,
        "formats": formats.get("ours"),
    }


class Ours:
    """Trains a SegmentationRun by so many steps."""

    def __init__(self, run: SegmentationRun, formats: Mapping[str, Any]) -> None:
        self.run = run
        self.formats = {**formats, "no graph": getattr(run._train_by, "failure", None)}

    def __call__(self, count: int) -> None:
        self.run._train(self.run.used + count)


def ours(
    volumes: Volumes, network: str, config: NetworkConfig, size: tuple[int, int, int], batch: int, device: torch.device
) -> Ours:
    """As a trial trains, its precision checked first as a sweep does."""
    check = check_precisions(config, patch_size=size, batch_size=batch, device=device)
    chosen = check.chosen
    formats = {"precision": chosen.precision, "memory_format": check.layouts} if chosen else {}
    run = SegmentationRun(
        {
            **NETWORKS[network],
            "normalisation": "batch",
            "patch_size": list(size),
            "batch_size": batch,
            "flips": "xyz",
            "tilt": 0.0,
            "zoom": 0.0,
            "noise": 0.0,
            "intensity_scale": 0.0,
            "intensity_shift": 0.0,
        },
        data={
            "volumes": str(volumes.folder),
            "train": volumes.names,
            "validation": volumes.names[:1],
            "formats": {check.device: formats} if formats else {},
        },
        budget=Budget(unit="steps", maximum=10_000),
        seed=0,
        device=device.type,
    )
    return Ours(run, formats)


def stock(config: NetworkConfig, device: torch.device, *, half: bool, compiled: bool = False) -> Stock:
    network = build_network(config, device, memory_format="contiguous").train()
    if compiled:
        network.compile(backend=COMPILER)
    precision = resolve_precision("fp16" if half and device.type == "cuda" else "fp32", device)
    return Stock(network, SegmentationLoss("dice_ce", False), precision, device)


def plain(
    config: NetworkConfig, size: Sequence[int], batch: int, device: torch.device, *, half: bool, compiled: bool = False
) -> Callable[[int], None]:
    image = torch.randn(batch, 1, *size, device=device)
    label = torch.randint(0, 2, (batch, *size), device=device).byte()
    return trains(stock(config, device, half=half, compiled=compiled), repeat((image, label)))


def monai(
    volumes: Volumes, config: NetworkConfig, size: Sequence[int], batch: int, device: torch.device
) -> Callable[[int], None]:
    """The recipe of MONAI's fast_training_tutorial, `batch` crops from one case after another."""
    set_track_meta(False)
    cases = [
        {
            "image": torch.from_numpy(np.array(volumes[name].image, np.float32)),
            "label": torch.from_numpy(np.array(volumes[name].label))[None],
        }
        for name in volumes.names
    ]
    keys = ("image", "label")
    each = Compose(
        [
            FgBgToIndicesd("label", fg_postfix="_fg", bg_postfix="_bg"),
            EnsureTyped(keys, device=device, track_meta=False),
            RandCropByPosNegLabeld(
                keys,
                label_key="label",
                spatial_size=size,
                pos=1,
                neg=0,
                num_samples=1,
                fg_indices_key="label_fg",
                bg_indices_key="label_bg",
            ),
            *(RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)),
        ]
    )
    loader = ThreadDataLoader(
        CacheDataset(cases, each, progress=False, copy_cache=False),
        num_workers=0,
        batch_size=batch,
        shuffle=True,
        drop_last=True,
    )
    return trains(stock(config, device, half=True), batches(loader))


def measure(side: Callable[[int], None], device: torch.device) -> list[float]:
    """Seconds a step in each round, after warming up."""
    timed(lambda: side(8 if device.type == "cuda" else 1), device)
    one, _ = timed(lambda: side(2), device)
    count = max(2, round(SECONDS / (one / 2)))
    return [timed(lambda: side(count), device)[0] / count for _ in range(ROUNDS)]


def line(cell: Mapping[str, Any]) -> str:
    parts = [f"{cell['network']}, {cell['patch']}, batch {cell['batch']}:"]
    for name, seconds in cell["step_seconds"].items():
        share = f", {cell['share_of_peak'][name]:.0%} of the peak"
        speed = f", ours x {cell['speed_of_ours'][name]:.2f}" if name in cell["speed_of_ours"] else ""
        memory = f", {cell['peak_gib'][name]:.1f} GiB" if name in cell["peak_gib"] else ""
        parts.append(f"  {name}: {1e3 * seconds:.1f} ms{share}{speed}{memory}")
        if name == "compiled":
            parts.append(f"    its first step: {cell['first_step_seconds'][name]:.1f} s")
    parts += [f"  {name}: {failure}" for name, failure in cell["failures"].items()]
    voxels = cell["batch"] * prod([cell["patch"]] * 3)
    parts.append(f"  {voxels / 1e6:.1f} M voxels a step; formats of ours: {cell['formats']}")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
