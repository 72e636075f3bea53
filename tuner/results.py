"""What a sweep found, as tidy pandas tables: read from its studies, while it runs or after it ended.

    results = read_results(SweepDirectory.find("hippocampus"))
    results.trials       one row a trial
    results.curves       one row an evaluation of a trial
    results.cases        one row a run, case and class
    results.confirmed    one row a run of a configuration that was trained again with other seeds
    results.best         what to use

Columns are the same for every sweep, but for the searched parameters and the classes' `dice_<class>`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from search_spaces.space import SearchSpace, parse_space
from tuner.best import Best, Run, choose_best, ranking, runs_of
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.storage import CONFIRM, SWEEP, open_storage, stored_name
from tuner.study import DEFAULT_ORIGIN

RENAMED = {"loss": "training_loss", "precision": "precision_used", "parameters": "parameter_count"}
"""Reported names that are training parameters too, or would be taken for one, and their columns."""

FACTS = ("parameters", "peak_gib", "precision", "device", "node")
AMOUNTS = ("budget_used", "steps", "training_seconds", "evaluation_seconds")


@dataclass(frozen=True, kw_only=True)
class Results:
    """The trials of a sweep and of its confirm stage, as they stood when they were read."""

    space: SearchSpace
    sweep_trials: tuple[FrozenTrial, ...]
    """All trials of the study "sweep", by number."""

    confirm_trials: tuple[FrozenTrial, ...] = ()
    """All trials of the study "confirm": the user attribute `of` is the number of the sweep's trial repeated."""

    tested: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """Dice on the test cases, which the search never saw, by run (`sweep:7`, `confirm:0`), case and class."""

    @classmethod
    def from_studies(cls, sweep: optuna.Study, confirm: optuna.Study | None = None) -> "Results":
        """Raises StudyError if `sweep` is no study of a sweep."""
        form = sweep.user_attrs.get("space")
        if form is None:
            raise StudyError(f"study {sweep.study_name!r} has no search space: it was not made by voxtune")
        return cls(
            space=parse_space(form),
            sweep_trials=tuple(sweep.get_trials(deepcopy=False)),
            confirm_trials=tuple(confirm.get_trials(deepcopy=False)) if confirm else (),
            tested=confirm.user_attrs.get("test", {}) if confirm else {},
        )

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial of the sweep: state and stop reason, Dice, parameters, amounts and facts.

        `score`, `dice_<class>` and the amounts are the last evaluation's; `step` (thousandths of the full budget) is 0
        and they are missing before the first. A parameter named like another column stands as `parameter_<name>`.
        """
        return self._trial_table(self.sweep_trials)

    @cached_property
    def repeats(self) -> pd.DataFrame:
        """The same for the trials of the confirm stage."""
        return self._trial_table(self.confirm_trials)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row an evaluation of a trial of the sweep, in the order of steps (thousandths of the full budget)."""
        rows = [
            {"number": trial.number, **evaluation} for trial in self.sweep_trials for evaluation in _evaluations(trial)
        ]
        return _frame(rows, ["number", "step", "score", *AMOUNTS])

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
        return _frame(rows, ["study", "number", "split", "case", "class", "dice"])

    @cached_property
    def confirmed(self) -> pd.DataFrame:
        """One row a run of a confirmed configuration, the sweep's own run included.

        `config` is the number of the sweep's trial with the same parameters; `validation` is missing for a run
        that did not reach the full budget, `test` where there are no test cases.
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
            for run in runs_of(config, self.sweep_trials, self.confirm_trials)
        ]
        frame = _frame(rows, ["config", "study", "number", "seed", "validation", "test"])
        return frame.astype({"validation": float, "test": float})

    @cached_property
    def confirmed_summary(self) -> pd.DataFrame:
        """One row a confirmed configuration, best mean first: runs finished, mean and standard deviation over them."""
        finished = self.confirmed.dropna(subset="validation")
        summary = finished.groupby("config", as_index=False).agg(
            runs=("validation", "size"),
            validation_mean=("validation", "mean"),
            validation_std=("validation", "std"),
            test_mean=("test", "mean"),
            test_std=("test", "std"),
        )
        return summary.sort_values("validation_mean", ascending=False, kind="stable", ignore_index=True)

    @cached_property
    def best(self) -> Best | None:
        """What to use; None before the first evaluation."""
        return choose_best(self.space, self.sweep_trials, self.confirm_trials)

    @cached_property
    def ranking(self) -> list[Run]:
        """The sweep's runs, best first: by the step they reached, then by Dice there."""
        return ranking(self.sweep_trials)

    @cached_property
    def default(self) -> Run | None:
        """The run of the default configuration: the trial that was enqueued as such."""
        defaults = (trial for trial in self.sweep_trials if trial.user_attrs.get("origin") == DEFAULT_ORIGIN)
        return next((Run.of("sweep", trial) for trial in defaults), None)

    def case_scores(self, run: Run, split: Literal["validation", "test"] = "validation") -> pd.Series:
        """Each case's mean Dice over its classes, by case."""
        cases = self.cases
        chosen = (cases["study"] == run.study) & (cases["number"] == run.number) & (cases["split"] == split)
        return cases[chosen].groupby("case")["dice"].mean().astype(float)

    def _trial_table(self, trials: Iterable[FrozenTrial]) -> pd.DataFrame:
        facts = {name: RENAMED.get(name, name) for name in FACTS}
        head = ["number", "state", "stop_reason", "score", "step"]
        tail = [*AMOUNTS, *facts.values(), "seed", "started", "ended", "error"]
        parameters = {name: f"parameter_{name}" if name in head + tail else name for name in self.space.searched}
        rows = []
        for trial in trials:
            known = trial.user_attrs
            rows.append(
                {"number": trial.number, "state": trial.state.name, "stop_reason": known.get("stop_reason"), "step": 0}
                | {column: trial.params.get(name) for name, column in parameters.items()}
                | _last_evaluation(trial)
                | {column: known.get(name) for name, column in facts.items()}
                | {"seed": known.get("seed"), "started": trial.datetime_start, "ended": trial.datetime_complete}
                | {"error": known.get("error")}
            )
        frame = _frame(rows, [*head, *parameters.values(), *tail])
        return frame.astype({"score": float, "started": "datetime64[us]", "ended": "datetime64[us]"})


