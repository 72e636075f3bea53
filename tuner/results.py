"""What a sweep found, as tidy pandas tables: read from its studies, while it runs or after it ended.

    results = read_results(SweepDirectory.find("hippocampus"))
    results.trials       one row a trial that was begun
    results.curves       one row an evaluation of a trial
    results.cases        one row a run, case and class
    results.confirmed    one row a run of a configuration that was trained again with other seeds
    results.turned_away  one row a configuration that was never started, because it can't fit in memory
    results.best         what to use

Columns are the same for every sweep, but for the searched parameters and the classes' `dice_<class>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from search_spaces.space import SearchSpace, parse_space
from tuner.best import Best, Run, choose_best, repeats_of, standings
from tuner.config import Objective, SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.owner import read_owner
from tuner.storage import CONFIRM, FOLDS, SWEEP, open_storage, storage_place, stored_name
from tuner.stored_study import load_study
from tuner.study import DEFAULT_ORIGIN, DEVICES, OVER, is_planned, was_turned_away
from tuner.trial_table import AMOUNTS, evaluations_of, frame_of, trial_table

TERMS = ("trainable", "budget", "seed", "dataset")

OBJECTIVES: Mapping[Objective, str] = {
    "dice": "Dice",
    "training_seconds": "training time",
    "peak_gib": "peak memory",
}
"""How objectives are told to people."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """The trials of a sweep and of its confirm stage, as they stood when they were read."""

    space: SearchSpace
    sweep_trials: tuple[FrozenTrial, ...]
    """All trials of the study "sweep", by number, those that were only planned or were turned away too."""

    confirm_trials: tuple[FrozenTrial, ...] = ()
    """All trials of the study "confirm": the user attribute `of` is the number of the sweep's trial repeated."""

    tested: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """Dice on the test cases, which the search never saw, by run (`sweep:7`, `confirm:0`), case and class."""

    fold_trials: tuple[FrozenTrial, ...] = ()
    """What `voxtune train --folds` trained of the best; `folds/` tells what came of them."""

    objectives: tuple[Objective, ...] = ("dice",)
    """What was searched for, in the order of the trials' values."""

    front: frozenset[int] = frozenset()
    """With several objectives the numbers of the trials that no other beats in all of them: the Pareto front."""

    over: str | None = None
    """Why the search ended before all its trials; None if it did not, or goes on."""

    devices_per_trial: Mapping[str, float] = field(default_factory=dict)
    """What each trial was given, as its driver said it: `{"GPU": 0.25}` or `{"core": 2}`; empty where none did."""

    terms: Mapping[str, Any] = field(default_factory=dict)
    """What beside the space makes scores comparable (`tuner.sweep_terms`): trainable, budget, seed, data."""

    @classmethod
    def from_studies(
        cls, sweep: optuna.Study, confirm: optuna.Study | None = None, folds: optuna.Study | None = None
    ) -> "Results":
        """Raises StudyError if `sweep` is no study of a sweep."""
        form = sweep.user_attrs.get("space")
        if form is None:
            raise StudyError(f"study {sweep.study_name!r} has no search space: it was not made by voxtune")
        objectives = tuple(sweep.user_attrs.get("objectives", ("dice",)))
        return cls(
            space=parse_space(form),
            sweep_trials=tuple(sweep.get_trials(deepcopy=False)),
            confirm_trials=tuple(confirm.get_trials(deepcopy=False)) if confirm else (),
            fold_trials=tuple(folds.get_trials(deepcopy=False)) if folds else (),
            # Without a confirm stage the sweep's own best models are tested; with one its study says all.
            tested={**sweep.user_attrs.get("test", {}), **(confirm.user_attrs.get("test", {}) if confirm else {})},
            objectives=objectives,
            front=frozenset(trial.number for trial in sweep.best_trials) if len(objectives) > 1 else frozenset(),
            over=sweep.user_attrs.get(OVER),
            devices_per_trial=sweep.user_attrs.get(DEVICES, {}),
            terms={name: sweep.user_attrs[name] for name in TERMS if name in sweep.user_attrs},
        )

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial that was begun: state and stop reason, Dice, parameters, amounts and facts.

        `state` is Optuna's, but INTERRUPTED for a trial that waits to be taken up again. `score`, `dice_<class>` and
        the amounts are the last evaluation's; `step` (thousandths of the full budget) is 0 and they are missing before
        the first. `peak_gib` is what torch held on a GPU at its highest; on a CPU the highest resident memory of the
        trial's process while it ran. `start_seconds` went into building the network, `checkpoint_seconds` into writing
        what it takes to go on, `waiting_seconds` until the driver said whether to go on; `data_seconds`, a part of
        `training_seconds`, into making batches. With several objectives `on_front` says whether no other trial is
        better in all of them. A parameter named like another column stands as `parameter_<name>`.
        """
        front = self.front if len(self.objectives) > 1 else None
        return trial_table(self.begun, self.space, front=front)

    @cached_property
    def repeats(self) -> pd.DataFrame:
        """The same for the trials of the confirm stage."""
        return trial_table([trial for trial in self.confirm_trials if not is_planned(trial)], self.space)

    @cached_property
    def begun(self) -> list[FrozenTrial]:
        """The sweep's trials without those that are only planned, and without configurations turned away."""
        return [trial for trial in self.sweep_trials if not (is_planned(trial) or was_turned_away(trial))]

    @cached_property
    def turned_away(self) -> pd.DataFrame:
        """One row a configuration never started: its parameters, what it was estimated to take and what there is."""
        rows = [
            {"number": trial.number, **trial.params}
            | {name: trial.user_attrs.get(name) for name in ("estimated_gib", "memory_limit_gib")}
            for trial in self.sweep_trials
            if was_turned_away(trial)
        ]
        return frame_of(rows, ["number", *self.space.searched, "estimated_gib", "memory_limit_gib"])

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row an evaluation of a trial of the sweep, in the order of steps (thousandths of the full budget)."""
        rows = [{"number": trial.number, **evaluation} for trial in self.begun for evaluation in evaluations_of(trial)]
        return frame_of(rows, ["number", "step", "score", *AMOUNTS])

    @cached_property
    def cases(self) -> pd.DataFrame:
        """One row a run, case and class: the Dice of the run's last evaluation, and of its test where there is one.

        `split` is "validation" or "test".
        """
        rows = [
            {"study": study, "number": trial.number, "split": split, "case": case, "class": name, "dice": dice}
            for study, trials in (("sweep", self.sweep_trials), ("confirm", self.confirm_trials))
            for trial in trials
            for split, cases in (
                ("validation", trial.user_attrs.get("cases", {})),
                ("test", self.tested.get(f"{study}:{trial.number}", {})),
            )
            for case, scores in cases.items()
            for name, dice in scores.items()
        ]
        return frame_of(rows, ["study", "number", "split", "case", "class", "dice"])

    @cached_property
    def confirmed(self) -> pd.DataFrame:
        """One row a run of a confirmed configuration; the search's own run, for comparison, stands first.

        `config` is the number of the sweep's trial with the same parameters; `validation` is missing for a run
        that did not reach the full budget, `test` where it was not tested.
        """
        rows = [
            {
                "config": config,
                "study": run.study,
                "number": run.number,
                "seed": run.seed,
                "validation": run.score if run.finished else None,
                "test": self.case_scores(run, "test").mean(),
            }
            for config in dict.fromkeys(trial.user_attrs["of"] for trial in self.confirm_trials)
            for run in (Run.of("sweep", self.sweep_trials[config]), *repeats_of(config, self.confirm_trials))
        ]
        frame = frame_of(rows, ["config", "study", "number", "seed", "validation", "test"])
        return frame.astype({"validation": float, "test": float})

    @cached_property
    def confirmed_summary(self) -> pd.DataFrame:
        """One row a confirmed configuration, best mean first.

        `search` is the Dice of the search's own run, which got it picked. Means and standard deviations (n - 1) are
        over the `runs` that the confirm stage finished, without that one.
        """
        finished = self.confirmed.dropna(subset="validation")
        summary = (
            finished[finished["study"] == "confirm"]
            .groupby("config", as_index=False)
            .agg(
                runs=("validation", "size"),
                validation_mean=("validation", "mean"),
                validation_std=("validation", "std"),
                test_mean=("test", "mean"),
                test_std=("test", "std"),
            )
        )
        search = finished[finished["study"] == "sweep"].set_index("config")["validation"]
        summary.insert(1, "search", summary["config"].map(search).astype(float))
        return summary.sort_values("validation_mean", ascending=False, kind="stable", ignore_index=True)

    @cached_property
    def best(self) -> Best | None:
        """What to use; None before the first evaluation."""
        return choose_best(self.space, self.sweep_trials, self.confirm_trials)

    @cached_property
    def standings(self) -> list[Run]:
        """The search's runs, the unfinished ones too, best first: by the step they reached, then by Dice there."""
        return standings(self.sweep_trials)

    @cached_property
    def default(self) -> Run | None:
        """The run of the default configuration: the trial that was enqueued as such."""
        defaults = (trial for trial in self.sweep_trials if trial.user_attrs.get("origin") == DEFAULT_ORIGIN)
        return next((Run.of("sweep", trial) for trial in defaults), None)

    def device_of(self, run: Run) -> Literal["cpu", "cuda"] | None:
        """Where the run was trained; None if it did not say."""
        device = self.device_name_of(run)
        return None if device is None else "cpu" if device == "cpu" else "cuda"

    def device_name_of(self, run: Run) -> str | None:
        """The name of what it was trained on; None if it did not say."""
        name: str | None = self._facts_of(run).get("device")
        return name

    def formats_of(self, run: Run) -> dict[str, str]:
        """The number format and memory layout that the run was trained in, as settings; without what it did not say."""
        facts = self._facts_of(run)
        return {name: facts[name] for name in ("precision", "memory_format") if name in facts}

    def _facts_of(self, run: Run) -> dict[str, Any]:
        trials = self.sweep_trials if run.study == "sweep" else self.confirm_trials
        return trials[run.number].user_attrs

    def case_scores(self, run: Run, split: Literal["validation", "test"] = "validation") -> pd.Series:
        """Each case's mean Dice over its classes, by case."""
        cases = self.cases
        chosen = (cases["study"] == run.study) & (cases["number"] == run.number) & (cases["split"] == split)
        return cases[chosen].groupby("case")["dice"].mean().astype(float)


def read_results(directory: SweepDirectory) -> Results:
    """The results of the sweep in `directory`, from its studies. Raises StudyError if they can't be read."""
    config = SweepConfig.read(directory.sweep_file)
    if config.storage is None and not directory.journal.is_file():
        raise _unbegun(directory)  # opening the storage would make the file
    storage = open_storage(config.storage, directory.journal)
    where = storage_place(config.storage, directory.journal)
    sweep, confirm, folds = (
        load_study(storage, stored_name(study, config.name, config.storage), where=where)
        for study in (SWEEP, CONFIRM, FOLDS)
    )
    if sweep is None:
        raise _unbegun(directory)
    results = Results.from_studies(sweep, confirm, folds)
    for trial in results.confirm_trials:
        if trial.user_attrs.get("of", len(results.sweep_trials)) >= len(results.sweep_trials):
            raise StudyError(f"{where}: trial {trial.number} of confirm: names no trial of the sweep that it repeats")
    return results


def _unbegun(directory: SweepDirectory) -> StudyError:
    owner = read_owner(directory.root)
    prepares = f"; {owner}, prepares the data or starts Ray" if owner and owner.alive else ""
    return StudyError(f"sweep {directory.name}: no trial was begun yet{prepares}")
