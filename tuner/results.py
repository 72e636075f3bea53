"""What a sweep found, as tidy pandas tables: read from its study, while it runs or after it ended.

    results = read_results(SweepDirectory.find("hippocampus"))
    results.trials       one row a trial
    results.curves       one row an evaluation
    results.cases        one row a trial, case and class
    results.confirmed    one row a run of a configuration that was trained again with other seeds
    results.best         what to use

Columns are the same for every sweep, but for the searched parameters and the classes' `dice_<class>`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import SearchSpace, parse_space
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.rungs import FULL_BUDGET
from tuner.storage import open_storage

SWEEP, CONFIRM = "sweep", "confirm"
"""The names of a sweep's two studies in their storage."""

StudyName = Literal["sweep", "confirm"]
Basis = Literal["confirmed", "full budget", "unfinished"]

RENAMED = {"loss": "training_loss", "precision": "precision_used", "parameters": "parameter_count"}
"""Reported names that are training parameters too, or would be taken for one, and their columns."""

FACTS = ("parameters", "peak_gib", "precision", "device", "node")
AMOUNTS = ("budget_used", "steps", "training_seconds", "evaluation_seconds")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of one configuration."""

    study: StudyName
    number: int
    """In its study; with `study` it names the run's checkpoint folder."""

    seed: int
    step: int
    """Thousandths of the full budget at which it was last evaluated; 0 before the first evaluation."""

    score: float
    """Mean validation Dice at that step, NaN before."""

    test: float | None = None
    """Mean Dice on the test cases, which the search never saw; None where there are none."""

    @property
    def finished(self) -> bool:
        return self.step >= FULL_BUDGET


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best configuration and the runs that speak for it."""

    number: int
    """The sweep's trial that proposed it."""

    parameters: Mapping[str, Any]
    """All of them, the space's fixed values included."""

    basis: Basis
    """`confirmed`: highest mean Dice over its seeds, among the configurations trained again with other seeds.
    `full budget`: highest Dice of the sweep. `unfinished`: no trial reached the full budget; the best so far."""

    runs: tuple[Run, ...]
    """The sweep's own run first, then those with other seeds."""

    @property
    def run(self) -> Run:
        """The run with the highest validation Dice: its model is the one to use."""
        return max(self.runs, key=lambda run: run.score)

    @property
    def scores(self) -> pd.Series:
        """Validation Dice over the runs."""
        return pd.Series([run.score for run in self.runs], dtype=float)

    @property
    def test_scores(self) -> pd.Series:
        """Test Dice over the runs that were tested."""
        return pd.Series([run.test for run in self.runs if run.test is not None], dtype=float)


