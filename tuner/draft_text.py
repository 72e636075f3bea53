"""The words of a drafted sweep file: each value, and in a line or two what it means and where it comes from."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import combining, normalize

from trainables.networks import level_strides, patch_divisors
from trainables.segmentation_config import SegmentationConfig
from tuner.config import ConfirmConfig
from tuner.durations import about
from tuner.markdown import count, enumerated
from tuner.proposal import Proposal, Subject
from tuner.section import absolute_path
from tuner.slots import Slots

SHOWN = {
    "The network.": ("network", "width", "levels", "normalisation"),
    "How it learns.": ("loss", "optimizer", "weight_decay", "schedule", "weight_averaging", "precision"),
    "Share of the patches that are centred on a target; the others lie anywhere.": ("foreground_fraction",),
    "How patches are changed at random: `tilt` in degrees, `zoom` as a share of the size, `flips` along axes such as\n"
    "x or xyz, which harm where left and right differ.": ("tilt", "zoom", "flips"),
}
"""Settings that are written even where they have their defaults, for the user to change, below what is said of them."""

HEAD = """\
# {dataset}: {cases} cases, {channels}, to segment {targets}.
# The median volume has {shape} voxels of {spacing} mm; {foreground:.2g} % of the voxels are labelled.
# Written by `voxtune new` for a machine with {cores}. What each key means: voxtune schema

# The sweep goes to the folder runs/{name}.
name: {name}

# What is learned from. All trials train and validate on the same cases: {train} and {validation} of them.
dataset:
  path: {path}
{group}{split}  # Share of the cases that the search never sees, for an honest Dice of the best at the end.
  test_fraction: {test_fraction:g}
{labels}

# Done to each volume once, before the first trial, and kept for later sweeps.
preprocessing:
  # Size of the voxels in mm: the median of the data set ({spacing}), or three numbers [x, y, z].
  spacing: median
  # By modality: {normalisation}.
  normalisation: auto

# The same in all trials. Settings that are not named have their defaults.
training:
{training}

# What is searched{source}: move a setting from here to `training` to fix it; one from there to here needs a
# first value under `default`.
space:
{space}
"""

NOTES = {
    "learning_rate": "The highest of the schedule.",
    "tilt": "Patches are tilted at random by up to so many degrees.",
    "batch_size": "Patches in a step. The most, of the largest patches, take some {batch_gib} GiB of {gib:.0f}.",
    "patch_size": "Voxels along x, y, z: multiples of {divisors}, for {levels} levels.\nThe largest {largest}.",
}

TAIL = """\

# The first trial, so that no sweep ends below a sensible default.
default:
{default}

# How much training a trial gets that is never stopped, in voxels seen: fair to all patch and batch sizes.
# Timed here with {slots} at once: the first trial makes {steps} steps of it in {training_time}, and an evaluation
# takes {evaluation} s. At a ninth and at a third of it the best third of the trials goes on (ASHA).
budget:
  unit: voxels
  maximum: {maximum}
  reduction: 3

# Likely up to {search_time} for all trials, then {confirm_time} to confirm the best: as timed here, and no limit.
# `minutes: N` under search would be one.
search:
  trials: {trials}
  # gp learns from every rung of the trials before; random does not.
  sampler: gp
  # Seeds the proposals and every trial's training.
  seed: 0

# Of one trial: {division}.
resources:
  cpus_per_trial: {cpus}
  gpus_per_trial: {gpus}

# The best few are trained again with other seeds before one is called best.
confirm:
  top: {top}
  seeds: {seeds}
"""

DECLARED = """\
  # Each label is a class. To learn fewer, or to merge some (Name: [1, 2]), say which:
  # labels: {labels}"""

FOUND = """\
  # The label files have these values: name them. To learn fewer, leave some out; to merge some: Name: [1, 2].
  labels:{labels}"""

REGIONS = """\
  # As the data set wants it: regions, each of these label values, that may overlap.
  labels: {labels}
  regions: true"""

GROUP_HINT = """\
  # Are several cases of one person? Keep them on one side. If case 1 and 2, 3 and 4, ... belong together:
  # group: (int(number) + 1) // 2
"""


