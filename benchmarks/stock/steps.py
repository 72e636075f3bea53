"""A training step, its batches and an evaluation as users of MONAI write them, for `benchmarks/training_step.py`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import CacheDataset, DataLoader, set_track_meta
from monai.inferers.utils import sliding_window_inference
from monai.metrics.meandice import DiceMetric
from torch import Tensor

from stock.tutorial import WINDOWS, Compose, each_time, once
from trainables.dataset import Dataset
from trainables.precision import Precision

Batch = tuple[Tensor, Tensor]


@dataclass
class Stock:
    """A network and its optimizer as a training loop of the tutorials has them."""

    network: torch.nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    precision: Precision
    device: torch.device

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=6e-3, betas=(0.9, 0.99), weight_decay=1e-2)
        self.scaler = self.precision.grad_scaler()

    def step(self, image: Tensor, label: Tensor) -> None:
        image, label = image.to(self.device), label.to(self.device)
        self.optimizer.zero_grad()
        with self.precision.autocast():
            logits = self.network(image)
        self.scaler.scale(self.loss(logits, label)).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


def trains(stock: Stock, source: Iterator[Batch]) -> Callable[[int], None]:
    def go(count: int) -> None:
        for _ in range(count):
            stock.step(*next(source))

    return go


def cached_cases(dataset: Dataset, names: Sequence[str], patch_size: Sequence[int]) -> CacheDataset:
    """The cases `names`, preprocessed and in memory, and a random patch of each whenever it comes up."""
    files = [{"image": str(case.image), "label": str(case.label)} for case in dataset.cases if case.name in set(names)]
    set_track_meta(True)  # until they are read
    cases = CacheDataset(files, Compose([once(patch_size), each_time(patch_size)]).flatten(), progress=False)
    set_track_meta(False)
    return cases


def batches(loader: DataLoader) -> Iterator[Batch]:
    while True:
        for batch in loader:
            yield batch["image"], batch["label"][:, 0].byte()


def mean_dice(
    network: torch.nn.Module,
    cases: Sequence[tuple[Tensor, Tensor]],
    *,
    patch_size: Sequence[int],
    classes: int,
    precision: Precision,
    device: torch.device,
    **windows: Any,
) -> float:
    """Mean over the classes of the cases' mean Dice; `windows` are options of MONAI's sliding_window_inference."""
    metric = DiceMetric(include_background=False, reduction="mean_batch", num_classes=classes + 1)
    network.eval()
    with torch.inference_mode(), precision.autocast():
        for image, label in cases:
            logits: Any = sliding_window_inference(image[None].to(device), patch_size, WINDOWS, network, **windows)
            metric(y_pred=logits.argmax(1, keepdim=True), y=label[None, None].to(device))
    dice: Any = metric.aggregate()
    return float(dice.mean())
