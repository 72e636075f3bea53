"""Mixed precision against fp32 on one's own device: what a step takes, what fits, and what is learned in which time.

The questions and the layout of the tables are those of Yang 2020 (mixed precision for 3D medical image segmentation),
who measured a V100 with the original 3D U-Net on patches of 128 and 160 voxels.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from statistics import mean
from typing import Any

import torch

from trainables.device import use_device
from trainables.errors import SettingError, TrainingError
from trainables.memory import estimate_memory
from trainables.memory_trace import held_by_network
from trainables.precision import resolve_precision
from trainables.protocol import Budget
from trainables.segmentation import SegmentationRun, network_for
from trainables.segmentation_config import SegmentationConfig, patch_text
from trainables.step_times import StepTimes, time_step
from trainables.volumes import Volumes
from tuner.amp_settings import AmpSettings, check_on
from tuner.preparation import Prepared

EVALUATIONS = 6
"""Points of a learning curve."""

WIDER = (1, 1.25, 1.5, 1.75, 2, 2.5, 3)
"""Widths of the networks that are asked whether they fit, as factors."""

MOST_PATCHES = 64
"""In a batch that is asked whether it fits."""

_FLOAT = 4


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row of the first two tables."""

    patch: tuple[int, int, int]
    batch: int
    precision: str
    times: StepTimes
    estimated_gib: float
    """Peak memory by `trainables.memory`, which needs no device."""


