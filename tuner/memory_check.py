"""Which configurations can't fit in memory, asked before they start."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from threading import Event
from typing import Any

from search_spaces.space import SearchSpace
from trainables.errors import TrainableError
from trainables.protocol import TrainingRun
from tuner.background import beside
from tuner.importing import import_named
from tuner.packing import Estimate, estimates
from tuner.work import TooLarge

log = logging.getLogger("voxtune")


def estimate_of(trainable: str, *, data: Mapping[str, Any], device: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Says of a configuration's parameters the peak GiB that training them takes; None where that can't be said.

    It asks the trainable's own `estimate_memory(parameters, data=..., device=...)`, if it has one.
    """
    run = import_named(trainable, key="trainable", kind=TrainingRun)
    ask = getattr(run, "estimate_memory", None)

    def estimate(parameters: Mapping[str, Any]) -> float | None:
        if ask is None:
            return None
        try:
            return float(ask(parameters, data=data, device=device))
        except TrainableError:  # left to show, in a trial, what is wrong with it
            return None
        except Exception:
            log.exception("the memory of %s could not be estimated", dict(parameters))
            return None

    return estimate


def memory_check(estimate: Estimate, *, limit_gib: float) -> Callable[[Mapping[str, Any]], TooLarge | None]:
    """Says of a configuration's parameters whether training them takes more than `limit_gib`; None also if unknown."""

    def check(parameters: Mapping[str, Any]) -> TooLarge | None:
        peak = estimate(parameters)
        return TooLarge(estimated_gib=peak, memory_limit_gib=limit_gib) if peak and peak > limit_gib else None

    return check


def looking_ahead(
    estimate: Estimate, space: SearchSpace, default: Mapping[str, Any], *, after: Future[Any] | None = None
) -> AbstractContextManager[None]:
    """While the block runs, ask for estimates that the search may need, beside the trials that train.

    The first one for a network, patch and batch takes a second, which a free slot would wait; the trainable remembers.
    They begin `after` what must not be disturbed.
    """

    def look(ended: Event) -> None:
        if after is not None:
            wait([after])
        for _ in estimates(space, default, lambda parameters: None if ended.is_set() else estimate(parameters)):
            pass

    return beside(look, name="estimates")
