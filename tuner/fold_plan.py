"""What `voxtune train --folds` trains: the best configurations of a sweep, or a single one, each on every fold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from search_spaces.parameters import Fixed, Int
from search_spaces.space import SearchSpace
from trainables.split import Split
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.environment import describe_environment
from tuner.files import write_text
from tuner.preparation import Prepared
from tuner.results import Results

LAST = 999_999
"""A sweep has fewer trials. The number of one is a parameter here, whose bounds stay when the sweep goes on."""

ALONE = 0
"""The number of a configuration that is of no sweep."""


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """Configurations, the folds of the data set, and where what comes of them lies."""

    config: SweepConfig
    """Data, trainable, budget, resources and storage."""

    directory: SweepDirectory
    """Holds the study, the trials' files and their logs."""

    output: Path
    """Folder of what was found."""

    prepared: Prepared
    """Its split is that of the first fold."""

    splits: tuple[Split, ...]
    """One a fold."""

    groups: Mapping[str, str]
    """Whose each case is."""

    configurations: Mapping[int, Mapping[str, Any]]
    """The parameters by number: of the sweep's trial that proposed them, best first, or ALONE."""

    seed: int
    results: Results | None = None
    """Of the sweep; None for a configuration alone."""

    chosen_on: frozenset[str] = frozenset()
    """The cases whose Dice got the configurations chosen, as far as that is known."""

    instead: str
    """What a user may do who wants other folds or settings than those that the study has."""

    @property
    def space(self) -> SearchSpace:
        """A trial's parameters: whose configuration, and the fold that validates."""
        folds = Int(low=0, high=len(self.splits) - 1)
        configuration = Int(low=0, high=LAST) if self.results else Fixed(value=ALONE)
        return SearchSpace({"configuration": configuration, "fold": folds})

    @property
    def terms(self) -> dict[str, Any]:
        """What beside the space makes the scores of two trials comparable."""
        splits = json.dumps([asdict(split) for split in self.splits], sort_keys=True)
        terms: dict[str, Any] = {
            "folds": len(self.splits),
            "trainable": self.config.trainable,
            "budget": {"unit": self.config.budget.unit, "maximum": self.config.budget.maximum},
            "seed": self.seed,
            "dataset": {
                "content": self.prepared.fingerprint.content_hash,
                "splits": sha256(splits.encode()).hexdigest()[:16],
                "volumes": self.prepared.volumes.folder.name,
            },
        }
        return terms if self.results else {**terms, "parameters": dict(self.configurations[ALONE])}


def make_folder(plan: FoldPlan) -> None:
    """For a configuration alone: the folder that its study lies in."""
    folder = plan.directory
    if folder.environment_file.is_file():
        return
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    write_text(folder.environment_file, json.dumps(describe_environment(), indent=1))
