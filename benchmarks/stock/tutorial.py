"""A search as its user writes it today from two tutorials: MONAI's of 3D segmentation and Ray Tune's for PyTorch.

    python -m stock.tutorial ../data/Task04_Hippocampus --split split.json --folder search --seed 0    # in benchmarks/

From MONAI's (spleen, brain tumour, fast training): dictionary transforms, CacheDataset, DataLoader, positive and
negative crops, no metadata in random transforms, sliding-window inference and DiceMetric each epoch. From Ray Tune's: a
training function that reports Dice with a checkpoint, OptunaSearch, ASHAScheduler, one core a trial.

So that searches differ and not what is trained, the network, the loss, the optimizer and its schedule are voxtune's.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from monai.data import CacheDataset, DataLoader, Dataset, decollate_batch, set_track_meta
from monai.inferers import sliding_window_inference
from monai.metrics import DiceMetric
from monai.transforms import (
    AsDiscrete,
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    FgBgToIndicesd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    Spacingd,
    SpatialPadd,
)
from monai.utils import set_determinism
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from stock.events import EventLog, TrialLog
from trainables.losses import SegmentationLoss
from trainables.networks import NetworkConfig, build_network, level_strides
from trainables.optimisation import build_optimizer, learning_rate_factor

KEYS = ["image", "label"]
SPACING = (1.0, 1.0, 1.0)
PATCH_SIZES = ((24, 32, 24), (24, 40, 24), (32, 40, 32))
BATCH_SIZES = (2, 4)
LEARNING_RATES = (1e-3, 3e-2)
NETWORK: Mapping[str, Any] = {"width": 8, "levels": 4, "normalisation": "batch"}
WEIGHT_DECAY = 1e-2
WARMUP = 0.05

WINDOWS = 4
"""How many windows of a case go through the network together: on a core 3 to 6 times as fast as one at a time."""

EPOCHS = 9
"""Of a trial that is not stopped; an epoch is one patch of each case."""

REDUCTION = 3
SLOTS = 2

Cases = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Settings:
    """What all trials have in common."""

    train: Cases
    validation: Cases
    outputs: int
    """Classes, background included."""

    epochs: int
    seed: int
    log: Path


def once(patch_size: Sequence[int] | None = None) -> Compose:
    """What is done once to each case; `patch_size` where patches are to be cut from it."""
    cropping = [SpatialPadd(KEYS, spatial_size=patch_size), FgBgToIndicesd("label")] if patch_size else []
    return Compose(
        [
            LoadImaged(KEYS),
            EnsureChannelFirstd(KEYS),
            Orientationd(KEYS, axcodes="RAS", labels=None),
            Spacingd(KEYS, pixdim=SPACING, mode=("bilinear", "nearest")),
            NormalizeIntensityd("image"),
            *cropping,
            EnsureTyped(KEYS, track_meta=False),
        ]
    )


def each_time(patch_size: Sequence[int]) -> Compose:
    """What is done each time that a case comes up in training."""
    return Compose(
        [
            RandCropByPosNegLabeld(
                KEYS,
                label_key="label",
                spatial_size=patch_size,
                pos=1,
                neg=1,
                num_samples=1,
                fg_indices_key="label_fg_indices",
                bg_indices_key="label_bg_indices",
            ),
            RandFlipd(KEYS, prob=0.5, spatial_axis=0),
            RandScaleIntensityd("image", factors=0.1, prob=1.0),
            RandShiftIntensityd("image", offsets=0.1, prob=1.0),
        ]
    )


def train_loader(dataset: Dataset, batch_size: int) -> DataLoader:
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=0)


def validation_loader(dataset: Dataset) -> DataLoader:
    return DataLoader(dataset, batch_size=1, num_workers=0)


class Training:
    """A network in training: what the tutorials keep in local variables."""

    def __init__(self, config: Mapping[str, Any], settings: Settings) -> None:
        set_determinism(settings.seed)
        self.patch_size = PATCH_SIZES[config["patch_size"]]
        self.outputs = settings.outputs
        network = NetworkConfig(
            architecture="compact_unet",
            in_channels=1,
            out_channels=settings.outputs,
            strides=level_strides(NETWORK["levels"], SPACING),
            **NETWORK,
        )
        self.network = build_network(network)
        self.loss = SegmentationLoss("dice_ce", regions=False)
        self.optimizer = build_optimizer(
            self.network.parameters(),
            optimizer="adamw",
            learning_rate=config["learning_rate"],
            weight_decay=WEIGHT_DECAY,
        )
        steps = settings.epochs * -(-len(settings.train) // config["batch_size"])
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor("cosine", (step + 0.5) / steps, WARMUP)
        )

    def train_epoch(self, loader: DataLoader, log: TrialLog) -> None:
        self.network.train()
        for batch in log.loading(loader):
            with log.spending("training"):
                self.optimizer.zero_grad()
                self.loss(self.network(batch["image"]), batch["label"][:, 0]).backward()
                self.optimizer.step()
                self.schedule.step()

    def evaluate(self, loader: DataLoader) -> float:
        """Mean over the classes of each one's mean Dice over the cases."""
        metric = DiceMetric(include_background=False, reduction="mean_batch")
        predicted = AsDiscrete(argmax=True, to_onehot=self.outputs)
        true = AsDiscrete(to_onehot=self.outputs)
        self.network.eval()
        with torch.inference_mode():
            for batch in loader:
                logits: Any = sliding_window_inference(batch["image"], self.patch_size, WINDOWS, self.network)
                prediction: Any = [predicted(item) for item in decollate_batch(logits)]
                truth: Any = [true(item) for item in decollate_batch(batch["label"])]
                metric(y_pred=prediction, y=truth)
        dice: Any = metric.aggregate()
        return float(dice.mean())

    def save(self, folder: str) -> None:
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, Path(folder) / "checkpoint.pt")


