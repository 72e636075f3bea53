"""configs/metadata.json of a MONAI Bundle, as MONAI's schema of 2024-07-25 wants it."""

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from tuner.bundle_configs import inert, label_dtype
from tuner.bundle_source import BundleSource

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
VERSION = "0.1.0"
INTENDED_USE = "Research. Not a medical device, and not evaluated for clinical use."
NOT_STATED = "not stated"

_PACKAGES = ("nibabel", "scipy", "pytorch-ignite", "fire")
"""What the bundle needs besides MONAI's own requirements."""

_FALLBACKS = {"pytorch-ignite": "0.5.5", "fire": "0.7.1"}
"""Versions that it was tried with; making a bundle needs neither."""


def bundle_metadata(source: BundleSource, *, authors: str | None) -> dict[str, Any]:
    """`authors`: who answers for the bundle; None is told as not stated."""
    model, data, training = source.model, source.data, source.training
    targets = model.targets
    names = ", ".join(targets.names)
    shape = list(model.patch_size)
    channels = [f"{'region ' if targets.regions else ''}{name}" for name in targets.names]
    outputs = channels if targets.regions else ["background", *channels]
    values = dict.fromkeys(value for group in targets.members for value in group)
    labels = {str(value): _told(targets.names, targets.members, value) for value in sorted(values)}
    content = {
        "schema": SCHEMA,
        "version": VERSION,
        "changelog": {VERSION: f"made by voxtune {metadata.version('voxtune')}"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch"),
        "numpy_version": _version("numpy"),
        "required_packages_version": {name: _version(name) for name in _PACKAGES},
        "supported_apps": {},
        "name": f"{data.name or 'voxtune'} segmentation",
        "task": f"Segmentation of {names} in 3D volumes",
        "description": f"A {model.network.architecture} that labels {names} in volumes of {_modalities(source)}; found "
        "and trained by voxtune.",
        "authors": authors or NOT_STATED,
        "copyright": f"Copyright (c) {authors}" if authors else NOT_STATED,
        "data_source": "; ".join(filter(None, (data.name, data.reference, data.release))) or NOT_STATED,
        "data_type": "nibabel",
        "image_classes": f"one channel each: {_modalities(source)}",
        "label_classes": "; ".join(f"{value}: {name}" for value, name in labels.items()),
        "pred_classes": "; ".join(f"{index}: {name}" for index, name in enumerate(outputs)),
        "eval_metrics": {"mean_dice": round(training.model_dice, 4)} if training else {},
        "intended_use": INTENDED_USE,
        "references": [data.reference] if data.reference else [],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": _modalities(source),
                    "num_channels": model.plan.channels,
                    "spatial_shape": shape,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(index): name for index, name in enumerate(model.modalities)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": targets.channels,
                    "spatial_shape": shape,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(index): name for index, name in enumerate(outputs)},
                }
            },
            "post_processed_outputs": {
                "pred": {
                    "type": "image",
                    "format": "labels",
                    "num_channels": 1,
                    "spatial_shape": ["*", "*", "*"],
                    "dtype": label_dtype(model),
                    "value_range": [0, max(values)],
                    "channel_def": {"0": "label value"},
                }
            },
        },
    }
    return {key: _inert(value) for key, value in content.items()}


def _modalities(source: BundleSource) -> str:
    return ", ".join(source.model.modalities)


def _told(names: tuple[str, ...], members: tuple[tuple[int, ...], ...], value: int) -> str:
    return " and ".join(name for name, group in zip(names, members, strict=True) if value in group)


def _version(package: str) -> str:
    try:
        return metadata.version(package).partition("+")[0]  # torch's says for which device it was built
    except metadata.PackageNotFoundError:
        return _FALLBACKS[package]


def _inert(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _inert(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_inert(item) for item in value]
    return inert(value) if isinstance(value, str) else value
