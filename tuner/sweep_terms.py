"""What beside the space makes the scores of two trials of a sweep comparable."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from tuner.config import SweepConfig
from tuner.preparation import Prepared


def terms_of(config: SweepConfig, prepared: Prepared | None) -> dict[str, Any]:
    """Plain values, which stand in the study: a resumed sweep must have the same."""
    budget = config.budget
    terms: dict[str, Any] = {
        "trainable": config.trainable,
        "budget": {"unit": budget.unit, "maximum": budget.maximum},
        "seed": config.search.seed,
    }
    if prepared:
        split = json.dumps(asdict(prepared.split), sort_keys=True)
        terms["dataset"] = {
            "content": prepared.fingerprint.content_hash,
            "split": hashlib.sha256(split.encode()).hexdigest()[:16],
            "volumes": prepared.volumes.folder.name,
        }
    return terms
