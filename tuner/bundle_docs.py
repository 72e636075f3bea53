"""What a MONAI Bundle tells people: docs/README.md, and the notes on licences."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import trainables
from trainables.levels import patch_divisors
from tuner.best import Basis
from tuner.bundle_metadata import INTENDED_USE, NOT_STATED
from tuner.bundle_source import BundleSource, Training
from tuner.markdown import enumerated, escape, setting, table

_BASIS: Mapping[Basis, str] = {
    "confirmed": "chosen by trainings with other seeds than the search's",
    "full budget": "the best run of a search, so biased upwards: it was picked because it went well",
    "unfinished": "the best so far of a search in which no run had reached the full budget",
}


def readme(source: BundleSource) -> str:
    """docs/README.md."""
    model = source.model
    title = escape(source.data.name or "Segmentation")
    parts = [
        f"# {title}\n",
        f"Labels {enumerated([escape(name) for name in model.targets.names])} in volumes of "
        f"{enumerated([escape(name) for name in model.modalities])}. Made by voxtune {metadata.version('voxtune')}; "
        "voxtune need not be installed to use it.\n",
        f"## Intended use\n\n{INTENDED_USE} It was trained on the data below and on nothing else: evaluate it "
        "before you use it on images of another scanner, protocol or patient group.\n",
        f"## Data\n\n{_data(source)}\n",
        f"## Training\n\n{_training(source)}\n",
        f"## Use\n\n{_USE}\n",
        f"## How it computes\n\n{_how(source)}\n",
        "## Licences\n\nSee `LICENSE` and `docs/data_license.txt`.\n",
    ]
    return "\n".join(parts)


def licence_note(source: BundleSource) -> str:
    """LICENSE of the bundle: what is under which."""
    return (
        "scripts/ and configs/: code of voxtune, Apache-2.0; the text is in scripts/LICENSE.\n\n"
        "models/: the weights. Whoever trained them says under which licence they are given away, and writes it here.\n"
        f"They were trained on data under this licence: {source.data.licence or NOT_STATED} (docs/data_license.txt).\n"
        "Whether its terms, such as share-alike, hold for the weights is for whoever gives them away to judge.\n"
    )


def data_licence(source: BundleSource) -> str:
    """docs/data_license.txt: what the data set's own dataset.json says."""
    data = source.data
    facts = {
        "Data set": data.name,
        "Description": data.description,
        "Licence": data.licence,
        "Reference": data.reference,
        "Release": data.release,
    }
    lines = [f"{name}: {value or NOT_STATED}" for name, value in facts.items()]
    return "\n".join(["What the data set's dataset.json says. No data is in this bundle.\n", *lines, ""])


def code_licence() -> str:
    """The text of voxtune's licence."""
    installed = metadata.distribution("voxtune").read_text("licenses/LICENSE")
    return installed or (Path(trainables.__file__).parents[1] / "LICENSE").read_text(encoding="utf-8")


def _data(source: BundleSource) -> str:
    model, data = source.model, source.data
    labels = zip(model.targets.names, model.targets.members, strict=True)
    rows = [
        ("data set", escape(data.name or NOT_STATED)),
        ("what it is", escape(data.description or NOT_STATED)),
        ("licence", escape(data.licence or NOT_STATED)),
        ("reference", escape(data.reference or NOT_STATED)),
        ("release", escape(data.release or NOT_STATED)),
        ("channels, in this order", ", ".join(escape(name) for name in model.modalities)),
        (
            "regions, which may overlap" if model.targets.regions else "labels",
            ", ".join(f"{escape(name)} ({' + '.join(map(str, values))})" for name, values in labels),
        ),
    ]
    return table(("", ""), rows, numbers=False)


def _training(source: BundleSource) -> str:
    settings = table(
        ("setting", "value"),
        [
            ("network", escape(source.model.network.architecture)),
            *((escape(name), setting(value)) for name, value in sorted(source.model.training.items())),
        ],
        numbers=False,
    )
    if source.training is None:
        return f"The model's file does not say how good it is.\n\n{settings}"
    return f"{_dice(source.training)}\n\n{settings}"


def _dice(training: Training) -> str:
    runs = ", ".join(f"{score:.4f}" for score in training.runs)
    mean = f"Mean Dice on the validation cases {training.dice:.4f} ({runs}): {_BASIS[training.basis]}."
    cases = ", ".join(f"{count} {part}" for part, count in training.cases.items()) or NOT_STATED
    test = (
        f" On test cases, which the search never saw: {training.test_dice:.4f}."
        if training.test_dice is not None
        else " No cases were kept from the search, so there is no unbiased test."
    )
    return (
        f"Sweep {escape(training.sweep)} of {training.trials} trials, configuration of trial {training.trial}. {mean} "
        f"This model's own: {training.model_dice:.4f}.{test} Cases: {cases}."
    )


_USE = """Needs MONAI with `nibabel`, `scipy`, `pytorch-ignite` and `fire`. In the bundle's folder:

```sh
# label images: a folder of NIfTI files, a folder with a dataset.json, or single files
python -m monai.bundle run --config_file configs/inference.json --dataset_dir /data/images --output_dir labels
python -m monai.bundle run --config_file configs/inference.json --images "['a.nii.gz', 'b.nii.gz']"

# Dice of a data set with labels, or of some of its cases
python -m monai.bundle run --config_file "['configs/inference.json','configs/evaluate.json']" \\
    --dataset_dir /data/Task --names "['case_001', 'case_002']" --output_dir scores
```

A label is written under its image's name, in the image's own grid, affine and header; one that is there is replaced.
An image that can't be read, or has other channels, ends the run; the message says which. `val_mean_dice_raw.csv` has a
row a case and a column a class or region, in the order above; one that is in neither label nor prediction scores 1."""


def _how(source: BundleSource) -> str:
    model = source.model
    x, y, z = patch_divisors(model.network.strides)
    rows = [
        ("read", "`LoadImaged`", "with our reader: NaN and damaged files are refused, the affine is the file's"),
        ("check", "ours", "what `voxtune predict` refuses is refused: planes, flat images, affines at odds"),
        ("orient", "`Orientationd`", "RAS; oblique files are not rotated"),
        *([("crop", "`CropForegroundd`", "to where any channel is not 0")] if model.plan.crop else []),
        ("normalise", "ours", "MONAI's leave out all zeros or none; a cut-out background is neither"),
        ("resample", "ours", "MONAI has no spline for each axis, and other numbers of voxels"),
        ("round", "ours", "to float16, as training stores its volumes"),
        ("windows", "ours", "spread evenly, and larger than the patch where that saves cutting a volume"),
        ("back", "`Invertd`", "probabilities, linearly"),
        ("decide", "`AsDiscreted`", "a region above 1/2" if model.targets.regions else "the most probable class"),
        ("label values", "ours", "and the largest piece of each" if model.largest_component else "as in training"),
        ("write", "`SaveImaged`", "with our writer, which keeps the image's header"),
    ]
    return (
        "MONAI's own transforms where they do what training did, ours (`scripts/`, copied from voxtune) where not:\n\n"
        f"{table(('step', 'by', 'how, or why not by MONAI'), rows, numbers=False)}\n\n"
        f"The network takes patches of a multiple of {x}x{y}x{z} voxels, larger than that along one axis at least, and "
        "gives logits. `models/model.ts` is the same network as TorchScript. The probabilities of all channels of an "
        "image are in memory at once, on the image's own voxels: 4 bytes each."
    )
