"""A study that advances by itself while a live table shows it, for a terminal.

python advancing.py TRIALS SECONDS [FILE]: it goes on, after its last trial, until the file is there.
"""

import sys
import time
from pathlib import Path

import optuna
from make_sweep import RUNGS, evaluation, made_up_score, open_study
from rich.console import Console

from search_spaces.space import parse_space
from tuner.rungs import FULL_BUDGET, SuccessiveHalving
from tuner.study import SweepStudy
from tuner.view import View

SPACE = {
    "learning_rate": {"float": [1e-4, 1e-2], "log": True},
    "batch_size": {"choice": [2, 4]},
    "patch_size": {"choice": [32, "40x56x40"]},
    "loss": {"choice": ["dice", "dice_ce"]},
    "weight_decay": {"float": [1e-6, 1e-2], "log": True},
    "network_width": {"int": [8, 32]},
    "foreground_fraction": {"float": [0, 1]},
}
AT_ONCE = 4


def advance(study: SweepStudy, trials: int, *, seconds: float) -> None:
    """Run trials, four at a time and one step of one after the other, for about so long."""
    rungs = SuccessiveHalving(RUNGS, 3)
    running: dict[int, list[int]] = {}
    began, done = time.monotonic(), 0.0
    study.plan(trials)
    while True:
        while len(running) < AT_ONCE and (proposal := study.claim()):
            running[proposal.number] = list(RUNGS)
        if not running:
            return
        number = min(running, key=lambda number: (-len(running[number]), number))
        step = running[number].pop(0)
        study.report(number, step, evaluation(made_up_score(study.asked[number].params, step, seed=number), step))
        over = step == FULL_BUDGET
        if over or not rungs.goes_on(number, study.scores_at(step)):
            study.finish(number, "full budget" if over else "stopped at rung")
            del running[number]
            done += 1
        time.sleep(max(0.0, began + seconds * done / trials - time.monotonic()))


def main(trials: int, seconds: float, until: Path | None = None) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = open_study(space=parse_space(SPACE))
    view = View(Console())
    study.plan(trials)  # as a driver does before it shows anything
    view.note("before")
    with view.watching(study, title="heart"):
        advance(study, trials, seconds=seconds)
        while until and not until.exists():
            time.sleep(0.05)
    view.note("after")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *map(Path, sys.argv[3:]))
