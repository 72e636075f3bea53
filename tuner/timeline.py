"""Which trial ran when on which slot: the stints of a sweep's trials, laid out in lanes.

A slot is a process; a resumed sweep has others. One that opened after another of its node had ended takes its lane, so
that there are as many lanes as slots at once. Time in which nothing ran, because a sweep was resumed days later, is
left out and told.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from tuner.best import StudyName
from tuner.endings import INTERRUPTED, ending
from tuner.results import Results
from tuner.utilisation import stints

SHORTEST_PAUSE = 60.0
"""Seconds in which nothing ran are left out if they are more than this, and more than LONGEST_GAP of the rest."""

LONGEST_GAP = 0.05
PAUSE_WIDTH = 0.02
"""What stands for a pause, as a share of the time in which any slot was at work."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A trial's time on a slot."""

    study: StudyName
    number: int
    lane: int
    began: float
    """Seconds since the first trial's, pauses shortened."""

    seconds: float
    """Until its last report there."""

    ending: str
    """How the trial ended, in the words of `tuner.endings`; `interrupted` where it went on in another stint."""

    attempt: int
    """Which of the trial's stints it is, from 1 on."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Time in which no slot was at work."""

    at: float
    """Where it is left out, on the time scale of the stretches."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    stretches: tuple[Stretch, ...]
    lanes: tuple[tuple[str, int], ...]
    """Node and slot on it, from 1 on, of each lane."""

    pauses: tuple[Pause, ...]
    untold: int
    """Trials that were begun of which no report came: killed with their machine, or still before their first one."""


def timeline(results: Results) -> Timeline | None:
    """Of the search and of the confirm stage; None before the first report."""
    stages: dict[StudyName, Sequence] = {"sweep": results.begun, "confirm": results.confirm_trials}
    frames = [stints(trials).assign(study=study) for study, trials in stages.items()]
    frame = pd.concat([part for part in frames if len(part)] or frames[:1])
    if frame.empty:
        return None
    frame = frame.sort_values("began", kind="stable", ignore_index=True)
    lanes, lane_of = _lanes(frame)
    pauses = list(_pauses(frame))
    width = PAUSE_WIDTH * _at_work(frame, pauses)
    start = float(frame["began"].min())
    attempts: dict[tuple[str, int], int] = {}
    counts = frame.groupby(["study", "number"]).size()
    stretches = []
    for row in frame.to_dict("records"):
        key = row["study"], row["number"]
        attempts[key] = attempts.get(key, 0) + 1
        trials = results.sweep_trials if row["study"] == "sweep" else results.confirm_trials
        skipped = sum(end - begin - width for begin, end in pauses if end <= row["began"])
        stretches.append(
            Stretch(
                study=row["study"],
                number=row["number"],
                lane=lane_of[row["node"], row["pid"]],
                began=row["began"] - start - skipped,
                seconds=row["ended"] - row["began"],
                ending=ending(trials[row["number"]]) if attempts[key] == counts[key] else INTERRUPTED,
                attempt=attempts[key],
            )
        )
    return Timeline(
        stretches=tuple(stretches),
        lanes=lanes,
        pauses=tuple(_placed(pauses, start, width)),
        untold=sum(
            1 for trials in stages.values() for trial in trials if trial.params and not trial.user_attrs.get("stints")
        ),
    )


def _lanes(frame: pd.DataFrame) -> tuple[tuple[tuple[str, int], ...], dict[tuple[str, int], int]]:
    """Node and slot of each lane, those of a node together, and the lane of each process by node and process id."""
    processes = frame.groupby(["node", "pid"], sort=False).agg(began=("began", "min"), ended=("ended", "max"))
    ends: dict[str, list[float]] = {}
    places = {}
    for (node, pid), began, ended in processes.itertuples():
        free = ends.setdefault(node, [])
        slot = next((slot for slot, end in enumerate(free) if end <= began), len(free))
        free[slot : slot + 1] = [ended]
        places[node, pid] = (node, slot)
    ordered = [(node, slot) for node in sorted(ends, key=_natural) for slot in range(len(ends[node]))]
    return tuple((node, slot + 1) for node, slot in ordered), {key: ordered.index(at) for key, at in places.items()}


def _natural(name: str) -> list[tuple[int, str]]:
    """An order in which node-10 comes after node-9."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def _pauses(frame: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """Begin and end of each, Unix time."""
    before = frame["ended"].cummax().shift()
    gaps = (frame["began"] - before).clip(lower=0)
    work = frame["ended"].max() - frame["began"].min() - gaps.sum()
    long = gaps > max(SHORTEST_PAUSE, LONGEST_GAP * work)
    yield from zip(before[long], frame["began"][long], strict=True)


def _at_work(frame: pd.DataFrame, pauses: Sequence[tuple[float, float]]) -> float:
    return float(frame["ended"].max() - frame["began"].min()) - sum(end - begin for begin, end in pauses)


def _placed(pauses: Sequence[tuple[float, float]], start: float, width: float) -> Iterator[Pause]:
    skipped = 0.0
    for begin, end in pauses:
        yield Pause(at=begin - start - skipped + width / 2, seconds=end - begin)
        skipped += end - begin - width
