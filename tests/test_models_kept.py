"""Of a sweep's models the best few stay on the disk."""

from dataclasses import replace
from pathlib import Path

from make_sweep import DEFAULT, SPACE, evaluation, open_study
from make_work import toy_work
from optuna.storages import InMemoryStorage

from search_spaces.space import parse_space
from tuner.checkpoints import MODEL, state_name
from tuner.study import DEFAULT_ORIGIN, SweepStudy


def test_models_of_the_best_the_default_and_what_runs_are_kept(tmp_path: Path) -> None:
    study = open_study()
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    work = toy_work(tmp_path, study=study, trials=7, keep_models=2)
    files, checkpoints = work.trial_files, work.checkpoints

    def begin(score: float, step: int) -> int:
        number = study.ask().number
        for name in (state_name(step), MODEL):
            files.put(f"{checkpoints.folder('sweep', number, 1)}/{name}", Path.touch)
        study.report(number, step, evaluation(score, step))
        return number

    running = [begin(0.5, 1000)]  # the default, and worst
    work.end(running.pop(), "full budget")
    for score in (0.6, 0.9, 0.7, 0.8):
        work.end(begin(score, 1000), "full budget")
    lost = begin(0.3, 111)
    study.finish(lost, "error", error="a bug")
    still_running = begin(0.4, 111)
    work.forget_losers()
    assert checkpoints.trials("sweep") == [0, 2, 4, still_running]
    assert checkpoints.trials("confirm") == []
    assert files.names("sweep_0002") == ["sweep_0002/attempt_1/model.pt"]
    assert checkpoints.state_up_to("sweep", still_running, 111) == "sweep_0006/attempt_1/state_0111.pt"


def test_with_several_objectives_those_of_the_front_are_kept_too(tmp_path: Path) -> None:
    space = parse_space(SPACE)
    study = SweepStudy.open(InMemoryStorage(), "sweep", space, objectives=("dice", "training_seconds"))
    work = toy_work(tmp_path, study=study, keep_models=2)
    for score, seconds in ((0.9, 10.0), (0.8, 50.0), (0.5, 5.0), (0.4, 20.0)):
        number = study.ask().number
        work.trial_files.put(f"{work.checkpoints.folder('sweep', number, 1)}/{MODEL}", Path.touch)
        study.report(number, 1000, replace(evaluation(score, 1000), training_seconds=seconds))
        study.finish(number, "full budget")
    work.forget_losers()
    assert work.checkpoints.trials("sweep") == [0, 1, 2]  # the best two by Dice, and the fastest
