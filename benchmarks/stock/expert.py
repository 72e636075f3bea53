"""The search of `stock.tutorial` as an expert of Ray Tune and MONAI speeds it up.

    python -m stock.expert ../data/Task04_Hippocampus --split split.json --folder search --seed 0    # in benchmarks/

The cases are preprocessed once, and lie once in Ray's object store, which all trials of a node map. A class instead of
a function keeps its process from trial to trial (`reuse_actors`). It evaluates only where ASHA compares trials.
"""

from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset, set_track_meta
from monai.transforms import Compose
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from stock.events import EventLog, TrialLog
from stock.tutorial import (
    PATCH_SIZES,
    REDUCTION,
    Cases,
    Settings,
    Training,
    arguments,
    each_time,
    once,
    read_settings,
    search,
    start_ray,
    train_loader,
    validation_loader,
)


def preprocessed(cases: Cases, transform: Compose) -> list[dict[str, np.ndarray]]:
    """The cases as numpy arrays, which Ray's object store hands out without copying."""
    return [{key: np.asarray(array) for key, array in transform(case).items()} for case in cases]


def rungs(epochs: int) -> list[int]:
    """The epochs after which ASHA compares trials."""
    below = takewhile(lambda epoch: epoch < epochs, (REDUCTION**power for power in count()))
    return [*below, epochs]


class Trainable(tune.Trainable):
    """One trial after another in one process, one rung a step."""

    def setup(
        self,
        config: dict[str, Any],
        settings: Settings | None = None,
        train: Sequence[Mapping[str, np.ndarray]] = (),
        validation: Sequence[Mapping[str, np.ndarray]] = (),
    ) -> None:
        assert settings is not None
        set_track_meta(False)
        self.settings, self.train_cases = settings, train
        self.validation_loader = validation_loader(Dataset(validation))
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.log = TrialLog(self.settings.log, self.trial_id)
        self.training = Training(new_config, self.settings)
        self.epoch = 0
        dataset = Dataset(self.train_cases, each_time(self.training.patch_size))
        self.train_loader = train_loader(dataset, new_config["batch_size"])
        return True

    def step(self) -> dict[str, Any]:
        rung = next(epoch for epoch in rungs(self.settings.epochs) if epoch > self.epoch)
        while self.epoch < rung:
            self.training.train_epoch(self.train_loader, self.log)
            self.epoch += 1
        with self.log.spending("evaluation"):
            dice = self.training.evaluate(self.validation_loader)
        self.log.report(dice)
        return {"dice": dice, "epoch": self.epoch}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        with self.log.spending("checkpoint"):
            self.training.save(checkpoint_dir)
        self.log.saved()

    def load_checkpoint(self, checkpoint: Any) -> None:
        state = torch.load(Path(checkpoint) / "checkpoint.pt", weights_only=True)
        self.training.network.load_state_dict(state["network"])
        self.training.optimizer.load_state_dict(state["optimizer"])


def main() -> None:
    given = arguments(__doc__)
    settings = read_settings(given)
    log = EventLog(settings.log)
    largest_patch = [max(sizes) for sizes in zip(*PATCH_SIZES, strict=True)]
    train = preprocessed(settings.train, once(largest_patch))
    validation = preprocessed(settings.validation, once())
    start_ray(log)
    scheduler = ASHAScheduler(time_attr="epoch", max_t=given.epochs, grace_period=1, reduction_factor=REDUCTION)
    trainable = tune.with_parameters(Trainable, settings=settings, train=train, validation=validation)
    search(trainable, given, scheduler, reuse_actors=True, checkpoint_frequency=1, checkpoint_at_end=True)
    log.write("ended")


if __name__ == "__main__":
    main()
