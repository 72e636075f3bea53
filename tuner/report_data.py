"""The report's chapter on the data set: what it is like, how its cases were split, what was done to them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuner.chapters import Block, Folded
from tuner.config import SweepConfig
from tuner.markdown import count, escape

PARTS = {"train": "training", "validation": "validation", "test": "test"}


def data(config: SweepConfig, facts: Mapping[str, Any], split: Mapping[str, Any]) -> Iterator[Block]:
    """
    Args:
        facts: what `tuner.data_facts` gave; of older sweeps less.
        split: the names of cases by part; empty for runs that need no data.
    """
    if not split:
        return
    parts = [f"{len(split[part])} {name}" for part, name in PARTS.items() if split.get(part)]
    yield f"{escape(facts.get('name', 'Data set'))}: {', '.join(parts)} cases, listed in `split.json`."
    if rows := list(_rows(facts)):
        yield "\n".join(f"- {name}: {told}" for name, told in rows)
    if config.dataset:
        yield _dealt(config, facts)
    for part, name in PARTS.items():
        if split.get(part):
            yield Folded(summary=f"{count(len(split[part]), f'{name} case')}", text=", ".join(split[part]))


def _rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if modalities := facts.get("modalities"):
        yield "modalities", escape(", ".join(modalities))
    if spacing := facts.get("spacing"):
        alike = spacing["lowest"] == spacing["highest"]
        yield "spacing, mm", _range(spacing) if alike else f"{_size(spacing['median'])} (median), {_range(spacing)}"
    if shape := facts.get("shape"):
        yield "image, voxels", _range(shape)
    if shares := facts.get("label_shares"):
        yield "share of voxels", escape(", ".join(f"{name} {share:.2%}" for name, share in shares.items()))
    if spacing := facts.get("prepared_spacing"):
        normalised = ", ".join(dict.fromkeys(facts.get("normalisation", [])))
        yield "prepared as", f"{_size(spacing)} mm; intensities: {escape(normalised)}"
    if "content_hash" in facts:
        yield "content hash", escape(facts["content_hash"])


def _dealt(config: SweepConfig, facts: Mapping[str, Any]) -> str:
    """How the cases were dealt, in a sentence."""
    data = config.dataset
    assert data is not None
    part = f"a share of {data.held_out:g}" if data.held_out else f"fold {data.fold} of {data.folds}"
    groups = ""
    if data.group or data.groups_file:
        by = f"by {escape(data.group)}" if data.group else "by a file of groups"
        groups = f"; cases of one group ({by}) stay together"
    elif number := facts.get("groups"):
        groups = f"; cases of one group stay together, as the data set has them ({number} groups)"
    test = f", a share of {data.test_fraction:g} was set aside for the test" if data.test_fraction else ""
    return f"Dealt with seed {data.split_seed}: {part} validates{test}{groups}."


def _range(extremes: Mapping[str, Sequence[float]]) -> str:
    low, high = _size(extremes["lowest"]), _size(extremes["highest"])
    return f"all {low}" if low == high else f"{low} to {high}"


def _size(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)