@dataclass(frozen=True, kw_only=True)
class Results:
    """The trials of a sweep and of its confirm stage, as they stood when they were read."""

    space: SearchSpace
    sweep_trials: tuple[FrozenTrial, ...]
    confirm_trials: tuple[FrozenTrial, ...] = ()

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
        )

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial of the sweep: state and stop reason, Dice, parameters, amounts and facts.

        `score`, `dice_<class>` and the amounts are the last evaluation's; `step` is 0 and they are missing before
        the first. A parameter named like another column stands as `parameter_<name>`.
        """
        columns = [
            *("number", "state", "stop_reason", "score", "step"),
            *AMOUNTS,
            *(RENAMED.get(name, name) for name in FACTS),
            *("seed", "started", "ended", "error"),
        ]
        rows = []
        for trial in self.sweep_trials:
            last = next(reversed(_evaluations(trial)), {})
            facts = {RENAMED.get(name, name): trial.user_attrs.get(name) for name in FACTS}
            given = {"parameter_" + name if name in columns else name: trial.params.get(name) for name in self.searched}
            rows.append(
                {
                    "number": trial.number,
                    "state": trial.state.name,
                    "stop_reason": trial.user_attrs.get("stop_reason"),
                    "score": float("nan"),
                    "step": 0,
                    **given,
                    **last,
                    **facts,
                    "seed": trial.user_attrs.get("seed"),
                    "started": trial.datetime_start,
                    "ended": trial.datetime_complete,
                    "error": trial.user_attrs.get("error"),
                }
            )
        frame = _frame(rows, columns)
        return frame.astype({"started": "datetime64[us]", "ended": "datetime64[us]"})

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row an evaluation of a trial of the sweep, in the order of steps (thousandths of the full budget)."""
        rows = [
            {"number": trial.number, **evaluation} for trial in self.sweep_trials for evaluation in _evaluations(trial)
        ]
        return _frame(rows, ["number", "step", "score", *AMOUNTS])

    @cached_property
    def cases(self) -> pd.DataFrame:
        """One row a run, case and class: the Dice of the run's last evaluation, and of its test where there is one."""
        rows = [
            {"study": study, "number": trial.number, "split": split, "case": case, "class": name, "dice": dice}
            for study, trial in self._all_trials()
            for split, attribute in (("validation", "cases"), ("test", "test_cases"))
            for case, scores in trial.user_attrs.get(attribute, {}).items()
            for name, dice in scores.items()
        ]
        return _frame(rows, ["study", "number", "split", "case", "class", "dice"])

    @cached_property
    def confirmed(self) -> pd.DataFrame:
        """One row a run of a confirmed configuration, the sweep's own run included.

        `config` is the number of the sweep's trial with the same parameters; `validation` is missing for a run
        that did not reach the full budget.
        """
        rows = []
        for config in dict.fromkeys(trial.user_attrs["of"] for trial in self.confirm_trials):
            for run, trial in self._runs(config):
                rows.append(
                    {
                        "config": config,
                        "study": run.study,
                        "number": run.number,
                        "seed": run.seed,
                        "state": trial.state.name,
                        "validation": run.score if run.finished else None,
                        "test": run.test,
                    }
                )
        columns = ["config", "study", "number", "seed", "state", "validation", "test"]
        return _frame(rows, columns).astype({"validation": float, "test": float})

    @cached_property
    def confirmed_summary(self) -> pd.DataFrame:
        """One row a confirmed configuration, best mean first: runs finished, mean and standard deviation over them."""
        finished = self.confirmed.dropna(subset="validation")
        summary = finished.groupby("config").agg(
            runs=("validation", "size"),
            validation_mean=("validation", "mean"),
            validation_std=("validation", "std"),
            test_mean=("test", "mean"),
            test_std=("test", "std"),
        )
        return summary.reset_index().sort_values("validation_mean", ascending=False, ignore_index=True)

    @cached_property
    def best(self) -> Best | None:
        """What to use; None before the first evaluation.

        The confirm stage decides once all of its runs have ended, for the Dice of a configuration picked as the best
        of many is biased upwards, and a mean over new seeds is not comparable with it.
        """
        ended = all(trial.state.is_finished() for trial in self.confirm_trials)
        repeated = {trial.user_attrs["of"] for trial in self.confirm_trials if trial.state == TrialState.COMPLETE}
        if ended and repeated:
            summary = self.confirmed_summary
            number = int(summary[summary["config"].isin(repeated)]["config"].iloc[0])
            return self._best(number, "confirmed")
        order = self.ranking
        if not order:
            return None
        complete = self.sweep_trials[order[0]].state == TrialState.COMPLETE
        return self._best(order[0], "full budget" if complete else "unfinished")

    @cached_property
    def ranking(self) -> list[int]:
        """The numbers of the sweep's evaluated trials, best first: by the step they reached, then by Dice there."""
        runs = [_run("sweep", trial) for trial in self.sweep_trials if trial.intermediate_values]
        return [run.number for run in sorted(runs, key=lambda run: (-run.step, -run.score, run.number))]

    @cached_property
    def default(self) -> Run | None:
        """The run of the configuration that a user would have begun with: trial 0, if it was enqueued."""
        if not self.sweep_trials or "fixed_params" not in self.sweep_trials[0].system_attrs:
            return None
        return _run("sweep", self.sweep_trials[0])

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the parameters that vary from trial to trial."""
        return tuple(self.space.searched)

    def parameters(self, number: int) -> dict[str, Any]:
        """All parameters of a trial of the sweep, the space's fixed values included."""
        return {**self.space.fixed, **self.sweep_trials[number].params}

    def case_scores(self, run: Run, split: Literal["validation", "test"] = "validation") -> pd.Series:
        """Each case's mean Dice over the classes, by case."""
        cases = self.cases
        of_run = (cases["study"] == run.study) & (cases["number"] == run.number) & (cases["split"] == split)
        return cases[of_run].groupby("case")["dice"].mean()

    def _best(self, number: int, basis: Basis) -> Best:
        runs = [run for run, _ in self._runs(number)]
        if basis != "unfinished":
            runs = [run for run in runs if run.finished]
        return Best(number=number, parameters=self.parameters(number), basis=basis, runs=tuple(runs))

    def _runs(self, config: int) -> Iterator[tuple[Run, FrozenTrial]]:
        for study, trial in self._all_trials():
            if (trial.number if study == SWEEP else trial.user_attrs["of"]) == config:
                yield _run(study, trial), trial

    def _all_trials(self) -> Iterator[tuple[StudyName, FrozenTrial]]:
        for trial in self.sweep_trials:
            yield "sweep", trial
        for trial in self.confirm_trials:
            yield "confirm", trial


def read_results(directory: SweepDirectory) -> Results:
    """The results of the sweep in `directory`, from its study.

    Raises StudyError if the study can't be read, or was not begun yet.
    """
    config = SweepConfig.read(directory.sweep_file)
    if config.storage is None and not directory.journal.is_file():
        raise StudyError(f"study of sweep {directory.name}: no trial was begun yet (no {directory.journal})")
    storage = open_storage(config.storage, directory.journal)
    known = optuna.get_all_study_names(storage)
    if SWEEP not in known:
        raise StudyError(f"study of sweep {directory.name}: no trial was begun yet")
    confirm = optuna.load_study(study_name=CONFIRM, storage=storage) if CONFIRM in known else None
    return Results.from_studies(optuna.load_study(study_name=SWEEP, storage=storage), confirm)


def _evaluations(trial: FrozenTrial) -> list[dict[str, Any]]:
    """The trial's evaluations by step, under the names of our columns.

    A trial taken up again from a checkpoint that is older than its last report evaluates some steps twice; the
    first counts, as it does for Optuna.
    """
    by_step: dict[int, dict[str, Any]] = {}
    for evaluation in trial.user_attrs.get("evaluations", []):
        by_step.setdefault(evaluation["step"], {RENAMED.get(name, name): evaluation[name] for name in evaluation})
    return [by_step[step] for step in sorted(by_step)]


def _run(study: StudyName, trial: FrozenTrial) -> Run:
    step = max(trial.intermediate_values, default=0)
    return Run(
        study=study,
        number=trial.number,
        seed=trial.user_attrs.get("seed", 0),
        step=step,
        score=trial.intermediate_values.get(step, math.nan),
        test=trial.user_attrs.get("test_score"),
    )


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """The rows under `columns` and whatever else they hold, in the order in which it first comes up."""
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    return pd.DataFrame(rows, columns=pd.Index(names))
