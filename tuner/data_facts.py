"""What a sweep keeps of its data set in `environment.json`, for the report: a fingerprint that fits on a page."""

from collections.abc import Sequence
from typing import Any

from tuner.preparation import Prepared


def data_facts(prepared: Prepared) -> dict[str, Any]:
    """What `environment.json` keeps of a data set: plain values, in mm and voxels along the patient's axes (RAS)."""
    dataset, fingerprint, plan = prepared.dataset, prepared.fingerprint, prepared.volumes.plan
    targets = prepared.volumes.targets
    named = {labels[0]: name for name, labels in zip(targets.names, targets.members, strict=True) if len(labels) == 1}
    spacings, shapes = ([getattr(case, name) for case in fingerprint.cases] for name in ("spacing", "shape"))
    return {
        "name": dataset.name,
        "cases": len(dataset.cases),
        "groups": len(set(dataset.groups.values())),
        "content_hash": fingerprint.content_hash,
        "modalities": list(dataset.modalities),
        "spacing": {"median": fingerprint.median_spacing, **_extremes(spacings)},
        "shape": _extremes(shapes),
        "label_shares": {
            named.get(label, dataset.labels[label]): share for label, share in fingerprint.class_frequencies.items()
        },
        "prepared_spacing": plan.spacing,
        "normalisation": [channel.kind for channel in plan.normalisation],
    }


def _extremes(values: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """The lowest and the highest along each axis."""
    axes = list(zip(*values, strict=True))
    return {"lowest": [min(axis) for axis in axes], "highest": [max(axis) for axis in axes]}
