"""Of a sweep's models the best few stay on the disk."""

from pathlib import Path

from make_sweep import DEFAULT, RUNGS, evaluation, open_study

from trainables.protocol import Budget
from tuner.checkpoints import MODEL, Checkpoints, state_name
from tuner.directory import SweepDirectory
from tuner.limits import Limits
from tuner.study import DEFAULT_ORIGIN
from tuner.trial_files import LocalFiles
from tuner.trial_record import TrialRecord
from tuner.work import Work


def test_models_of_the_best_the_default_and_what_runs_are_kept(tmp_path: Path) -> None:
    study = open_study()
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    files = LocalFiles(tmp_path)
    checkpoints = Checkpoints(files)
    work = Work(
        sweep="toys",
        study=study,
        study_name="sweep",
        checkpoints=checkpoints,
        trial_files=files,
        record=TrialRecord(SweepDirectory(tmp_path), "sweep"),
        ray_results=tmp_path / "ray",
        trainable="trainables.toy:ToyRun",
        data={},
        budget=Budget(unit="steps", maximum=900),
        trials=7,
        limits=Limits(),
        rungs=None,
        steps=RUNGS,
        resources={"cpu": 1},
        trials_at_once=1,
        keep_models=2,
    )

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
