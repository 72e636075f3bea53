"""Which images and labels a data set holds: reads a `dataset.json` in the layout of the Medical Segmentation Decathlon.

    Task04_Hippocampus/
    ├── dataset.json      names, modalities, labels, the list of training cases
    ├── imagesTr/         one NIfTI file a case, (X, Y, Z) or, with several channels, (X, Y, Z, C)
    └── labelsTr/         one NIfTI file a case, (X, Y, Z), whole numbers

Only the manifest and the existence of the files are looked at here; what the files hold is `case_files`' matter. The
`test` list (images without labels) and `tensorImageSize` (the files say it themselves) are not used.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from trainables.dataset import Case, Dataset, ImageFiles, stem
from trainables.errors import DatasetError
from trainables.manifest import (
    MANIFEST,
    BrokenRuleError,
    check_values,
    inner_path,
    numbered_names,
    raise_missing,
    read_channels,
    read_name,
    required,
    shown,
    training_note,
)
from trainables.problems import is_file


def read_decathlon(root: Path, content: Mapping[str, Any]) -> Dataset:
    """The data set in the folder `root`, absolute, whose `dataset.json` holds `content`; sees that its files are there.

    A path in the list is relative to the folder and stays in it: absolute ones and ones with `..` are refused. Links in
    the file system are followed, since copies of the Decathlon often link `imagesTr` to a shared disk. Entries whose
    file name starts with `._` (left by macOS archives) are no images and are skipped.

    Raises DatasetError, naming the file, the key, the rule and the value.
    """
    manifest = root / MANIFEST
    try:
        modalities, labels = read_channels(content, "modality"), _read_labels(content)
        cases = _read_cases(root, content)
        dataset = Dataset(
            source=root,
            manifest=manifest,
            name=read_name(content, default=root.name),
            modalities=modalities,
            labels=labels,
            cases=cases,
            notes=training_note(manifest, content, len(cases), len(content["training"])),  # with what is skipped
        )
    except BrokenRuleError as error:
        raise DatasetError(f"{manifest}: {error}") from None
    raise_missing(cases, advice=_first_version)
    return dataset


def _first_version(missing: Path) -> str:
    """What to do about files that nnU-Net's first version calls otherwise than its `dataset.json` does."""
    channel = missing.with_name(f"{stem(missing)}_0000{missing.name.removeprefix(stem(missing))}")
    if not is_file(channel):
        return ""
    return f"; {channel.name} is there, as nnU-Net 1 has it: bring it to 2 by nnUNetv2_convert_old_nnUNet_dataset"


def _read_labels(content: Mapping[str, Any]) -> Mapping[int, str]:
    named = numbered_names(content, "labels")
    check_values(named)
    seen: dict[str, int] = {}
    for value, name in sorted(named.items()):
        if name in seen:
            raise BrokenRuleError(f'labels {seen[name]} and {value} have the same name "{name}"')
        seen[name] = value
    return {value: named[value] for value in sorted(named)}


def _read_cases(root: Path, content: Mapping[str, Any]) -> tuple[Case, ...]:
    entries = required(content, "training")
    if not isinstance(entries, list) or not entries:
        raise BrokenRuleError(f"training must be a list of cases, not empty, got {shown(entries)}")
    cases: dict[str, Case] = {}
    used: dict[PurePosixPath, str] = {}
    for index, entry in enumerate(entries):
        place = f"training[{index}]"
        if not isinstance(entry, dict):
            raise BrokenRuleError(f"{place} must be an object with image and label, got {shown(entry)}")
        image, label = (
            inner_path(required(entry, key, place=f"{place}."), f"{place}.{key}") for key in ("image", "label")
        )
        if image.name.startswith("._"):
            continue
        for key, path in (("image", image), ("label", label)):
            if path in used:
                raise BrokenRuleError(f"{place}.{key}: {path} is already listed as {used[path]}")
            used[path] = f"{place}.{key}"
        name = stem(Path(image))
        if name in cases:
            first = cases[name].image.files[0].relative_to(root)
            raise BrokenRuleError(f'{place}.image: a second case "{name}" besides {first}; names differ')
        cases[name] = Case(ImageFiles(name, (root / image,)), root / label)
    if not cases:
        raise BrokenRuleError("training lists no case besides `._` files, which are no images")
    return tuple(cases.values())
