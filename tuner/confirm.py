"""The confirm stage: the best few configurations are trained again with other seeds before one is called best.

The best of N trials on a validation fold is partly luck. Their mean over seeds is less so, and the test cases, which
the search never saw, say what is left of it. The repeats are trials of a second study, `confirm`, each naming the
trial it repeats (`of`). Test scores stand in that study's attribute `test` (Optuna's finished trials take no more).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cluster.connect import Cluster
from trainables.dataset import Dataset
from tuner.config import ConfirmConfig
from tuner.limits import Limits
from tuner.model_scores import score_models
from tuner.storage import CONFIRM
from tuner.study import DEFAULT_ORIGIN, SweepStudy
from tuner.work import Work, numbers


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
        record=work.record.of_study(CONFIRM),
        trials=len(confirm.trials()),
        limits=Limits(),
        abandoned=numbers,
        rungs=None,
        steps=work.steps[-1:],
    )


def repeats_line(confirm: SweepStudy) -> str:
    """What the stage trains, for people who watch it begin."""
    repeated = ", ".join(dict.fromkeys(str(trial.user_attrs["of"]) for trial in confirm.trials()))
    return f"Confirming the best by training with other seeds, numbered from 0 again: trial {repeated}"


def score_on_test_cases(
    sweep: Work,
    confirmed: Work | None,
    *,
    dataset: Dataset,
    cases: Sequence[str],
    cluster: Cluster,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Evaluate models on the test cases, in parallel, into the study that chose them; those scored before stay.

    The models of the confirmed configurations, or of the sweep's best one where nothing was confirmed; and the default
    configuration's if it was trained to the end: what a user would have got without a search.
    """
    ranking = sweep.study.ranking()
    repeats = confirmed.study.ranking() if confirmed else []
    chosen = {trial.user_attrs["of"] for trial in repeats} or {ranking[0].number}
    chosen |= {trial.number for trial in ranking if trial.user_attrs.get("origin") == DEFAULT_ORIGIN}
    runs = [(sweep.study_name, number) for number in sorted(chosen)] + [(CONFIRM, trial.number) for trial in repeats]
    # A trial of another driver left its model in that driver's directory.
    models = {f"{study}:{number}": sweep.checkpoints.model(study, number) for study, number in runs}
    record = (confirmed or sweep).study.optuna
    scores = dict(record.user_attrs.get("test", {}))
    scores |= score_models(
        {run: [model] for run, model in models.items() if run not in scores and model},
        files=sweep.trial_files,
        resources=sweep.resources,
        dataset=dataset,
        cases=cases,
        cluster=cluster,
        progress=progress,
    )
    record.set_user_attr("test", scores)
