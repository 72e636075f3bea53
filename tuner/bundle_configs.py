"""The configurations of a MONAI Bundle: how `python -m monai.bundle run` labels images and scores cases.

MONAI runs Python that stands in a configuration: text beginning with `$`, `@` or `%` is an expression, a reference or a
file to be read. Names of labels and channels come from others' files, so none goes in as it is (`inert`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainables.model_file import Model
from trainables.networks import MEMORY_FORMATS
from trainables.precision import PRECISIONS

IMPORTS = ["$import scripts"]

Config = dict[str, Any]


def inert(text: str) -> str:
    """`text` as MONAI's parser leaves it alone: in quotes where it would be an expression, a reference or a macro."""
    return f"'{text}'" if text.startswith(("$", "@", "%")) else text


def inference_config(model: Model) -> Config:
    """configs/inference.json: labels `--images`, or those of `--dataset_dir`, into `--output_dir`."""
    regions = model.targets.regions
    return {
        "imports": [*IMPORTS, "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "data",
        "output_dir": "$@bundle_root + '/eval'",
        "modalities": [inert(name) for name in model.modalities],
        "images": "$scripts.images_in(@dataset_dir, @modalities)",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "ckpt_path": "$@bundle_root + '/models/model.pt'",
        "targets": _targets(model),
        "network_def": {"_target_": "scripts.network", **_network(model)},
        "network": f"$scripts.place_network(@network_def, @device, memory_format={_memory_format(model)!r})",
        "preprocessing_steps": _preprocessing(model),
        "preprocessing": {"_target_": "Compose", "transforms": "@preprocessing_steps"},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': image} for image in @images]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {
            "_target_": "scripts.WindowInferer",
            "patch_size": list(model.patch_size),
            "strides": [list(stride) for stride in model.network.strides],
            "batch_size": model.batch_size,
            "overlap": model.overlap,
            "targets": "@targets",
            "precision": _precision(model),
        },
        "postprocessing_steps": [
            {
                "_target_": "Invertd",
                "keys": "pred",
                "orig_keys": "image",
                "transform": "@preprocessing",
                "nearest_interp": False,
            },
            {"_target_": "AsDiscreted", "keys": "pred", **({"threshold": 0.5} if regions else {"argmax": True})},
            {
                "_target_": "scripts.LabelValuesd",
                "keys": "pred",
                "targets": "@targets",
                "largest_component": model.largest_component,
            },
            {
                "_target_": "SaveImaged",
                "keys": "pred",
                "writer": "$scripts.LabelWriter",
                "output_dir": "@output_dir",
                "output_postfix": "",
                "output_dtype": label_dtype(model),
                "separate_folder": False,
                "resample": False,
            },
        ],
        "postprocessing": {"_target_": "Compose", "transforms": "@postprocessing_steps"},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "@ckpt_path",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def evaluation_config() -> Config:
    """configs/evaluate.json, read after inference.json: Dice of the cases of `--dataset_dir`, or of `--names` there."""
    return {
        "imports": [*IMPORTS, "$import torch", "$import monai"],
        "names": None,
        "dataset::data": "$scripts.cases_in(@dataset_dir, @names)",
        "+preprocessing_steps": [
            {"_target_": "LoadImaged", "keys": "label", "reader": "$scripts.NiftiReader", "ensure_channel_first": True}
        ],
        "+postprocessing_steps": [
            {"_target_": "scripts.TargetMasksd", "keys": ["pred", "label"], "targets": "@targets"}
        ],
        "key_metric": {
            "val_mean_dice": {
                "_target_": "IgniteMetricHandler",
                "metric_fn": {"_target_": "DiceMetric", "include_background": True, "ignore_empty": False},
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }
        },
        "evaluator::key_val_metric": "@key_metric",
        "+handlers": [
            {
                "_target_": "MetricsSaver",
                "save_dir": "@output_dir",
                "metrics": ["val_mean_dice"],
                "metric_details": ["val_mean_dice"],
                "batch_transform": "$lambda batch: [item['image'].meta for item in batch]",
                "summary_ops": ["mean", "median", "min"],
            }
        ],
    }


def _preprocessing(model: Model) -> list[Config]:
    plan = model.plan
    crop: list[Config] = [
        {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "select_fn": "$scripts.not_empty"}
    ]
    return [
        {"_target_": "LoadImaged", "keys": "image", "reader": "$scripts.NiftiReader", "ensure_channel_first": True},
        {
            "_target_": "scripts.CheckImaged",
            "keys": "image",
            "modalities": "@modalities",
        },
        {
            "_target_": "Orientationd",
            "keys": "image",
            "axcodes": "RAS",
            "labels": [["L", "R"], ["P", "A"], ["I", "S"]],
        },
        *(crop if plan.crop else []),
        {
            "_target_": "scripts.NormaliseChannelsd",
            "keys": "image",
            "channels": [channel.to_mapping() for channel in plan.normalisation],
        },
        {"_target_": "scripts.ResampleToSpacingd", "keys": "image", "spacing": list(plan.spacing)},
        {"_target_": "scripts.RoundToHalfd", "keys": "image"},
    ]


def _targets(model: Model) -> Mapping[str, Any]:
    mapping = model.targets.to_mapping()
    return {**mapping, "names": [inert(name) for name in mapping["names"]]}


def _network(model: Model) -> Mapping[str, Any]:
    """Without what only training needs, and what would change the names of the weights kept."""
    return {**model.network.to_mapping(), "activation_checkpointing": False}


def label_dtype(model: Model) -> str:
    """What label files are written in: that of `voxtune predict`."""
    return str(model.targets.decode(np.zeros(1, np.uint8)).dtype)


def _precision(model: Model) -> str:
    name = model.training.get("precision", "auto")
    return name if name in PRECISIONS else "fp32"


def _memory_format(model: Model) -> str:
    name = model.training.get("memory_format", "auto")
    return name if name in MEMORY_FORMATS else "auto"