def sweep_text(
    subject: Subject, slots: Slots, proposal: Proposal, *, name: str | None, trials: int, folder: Path
) -> str:
    """The sweep file as it will lie in `folder`."""
    config, plan, names = subject.config, subject.plan, subject.targets.names
    shape = " x ".join(map(str, subject.median_shape))
    spacing = " x ".join(f"{mm:.3g}" for mm in plan.spacing)
    kinds = ", ".join(
        f"{channel.kind} for {modality}"
        for modality, channel in zip(subject.dataset.modalities, plan.normalisation, strict=True)
    )
    head = HEAD.format(
        dataset=_line(subject.dataset.name),
        cases=len(subject.dataset.cases),
        channels=_line(count(plan.channels, "channel") + f" ({', '.join(subject.dataset.modalities)})"),
        targets=_line(_listed(names)),
        shape=shape,
        spacing=spacing,
        foreground=100 * (1 - subject.seen.class_frequencies[0]),
        cores=_line(_hardware(slots)),
        name=yaml_text(name or _slug(subject.dataset.name)),
        train=len(subject.split.train),
        validation=len(subject.split.validation),
        path=yaml_text(near_path(config.path, folder)),
        group=_group(subject, folder),
        split=_split(subject),
        test_fraction=config.test_fraction,
        labels=_labels(subject),
        normalisation=_line(kinds),
        training=_training(proposal),
        source=f", of the preset {proposal.preset}" if proposal.preset else "",
        space=_space(subject, slots, proposal),
    )
    tail = TAIL.format(
        default=_lines(proposal.default),
        steps=proposal.steps,
        training_time=about(proposal.maximum * proposal.cost.seconds_per_unit),
        evaluation=_tenths(proposal.cost.evaluation_seconds),
        slots=count(min(slots.count, trials), "trial"),
        maximum=_million(proposal.maximum),
        search_time=about(proposal.seconds),
        confirm_time=about(proposal.confirm_seconds),
        trials=trials,
        division=_division(slots),
        cpus=slots.cpus,
        gpus=slots.gpus,
        top=ConfirmConfig().top,
        seeds=ConfirmConfig().seeds,
    )
    return head + tail


def near_path(path: Path, folder: Path) -> str:
    """`path` relative to `folder` if it lies in it or beside it, else absolute."""
    path, folder = absolute_path(path, Path.cwd()), absolute_path(folder, Path.cwd())
    beside = folder.parent if folder.parent != Path(folder.anchor) else folder
    return os.path.relpath(path, folder) if path.is_relative_to(beside) else str(path)


def yaml_text(value: Any) -> str:
    """A value in one line of YAML 1.2."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_text(key)}: {yaml_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_text, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in ("true", "false", "null"):
        return value
    return json.dumps(value, ensure_ascii=False)


_PLAIN = re.compile(r"[A-Za-z/_]([\w ./-]*[\w./-])?|\.\.?/[\w./-]*|\d+x\d+x\d+")
"""Text that needs no quotes."""


def _slug(name: str) -> str:
    """The data set's name as the name of a folder, letters without their accents."""
    plain = "".join(letter for letter in normalize("NFKD", name.casefold()) if not combining(letter))
    return re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-._")[:100] or "sweep"


def _line(text: str) -> str:
    """Text from a data set, kept from leaving its comment."""
    return " ".join(re.sub(r"[^ -~\u00a0-\ud7ff]", " ", text).split())


