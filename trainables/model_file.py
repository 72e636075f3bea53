"""A trained model and all that is needed to use it, as one file that may come from anyone.

The file is torch's zip archive of tensors and plain types (`trainables.archive`). Everything in it is checked before it
is used. A folder of such files is an ensemble.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainables.archive import read_archive
from trainables.errors import ModelFileError, SettingError
from trainables.intensity_range import IntensityRange
from trainables.networks import NetworkConfig, build_network, check_patch
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets
from trainables.whole_file import replace_file
from trainables.windows import Window, window_size, windows_at_once

FORMAT = "voxtune model 2"
READABLE = ("voxtune model 1", FORMAT)
"""The first format has no intensities."""

_KEYS: Mapping[str, type] = {
    "format": str,
    "version": str,
    "network": dict,
    "weights": dict,
    "plan": dict,
    "targets": dict,
    "modalities": list,
    "intensities": list,
    "patch_size": list,
    "training": dict,
}


def _installed_version() -> str:
    return metadata.version("voxtune")


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A trained network, how its input is made and what its output means. Raises SettingError where parts don't fit."""

    network: NetworkConfig
    weights: Mapping[str, Tensor]
    """The network's state dict."""

    plan: PreprocessingPlan
    targets: Targets
    modalities: tuple[str, ...]
    """The names of the channels, in the order in which a file must have them."""

    patch_size: tuple[int, int, int]
    """Voxels along x, y, z of what the network was trained on."""

    intensities: tuple[IntensityRange, ...] = ()
    """Between which values the images of the training lay, one a channel; none where that is not known."""

    training: Mapping[str, Any]
    """The training configuration: plain types, the flat keys of SegmentationConfig."""

    version: str = field(default_factory=_installed_version)
    """The version of voxtune that trained it."""

    def __post_init__(self) -> None:
        channels = self.plan.channels
        if not self.network.in_channels == channels == len(self.modalities):
            raise SettingError(
                f"in_channels: the network has {self.network.in_channels}, the preprocessing plan {channels}, and "
                f"there are {len(self.modalities)} modalities"
            )
        if self.intensities and len(self.intensities) != channels:
            raise SettingError(f"intensities: {len(self.intensities)} are given for {channels} channels")
        if self.network.out_channels != self.targets.channels:
            raise SettingError(
                f"out_channels: the network has {self.network.out_channels}, the targets need {self.targets.channels}"
            )
        check_patch(self.patch_size, self.network.strides)
        if type(self.overlap) not in (int, float) or not 0 <= self.overlap < 1:
            raise SettingError(f"overlap: must be at least 0 and less than 1, got {self.overlap!r}")
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise SettingError(f"batch_size: must be a whole number above 0, got {self.batch_size!r}")
        if type(self.largest_component) is not bool:
            raise SettingError(f"largest_component: must be true or false, got {self.largest_component!r}")
        self._check_weights()

    @property
    def batch_size(self) -> int:
        """Patches that went through the network together in training: so many fit in memory; 1 where not said."""
        batch = cast(int, self.training.get("batch_size", 1))
        return min(cast(int, self.training.get("micro_batch", 0)) or batch, batch)

    @property
    def precision(self) -> str:
        """The number format that it was trained in; `auto` where not said."""
        return str(self.training.get("precision", "auto"))

    @property
    def overlap(self) -> float:
        """Share of a window by which neighbouring windows overlap; 0.5 where not said."""
        return cast(float, self.training.get("overlap", 0.5))

    @property
    def largest_component(self) -> bool:
        """Whether only the largest connected piece of each target is kept."""
        return cast(bool, self.training.get("largest_component", False))

    def windows(self, shape: Sequence[int], device: torch.device) -> tuple[Window, int]:
        """In which windows the network goes over a preprocessed volume of `shape`, and over how many at once."""
        window = window_size(shape, patch_size=self.patch_size, strides=self.network.strides)
        return window, windows_at_once(
            window, patch_size=self.patch_size, batch_size=self.batch_size, device_type=device.type
        )

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """The network with its weights on `device`, ready to predict."""
        network = build_network(self.network, device, memory_format=str(self.training.get("memory_format", "auto")))
        network.load_state_dict(dict(self.weights))
        return network.eval().requires_grad_(False)

    def _check_weights(self) -> None:
        with torch.device("meta"):  # shapes only: a file may not make us fill the memory
            expected = build_network(self.network, "meta").state_dict()
        missing = sorted(expected.keys() - self.weights.keys())
        strange = sorted(self.weights.keys() - expected.keys())
        if missing or strange:
            raise SettingError(
                f"weights: {len(missing)} missing and {len(strange)} unknown for this network, "
                f"e.g. {(missing or strange)[0]!r}"
            )
        for name, wanted in expected.items():
            weight = self.weights[name]
            if weight.shape != wanted.shape or weight.dtype != wanted.dtype or weight.layout != wanted.layout:
                raise SettingError(f"weights: {name!r} is {_kind(weight)}, this network needs {_kind(wanted)}")