@dataclass(frozen=True, kw_only=True)
class Fits:
    """What fits in `memory_gib`, by the estimate."""

    precision: str
    memory_gib: float
    batches: dict[str, int]
    """By patch size, the most patches in a batch; 0 where not one fits."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    precision: str
    seed: int
    step: int
    seconds: float
    """Of training so far."""

    loss: float
    """Mean since the point before."""

    dice: float


@dataclass(frozen=True, kw_only=True)
class Largest:
    """The largest network of a precision in the memory that fp32 needs for the network compared, and how it trains."""

    precision: str
    width: int
    levels: int
    parameters: int
    estimated_gib: float
    memory_gib: float
    seconds: float
    steps: float
    """The mean over the seeds."""

    dice: tuple[float, ...]
    """Of each seed that could be trained."""


@dataclass(frozen=True, kw_only=True)
class AmpStudy:
    """All that was found."""

    settings: AmpSettings
    cells: tuple[Cell, ...]
    fits: tuple[Fits, ...]
    curves: tuple[CurvePoint, ...] = ()
    largest: tuple[Largest, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """In plain types."""
        return asdict(self)


def run_amp_study(
    settings: AmpSettings,
    prepared: Prepared,
    *,
    memory_gib: float,
    threads: int,
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> Iterator[AmpStudy]:
    """Measure it all, on `settings.device` in this process. Gives what there is after each part, at last the whole.

    Args:
        memory_gib: what batches are to fit in.
        progress: told the stage, how much of it is done, and of how much.
    """
    torch.set_num_threads(threads)
    use_device(torch.device(settings.device))
    data, volumes = prepared.training_data(threads=threads), prepared.volumes
    cells = tuple(_counted(_cells(settings, volumes), "Steps", _cell_count(settings), progress))
    study = AmpStudy(settings=settings, cells=cells, fits=tuple(_fits(settings, volumes, memory_gib)))
    yield study
    curves = _counted(_curves(settings, data), "Learning curves", _curve_count(settings), progress)
    study = replace(study, curves=tuple(curves))
    yield study
    largest = _counted(_largest(settings, volumes, data), "Largest networks", len(settings.precisions), progress)
    yield replace(study, largest=tuple(largest))


def _counted(found: Iterator[Any], stage: str, of: int, progress: Callable[[str, int, int], None]) -> Iterator[Any]:
    progress(stage, 0, of)
    for done, one in enumerate(found, start=1):
        progress(stage, done, of)
        yield one


def _cell_count(settings: AmpSettings) -> int:
    return len(settings.patches) * len(settings.batches) * len(settings.precisions)


def _curve_count(settings: AmpSettings) -> int:
    return len(settings.precisions) * settings.seeds * EVALUATIONS


def _cells(settings: AmpSettings, volumes: Volumes) -> Iterator[Cell]:
    """The formats side by side, so that what else the machine does meets them alike."""
    for patch, batch, precision in product(settings.patches, settings.batches, settings.precisions):
        parameters = settings.parameters(precision, patch_size=list(patch), batch_size=batch)
        config = SegmentationConfig.from_mapping(parameters)
        yield Cell(
            patch=patch,
            batch=batch,
            precision=precision,
            times=time_step(
                network_for(config, volumes),
                patch_size=patch,
                batch_size=batch,
                precision=resolve_precision(precision, settings.device),
                regions=volumes.targets.regions,
                seconds=5.0 if torch.device(settings.device).type == "cuda" else 1.0,
            ),
            estimated_gib=_estimate(parameters, volumes, settings),
        )


def _estimate(parameters: Mapping[str, Any], volumes: Volumes, settings: AmpSettings) -> float:
    return estimate_memory(
        parameters,
        spacing=volumes.plan.spacing,
        channels=volumes.channels,
        targets=volumes.targets,
        device=settings.device,
    ).peak_gib


def _fits(settings: AmpSettings, volumes: Volumes, memory_gib: float) -> Iterator[Fits]:
    def fits(precision: str, patch: Sequence[int], batch: int) -> bool:
        parameters = settings.parameters(precision, patch_size=list(patch), batch_size=batch)
        return _estimate(parameters, volumes, settings) <= memory_gib

    for precision in settings.precisions:
        batches = {patch_text(patch): _most(partial(fits, precision, patch)) for patch in settings.patches}
        yield Fits(precision=precision, memory_gib=memory_gib, batches=batches)


def _most(fits: Callable[[int], bool]) -> int:
    """The largest whole number up to MOST_PATCHES that fits, if a smaller one always does; 0 where 1 does not."""
    return bisect(range(1, MOST_PATCHES + 1), False, key=lambda number: not fits(number))


def _curves(settings: AmpSettings, data: Mapping[str, Any]) -> Iterator[CurvePoint]:
    for seed, precision in product(range(settings.seeds), settings.precisions):
        budget = Budget(unit="steps", maximum=settings.steps)
        run = SegmentationRun(
            settings.parameters(precision), data=data, budget=budget, seed=seed, device=settings.device
        )
        for point in range(1, EVALUATIONS + 1):
            try:
                found = run.advance(point / EVALUATIONS * settings.steps)
            except TrainingError:  # its curve ends here
                break
            yield CurvePoint(
                precision=precision,
                seed=seed,
                step=found.steps,
                seconds=found.training_seconds,
                loss=found.metrics["loss"],
                dice=found.score,
            )


def _largest(settings: AmpSettings, volumes: Volumes, data: Mapping[str, Any]) -> Iterator[Largest]:
    memory_gib = _estimate(settings.parameters("fp32"), volumes, settings)
    for precision in settings.precisions:
        chosen = max(
            (
                candidate
                for candidate in _candidates(settings, volumes)
                if candidate == settings or _estimate(candidate.parameters(precision), volumes, settings) <= memory_gib
            ),
            key=lambda candidate: _parameters(candidate, volumes),
        )
        budget = Budget(unit="seconds", maximum=settings.seconds)
        scores, steps = [], []
        for seed in range(settings.seeds):
            run = SegmentationRun(
                chosen.parameters(precision), data=data, budget=budget, seed=seed, device=settings.device
            )
            try:
                found = run.advance(settings.seconds)
            except TrainingError:
                continue
            scores.append(found.score)
            steps.append(found.steps)
        yield Largest(
            precision=precision,
            width=chosen.width,
            levels=chosen.levels,
            parameters=_parameters(chosen, volumes),
            estimated_gib=_estimate(chosen.parameters(precision), volumes, settings),
            memory_gib=memory_gib,
            seconds=settings.seconds,
            steps=mean(steps) if steps else 0.0,
            dice=tuple(scores),
        )


def _candidates(settings: AmpSettings, volumes: Volumes) -> Iterator[AmpSettings]:
    """The network compared, wider ones, and those with one level more where the patch allows it."""
    for levels, factor in product((settings.levels, settings.levels + 1), WIDER):
        candidate = replace(settings, width=2 * round(settings.width * factor / 2), levels=levels)
        try:
            check_on(candidate.parameters("fp32"), volumes)
        except SettingError:
            continue
        yield candidate


def _parameters(settings: AmpSettings, volumes: Volumes) -> int:
    weights, _ = held_by_network(network_for(SegmentationConfig.from_mapping(settings.parameters("fp32")), volumes))
    return weights // _FLOAT
