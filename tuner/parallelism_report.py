"""Writes the study of parallelism: an answer in words, tables, a picture, CSV, JSON; and reads it, to go on with it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tuner.durations import duration
from tuner.files import replace_file, write_text
from tuner.markdown import escape, made_with, table
from tuner.parallelism import Search, TrialFound, Way
from tuner.parallelism_plot import speed_up_chart
from tuner.parallelism_result import Outcome, answer, table_of

SEARCHES = "searches.json"

SHARES = {
    "training": "training steps",
    "data": "drawing batches",
    "exchange": "exchange between devices of a trial",
    "evaluation": "evaluation",
    "between": "between trials: start, checkpoints, the driver's word",
    "tail": "waiting for the last trial",
}

MODELLED = (
    "What is modelled comes from a discrete-event model of the search, fed with the measured times of the trials, of "
    "what lies between them and of the driver's answers. For groups of devices that were not measured it takes the "
    "exchange of the largest group that was, as a ring would grow it: networks between more devices are slower, so "
    "these figures favour groups."
)


def write_searches(folder: Path, terms: Mapping[str, Any], searches: Sequence[Search]) -> None:
    """Write what was measured so far, and of what."""
    content = {"terms": terms, "searches": [asdict(search) for search in searches]}
    write_text(folder / SEARCHES, json.dumps(content, indent=1) + "\n")


def read_searches(folder: Path) -> tuple[dict[str, Any], list[Search]]:
    """What `write_searches` wrote. Raises OSError, or ValueError, KeyError or TypeError where it is no such file."""
    content = json.loads((folder / SEARCHES).read_text(encoding="utf-8"))
    return content["terms"], [_search(found) for found in content["searches"]]


def _search(found: Mapping[str, Any]) -> Search:
    trials = tuple(
        TrialFound(**{**trial, **{name: tuple(trial[name]) for name in ("steps", "seconds", "scores")}})
        for trial in found["trials"]
    )
    return Search(**{**found, "way": Way(**found["way"]), "trials": trials})


def write_parallelism(
    found: Sequence[Outcome],
    folder: Path,
    *,
    trials: int,
    left_out: Mapping[int, str],
    environment: Mapping[str, Any],
) -> Path:
    """Write `study.md` with its picture, `ways.csv` and `study.json`. Returns the first.

    Args:
        left_out: numbers of devices that no trial can be trained by together, and why.
    """
    rows = table_of(found)
    write_text(folder / "ways.csv", rows.to_csv(index=False, lineterminator="\n"))
    replace_file(folder / "speed_up.png", partial(speed_up_chart(found).savefig, format="png"))
    content = {
        "trials": trials,
        "ways": json.loads(rows.to_json(orient="records")),
        "left_out": {str(group): reason for group, reason in left_out.items()},
        "environment": environment,
    }
    write_text(folder / "study.json", json.dumps(content, indent=1) + "\n")
    return write_text(folder / "study.md", "\n\n".join(_page(found, trials, left_out, environment)) + "\n")


def _page(
    found: Sequence[Outcome], trials: int, left_out: Mapping[int, str], environment: Mapping[str, Any]
) -> Iterator[str]:
    yield "# A trial on each device, or several devices on one trial"
    for early_stopping, name in ((True, "With early stopping (ASHA)"), (False, "Every trial to its full budget")):
        yield f"{name}: {answer(found, trials=trials, early_stopping=early_stopping)}"
    yield "![Speed-up over the number of devices](speed_up.png)"
    for early_stopping, name in ((False, "Every trial to its full budget"), (True, "With early stopping (ASHA)")):
        yield f"## {name}"
        yield _speeds([one for one in found if one.way.early_stopping == early_stopping])
    if any(not one.measured for one in found):
        yield MODELLED
    for group, reason in left_out.items():
        yield f"{group} devices on one trial are left out: {escape(reason)}."
    yield "## Where the devices' time went"
    yield _times([one for one in found if one.measured])
    yield "## Made with"
    yield made_with(environment)


def _speeds(found: Sequence[Outcome]) -> str:
    header = [
        "devices",
        "a trial on",
        "",
        "time",
        "speed-up",
        "range",
        "bound",
        "efficiency",
        "utilisation",
        "device-hours",
        "best Dice",
        "mean Dice",
        "model's error",
    ]
    return table(header, [_speed_row(one) for one in sorted(found, key=lambda one: one.way)])


def _speed_row(one: Outcome) -> list[str]:
    return [
        str(one.way.devices),
        str(one.way.group),
        "measured" if one.measured else "modelled",
        duration(one.seconds),
        f"{one.speed_up:.2f}",
        f"{one.speed_up_low:.2f} to {one.speed_up_high:.2f}" if one.measured else "",
        f"{one.bound_speed_up:.2f}",
        f"{one.efficiency:.0%}",
        "" if one.utilisation is None else f"{one.utilisation:.0%}",
        f"{one.device_hours:.3g}",
        "" if one.best_dice is None else f"{one.best_dice:.4f}",
        "" if one.mean_dice is None else f"{one.mean_dice:.4f}",
        "" if one.model_error is None else f"{one.model_error:+.1%}",
    ]


def _times(found: Sequence[Outcome]) -> str:
    header = ["devices x devices a trial, early stopping", *(_name(one) for one in found)]
    shares = [one.shares or {} for one in found]
    rows = [[told, *(f"{share[name]:.1%}" for share in shares)] for name, told in SHARES.items()]
    start = ["before the first trial: data, Ray, processes", *(duration(one.start_seconds or 0.0) for one in found)]
    return table(header, [*rows, start])


def _name(one: Outcome) -> str:
    return f"{one.way.devices} x {one.way.group}, {'yes' if one.way.early_stopping else 'no'}"
