"""What `voxtune study amp` does: data, device and sizes from what was asked, then the study and its files."""

from dataclasses import replace
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from trainables.device import choose_device, device_name
from trainables.phantom import LARGEST_SIZE, write_phantom
from trainables.segmentation_config import parse_patch_size
from tuner import machine
from tuner.amp_report import write_amp_study
from tuner.amp_settings import AmpSettings
from tuner.amp_study import run_amp_study
from tuner.config import DatasetConfig, PreprocessingConfig, cache_folder
from tuner.environment import describe_environment, processor
from tuner.errors import OutputError
from tuner.number_list import whole_numbers
from tuner.preparation import prepare
from tuner.view import View

PHANTOM_CASES = 10


def study_amp(
    output: Path,
    *,
    dataset: Path | None,
    device: str | None,
    threads: int | None,
    view: View,
    patches: str | None,
    batches: str | None,
    precisions: str | None,
    **chosen: Any,
) -> Path:
    """Run the study and write it to `output`; None stands for the usual. Returns its page.

    Args:
        patches, batches, precisions: lists as they are typed, such as "128,160".
        chosen: other fields of AmpSettings.

    Raises OutputError where `output` is in use, SweepConfigError or a TrainableError where something can't be compared,
    before anything is measured.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output}: exists and is not an empty folder; nothing was measured, choose another --output")
    on = choose_device(device)
    given = {name: value for name, value in chosen.items() if value is not None}
    if patches is not None:
        sizes = dict.fromkeys(map(parse_patch_size, patches.split(",")))  # one that is named twice is measured once
        given["patches"] = tuple(sorted(sizes, key=prod))
    if batches is not None:
        given["batches"] = tuple(whole_numbers(batches, option="--batch"))
    if precisions is not None:
        given["precisions"] = tuple(part.strip() for part in precisions.split(","))
    settings = replace(AmpSettings.usual(str(on)), **given)
    settings.check()
    with TemporaryDirectory() as temporary, view.preparing():
        folder = dataset or write_phantom(
            Path(temporary) / "heart", cases=PHANTOM_CASES, size=phantom_size(settings.patches[0])
        )
        prepared = prepare(
            DatasetConfig(path=folder),
            PreprocessingConfig(),
            cache=cache_folder(None) if dataset else Path(temporary) / "cache",
            progress=view.progress,
            tell=view.note,
        )
        settings.check_volumes(prepared.volumes)
        output.mkdir(parents=True, exist_ok=True)
        environment = {"device": _name(on), "data": folder.name, **describe_environment()}
        parts = run_amp_study(
            settings,
            prepared,
            memory_gib=_memory_gib(on),
            threads=threads or machine.usable_cores(),
            progress=view.progress,
        )
        page = output
        for study in parts:  # what is measured stays, should a later part be broken off
            page = write_amp_study(study, output, environment)
    return page


def phantom_size(patch: tuple[int, int, int]) -> float:
    """The `size` of phantom hearts that hold such a patch: at 1 they have some 64 x 64 x 48 voxels."""
    needed = max(side / usual for side, usual in zip(patch, (64, 64, 48), strict=True))
    return min(LARGEST_SIZE, max(1.0, 1.2 * needed))


def _memory_gib(device: torch.device) -> float:
    """What a batch may fill: what is free of a GPU, or the machine's memory."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0]) / 2**30
    return machine.memory_gib()


def _name(device: torch.device) -> str:
    if device.type == "cpu":
        return f"cpu ({processor()})"
    return f"{device_name(device)}, driver {machine.nvidia_driver() or 'unknown'}"