def _lines(settings: Mapping[str, Any]) -> str:
    return "\n".join(f"  {key}: {yaml_text(value)}" for key, value in settings.items())


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`; of many the first ones."""
    shown = [*names] if len(names) <= 8 else [*names[:7], f"{len(names) - 7} more"]
    return enumerated(shown)


def _group(subject: Subject, folder: Path) -> str:
    """The key that keeps a person's cases together; a hint where names are numbered and no key was given."""
    config = subject.config
    if config.group is not None:
        return (
            f"  # Cases with the same value are of one person: kept on one side.\n  group: {yaml_text(config.group)}\n"
        )
    if config.groups_file is not None:
        return f"  # Says whose each case is.\n  groups_file: {yaml_text(near_path(config.groups_file, folder))}\n"
    if subject.dataset.groups:
        table = _line(subject.dataset.manifest.name)
        return f"  # Cases of the same group, as {table} has it, are kept on one side.\n"
    numbered = all(re.search(r"\d", name) for name in subject.dataset.case_names)
    return GROUP_HINT if numbered and len(subject.dataset.cases) > 2 else ""


def _labels(subject: Subject) -> str:
    dataset = subject.dataset
    if dataset.regions:
        return REGIONS.format(labels=yaml_text(dataset.regions))
    if dataset.labels_found:
        return FOUND.format(labels=_found_labels(subject))
    return DECLARED.format(labels=yaml_text({label: value for value, label in dataset.labels.items() if value}))


def _found_labels(subject: Subject) -> str:
    """In one line; or, where a value is not in every case, a line each that tells so: it may be no class at all."""
    named = {label: value for value, label in subject.dataset.labels.items() if value}
    cases = subject.fingerprint.cases
    having = {value: sum(case.label_voxels[value] > 0 for case in cases) for value in named.values()}
    if min(having.values()) == len(cases):
        return f" {yaml_text(named)}"
    notes = {
        value: f"  # in {count} of {len(cases)} cases" if count < len(cases) else "" for value, count in having.items()
    }
    return "".join(f"\n    {yaml_text(label)}: {value}{notes[value]}" for label, value in named.items())


def _split(subject: Subject) -> str:
    config = subject.config
    if config.folds is None:
        text = f"  # This share of the cases validates.\n  folds: null\n  held_out: {config.held_out:g}\n"
    else:
        text = f"  # One fold validates, counted from 0.\n  folds: {config.folds}\n  fold: {config.fold}\n"
    return text + (f"  split_seed: {config.split_seed}\n" if config.split_seed else "")


def _space(subject: Subject, slots: Slots, proposal: Proposal) -> str:
    """The searched parameters, each below what there is to say of it."""
    facts: dict[str, Any] = {"batch_gib": _tenths(proposal.batch_gib), "gib": slots.memory_gib}
    notes = dict(NOTES)
    if proposal.preset:
        del notes["patch_size"]  # it tells how they were planned
    else:
        levels = proposal.training["levels"]
        divisors = patch_divisors(level_strides(levels, subject.plan.spacing))
        covers = all(side >= size for side, size in zip(proposal.largest_patch, subject.median_shape, strict=True))
        facts |= {
            "divisors": " x ".join(map(str, divisors)),
            "levels": levels,
            "largest": "holds the median volume whole" if covers else "is what this machine has memory and time for",
        }
    lines = []
    for key, form in proposal.space.items():
        lines += [f"  # {line}" for line in notes.get(key, "").format(**facts).splitlines()]
        lines.append(f"  {key}: {yaml_text(form)}")
    return "\n".join(lines)


def _training(proposal: Proposal) -> str:
    """The fixed settings, those of the proposal first where SHOWN does not place them."""
    defaults = SegmentationConfig().to_mapping()
    placed = {key for keys in SHOWN.values() for key in keys}
    lines = [_lines({key: value}) for key, value in proposal.training.items() if key not in placed]
    for comment, keys in SHOWN.items():
        settings = {key: proposal.training.get(key, defaults[key]) for key in keys if key not in proposal.space}
        if settings:
            lines += [f"  # {line}" for line in comment.splitlines()] + [_lines(settings)]
    return "\n".join(lines)


def _million(voxels: float) -> str:
    """`110e6`: digits to read, and a number in YAML."""
    return f"{voxels / 1e6:g}e6"


def _tenths(amount: float) -> str:
    """`2.5`; never 0.0."""
    return f"{max(amount, 0.1):.1f}"


def _hardware(slots: Slots) -> str:
    cores = count(slots.count * slots.cpus, "core")
    return f"{count(slots.count, 'GPU')} and {cores}" if slots.gpus else cores


def _division(slots: Slots) -> str:
    return f"{_hardware(slots)} hold {count(slots.count, 'trial')} at once"
