"""What `voxtune study parallelism` does: which ways can be measured here, then the study and its files."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from shutil import rmtree
from typing import Any

from cluster.connect import connect
from tuner import machine
from tuner.config import SEGMENTATION, SweepConfig
from tuner.environment import describe_environment
from tuner.errors import OutputError, SweepConfigError, SweepInterrupted
from tuner.parallelism import Search, all_ways, measure, sweep_for
from tuner.parallelism_model import ShareOfBatch
from tuner.parallelism_report import SEARCHES, read_searches, write_parallelism, write_searches
from tuner.parallelism_result import outcomes
from tuner.preparation import prepare_sweep
from tuner.quiet import library_messages
from tuner.rungs import SuccessiveHalving, rung_steps
from tuner.space_check import check_space, check_trainable
from tuner.view import View


def study_parallelism(
    config: SweepConfig,
    output: Path,
    *,
    devices: Sequence[int],
    trials: int,
    repetitions: int,
    address: str | None,
    view: View,
) -> Path:
    """Run the study, or go on with the one in `output`. Returns its page.

    Args:
        devices: numbers of devices to compare; more than are at hand are modelled. One device is always measured.
        trials: of each search.

    Raises a UserError, TrainableError or ClusterError before anything is measured; SweepFailed if a search can't go on;
    SweepInterrupted if the user stopped it.
    """
    config = _whole_devices(config)
    check_trainable(config)
    terms = {"sweep": config.model_dump(mode="json"), "trials": trials}
    known = _known(output, terms)
    groups = _possible_groups(config, {1, *devices}, trials, view)
    left_out = {group: reason for group, reason in groups.items() if reason}
    ways = [way for way in all_ways([1, *devices]) if way.group not in left_out]
    at_hand = _devices_at_hand(config, address)
    output.mkdir(parents=True, exist_ok=True)
    searches: list[Search] = list(known)
    try:
        for search in measure(
            config,
            [way for way in ways if way.devices <= at_hand],
            trials=trials,
            repetitions=repetitions,
            known=known,
            folder=output / "sweeps",
            address=address,
            view=view,
        ):
            searches.append(search)
            write_searches(output, terms, searches)
    except SweepInterrupted:
        raise SweepInterrupted(
            f"Stopped after {len(searches)} searches, which are kept; the same command goes on from there"
        ) from None
    rmtree(output / "sweeps", ignore_errors=True)
    budget = config.budget
    found = outcomes(
        searches,
        ways,
        share=share_of_batch(config),
        rungs=SuccessiveHalving(rung_steps(budget.first_share, budget.reduction), budget.reduction),
    )
    environment = {"sweep": config.name, "repetitions": repetitions, **describe_environment()}
    return write_parallelism(found, output, trials=trials, left_out=left_out, environment=environment)


def share_of_batch(config: SweepConfig) -> ShareOfBatch:
    """How much of one device's work a step is for each of several devices, by the sweep's own settings."""
    if config.trainable != SEGMENTATION:
        return lambda parameters, group: (1 / group, 1.0)
    from trainables.segmentation_config import SegmentationConfig  # torch takes seconds to import

    fixed = config.search_space.fixed

    def share(parameters: Mapping[str, Any], group: int) -> tuple[float, float]:
        settings = SegmentationConfig.from_mapping({**fixed, **parameters})
        if settings.batch_per_worker:
            return 1.0, 1.0 if config.budget.unit == "steps" else 1 / group
        return ceil(settings.batch_size / group) / settings.batch_size, 1.0

    return share


def _whole_devices(config: SweepConfig) -> SweepConfig:
    """The sweep with a whole device for each worker. Raises SweepConfigError where it asks for a part of one."""
    gpus = config.resources.gpus_per_trial
    if gpus == "auto":
        return config.changed({"resources": {"gpus_per_trial": 1}})
    if 0 < gpus < 1:
        raise SweepConfigError(
            f"{config.source}: resources.gpus_per_trial: the study compares whole devices, got {gpus:g}; say 1"
        )
    return config


def _known(output: Path, terms: Mapping[str, Any]) -> list[Search]:
    """What an earlier call has measured there. Raises OutputError where something else lies there."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return []
    try:
        before, searches = read_searches(output)
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(
            f"{output}: exists and holds no {SEARCHES} of such a study; nothing was measured, choose another --output"
        ) from None
    if before != terms:
        raise OutputError(
            f"{output}: holds a study of another sweep file or another number of trials; nothing was measured, choose "
            "another --output"
        )
    return searches


def _possible_groups(config: SweepConfig, groups: set[int], trials: int, view: View) -> dict[int, str | None]:
    """By size of a group, why it can't train a trial together; None where it can. The data are prepared on the way.

    Raises as a sweep would that can't be run on one device.
    """
    found: dict[int, str | None] = {1: None}
    sweeps = {
        way.group: sweep_for(config, way, trials=trials, name="check")
        for way in all_ways(sorted(groups))
        if way.devices == way.group
    }
    prepared = prepare_sweep(sweeps[1], view)
    if prepared is None:
        return found | dict.fromkeys(sweeps)
    for group, sweep in sorted(sweeps.items()):
        try:
            check_space(sweep, prepared.volumes.plan, prepared.volumes.targets)
            found[group] = None
        except SweepConfigError as error:
            found[group] = str(error)
    return found


def _devices_at_hand(config: SweepConfig, address: str | None) -> int:
    """How many devices of a trial's size there are; at least one, where the sweep will say what is missing."""
    size = config.resources
    cpus, gpus = size.cpus_per_trial, float(size.gpus_per_trial)
    if address:
        with library_messages(None, verbose=False), connect(address) as cluster:
            nodes = cluster.with_gpus(size.gpu_type) if size.gpu_type else cluster
            return max(1, nodes.slots(cpus=cpus, gpus=gpus))
    by_cores = int(machine.usable_cores() // cpus)
    return max(1, min(by_cores, int(len(machine.cuda_devices()) // gpus)) if gpus else by_cores)
