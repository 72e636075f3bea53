"""What the slots' time went into: how much of it trained, and what stood between one trial and the next.

A slot's time runs from its first trial's begin to its last trial's end; what is left until the last slot ends is the
tail, told apart, since there the searcher had no trial left to hand out. Where a sweep was resumed, each driver's slots
are counted for themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from optuna.trial import FrozenTrial

COLUMNS = [
    "number",
    "slot",
    "node",
    "pid",
    "began",
    "first_step",
    "ended",
    "turnaround",
    "start",
    "advance",
    "checkpoint",
]


def stints(trials: Sequence[FrozenTrial]) -> pd.DataFrame:
    """One row a stint of a trial on a slot, in the order in which they began.

    `slot` counts the processes from 0 in the order in which they opened. `began`, `first_step` and `ended` are Unix
    time by the node's clock; the others seconds: `start` (building the run, loading its state), `advance` (training
    and evaluation), `checkpoint` (waiting for what it takes to go on to be written), and `turnaround`, from the end of
    the slot's trial before to this one's first training step; missing for its first.
    """
    rows = [{"number": trial.number, **stint} for trial in trials for stint in trial.user_attrs.get("stints", [])]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame = frame.astype(dict.fromkeys(("began", "first_step", "ended", "start", "advance", "checkpoint"), float))
    frame = frame.sort_values("began", kind="stable", ignore_index=True)
    frame["slot"] = frame.groupby(["node", "pid"], sort=False).ngroup()
    frame["turnaround"] = frame["first_step"] - frame.groupby("slot")["ended"].shift()
    return frame[COLUMNS]


@dataclass(frozen=True, kw_only=True)
class Utilisation:
    """Where the time of a sweep's slots went. Seconds are summed over the slots."""

    slots: int
    """Processes that were there to run trials at once, at most: one that takes another's place is no further slot."""

    seconds: float
    """From each slot's first trial to its last one's end."""

    tail_seconds: float
    """After that, until the last slot had ended too."""

    training: float
    """Shares of `seconds`: training steps, making their batches included."""

    data: float
    """Of `training` the part in which batches were drawn or waited for."""

    evaluation: float
    start: float
    """Building networks and loading states."""

    checkpoint: float
    waiting: float
    """Between trials and for the driver's word at rungs."""

    turnaround_seconds: float | None
    """Median over all trials but each slot's first."""

    @property
    def busy(self) -> float:
        """Share of the slots' time in training and evaluation."""
        return self.training + self.evaluation


def utilisation(trials: Sequence[FrozenTrial]) -> Utilisation | None:
    """Of trials as the study holds them; None before the first has reported.

    Training and evaluation are taken from the trials' last reports. A rung that was repeated after a kill counts once:
    what was lost is time in no column.
    """
    frame = stints(trials)
    if frame.empty:
        return None
    slots = frame.groupby("slot").agg(began=("began", "min"), ended=("ended", "max"))
    seconds = float((slots["ended"] - slots["began"]).sum())
    if seconds <= 0:
        return None
    last = [trial.user_attrs["evaluations"][-1] for trial in trials if trial.user_attrs.get("evaluations")]
    spent = {
        "data": sum(trial.user_attrs.get("data_seconds", 0.0) for trial in trials),
        "training": sum(evaluation["training_seconds"] for evaluation in last),
        "evaluation": sum(evaluation["evaluation_seconds"] for evaluation in last),
        "start": float(frame["start"].sum()),
        "checkpoint": float(frame["checkpoint"].sum()),
    }
    at_work = float((frame[["start", "advance", "checkpoint"]].sum(axis=1)).sum())
    turnaround = frame["turnaround"].median()
    return Utilisation(
        slots=_most_at_once(slots),
        seconds=seconds,
        tail_seconds=_tail(slots),
        waiting=(seconds - at_work) / seconds,
        turnaround_seconds=None if pd.isna(turnaround) else float(turnaround),
        **{name: amount / seconds for name, amount in spent.items()},
    )


def _most_at_once(slots: pd.DataFrame) -> int:
    changes = pd.concat([pd.Series(-1, slots["ended"]), pd.Series(1, slots["began"])])
    return int(changes.sort_index(kind="stable").cumsum().max())


def _tail(slots: pd.DataFrame) -> float:
    """Slot seconds after each slot's end, until the last slot of the same driver ended: slots whose times overlap."""
    ordered = slots.sort_values("began")
    session = (ordered["began"] > ordered["ended"].cummax().shift()).cumsum()
    return float((ordered.groupby(session)["ended"].transform("max") - ordered["ended"]).sum())
