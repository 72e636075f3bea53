"""Scores models of trials on cases of a data set, as tasks on the cluster."""

from collections.abc import Callable, Mapping, Sequence

import ray

from cluster.connect import Cluster
from trainables.dataset import Dataset
from tuner.shipping import nodes_lacking
from tuner.trial_files import TrialFiles

Scores = dict[str, dict[str, float]]
"""Dice by case and class, in the voxels of the cases' files."""


def score_models(
    models: Mapping[str, Sequence[str]],
    *,
    files: TrialFiles,
    resources: Mapping[str, float],
    dataset: Dataset,
    cases: Sequence[str],
    cluster: Cluster,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Scores]:
    """The scores of each of `models` by its key, in their order; worked out in parallel.

    Where a node does not see the cases' files all are scored here, one after another: test cases have not been sent.

    Args:
        models: the names of `files` of each; several are an ensemble.
        resources: Ray's, of one task.
    """
    scores: dict[str, Scores] = {}
    wanted = set(cases)
    needed = [file for case in dataset.cases if case.name in wanted for file in case.files]
    if cluster.local or not nodes_lacking(needed, cluster.nodes):
        task = ray.remote(num_cpus=resources["cpu"], num_gpus=resources["gpu"])(_score)
        keys = {task.remote(files, list(names), dataset, list(cases)): key for key, names in models.items()}
        pending = list(keys)
        while pending:
            (done,), pending = ray.wait(pending)
            scores[keys[done]] = ray.get(done)
            progress(len(scores), len(models))
    else:
        for key, names in models.items():
            scores[key] = _score(files, list(names), dataset, list(cases))
            progress(len(scores), len(models))
    return {key: scores[key] for key in models}


def _score(files: TrialFiles, names: list[str], dataset: Dataset, cases: list[str]) -> Scores:
    from trainables.model_file import load_model
    from trainables.scoring import evaluate_dataset

    models = []
    for name in names:
        with files.fetched(name) as path:
            models.append(load_model(path))
    scores: Scores = {}
    for row in evaluate_dataset(models, dataset, cases):
        scores.setdefault(row.case, {})[row.target] = row.dice
    return scores
