"""What preprocessed volumes take of the disk, and their preparation of memory; told where there is too little of it."""

import os
import shutil
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np

from trainables.case_fingerprint import CaseFingerprint
from trainables.errors import DatasetError, SettingError
from trainables.fingerprint import Fingerprint
from trainables.machine_memory import past_memory
from trainables.preprocessing import PreprocessingPlan
from trainables.resampling import resampled_shape
from trainables.targets import Targets
from trainables.volume_file import by
from trainables.volume_store import FOREGROUND_SAMPLE

PREPARATION_MEMORY = 8 * 2**30
"""Bytes that the workers may take together, unless a single case needs more."""


def disk_need(fingerprint: Fingerprint, plan: PreprocessingPlan, targets: Targets) -> int:
    """The bytes that `prepare_volumes` will write; the page cache must hold as many for trials to read at full speed.

    Images count two bytes a voxel and channel, or four where an intensity normalisation of `none` leaves them open. A
    crop cuts as much as the fingerprint says, so no more than this is written, up to some hundred bytes a case and a
    volume that falls back to float32.
    """
    sample = len(targets.names) * FOREGROUND_SAMPLE * 3 * np.dtype(np.int32).itemsize
    depth = sum(4 if channel.kind == "none" else 2 for channel in plan.normalisation) + 1
    return sum(_voxels(case, plan) * depth + sample for case in fingerprint.cases)


def memory_need(fingerprint: Fingerprint, plan: PreprocessingPlan) -> int:
    """The bytes that one worker takes for the largest case, at its peak.

    Counted a voxel: of the file the image as stored and in float32, its normalised copy, the label and two masks; of
    the result the resampled image in float32 and float16, and for one channel or class the steps in between.
    """
    return max(_case_memory(case, plan) for case in fingerprint.cases)


def check_disk(cache: Path, need: int) -> None:
    """Raises SettingError where the disk of `cache` has less than `need` bytes free."""
    free = shutil.disk_usage(cache).free
    if need > free:
        raise SettingError(
            f"cache: {cache} has {_amount(free)} free, the preprocessed volumes take {_amount(need)}; "
            "free some or choose a folder on another disk"
        )


def check_memory(fingerprint: Fingerprint, plan: PreprocessingPlan) -> None:
    """Raises DatasetError, naming the case, where this machine's memory does not hold one."""
    for case in fingerprint.cases:
        if too_much := past_memory(_case_memory(case, plan)):
            raise DatasetError(
                f"{case.name}: to be prepared it takes {too_much}: its {by(case.shape)} voxels are "
                f"{_mm(case.spacing)} mm wide, and would become {_mm(plan.spacing)} mm"
            )


def worker_count(wanted: int | None, memory: int) -> int:
    """`wanted` workers (None: one a core), or as many as `PREPARATION_MEMORY` holds of `memory` bytes each; never 0."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(wanted or cores, PREPARATION_MEMORY // memory))


def _case_memory(case: CaseFingerprint, plan: PreprocessingPlan) -> int:
    return prod(case.shape) * (16 * plan.channels + 10) + _voxels(case, plan) * (6 * plan.channels + 13)


def _voxels(case: CaseFingerprint, plan: PreprocessingPlan) -> int:
    shape = case.cropped_shape if plan.crop else case.shape
    return prod(resampled_shape(shape, case.spacing, plan.spacing))


def _mm(spacing: Iterable[float]) -> str:
    return by(f"{size:.3g}" for size in spacing)


def _amount(size: int) -> str:
    """Bytes for people, so that two that differ look different."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
