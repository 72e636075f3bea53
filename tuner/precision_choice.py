"""In which number format and memory layout a sweep's trials train: measured once for each kind of device.

On this machine's CPU it is measured while Ray starts, elsewhere by tasks on the nodes. What was found stands in
`environment.json`: a resumed sweep goes on in the same format, and measures devices that are new to it.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from cluster.asking import pinned_to
from cluster.connect import Cluster
from search_spaces.parameters import Choice, Fixed
from trainables.device import device_name
from trainables.precision_check import check_precisions
from trainables.precision_table import PrecisionCheck
from trainables.segmentation import network_for
from trainables.segmentation_config import SegmentationConfig
from tuner import machine
from tuner.config import SEGMENTATION, SweepConfig
from tuner.directory import SweepDirectory
from tuner.environment import PRECISION_CHECKS
from tuner.files import write_text
from tuner.preparation import Prepared
from tuner.sweep_files import read_environment

log = logging.getLogger("voxtune")

PATIENCE = 120.0
"""Seconds that the nodes may take: a search waits for them."""

Measured = Future[list[PrecisionCheck]] | None
"""What is being measured on this machine, if anything is."""


@contextmanager
def measuring(
    config: SweepConfig, prepared: Prepared | None, directory: SweepDirectory, *, local: bool
) -> Iterator[Measured]:
    """Measure on this machine's processor, if trials are to run on it, while the block begins."""
    if prepared is None or not local or config.resources.gpus_per_trial or "cpu" in _devices(_read(directory)):
        yield None
        return
    with ThreadPoolExecutor(1, thread_name_prefix="precision") as thread:
        yield thread.submit(_check_here, config, prepared)


