"""What trainings on every fold found, as a page of Markdown: the answer first. Names are escaped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tuner.best import Run
from tuner.cross_validation import CONFIDENCE, CrossValidation, Figures
from tuner.durations import duration
from tuner.fold_plan import FoldPlan
from tuner.markdown import count, dice, escape, made_with, setting, spread, table


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """An ensemble of the models of all folds, and how it did on the test cases."""

    configuration: int
    folder: Path
    tested: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """Dice by case and class of `ensemble` and of each `fold 0`, ...; nothing where there are no test cases."""

    def test_means(self) -> dict[str, pd.Series]:
        """Each test case's mean Dice over the classes, by who segmented it."""
        return {
            who: pd.Series({case: sum(scores.values()) / len(scores) for case, scores in cases.items()})
            for who, cases in self.tested.items()
        }


@dataclass(frozen=True, kw_only=True)
class CrossValidationPage:
    """All that the page is about."""

    cross: CrossValidation
    plan: FoldPlan
    parameters: Mapping[int, Mapping[str, Any]]
    """Of each configuration."""

    gathered: Gathered | None
    environment: Mapping[str, Any]

    def to_markdown(self) -> str:
        sections = [
            f"# Cross-validation of {escape(self._what())}",
            self._answer(),
            self._table(),
            *self._comparisons(),
            self._worst(),
            *self._ensemble(),
            self._means(),
            "## Made with\n\n" + made_with(self.environment),
        ]
        return "\n\n".join(sections) + "\n"

    def _what(self) -> str:
        return f"sweep {self.plan.config.name}" if self.plan.results else "a configuration"

    def name(self, configuration: int) -> str:
        return f"trial {configuration}" if self.plan.results else "the configuration"

    @property
    def _best(self) -> int:
        return self.cross.ranking[0]

    def _answer(self) -> str:
        found = self.cross.figures(self._best)
        several = len(self.cross.ranking) > 1
        who = f"{self.name(self._best)} is best" if several else self.name(self._best)
        cases = count(len(self.cross.cases(self._best)), "case")
        text = (
            f"**{who[0].upper()}{who[1:]}: cross-validated Dice {dice(found.mean)}** ± {dice(found.sd_over_cases)} "
            f"over {cases}, each segmented by the model of the fold that did not train on it; "
            f"the means of the {len(found.by_fold)} folds spread by ± {dice(found.sd_over_folds)}."
        )
        return f"{text} {self._time()}"

    def _time(self) -> str:
        runs = self.cross.runs
        training, evaluation = float(runs["training_seconds"].sum()), float(runs["evaluation_seconds"].sum())
        passed = (runs["ended"].max() - runs["started"].min()).total_seconds()
        return (
            f"{count(len(runs), 'training')} took {duration(training)} of training and {duration(evaluation)} of "
            f"evaluation; from the first one's start to the last one's end {duration(passed)} passed."
        )

    def _table(self) -> str:
        """A column a configuration, best first."""
        ranking = self.cross.ranking
        found = [self.cross.figures(number) for number in ranking]
        rows = [
            ["**mean over the cases**", *(f"**{dice(one.mean)}**" for one in found)],
            ["spread over the cases", *(f"± {dice(one.sd_over_cases)}" for one in found)],
            ["mean over the folds", *(f"{dice(one.mean_of_folds)} ± {dice(one.sd_over_folds)}" for one in found)],
        ]
        rows += [[f"fold {fold}", *(dice(one.by_fold[fold]) for one in found)] for fold in found[0].by_fold.index]
        if len(found[0].by_class) > 1:
            rows += [[escape(name), *(_mean_and_sd(one, name) for one in found)] for name in found[0].by_class.index]
        if self.plan.chosen_on:
            rows.append(["cases it was not chosen on", *(dice(one.not_chosen_on) for one in found)])
        if self.plan.results:
            own = [Run.of("sweep", self.plan.results.sweep_trials[number]) for number in ranking]
            rows.append(["in the search", *(dice(run.score) for run in own)])
            rows += [
                [escape(name), *(setting(self.parameters[number].get(name)) for number in ranking)]
                for name in self.plan.results.space.searched
            ]
        return table(["Dice", *map(self.name, ranking)], rows)

    def _comparisons(self) -> Iterator[str]:
        """The best against each other configuration."""
        best, *others = self.cross.ranking
        if not others:
            return
        lines = []
        for other in others:
            found = self.cross.difference(best, other)
            interval = f"{CONFIDENCE:.0%} interval {found.low:+.4f} to {found.high:+.4f}"
            verdict = (
                "the interval leaves 0 out"
                if found.clear
                else "**within the spread**: these cases do not tell the two apart"
            )
            lines.append(
                f"- {self.name(best)} against {self.name(other)}: {found.mean:+.4f} ({interval}), higher on "
                f"{found.better} of {count(len(self.cross.cases(best)), 'case')}; {verdict}"
            )
        yield (
            "## Compared\n\nOn the same cases, by models of the same folds. The intervals (Student's t over groups of "
            "cases that belong together) hold what other cases would change; each fold was trained with one seed, so "
            "what other seeds would change comes on top.\n\n" + "\n".join(lines)
        )

    def _worst(self) -> str:
        worst = self.cross.figures(self._best).worst
        rows = [[escape(row["case"]), str(row["fold"]), dice(row["dice"])] for row in worst.to_dict("records")]
        return "## Worst cases\n\n" + table(["case", "fold", "Dice"], rows)

    def _ensemble(self) -> Iterator[str]:
        gathered = self.gathered
        if gathered is None:
            return
        folder = gathered.folder.name
        text = (
            f"## Ensemble\n\n`{folder}/` holds the {len(self.plan.splits)} models of "
            f"{self.name(gathered.configuration)}; `voxtune predict {folder} IMAGE... -o LABELS` averages what they "
            "find."
        )
        if gathered.configuration != self._best:
            text += f" By now {self.name(self._best)} is best: the same command with `--ensemble` gathers its models."
        means = gathered.test_means()
        if not means:
            yield (
                f"{text} How good it is can't be told: every case was trained on by all members but one, so there are "
                "none that no member has seen. `dataset.test_fraction` keeps some back; a sweep that has it "
                "is told the ensemble's Dice here. That of a single model is the cross-validated one above."
            )
            return
        rows = [[who, spread(cases)] for who, cases in means.items()]
        yield (
            f"{text} On the {count(len(next(iter(means.values()))), 'test case')}, which no model here was trained on, "
            "in the voxels of their files:\n\n" + table(["Dice", "mean ± spread over the test cases"], rows)
        )

    def _means(self) -> str:
        """What the figures mean and what they don't."""
        volumes = self.plan.prepared.volumes
        spacing = " x ".join(f"{mm:.3g}" for mm in volumes.plan.spacing)
        lines = [
            f"- Dice counts preprocessed voxels ({spacing} mm), as the search does; `voxtune evaluate` counts those of "
            "the files. A case's Dice is the mean over its classes.",
            "- Spreads are standard deviations. Models of two folds share most of their training cases, so the spread "
            "over folds says little of what another data set would give.",
            "- What preprocessing takes from the data (the median spacing; for CT the range of intensities in labelled "
            "voxels) follows from all cases but the test cases, those of the fold that validates included; it is the "
            "same for every fold, as in the search. Intensities of other images are normalised one by one.",
        ]
        if self.plan.chosen_on:
            lines.append(
                f"- {count(len(self.plan.chosen_on), 'case')} validated in the search: by their Dice the "
                "configuration was chosen, which flatters theirs a little; the row of cases that it was not chosen on "
                "leaves them out."
            )
        if self.plan.splits[0].test:
            lines.append(
                f"- {count(len(self.plan.splits[0].test), 'test case')} trained, validated and chose nothing here."
            )
        return "## What the figures mean\n\n" + "\n".join(lines)


def _mean_and_sd(found: Figures, name: str) -> str:
    mean, sd = found.by_class["mean"][name], found.by_class["sd"][name]
    return f"{dice(mean)} ± {dice(sd)}"
