"""The models of all folds as one: a folder of them, which `voxtune predict` and `voxtune evaluate` take for a model."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from cluster.connect import Cluster
from tuner.checkpoints import Checkpoints
from tuner.cross_validation import CrossValidation
from tuner.cross_validation_page import Gathered
from tuner.errors import SweepFailed
from tuner.fold_plan import FoldPlan
from tuner.model_scores import score_models
from tuner.storage import FOLDS
from tuner.view import View
from tuner.work import Work

TESTED = "test"
"""The study's attribute that holds the Dice on the test cases, by configuration, model or ensemble, case and class."""

ENSEMBLE = "ensemble"
"""The folder of the ensemble, and the study's attribute that says whose models it holds."""


@dataclass(frozen=True)
class FoldModels:
    """What the trainings on folds left."""

    study: optuna.Study
    checkpoints: Checkpoints
    plan: FoldPlan

    def are_untested(self, cross: CrossValidation) -> bool:
        """Whether there are test cases that the best configuration's models have not been scored on."""
        return bool(self.plan.splits[0].test and cross.ranking and str(cross.ranking[0]) not in self._tested)

    def test(self, cross: CrossValidation, work: Work, cluster: Cluster, view: View) -> None:
        """Score the best configuration's models, and their ensemble, on the test cases, into the study."""
        if not self.are_untested(cross):
            return
        models = self._of_best(cross)
        with view.preparing():
            scores = score_models(
                {"ensemble": list(models.values())} | {f"fold {fold}": [name] for fold, name in models.items()},
                files=work.trial_files,
                resources=work.resources,
                dataset=self.plan.prepared.dataset,
                cases=self.plan.splits[0].test,
                cluster=cluster,
                progress=lambda done, of: view.progress("Test cases", done, of),
            )
        self.study.set_user_attr(TESTED, {**self._tested, str(cross.ranking[0]): scores})

    def gather(self, cross: CrossValidation) -> None:
        """Copy the best configuration's models into the ensemble's folder as `fold_0.pt`, `fold_1.pt`, ...

        What an earlier ensemble left there goes. The folder is whole or as it was, but for the moment between the two.
        """
        folder = self.plan.output / ENSEMBLE
        partial = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for fold, name in self._of_best(cross).items():
            with self.checkpoints.files.fetched(name) as source:
                shutil.copyfile(source, partial / f"fold_{fold}.pt")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        self.study.set_user_attr(ENSEMBLE, cross.ranking[0])

    def gathered(self) -> Gathered | None:
        """The ensemble that is there."""
        folder, configuration = self.plan.output / ENSEMBLE, self.study.user_attrs.get(ENSEMBLE)
        if configuration is None or not folder.is_dir():
            return None
        tested = self._tested.get(str(configuration), {})
        return Gathered(configuration=configuration, folder=folder, tested=tested)

    def forget_losers(self, cross: CrossValidation) -> None:
        """Keep the models of the best configuration, and of those that are not trained on all folds yet."""
        for configuration in cross.ranking[1:]:
            for number in cross.trials_of(configuration).values():
                self.checkpoints.forget_trial(FOLDS, number)

    @property
    def _tested(self) -> Mapping[str, Any]:
        tested: dict[str, Any] = self.study.user_attrs.get(TESTED, {})
        return tested

    def _of_best(self, cross: CrossValidation) -> dict[int, str]:
        """The names of its models by fold. Raises SweepFailed if one is missing."""
        models = {}
        for fold, number in cross.trials_of(cross.ranking[0]).items():
            name = self.checkpoints.model(FOLDS, number)
            if name is None:
                raise SweepFailed(
                    f"--ensemble: trial {number} of the folds left no model: the trainable has no save_model, or its "
                    "file was removed"
                )
            models[fold] = name
        return models
