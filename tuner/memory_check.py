"""Which configurations can't fit in memory, asked before they start."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from trainables.errors import TrainableError
from trainables.protocol import TrainingRun
from tuner.importing import import_named
from tuner.work import TooLarge

log = logging.getLogger("voxtune")


def memory_check(
    trainable: str, *, data: Mapping[str, Any], device: str, limit_gib: float
) -> Callable[[Mapping[str, Any]], TooLarge | None]:
    """Says of a configuration's parameters whether training them takes more than `limit_gib`.

    It asks the trainable's own `estimate_memory(parameters, data=..., device=...)`, in GiB; one that has none never
    takes too much. Nor does a configuration that can't be estimated: it is left to show what is wrong with it.
    """
    run = import_named(trainable, key="trainable", kind=TrainingRun)
    estimate = getattr(run, "estimate_memory", None)

    def check(parameters: Mapping[str, Any]) -> TooLarge | None:
        if estimate is None:
            return None
        try:
            peak = estimate(parameters, data=data, device=device)
        except TrainableError:
            return None
        except Exception:
            log.exception("the memory of %s could not be estimated", dict(parameters))
            return None
        return TooLarge(estimated_gib=peak, memory_limit_gib=limit_gib) if peak > limit_gib else None

    return check