def read_results(directory: SweepDirectory) -> Results:
    """The results of the sweep in `directory`, from its studies. Raises StudyError if they can't be read."""
    config = SweepConfig.read(directory.sweep_file)
    unbegun = StudyError(f"sweep {directory.name}: no trial was begun yet")
    if config.storage is None and not directory.journal.is_file():
        raise unbegun  # opening the storage would make the file
    storage = open_storage(config.storage, directory.journal)
    known = optuna.get_all_study_names(storage)
    sweep, confirm = (stored_name(study, config.name, config.storage) for study in (SWEEP, CONFIRM))
    if sweep not in known:
        raise unbegun
    return Results.from_studies(
        optuna.load_study(study_name=sweep, storage=storage),
        optuna.load_study(study_name=confirm, storage=storage) if confirm in known else None,
    )


def _evaluations(trial: FrozenTrial) -> list[dict[str, Any]]:
    """The trial's evaluations by step, under the names of our columns.

    A trial taken up from a checkpoint older than its last report evaluates a step twice; the first counts, as it does
    for Optuna.
    """
    by_step: dict[int, dict[str, Any]] = {}
    for evaluation in trial.user_attrs.get("evaluations", []):
        by_step.setdefault(evaluation["step"], {RENAMED.get(name, name): evaluation[name] for name in evaluation})
    return [by_step[step] for step in sorted(by_step)]


def _last_evaluation(trial: FrozenTrial) -> dict[str, Any]:
    return (_evaluations(trial) or [{}])[-1]


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """The rows under `columns`, and after them what else they hold in the order in which it comes up.

    Whole numbers stay whole where some are missing.
    """
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    with_holes = [name for name in frame.columns if frame[name].dtype.kind == "f" and frame[name].isna().any()]
    kinds = {name: {type(row[name]) for row in rows if row.get(name) is not None} for name in with_holes}
    return frame.astype({name: "Int64" for name, kind in kinds.items() if kind == {int}})
