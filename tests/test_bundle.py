"""A MONAI Bundle of a model: run by MONAI it labels as `voxtune predict` does, also where voxtune is not installed."""

import ast
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from command_line import run_voxtune
from make_data import blob_case, write_dataset, write_nifti
from make_layouts import write_nnunet, write_table
from make_sweep import evaluation, open_study, sweep_directory
from make_volumes import write_volumes

from trainables.dataset import Dataset, ImageFiles
from trainables.errors import DatasetError, ModelFileError
from trainables.layouts import read_dataset
from trainables.model_file import Model, load_model, save_model
from trainables.normalisation import ChannelNormalisation
from trainables.prediction import predict_files
from trainables.preprocessing import PreprocessingPlan
from trainables.protocol import Budget
from trainables.scoring import evaluate_dataset
from trainables.segmentation import SegmentationRun
from trainables.targets import Targets
from tuner.bundle import write_bundle
from tuner.bundle_configs import inert, label_dtype
from tuner.bundle_metadata import SCHEMA, bundle_metadata
from tuner.bundle_scripts import bundled_modules
from tuner.bundle_source import BundleSource, DataNotes, Training, find_source
from tuner.errors import OutputError, SweepDirectoryError
from tuner.storage import open_storage

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from without_voxtune import python_without_voxtune, run_alone

CLASSES = Targets(names=("head", "tail"), members=((300,), (7, 9)), regions=False)
REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)
TRAINING = {
    "network": "compact_unet",
    "width": 4,
    "levels": 2,
    "patch_size": 16,
    "batch_size": 2,
    "learning_rate": 0.02,
    **dict.fromkeys(("tilt", "zoom", "intensity_scale", "intensity_shift", "noise"), 0.0),
    "weight_averaging": 0.5,
}
STEPS = 60


def trained(folder: Path, *, targets: Targets, channels: int, **training: Any) -> Model:
    """A model that found out in a few steps what is bright; its preprocessing is for the caller to choose."""
    cases = {}
    for number in range(3):
        image, label = blob_case(number, channels=channels)
        image = image[None] if channels == 1 else np.moveaxis(image, -1, 0)
        codes = np.array([0, 1, 3] if targets.regions else [0, 1, 2], np.uint8)[label]
        cases[f"case_{number}"] = ((image - image.mean()) / image.std(), codes)
    volumes = write_volumes(folder / "volumes", cases, regions=targets.regions)
    names = list(cases)
    data = {"volumes": str(volumes.folder), "train": names[:2], "validation": names[2:], "threads": 1}
    budget = Budget(unit="steps", maximum=STEPS)
    run = SegmentationRun({**TRAINING, **training}, data=data, budget=budget, seed=0, device="cpu")
    run.advance(STEPS)
    run.save_model(folder / "model.pt")
    return replace(load_model(folder / "model.pt"), targets=targets)


