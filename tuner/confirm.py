"""The confirm stage: the best few configurations are trained again with other seeds before one is called best.

The best of N trials on a validation fold is partly luck. Their mean over seeds is less so, and the test cases, which
the search never saw, say what is left of it. The repeats are trials of a second study, `confirm`, each naming the
trial it repeats (`of`). Test scores stand in that study's attribute `test` (Optuna's finished trials take no more).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ray

from tuner.config import ConfirmConfig
from tuner.search import Work
from tuner.storage import CONFIRM
from tuner.study import DEFAULT_ORIGIN, SweepStudy


def confirming_work(work: Work, confirm: SweepStudy, config: ConfirmConfig) -> Work:
    """The repeats of the best trials of `work`, queued in the study `confirm`; those already there stay."""
    there = {(trial.user_attrs.get("of"), trial.user_attrs.get("seed")) for trial in confirm.trials()}
    for trial in work.study.ranking()[: config.top]:
        first = trial.user_attrs["seed"]
        for seed in range(first + 1, first + 1 + config.seeds):
            if (trial.number, seed) not in there:
                confirm.enqueue(trial.params, seed=seed, of=trial.number)
    return replace(
        work,
        study=confirm,
        study_name=CONFIRM,
        trials=len(confirm.trials()),
        rungs=None,
        steps=work.steps[-1:],
    )


def score_on_test_cases(sweep: Work, confirm: Work, *, dataset: Path, cases: Sequence[str]) -> None:
    """Evaluate the models of the confirmed configurations on the test cases, in parallel, into the confirm study.

    The default configuration's too, if it was trained to the end: what a user would have got without a search.
    """
    default = {trial.number for trial in sweep.study.ranking() if trial.user_attrs.get("origin") == DEFAULT_ORIGIN}
    numbers = sorted({trial.user_attrs["of"] for trial in confirm.study.ranking()} | default)
    models = {
        **{f"{sweep.study_name}:{number}": sweep.directory.model_file(sweep.study_name, number) for number in numbers},
        **{
            f"{CONFIRM}:{trial.number}": confirm.directory.model_file(CONFIRM, trial.number)
            for trial in confirm.study.ranking()
        },
    }
    evaluate = ray.remote(num_cpus=sweep.resources["cpu"], num_gpus=sweep.resources["gpu"])(_evaluate)
    tasks = {name: evaluate.remote(str(path), str(dataset), list(cases)) for name, path in models.items()}
    scores = {name: ray.get(task) for name, task in tasks.items()}
    confirm.study.optuna.set_user_attr("test", scores)


def _evaluate(model: str, dataset: str, cases: list[str]) -> dict[str, dict[str, float]]:
    """Dice by case and class, in the cases' own grids."""
    from trainables.decathlon import read_dataset
    from trainables.model_file import load_model
    from trainables.prediction import evaluate_dataset

    scores: dict[str, dict[str, float]] = {}
    for row in evaluate_dataset(load_model(Path(model)), read_dataset(Path(dataset)), cases):
        scores.setdefault(row.case, {})[row.target] = row.dice
    return scores
