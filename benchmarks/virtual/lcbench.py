"""Learning curves of LCBench (Zimmer et al. 2021), from the surrogate that lies beside the project's data sets.

Seven hyperparameters of small networks on tabular data; of each epoch, when it ends and the validation accuracy.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime

from search_spaces.parameters import Float, Int

EPOCHS = 52

SPACE: dict[str, Float | Int] = {
    "batch_size": Int(low=16, high=512, log=True),
    "learning_rate": Float(low=1e-4, high=1e-1, log=True),
    "momentum": Float(low=0.1, high=0.99),
    "weight_decay": Float(low=1e-5, high=1e-1),
    "num_layers": Int(low=1, high=5),
    "max_units": Int(low=64, high=1024, log=True),
    "max_dropout": Float(low=0.0, high=1.0),
}
"""In the order in which the surrogate wants them, after the epoch."""


@dataclass(frozen=True)
class Curve:
    """One configuration's training: `seconds[i]` and `scores[i]` (validation accuracy, %) at the end of epoch i + 1."""

    seconds: np.ndarray
    scores: np.ndarray


class Task:
    """One data set's curves."""

    def __init__(self, name: str, session: onnxruntime.InferenceSession, category: int) -> None:
        self.name = name
        self._session = session
        self._category = category

    def curve(self, parameters: Mapping[str, float]) -> Curve:
        return self._curves(np.array([[parameters[name] for name in SPACE]]))[0]

    @cached_property
    def mean_seconds(self) -> float:
        """Mean time of a full training, over configurations drawn at random."""
        return float(np.mean([curve.seconds[-1] for curve in self._sample]))

    @cached_property
    def best_score(self) -> float:
        """Of 2,000 random configurations, the best score at any epoch: where regret is counted from."""
        return float(max(curve.scores.max() for curve in self._sample))

    @cached_property
    def _sample(self) -> list[Curve]:
        rng = np.random.default_rng(0)
        columns = [_draw(parameter, rng.random(2_000)) for parameter in SPACE.values()]
        return self._curves(np.column_stack(columns))

    def _curves(self, configurations: np.ndarray) -> list[Curve]:
        """Of configurations, shape (n, 7)."""
        n = len(configurations)
        rows = np.empty((n, EPOCHS, 1 + len(SPACE)), np.float32)
        rows[:, :, 0] = np.arange(1, EPOCHS + 1)
        rows[:, :, 1:] = configurations[:, None]
        category = np.full((n * EPOCHS, 1), self._category, np.int32)
        inputs = {"x_cat": category, "x_cont": rows.reshape(n * EPOCHS, -1)}
        output = self._session.run(None, inputs)[0].reshape(n, EPOCHS, -1)
        # Times are cumulative, but the surrogate lets up to 7 % of the epochs end before their predecessors.
        seconds = np.maximum.accumulate(output[:, :, 0].astype(float), axis=1)
        return [Curve(*both) for both in zip(seconds, output[:, :, 1].astype(float), strict=True)]


def development_tasks() -> list[Task]:
    """The tasks meant for work like this. Raises FileNotFoundError without the surrogate."""
    folder = Path(os.environ.get("VOXTUNE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "lcbench"
    names = json.loads((folder / "development_tasks.json").read_text())
    categories = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep GiB of the largest batch
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    return [Task(name, session, categories[name]) for name in names]


def _draw(parameter: Float | Int, uniform: np.ndarray) -> np.ndarray:
    whole = isinstance(parameter, Int)
    low, high = (parameter.low - 0.5, parameter.high + 0.5) if whole else (parameter.low, parameter.high)
    values = np.exp(np.log(low) + uniform * np.log(high / low)) if parameter.log else low + uniform * (high - low)
    return np.rint(values) if whole else values