@pytest.fixture(scope="module")
def of_classes(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """One channel, two classes whose label values are merged or past 255; as volumes lie, so nothing is resampled."""
    model = trained(tmp_path_factory.mktemp("classes"), targets=CLASSES, channels=1)
    ct = ChannelNormalisation(kind="ct", low=90.0, high=150.0, mean=105.0, std=12.0)
    return replace(model, plan=PreprocessingPlan(spacing=(1.0, 1.0, 1.2), normalisation=(ct,)))


@pytest.fixture(scope="module")
def of_regions(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Two channels, nested regions of which the largest piece stays, other voxels than the files have."""
    folder = tmp_path_factory.mktemp("regions")
    model = trained(folder, targets=REGIONS, channels=2, network="dynunet", levels=3, largest_component=True)
    zscore = ChannelNormalisation(kind="zscore")
    return replace(model, plan=PreprocessingPlan(spacing=(1.1, 1.3, 1.5), normalisation=(zscore, zscore)))


@pytest.fixture(scope="module")
def class_bundle(of_classes: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundled") / "bundle"
    write_bundle(BundleSource(model=of_classes, data=DataNotes(name="Blobs")), folder)
    return folder


def odd_images(folder: Path) -> list[Path]:
    """Two channels in files that lie askew: axes permuted, turned round and oblique, zeros around, one as int16."""
    images = []
    turns = (np.array([[0, -0.9, 0], [0, 0, 1.2], [2.4, 0, 0]]), nib.eulerangles.euler2mat(z=0.3) @ np.diag([-1, 1, 3]))
    for number, turn in enumerate(turns):
        image, _ = blob_case(10 + number, shape=(26, 40, 22), channels=2)
        bordered = np.pad(image, [(2, 1), (0, 3), (1, 1), (0, 0)])
        array = np.rint(bordered).astype(np.int16) if number else bordered
        affine = nib.affines.from_matvec(turn, [-20, 11, 3])
        images.append(write_nifti(folder / f"odd_{number}.nii.gz", array, affine=affine))
    return images


def voxels(path: Path) -> np.ndarray:
    image: Any = nib.load(path)
    return np.asarray(image.dataobj)


def assert_same_labels(ours: Path, theirs: Path) -> None:
    """The same voxels but one in ten thousand, and the same header throughout."""
    names = sorted(path.name for path in ours.iterdir())
    assert [path.name for path in sorted(theirs.glob("*.nii.gz"))] == names
    for name in names:
        own, other = voxels(ours / name), voxels(theirs / name)
        assert own.shape == other.shape
        assert np.mean(own == other) >= 0.9999
        assert len(np.unique(own)) > 1  # it found something, and not everywhere
        one, two = nib.load(ours / name), nib.load(theirs / name)
        assert one.header == two.header
        np.testing.assert_array_equal(one.affine, two.affine)


@contextmanager
def inside(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As MONAI's command line in the bundle's folder: its `scripts` can be imported, no other bundle's."""
    with monkeypatch.context() as patch:
        patch.chdir(bundle)
        patch.setattr(sys, "path", [str(bundle), *sys.path])
        try:
            yield
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
                del sys.modules[name]


def run_in(bundle: Path, monkeypatch: pytest.MonkeyPatch, *configs: str, **override: Any) -> None:
    from monai.bundle import run

    with inside(bundle, monkeypatch):
        run(config_file=[f"configs/{name}.json" for name in ("inference", *configs)], **override)


@pytest.mark.slow
def test_labels_are_those_of_predict_where_voxtune_is_not_installed(of_regions: Model, tmp_path: Path) -> None:
    images = odd_images(tmp_path / "images")
    predict_files([of_regions], list(map(ImageFiles.of, images)), tmp_path / "ours")
    write_bundle(BundleSource(model=of_regions, data=DataNotes()), tmp_path / "bundle")
    python = python_without_voxtune(tmp_path / "python")
    command = ["-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    ended = run_alone(
        python, *command, f"--dataset_dir={images[0].parent}", "--output_dir=out", cwd=tmp_path / "bundle"
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert_same_labels(tmp_path / "ours", tmp_path / "bundle" / "out")


def test_classes_are_labelled_and_scored_as_by_voxtune(
    of_classes: Model, class_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled_data(tmp_path / "data")
    images = [case.image for case in data.cases[:2]]
    predict_files([of_classes], images, tmp_path / "ours")
    run_in(class_bundle, monkeypatch, images=[str(image) for image in images], output_dir=str(tmp_path / "theirs"))
    assert_same_labels(tmp_path / "ours", tmp_path / "theirs")
    names = [data.cases[2].name, data.cases[0].name]
    run_in(
        class_bundle,
        monkeypatch,
        "evaluate",
        dataset_dir=str(data.source),
        names=names,
        output_dir=str(tmp_path / "scores"),
    )
    found = (tmp_path / "scores" / "val_mean_dice_raw.csv").read_text().splitlines()[1:]
    expected = [row.dice for row in evaluate_dataset([of_classes], data, names)]
    assert [Path(line.split(",")[0]).name for line in found] == [f"{name}.nii.gz" for name in names]
    assert np.array([line.split(",")[1:3] for line in found], float).ravel() == pytest.approx(expected, abs=1e-6)
    assert 0.1 < min(expected) < max(expected) < 1


def test_channels_in_files_of_their_own_are_one_image(
    of_regions: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"labels": {"0": "background", "1": "rim", "2": "core"}}
    split = write_nnunet(write_dataset(tmp_path / "Blobs", cases=1, channels=2, manifest=labels), tmp_path / "split")
    predict_files([of_regions], [case.image for case in read_dataset(split).cases], tmp_path / "ours")
    write_bundle(BundleSource(model=of_regions, data=DataNotes()), tmp_path / "bundle")
    run_in(tmp_path / "bundle", monkeypatch, dataset_dir=str(split / "imagesTr"), output_dir=str(tmp_path / "theirs"))
    (ours,), (theirs,) = tmp_path.glob("ours/*"), tmp_path.glob("theirs/*")
    assert (ours.name, theirs.name) == ("case_001.nii.gz", "case_001_0000.nii.gz")
    np.testing.assert_array_equal(voxels(theirs), voxels(ours))
    run_in(tmp_path / "bundle", monkeypatch, "evaluate", dataset_dir=str(split), output_dir=str(tmp_path / "scores"))
    (found,) = (tmp_path / "scores" / "val_mean_dice_raw.csv").read_text().splitlines()[1:]
    expected = [row.dice for row in evaluate_dataset([of_regions], read_dataset(split))]
    assert np.array(found.split(",")[1:3], float) == pytest.approx(expected, abs=1e-6)


def labelled_data(folder: Path) -> Dataset:
    """Three cases with the label values of CLASSES."""
    labels = {"0": "background", "300": "head", "7": "tail", "9": "tip"}
    write_dataset(folder, cases=3, affine=np.diag([1, 1, 1.2, 1]), manifest={"labels": labels})
    for label in (folder / "labelsTr").iterdir():
        write_nifti(label, np.array([0, 300, 7], np.uint16)[voxels(label)], affine=np.diag([1, 1, 1.2, 1]))
    return read_dataset(folder)


def test_an_image_that_predict_refuses_is_named(
    of_classes: Model, class_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = odd_images(tmp_path / "images")
    with pytest.raises(RuntimeError) as raised:
        run_in(class_bundle, monkeypatch, images=[str(image)], output_dir=str(tmp_path / "out"))
    first: BaseException = raised.value
    while first.__cause__ is not None:  # what MONAI shows at the top of its traceback
        first = first.__cause__
    (problem,) = predict_files([of_classes], [ImageFiles.of(image)], tmp_path / "ours").failed.values()
    assert str(first) == f"{image}: {problem}"


def test_monais_checks_hold(of_classes: Model, class_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from monai.bundle import ConfigWorkflow, verify_net_in_out
    from monai.data import load_net_with_metadata

    files = {"meta_file": "configs/metadata.json", "config_file": "configs/inference.json"}
    with inside(class_bundle, monkeypatch):
        verify_net_in_out("network_def", device="cpu", **files)
        workflow = ConfigWorkflow(**files, workflow_type="inference", images=["image.nii.gz"])
        workflow.initialize()
        assert workflow.check_properties() == []
    network, facts, extra = load_net_with_metadata(
        class_bundle / "models" / "model.ts", more_extra_files=("inference.json",)
    )
    assert facts == json.loads((class_bundle / "configs" / "metadata.json").read_text())
    assert json.loads(extra["inference.json"]) == json.loads((class_bundle / "configs" / "inference.json").read_text())
    for shape in ((1, 1, 16, 16, 16), (3, 1, 24, 18, 20)):
        image = torch.rand(shape)
        torch.testing.assert_close(network(image), of_classes.build()(image), rtol=1e-4, atol=1e-4)


def test_metadata_has_what_monais_schema_wants(of_regions: Model) -> None:
    facts = bundle_metadata(BundleSource(model=of_regions, data=DataNotes(reference="A, 2020")), authors="Us")
    # What MONAI's schema of 2024-07-25 requires, all of it text but the two objects.
    objects = {"required_packages_version", "network_data_format"}
    texts = {"schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors"}
    assert all(isinstance(facts[key], str) and facts[key] for key in {*texts, "copyright"})
    assert all(isinstance(facts[key], dict) and facts[key] for key in objects)
    assert facts["schema"] == SCHEMA
    assert facts["references"] == ["A, 2020"]
    formats = facts["network_data_format"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"], formats["post_processed_outputs"]["pred"]):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} <= tensor.keys()
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "region whole", "1": "region core"}
    assert facts["label_classes"] == "1: whole; 2: whole and core"


def test_names_are_not_run(of_classes: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MONAI evaluates text that begins with `$`, and models and data sets come from anyone."""
    evil = f"$open({str(tmp_path / 'seen')!r}, 'w')"
    targets = replace(CLASSES, names=(evil, "%configs/evaluate.json"))
    model = replace(
        of_classes, targets=targets, modalities=("@device",), training={"precision": evil, "memory_format": evil}
    )
    notes = DataNotes(name=evil, reference=evil, licence=evil, description=f"<script>{evil}|", release="@run")
    write_bundle(BundleSource(model=model, data=notes), tmp_path / "bundle", authors=evil)
    from monai.bundle import ConfigWorkflow

    with inside(tmp_path / "bundle", monkeypatch):
        workflow = ConfigWorkflow("configs/inference.json", workflow_type="inference")
        workflow.initialize()
        facts = workflow.parser.get_parsed_content("_meta_")
        assert workflow.parser.get_parsed_content("targets")["names"] == [f"'{name}'" for name in targets.names]
        assert workflow.inferer.precision == "fp32"
    assert facts["references"] == [f"'{evil}'"]
    assert facts["network_data_format"]["inputs"]["image"]["channel_def"] == {"0": "'@device'"}
    assert not (tmp_path / "seen").exists()
    assert "<script>" not in (tmp_path / "bundle" / "docs" / "README.md").read_text()
    assert inert("CT $5") == "CT $5"


def test_scripts_need_nothing_of_voxtune(class_bundle: Path) -> None:
    files = {path.stem: path.read_text() for path in (class_bundle / "scripts").glob("*.py")}
    assert files.keys() == {"__init__", *bundled_modules()}
    for module, source in files.items():
        assert "SPDX-License-Identifier: Apache-2.0" in source
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "") in files if node.level else not (node.module or "").startswith("trainables")
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith(("trainables", "tuner")) for alias in node.names), module
    assert "Apache License" in (class_bundle / "scripts" / "LICENSE").read_text()


def begun_sweep(folder: Path, *, scores: tuple[float, ...], dataset: Path | None = None) -> Path:
    directory = sweep_directory(
        folder,
        trials=2,
        changes={"dataset": {"path": str(dataset)}} if dataset else None,
        split={"train": ["a", "b"], "validation": ["c"], "test": []},
    )
    study = open_study(open_storage(None, directory.journal, owner=True))
    study.plan(2)
    for score in scores:
        number = study.ask().number
        study.report(number, 1000, evaluation(score, 1000), {})
        study.finish(number, "full budget")
    return directory.root


def test_a_sweeps_best_model_comes_with_its_story(
    of_classes: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = {"licence": "CC-BY-SA 4.0", "reference": " Some University ", "relase": "1.0 04/05/2018"}
    data = write_dataset(tmp_path / "Data", cases=1, manifest=notes)
    sweep = begun_sweep(tmp_path / "runs" / "heart", scores=(0.7, 0.8), dataset=data)
    save_model(sweep / "checkpoints" / "sweep_0001" / "attempt_1" / "model.pt", of_classes)
    monkeypatch.chdir(tmp_path)
    ended = run_voxtune("bundle", "heart", "-o", "made", monkeypatch=monkeypatch, capsys=capsys)
    assert (ended.code, ended.err) == (0, "")
    assert "In made: LICENSE, configs, docs, models, scripts" in ended.out
    page = (tmp_path / "made" / "docs" / "README.md").read_text()
    assert page.startswith("# Blobs\n")
    assert (
        "Sweep heart of 2 trials, configuration of trial 1. Mean Dice on the validation cases 0.8000 (0.8000)" in page
    )
    assert "the best run of a search, so biased upwards" in page
    assert "No cases were kept from the search" in page
    assert "Cases: 2 train, 1 validation." in page
    assert "| release | 1.0 04/05/2018 |" in page
    assert (
        "Licence: CC-BY-SA 4.0\nReference: Some University\n" in (tmp_path / "made/docs/data_license.txt").read_text()
    )
    weights = torch.load(tmp_path / "made" / "models" / "model.pt", weights_only=True)
    assert weights.keys() == of_classes.weights.keys()


def test_notes_are_read_where_the_data_set_is(of_classes: Model, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "Data", cases=1, manifest={"name": "Blobs"})
    save_model(tmp_path / "model.pt", of_classes)
    for place in (data, data / "dataset.json"):
        assert find_source(str(tmp_path / "model.pt"), runs=tmp_path, dataset=place).data.name == "Blobs"
    table = write_table(data, tmp_path / "table")
    sweep = begun_sweep(tmp_path / "heart", scores=(0.7,), dataset=table)
    save_model(sweep / "checkpoints" / "sweep_0000" / "attempt_1" / "model.pt", of_classes)
    assert find_source(str(sweep), runs=tmp_path).data.name == "cases"
    table.unlink()
    assert find_source(str(sweep), runs=tmp_path).data.name is None


def test_labels_are_of_the_type_that_predict_writes(of_classes: Model) -> None:
    merged = replace(CLASSES, members=((8, 300), (7, 9)))  # 8 is written for both
    assert [label_dtype(replace(of_classes, targets=targets)) for targets in (CLASSES, merged)] == ["uint16", "uint8"]


def test_test_dice_is_told(of_classes: Model, tmp_path: Path) -> None:
    training = Training(
        sweep="s",
        trials=16,
        trial=3,
        basis="confirmed",
        dice=0.81,
        runs=[0.8, 0.82],
        model_dice=0.83,
        test_dice=0.79,
        cases={"test": 4},
    )
    write_bundle(BundleSource(model=of_classes, data=DataNotes(), training=training), tmp_path / "b")
    page = (tmp_path / "b" / "docs" / "README.md").read_text()
    assert "0.8100 (0.8000, 0.8200): chosen by trainings with other seeds" in page
    assert "On test cases, which the search never saw: 0.7900." in page
    facts = json.loads((tmp_path / "b" / "configs" / "metadata.json").read_text())
    assert facts["eval_metrics"] == {"mean_dice": 0.83}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ((), "no trial was begun yet|has no best model, no trial was evaluated yet"),
        ((0.7,), "the model of its best run, sweep 0, is not there yet, or no more"),
    ],
)
def test_a_sweep_without_a_best_model(tmp_path: Path, scores: tuple[float, ...], message: str) -> None:
    sweep = begun_sweep(tmp_path / "heart", scores=scores)
    with pytest.raises(SweepDirectoryError, match=message):
        find_source(str(sweep), runs=tmp_path)


def test_what_is_no_source(of_classes: Model, tmp_path: Path) -> None:
    with pytest.raises(SweepDirectoryError, match="no sweep at nothing or"):
        find_source("nothing", runs=tmp_path)
    with pytest.raises(ModelFileError, match=r"none\.pt: no such file"):
        find_source(str(tmp_path / "none.pt"), runs=tmp_path)
    save_model(tmp_path / "several" / "one.pt", of_classes)
    with pytest.raises(SweepDirectoryError, match="a folder of models, an ensemble; a bundle holds one network"):
        find_source(str(tmp_path / "several"), runs=tmp_path)
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ModelFileError, match=r"other\.pt: not a model that this version can use"):
        find_source(str(tmp_path / "other.pt"), runs=tmp_path)
    with pytest.raises(DatasetError, match=r"dataset\.json: can't be read: No such file"):
        find_source(str(tmp_path / "several" / "one.pt"), runs=tmp_path, dataset=tmp_path)


def test_a_folder_that_exists_is_kept(of_classes: Model, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputError, match="mine exists already: nothing was written"):
        write_bundle(BundleSource(model=of_classes, data=DataNotes()), tmp_path / "mine")
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_a_bundle_is_whole_or_not_there(of_classes: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tuner.bundle.write_scripts", fail)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(BundleSource(model=of_classes, data=DataNotes()), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
