"""The methods compared, by name. Each builds searcher, scheduler and budgets for a task, a seed and W workers."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from optuna.samplers import RandomSampler
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, HyperBandForBOHB, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from search_spaces.parameters import Int
from tuner.config import SearchConfig
from tuner.rungs import SuccessiveHalving, rung_steps
from tuner.sampler import sampler_factory

from .clock import Method, Report, epoch_reports, rung_reports
from .lcbench import EPOCHS, SPACE, Curve, Task
from .methods import OurMethod, RayMethod, distributions

STEPS = rung_steps(1 / 27, 3)


def _time_reports(task: Task) -> Callable[[Curve], list[Report]]:
    """The full budget in time is the mean time of a full training."""
    return lambda curve: rung_reports(curve, STEPS, lambda curve: curve.seconds, task.mean_seconds)


def _random(task: Task, seed: int, scheduler: TrialScheduler, reports: Callable[[Curve], list[Report]]) -> Method:
    searcher = OptunaSearch(space=distributions(), metric="score", mode="max", sampler=RandomSampler(seed=seed))
    return RayMethod(searcher, scheduler, task.curve, reports)


def _asha_on_epochs() -> TrialScheduler:
    """Ray's own defaults: rungs at 1, 4 and 16 epochs."""
    return ASHAScheduler(metric="score", mode="max", max_t=EPOCHS)


def random_fifo(task: Task, seed: int, workers: int) -> Method:
    return _random(task, seed, FIFOScheduler(), epoch_reports)


def random_asha_epochs(task: Task, seed: int, workers: int) -> Method:
    return _random(task, seed, _asha_on_epochs(), epoch_reports)


def random_asha_time(task: Task, seed: int, workers: int) -> Method:
    """On the same rungs as ours, judged by Ray's scheduler."""
    scheduler = ASHAScheduler(metric="score", mode="max", max_t=STEPS[-1], grace_period=STEPS[0], reduction_factor=3)
    return _random(task, seed, scheduler, _time_reports(task))


def stock(task: Task, seed: int, workers: int) -> Method:
    searcher = OptunaSearch(space=distributions(), metric="score", mode="max", seed=seed)
    return RayMethod(searcher, _asha_on_epochs(), task.curve, epoch_reports)


def tune_bohb(task: Task, seed: int, workers: int) -> Method:
    # Not among the project's dependencies; only this rival needs them.
    import ConfigSpace
    from ray.tune.search.bohb import TuneBOHB

    np.random.seed(seed)  # HpBandSter draws from the global generator
    space = ConfigSpace.ConfigurationSpace(seed=seed)
    for name, parameter in SPACE.items():
        whole = isinstance(parameter, Int)
        kind = ConfigSpace.UniformIntegerHyperparameter if whole else ConfigSpace.UniformFloatHyperparameter
        space.add(kind(name, parameter.low, parameter.high, log=parameter.log))
    searcher = TuneBOHB(space=space, metric="score", mode="max", seed=seed)
    scheduler = HyperBandForBOHB(time_attr="training_iteration", metric="score", mode="max", max_t=EPOCHS)
    return RayMethod(searcher, scheduler, task.curve, epoch_reports)


def _ours(task: Task, seed: int, sampler: Literal["tpe"] | None, workers: int) -> Method:
    search = SearchConfig(sampler=sampler, seed=seed, trials=None, minutes=1)  # as long as the clock allows
    factory = sampler_factory(search, slots=workers)
    return OurMethod(factory, SuccessiveHalving(STEPS, 3), task.curve, _time_reports(task))


def tpe_asha_time(task: Task, seed: int, workers: int) -> Method:
    """Our TPE, on our rungs in time."""
    return _ours(task, seed, "tpe", workers)


def ours(task: Task, seed: int, workers: int) -> Method:
    """The default sampler, on our rungs in time."""
    return _ours(task, seed, None, workers)


METHODS: dict[str, Callable[[Task, int, int], Method]] = {
    "random + FIFO": random_fifo,
    "random + ASHA, epochs": random_asha_epochs,
    "random + ASHA, time": random_asha_time,
    "stock": stock,
    "TuneBOHB": tune_bohb,
    "TPE + ASHA, time": tpe_asha_time,
    "ours": ours,
}
