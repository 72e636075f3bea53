"""TensorBoard event files of trials: curves, parameters, and a picture of each evaluation.

    runs/NAME/tensorboard/sweep_0012/events.out.tfevents...

A step is in thousandths of the full budget, so that curves of trials with other batch and patch sizes stand side by
side. `tensorboard --logdir runs/NAME/tensorboard` shows them, also while the sweep runs.
"""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import api_pb2
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.summary import hparams

from trainables.protocol import Evaluation

Status = Literal["success", "failure"]
"""How a trial ended, in TensorBoard's words."""

SCORE = "Dice"
FACTS = {"peak_gib": "peak GiB", "skipped_steps": "skipped steps"}
"""Of a run's facts those that make a curve, and their names."""


class EventFile:
    """Of one trial, as far as one driver saw it. Events of several drivers lie beside one another in its folder."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        """`parameters` are for TensorBoard's table of them. Raises OSError where `folder` can't be written to."""
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), filename_suffix=f".{time.time_ns()}")
        plain = {name: _plain(value) for name, value in parameters.items()}
        experiment, begin, _ = hparams(plain, {SCORE: 0.0})  # the Dice itself is read from the curve
        self._write(experiment)
        self._write(begin)

    def add(self, step: int, evaluation: Evaluation) -> None:
        """What a trial reached at `step`."""
        values = {SCORE: evaluation.score, **_curves(evaluation)}
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        if evaluation.picture:
            summary.value.append(Summary.Value(tag="label above, found below", image=_image(evaluation.picture)))
        self._write(summary, step)
        self._writer.flush()

    def close(self, status: Status | None) -> None:
        """Close the file of a trial that ended so; None: it may go on elsewhere."""
        if status:
            self._write(_session_end(status))
        self._writer.close()

    def _write(self, summary: Summary, step: int = 0) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))


def _session_end(status: Status) -> Summary:
    """What `hparams` makes too, but always of a success."""
    end = SessionEndInfo(status=api_pb2.Status.Value(f"STATUS_{status.upper()}"))
    content = HParamsPluginData(session_end_info=end).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
    value = Summary.Value(tag="_hparams_/session_end_info", metadata=SummaryMetadata(plugin_data=plugin))
    return Summary(value=[value])


def _curves(evaluation: Evaluation) -> dict[str, float]:
    """All that changes in the course of a training, by its name in TensorBoard: `Dice/Anterior` for a class."""
    curves = {
        f"{SCORE}/{name.removeprefix('dice_')}" if name.startswith("dice_") else name: value
        for name, value in evaluation.metrics.items()
    }
    curves["time/training s"] = evaluation.training_seconds
    curves["time/evaluation s"] = evaluation.evaluation_seconds
    if evaluation.training_seconds > 0 and evaluation.facts.get("voxels"):
        curves["time/voxels per s"] = evaluation.facts["voxels"] / evaluation.training_seconds
    for fact, name in FACTS.items():
        if evaluation.facts.get(fact) is not None:
            curves[name] = evaluation.facts[fact]
    return curves


def _plain(value: Any) -> bool | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _image(encoded: bytes) -> Summary.Image:
    with Image.open(io.BytesIO(encoded)) as picture:
        width, height = picture.size
    return Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