def train(config: dict[str, Any], settings: Settings) -> None:
    """The function that Ray Tune calls for each trial, in a process of its own."""
    log = TrialLog(settings.log, tune.get_context().get_trial_id())
    training = Training(config, settings)
    transform = Compose([once(training.patch_size), each_time(training.patch_size)]).flatten()
    train_cases = CacheDataset(settings.train, transform, copy_cache=False, progress=False)
    batches = train_loader(train_cases, config["batch_size"])
    cases = validation_loader(CacheDataset(settings.validation, once(), progress=False))
    set_track_meta(False)  # random transforms need no history
    for _ in range(settings.epochs):
        training.train_epoch(batches, log)
        with log.spending("evaluation"):
            dice = training.evaluate(cases)
        with tempfile.TemporaryDirectory() as folder:
            with log.spending("checkpoint"):
                training.save(folder)
            log.report(dice)
            tune.report({"dice": dice}, checkpoint=tune.Checkpoint.from_directory(folder))


def read_settings(given: argparse.Namespace) -> Settings:
    content = json.loads((given.dataset / "dataset.json").read_text())
    folder = given.dataset.absolute()
    files = {Path(case["image"]).name.split(".")[0]: case for case in content["training"]}
    split = json.loads(given.split.read_text())
    train, validation = (
        [{key: str(folder / files[name][key]) for key in KEYS} for name in split[part]]
        for part in ("train", "validation")
    )
    return Settings(train, validation, len(content["labels"]), given.epochs, given.seed, given.folder / "events.jsonl")


def arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a folder in the layout of the Decathlon")
    parser.add_argument("--split", type=Path, required=True, help="JSON with the names of `train` and `validation`")
    parser.add_argument("--folder", type=Path, required=True, help="where the search writes")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder = given.folder.absolute()
    given.folder.mkdir(parents=True)
    return given


def search(
    trainable: Any,
    given: argparse.Namespace,
    scheduler: ASHAScheduler,
    *,
    reuse_actors: bool = False,
    **checkpoint: Any,
) -> None:
    """Trials by Optuna's default sampler, the weak ones stopped by ASHA; of each the last checkpoint is kept."""
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={
            "learning_rate": tune.loguniform(*LEARNING_RATES),
            "batch_size": tune.choice(BATCH_SIZES),
            "patch_size": tune.choice(range(len(PATCH_SIZES))),
        },
        tune_config=tune.TuneConfig(
            metric="dice",
            mode="max",
            num_samples=given.trials,
            max_concurrent_trials=SLOTS,
            search_alg=OptunaSearch(seed=given.seed),
            scheduler=scheduler,
            reuse_actors=reuse_actors,
        ),
        run_config=tune.RunConfig(
            storage_path=str(given.folder),
            name="tune",
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, **checkpoint),
        ),
    )
    best = tuner.fit().get_best_result()
    assert best.metrics is not None
    print(f"best Dice {best.metrics['dice']:.4f} with {best.config}")


def start_ray(log: EventLog) -> None:
    started = time.perf_counter()
    ray.init(num_cpus=SLOTS, log_to_driver=False)
    log.write("ray up", seconds=time.perf_counter() - started)


def main() -> None:
    given = arguments(__doc__)
    settings = read_settings(given)
    log = EventLog(settings.log)
    start_ray(log)
    scheduler = ASHAScheduler(max_t=given.epochs, grace_period=1, reduction_factor=REDUCTION)
    search(tune.with_parameters(train, settings=settings), given, scheduler)
    log.write("ended")


if __name__ == "__main__":
    main()