def measured_formats(
    config: SweepConfig,
    prepared: Prepared,
    directory: SweepDirectory,
    *,
    cluster: Cluster,
    measured: Measured,
    tell: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """By device the `precision` that `auto` is there, and for each precision the `memory_format` that `auto` is.

    As it was found when the sweep began, or as it is found now. `tell` is told what a user should know of it.
    """
    known = _read(directory)
    if measured:
        new = _result(measured)
    elif cluster.local and {device.name for device in machine.cuda_devices()} <= _devices(known):
        new = []  # spares the seconds that a process of its own takes to say so
    else:
        new = _check_nodes(config, prepared, cluster, known=_devices(known))
    checks = [*known, *new]
    if new:
        _write(directory, checks)
    for remark in remarks(checks, compared=precisions_to_check(config)):
        tell(remark)
    return {
        check.device: {"precision": check.chosen.precision, "memory_format": check.layouts}
        for check in checks
        if check.chosen
    }


def _result(measured: Future[list[PrecisionCheck]]) -> list[PrecisionCheck]:
    """What was measured; nothing where that failed, since it only advises."""
    try:
        return measured.result()
    except Exception:
        log.exception("which precision is fastest could not be measured")
        return []


def precisions_to_check(config: SweepConfig) -> Sequence[str] | None:
    """The formats whose speed decides or is worth a warning: none for fp32 alone, None for all that a device has."""
    parameter = config.search_space.get("precision", Fixed(value="auto"))
    values = parameter.values if isinstance(parameter, Choice) else [getattr(parameter, "value", "auto")]
    named = {str(value) for value in values}
    if "auto" in named:
        return None
    return sorted(named) if named != {"fp32"} else []


def remarks(checks: Sequence[PrecisionCheck], *, compared: Sequence[str] | None) -> Iterator[str]:
    """What a user should know of it, a line each; `compared` as `precisions_to_check` says."""
    for check in checks:
        plain, chosen = check.fastest("fp32"), check.chosen
        if compared is None and plain and chosen:
            ratio = _ratio(plain.step_seconds, chosen.step_seconds)
            faster = "" if chosen.precision == "fp32" else f", {ratio} as fast as fp32"
            yield f"Precision on {check.device}: {chosen.precision}, {chosen.memory_format}{faster}"
        for name in compared or ():
            asked = check.fastest(name)
            failure = next((row.failure for row in check.rows if row.precision == name and row.failure), None)
            if asked is None and failure:
                yield f"precision: {name} on {check.device}: {failure}"
            elif plain and asked and (asked.step_seconds or 0) > (plain.step_seconds or 0):
                slower = _ratio(asked.step_seconds, plain.step_seconds)
                yield f"precision: {name} takes {slower} as long as fp32 on {check.device}"
        if check.fault:
            yield f"Half precision on {check.device}: {check.fault}"


def _ratio(one: float | None, other: float | None) -> str:
    return f"{(one or 0) / (other or 1):.1f} times"


def _check_here(config: SweepConfig, prepared: Prepared) -> list[PrecisionCheck]:
    """On this machine's processor."""
    asked = _asked(config, prepared)
    return [check_precisions(**asked, device="cpu")] if asked else []


def _check_nodes(
    config: SweepConfig, prepared: Prepared, cluster: Cluster, *, known: Collection[str]
) -> list[PrecisionCheck]:
    """On a GPU of each node that has any, or on one node's processor; one that does not answer is left out."""
    asked = _asked(config, prepared)
    device = "cuda" if config.resources.gpus_per_trial else "cpu"
    if not asked or device in known:
        return []
    if device == "cuda":
        nodes = [node for node in cluster.nodes if node.gpus >= 1]
        # A GPU for itself alone, and a process that ends with the measurement, and frees it.
        options: dict[str, Any] = {"num_cpus": 0, "num_gpus": 1, "max_calls": 1}
    else:
        nodes = [node for node in cluster.nodes if node.cpus >= 1][:1]
        options = {"num_cpus": 1}
    remote: Any = ray.remote(max_retries=0, **options)
    task = remote(_check_unless)
    answers = [
        task.options(scheduling_strategy=pinned_to(node.id)).remote(known, device=device, **asked) for node in nodes
    ]
    end = time.monotonic() + PATIENCE
    found: dict[str, PrecisionCheck] = {}
    for answer in answers:
        try:
            check: PrecisionCheck | None = ray.get(answer, timeout=max(0.0, end - time.monotonic()))
        except (RayError, TimeoutError) as error:
            ray.cancel(answer, force=True)  # it may still wait for a GPU, and would take one from a trial
            log.warning("a node did not say which precision is fastest there: %s", error)
            continue
        if check:
            found.setdefault(check.device, check)
    return list(found.values())


def _check_unless(known: Collection[str], *, device: str, **asked: Any) -> PrecisionCheck | None:
    """Measure on this node's device; None if that is one of those known."""
    if device_name(torch.device(device)) in known:
        return None
    return check_precisions(**asked, device=device)


def _devices(checks: Sequence[PrecisionCheck]) -> set[str]:
    return {check.device for check in checks}


def _asked(config: SweepConfig, prepared: Prepared) -> dict[str, Any]:
    """The arguments of `check_precisions` but the device, of the sweep's first trial; none if it need not be known."""
    precisions = precisions_to_check(config)
    if config.trainable != SEGMENTATION or precisions == []:
        return {}
    volumes = prepared.volumes
    run = SegmentationConfig.from_mapping(config.search_space.first(config.default))
    return {
        "network": network_for(run, volumes),
        "patch_size": run.patch_size,
        "batch_size": run.patches_at_once,
        "regions": volumes.targets.regions,
        "precisions": precisions,
    }


def _read(directory: SweepDirectory) -> list[PrecisionCheck]:
    environment = read_environment(directory)
    return [PrecisionCheck.from_mapping(found) for found in environment.get(PRECISION_CHECKS, [])]


def _write(directory: SweepDirectory, checks: Sequence[PrecisionCheck]) -> None:
    environment = read_environment(directory)
    text = json.dumps({**environment, PRECISION_CHECKS: [check.to_mapping() for check in checks]}, indent=1)
    write_text(directory.environment_file, text)
