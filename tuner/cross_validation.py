"""What trainings on every fold say together: each case was segmented by the one model that did not see it.

    cross = CrossValidation.of(study's trials, ...)
    cross.scores          one row a configuration, fold, case and class
    cross.runs            one row a training
    cross.figures(7)      mean and spread over cases and over folds, by class, the worst cases
    cross.difference(7, 3)    paired over the cases

Dice counts preprocessed voxels, as in the search.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from trainables.split import Split
from tuner.errors import SweepFailed

WORST = 5
"""So many of the worst cases are told."""

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The cross-validated Dice of one configuration. Deviations are of samples (n - 1), NaN of a single value."""

    mean: float
    """Over the cases, of each case's mean over the classes."""

    sd_over_cases: float
    by_fold: pd.Series
    """Mean over the cases of each fold, by fold."""

    by_class: pd.DataFrame
    """`mean` and `sd` over the cases, by class."""

    worst: pd.DataFrame
    """The `case`s with the lowest `dice`, worst first, and the `fold` of each."""

    not_chosen_on: float
    """Mean over the cases that had no part in choosing the configuration; NaN where there are none."""

    @property
    def mean_of_folds(self) -> float:
        return float(self.by_fold.mean())

    @property
    def sd_over_folds(self) -> float:
        return float(self.by_fold.std())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much higher one configuration's Dice is than another's, on the same cases by models of the same folds."""

    mean: float
    """Over the cases."""

    low: float
    high: float
    """Ends of the confidence interval of that mean (Student's t over groups of cases); NaN for a single group.

    It holds what other cases would change, not what other seeds would."""

    better: int
    """On how many cases it is higher."""

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """Finished trainings on folds."""

    scores: pd.DataFrame
    """Columns configuration, fold, case, class and dice."""

    runs: pd.DataFrame
    """Columns configuration, fold, trial, seed, dice, training_seconds, evaluation_seconds, device, started, ended."""

    splits: Sequence[Split]
    groups: Mapping[str, str]
    """Whose each case is: cases of one group are not independent of one another."""

    chosen_on: frozenset[str] = frozenset()
    """The cases whose Dice got the configurations chosen."""

    @classmethod
    def of(
        cls,
        trials: Iterable[FrozenTrial],
        splits: Sequence[Split],
        *,
        groups: Mapping[str, str],
        chosen_on: frozenset[str] = frozenset(),
    ) -> "CrossValidation":
        """From a study's trials; those that did not reach the full budget are left out.

        Raises SweepFailed where a training scored other cases than those of its fold.
        """
        done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        scores, runs = [], []
        for trial in done:
            configuration, fold = place_of(trial)
            cases: Mapping[str, Mapping[str, float]] = trial.user_attrs.get("cases", {})
            if cases.keys() != set(splits[fold].validation):
                raise SweepFailed(
                    f"trial {trial.number} reports the Dice of {len(cases)} cases, which are not the "
                    f"{len(splits[fold].validation)} that validate in fold {fold}: the trainable must score these"
                )
            runs.append({"configuration": configuration, "fold": fold, **_run(trial)})
            scores += [
                {"configuration": configuration, "fold": fold, "case": case, "class": name, "dice": float(dice)}
                for case, classes in cases.items()
                for name, dice in classes.items()
            ]
        return cls(
            scores=pd.DataFrame(scores, columns=["configuration", "fold", "case", "class", "dice"]),
            runs=pd.DataFrame(runs, columns=["configuration", "fold", *_RUN]),
            splits=splits,
            groups=groups,
            chosen_on=chosen_on,
        )

    @cached_property
    def ranking(self) -> list[int]:
        """The configurations that were trained on all folds, best mean Dice over the cases first."""
        folds = self.runs.groupby("configuration")["fold"].nunique()
        complete = [int(number) for number in folds[folds == len(self.splits)].index]
        return sorted(complete, key=lambda number: (-self.cases(number).mean(), number))

    def cases(self, configuration: int) -> pd.Series:
        """Each case's mean Dice over the classes, by case."""
        return self._of(configuration).groupby("case")["dice"].mean()

    def figures(self, configuration: int) -> Figures:
        scores, cases = self._of(configuration), self.cases(configuration)
        folds = scores.drop_duplicates("case").set_index("case")["fold"]
        by_class = scores.groupby("class", sort=False)["dice"]
        worst = cases.sort_values(kind="stable").head(WORST)
        others = cases[~cases.index.isin(list(self.chosen_on))]
        return Figures(
            mean=float(cases.mean()),
            sd_over_cases=float(cases.std()),
            by_fold=cases.groupby(folds).mean(),
            by_class=pd.DataFrame({"mean": by_class.mean(), "sd": by_class.std()}),
            worst=pd.DataFrame({"case": worst.index, "fold": folds[worst.index].to_numpy(), "dice": worst.to_numpy()}),
            not_chosen_on=float(others.mean()),
        )

    def difference(self, one: int, other: int) -> Difference:
        """How much higher the Dice of configuration `one` is than that of `other`."""
        from scipy.stats import t

        by_case = self.cases(one) - self.cases(other)
        mean = float(by_case.mean())
        # Each group counts by its number of cases, so that the interval is that of the mean over the cases.
        groups = by_case.index.map(self.groups)
        sums, sizes = by_case.groupby(groups).sum(), by_case.groupby(groups).size()
        count = len(sizes)
        if count < 2:
            low = high = float("nan")
        else:
            residuals = sums - mean * sizes
            error = sqrt(count / (count - 1) * float((residuals**2).sum())) / len(by_case)
            reach = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
            low, high = mean - reach, mean + reach
        return Difference(mean=mean, low=low, high=high, better=int((by_case > 0).sum()))

    def trials_of(self, configuration: int) -> dict[int, int]:
        """The number of the training on each fold, by fold."""
        own = self.runs[self.runs["configuration"] == configuration].sort_values("fold")
        return {int(fold): int(trial) for fold, trial in zip(own["fold"], own["trial"], strict=True)}

    def _of(self, configuration: int) -> pd.DataFrame:
        return self.scores[self.scores["configuration"] == configuration]


def place_of(trial: FrozenTrial) -> tuple[int, int]:
    """Whose configuration a trial of the study trains, and the fold that validates; also before it was begun."""
    parameters = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    return parameters.get("configuration", 0), parameters["fold"]


_RUN = ("trial", "seed", "dice", "training_seconds", "evaluation_seconds", "device", "started", "ended")


def _run(trial: FrozenTrial) -> dict[str, Any]:
    last = trial.user_attrs["evaluations"][-1]
    return {
        "trial": trial.number,
        "seed": trial.user_attrs["seed"],
        "dice": last["score"],
        "training_seconds": last["training_seconds"],
        "evaluation_seconds": last["evaluation_seconds"],
        "device": trial.user_attrs.get("device"),
        "started": trial.datetime_start,
        "ended": trial.datetime_complete,
    }