def save_model(path: Path, model: Model) -> None:
    """Write `model` to `path`, which is whole or as it was before, whenever the process dies.

    Raises SettingError when the training configuration holds more than plain types.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "version": model.version,
        "network": model.network.to_mapping(),
        # Cloned, so that a tensor that is a view of something larger doesn't take that along.
        "weights": {
            name: weight.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, weight in model.weights.items()
        },
        "plan": model.plan.to_mapping(),
        "targets": model.targets.to_mapping(),
        "modalities": list(model.modalities),
        "intensities": [channel.to_mapping() for channel in model.intensities],
        "patch_size": list(model.patch_size),
        "training": _plain(model.training, "training"),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # by its name the file's own would depend on the process
            torch.save(content, file)

    replace_file(path, write)


def load_model(path: Path) -> Model:
    """The model in `path`, its weights on the CPU. Raises ModelFileError naming the file and what is wrong with it."""
    content = read_archive(path)
    try:
        _check_keys(content)
        return Model(
            network=NetworkConfig.from_mapping(content["network"]),
            weights=content["weights"],
            plan=PreprocessingPlan.from_mapping(content["plan"]),
            targets=Targets.from_mapping(content["targets"]),
            modalities=tuple(content["modalities"]),
            intensities=tuple(IntensityRange.from_mapping(channel) for channel in content["intensities"]),
            patch_size=tuple(content["patch_size"]),
            training=content["training"],
            version=content["version"],
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a model that this version can use: {error}") from error


def load_models(path: Path) -> tuple[Model, ...]:
    """The model in the file `path`, or the members of an ensemble: all `*.pt` in the folder `path`, by name.

    Members may differ in network and preprocessing. Raises ModelFileError as `load_model` does, for a folder without
    models, and where members have not the same targets and channels.
    """
    beside = path.with_name("model.pt")
    if path.suffix in (".yaml", ".json") and beside.is_file():
        raise ModelFileError(f"{path}: is no model; the model beside it is {beside}")
    if not path.is_dir():
        return (load_model(path),)
    files = sorted(file for file in path.glob("*.pt") if not file.name.startswith("."))
    if not files:
        best = path / "best" / "model.pt"
        raise ModelFileError(f"{path}: holds no model, no file *.pt{f'; there is {best}' if best.is_file() else ''}")
    models = tuple(load_model(file) for file in files)
    first = models[0]
    for file, model in zip(files, models, strict=True):
        if model.targets != first.targets:
            raise ModelFileError(
                f"{file}: finds {_found_by(model)}, and {files[0].name} {_found_by(first)}; members of an ensemble "
                "have the same targets"
            )
        if model.modalities != first.modalities:
            raise ModelFileError(
                f"{file}: takes the channels {', '.join(model.modalities)}, and {files[0].name} "
                f"{', '.join(first.modalities)}; members of an ensemble have the same"
            )
    return models


def _check_keys(content: Any) -> None:
    """Raises ValueError unless `content` has the keys and types that `save_model` writes; older files are completed."""
    if not isinstance(content, dict) or content.get("format") not in READABLE:
        found = content.get("format") if isinstance(content, dict) else None
        raise ValueError(f"format: {' or '.join(map(repr, READABLE))} is needed, found {found!r}")
    if content["format"] != FORMAT:
        content.setdefault("intensities", [])
    if content.keys() != _KEYS.keys():
        raise ValueError(f"keys: {sorted(_KEYS)} are needed, found {sorted(map(str, content))}")
    for key, kind in _KEYS.items():
        if type(content[key]) is not kind:
            raise ValueError(f"{key}: must be a {kind.__name__}, found a {type(content[key]).__name__}")
    if not all(isinstance(k, str) and type(v) is Tensor for k, v in content["weights"].items()):
        raise ValueError("weights: must be tensors by name")
    if not all(isinstance(name, str) for name in content["modalities"]):
        raise ValueError(f"modalities: must be names, found {content['modalities']!r:.100}")
    size = content["patch_size"]
    if len(size) != 3 or not all(type(n) is int for n in size):
        raise ValueError(f"patch_size: must be three whole numbers, found {size!r:.100}")
    _plain(content["training"], "training")


def _plain(value: Any, key: str) -> Any:
    """`value` with lists for tuples. Raises SettingError where it holds anything but mappings, lists and scalars."""
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if value is None or type(value) in (str, int, float, bool):
        return value
    raise SettingError(f"{key}: {value!r:.100} is a {type(value).__name__}; only plain types can be kept in a model")


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {'x'.join(map(str, tensor.shape)) or 'scalar'}"


def _found_by(model: Model) -> str:
    targets = model.targets
    named = zip(targets.names, targets.members, strict=True)
    return f"{'regions' if targets.regions else 'classes'} " + ", ".join(
        f"{name} ({'+'.join(map(str, values))})" for name, values in named
    )
