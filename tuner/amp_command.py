"""What `voxtune study amp` does: data, device and sizes from what was asked, then the study and its files."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from trainables.device import choose_device, device_name
from trainables.errors import DatasetError, SettingError
from trainables.memory_limit import memory_limit_gib
from trainables.phantom import write_phantom
from trainables.segmentation_config import parse_patch_size
from tuner import machine
from tuner.amp_report import write_amp_study
from tuner.amp_study import AmpSettings, run_amp_study
from tuner.config import DatasetConfig, PreprocessingConfig, cache_folder
from tuner.environment import describe_environment
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
        patches: `batches`, `precisions`: lists as they are typed, such as "128,160".
        chosen: other fields of AmpSettings.

    Raises a TrainableError where something can't be compared, before anything is measured.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DatasetError(
            f"{output}: exists and is not an empty folder; nothing was measured, choose another --output"
        )
    on = choose_device(device)
    listed = {
        "patches": patches and tuple(parse_patch_size(part) for part in patches.split(",")),
        "batches": batches and tuple(_batch(part) for part in batches.split(",")),
        "precisions": precisions and tuple(part.strip() for part in precisions.split(",")),
    }
    given = {name: value for name, value in {**chosen, **listed}.items() if value is not None}
    settings = AmpSettings(**{**AmpSettings.usual(str(on)).__dict__, **given})
    settings.check()
    with TemporaryDirectory() as temporary, view.preparing():
        folder = dataset or write_phantom(Path(temporary) / "heart", cases=PHANTOM_CASES)
        prepared = prepare(
            DatasetConfig(path=folder),
            PreprocessingConfig(),
            cache=cache_folder(None) if dataset else Path(temporary) / "cache",
            check=lambda plan, targets: None,
            progress=view.progress,
            tell=view.note,
        )
        settings.check_volumes(prepared.volumes)
        study = run_amp_study(
            settings,
            prepared,
            memory_gib=_memory_gib(on),
            threads=threads or machine.usable_cores(),
            progress=view.progress,
        )
    output.mkdir(parents=True, exist_ok=True)
    environment = {"device": _name(on), "data": folder.name, **describe_environment()}
    return write_amp_study(study, output, environment)


def _batch(text: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and int(text)):
        raise SettingError(f"batch: must be whole numbers above 0 with commas between, got {text!r}")
    return int(text)


def _memory_gib(device: torch.device) -> float:
    """What a batch may fill: what is free of a GPU, or the machine's memory."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0]) / 2**30
    return memory_limit_gib("cpu")


def _name(device: torch.device) -> str:
    if device.type == "cpu":
        return f"cpu ({describe_environment()['processor']})"
    return f"{device_name(device)}, driver {machine.nvidia_driver() or 'unknown'}"
