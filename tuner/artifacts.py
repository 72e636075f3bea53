"""What optuna-dashboard shows of the best run: its configuration, and pictures of its worst, middle and best cases.

    artifacts/0c6d1f...   named by Optuna; to people sweep_0012_config.yaml
    artifacts/9b3a70...   sweep_0012_case_01_of_40_dice_0.712_heart_004.jpg, the worst case

A trial that has finished takes no more attributes, so Optuna's `upload_artifact` refuses it, and which one is best is
known in the end only. So they are attached to the study, and the study's attributes say of which trial they are, where
optuna-dashboard looks for that. What was best before keeps its own.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from tuner.best import Best
from tuner.best_cases import are_pictured, picture_of
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory, trial_name
from tuner.journal import written_together
from tuner.report_best import write_best
from tuner.results import read_results
from tuner.sweep_files import read_best_cases

OF_TRIAL = "dashboard:artifacts:{trial}:{artifact}"
"""The study's system attribute by which optuna-dashboard finds an artifact of a trial, by Optuna's ids."""

LONGEST_CASE = 50
"""Letters of a case's name in an artifact's: a file's name may have 255 bytes."""

log = logging.getLogger("voxtune")


def artifact_store(directory: SweepDirectory) -> FileSystemArtifactStore:
    """Where the sweep's artifacts lie."""
    return FileSystemArtifactStore(directory.artifacts)


def attach_best(directory: SweepDirectory, study: optuna.Study) -> None:
    """Attach what there is of the best run and was not attached before. Raises nothing: a sweep goes on without.

    Args:
        study: the search's own, as its driver writes it.
    """
    try:
        results = read_results(directory)
        best = results.best
        if best is None or not best.run.finished:
            return
        config, _ = write_best(directory, SweepConfig.read(directory.sweep_file), results)
        assert config is not None
        run = trial_name(best.run.study, best.run.number)
        files = {f"{run}_config.yaml": config}
        files |= {f"{run}_{name}.jpg": picture for name, picture in _pictures(directory, best)}
        known = {meta.filename for meta in get_all_artifact_meta(study)}
        for name, file in files.items():
            if name not in known:
                _attach(directory, study, best.number, file, name)
    except Exception:
        log.exception("the best run's configuration and pictures could not be attached to the study")


def _pictures(directory: SweepDirectory, best: Best) -> Iterator[tuple[str, Path]]:
    """Pictures of the worst three cases, the middle one and the best one, by names in that order."""
    if not are_pictured(directory, best.run):
        return
    cases: list[dict[str, Any]] = read_best_cases(directory)["cases"]
    pictured = [place for place, case in enumerate(cases) if "picture" in case]
    middle = sorted(pictured, key=lambda place: abs(place - len(cases) // 2))[:1]
    for place in sorted({*pictured[:3], *middle, *pictured[-1:]}):
        case, digits = cases[place], len(str(len(cases)))
        rank = f"case_{place + 1:0{digits}d}_of_{len(cases)}"
        name = re.sub(r"[/\x00-\x1f\x7f]", "_", case["case"][:LONGEST_CASE])
        yield f"{rank}_dice_{case['dice']:.3f}_{name}", picture_of(case, directory)


def _attach(directory: SweepDirectory, study: optuna.Study, number: int, file: Path, name: str) -> None:
    """Copy `file` into the store, and have the study know it as `name` of the trial `number`."""
    directory.artifacts.mkdir(exist_ok=True)
    trial = study.get_trials(deepcopy=False)[number]._trial_id
    storage = study._storage
    with TemporaryDirectory(prefix="voxtune-") as folder, written_together(storage):
        named = shutil.copyfile(file, Path(folder) / name)
        artifact = upload_artifact(
            artifact_store=artifact_store(directory), file_path=str(named), study_or_trial=study, storage=storage
        )
        meta = storage.get_study_system_attrs(study._study_id)[f"artifacts:{artifact}"]
        storage.set_study_system_attr(study._study_id, OF_TRIAL.format(trial=trial, artifact=artifact), meta)
