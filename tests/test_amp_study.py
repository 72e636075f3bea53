"""The study of mixed precision: from its settings to its page, on a processor and with sizes that take seconds."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from make_volumes import write_blobs
from typer.testing import CliRunner

from trainables import step_times
from trainables.errors import SettingError
from trainables.network_config import NetworkConfig
from trainables.networks import level_strides
from trainables.precision import resolve_precision
from trainables.step_times import PARTS, Spread, StepTimes, time_step
from trainables.volumes import Volumes
from tuner.amp_command import phantom_size
from tuner.amp_plots import seconds_to
from tuner.amp_report import fits_table, step_table, write_amp_study
from tuner.amp_settings import AmpSettings
from tuner.amp_study import AmpStudy, CurvePoint, _most, run_amp_study
from tuner.cli import app
from tuner.errors import USER_ERRORS

SETTINGS = replace(
    AmpSettings.usual("cpu"), patches=((8, 8, 8), (16, 16, 8)), batches=(1, 2), steps=6, seconds=0.3, seeds=2
)


ENVIRONMENT = {
    "device": "cpu (a processor)",
    "libraries": {"torch": "2"},
    "command": ["voxtune", "study", "amp"],
}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    return write_blobs(tmp_path_factory.mktemp("amp") / "volumes")


@pytest.fixture(scope="module")
def study(volumes: Volumes) -> AmpStudy:
    def training_data(*, threads: int) -> dict[str, Any]:
        names = volumes.names
        return {"volumes": str(volumes.folder), "train": names[:4], "validation": names[4:], "threads": threads}

    prepared: Any = SimpleNamespace(volumes=volumes, training_data=training_data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuner.amp_study.EVALUATIONS", 3)
        *begun, whole = run_amp_study(SETTINGS, prepared, memory_gib=1.0, threads=1)
    assert [(bool(part.curves), bool(part.largest)) for part in begun] == [(False, False), (True, False)]
    assert all(part.cells == whole.cells for part in begun)
    return whole


def test_every_cell_is_measured(study: AmpStudy) -> None:
    assert [(cell.patch, cell.batch, cell.precision) for cell in study.cells] == [
        (patch, batch, precision)
        for patch in SETTINGS.patches
        for batch in SETTINGS.batches
        for precision in ("fp32", "bf16")
    ]
    for cell in study.cells:
        seconds = cell.times.seconds
        assert set(seconds) == {*PARTS, "total"}
        assert cell.times.steps >= 3
        for spread in seconds.values():
            assert 0 < spread.low <= spread.median <= spread.high
        assert seconds["total"].high >= max(seconds[part].low for part in PARTS)
        assert 0.4 < cell.estimated_gib < 1


def test_curves_cover_all_seeds_and_both_precisions(study: AmpStudy) -> None:
    assert len(study.curves) == 2 * 2 * 3
    frame = pd.DataFrame([point.__dict__ for point in study.curves])
    assert frame.groupby(["precision", "seed"])["step"].apply(list).tolist() == [[2, 4, 6]] * 4
    assert frame["dice"].between(0, 1).all()
    # The same seed, the same patches: the first losses differ by bf16's rounding only.
    first = frame[frame["step"] == 2].pivot(index="seed", columns="precision", values="loss")
    assert first["bf16"].to_numpy() == pytest.approx(first["fp32"].to_numpy(), rel=0.02)
    assert (first["bf16"] != first["fp32"]).all()


def test_the_largest_networks_fit_where_fp32s_does(study: AmpStudy) -> None:
    assert [row.precision for row in study.largest] == ["fp32", "bf16"]
    for row in study.largest:
        assert len(row.dice) == SETTINGS.seeds
        assert row.parameters > 1000
        base = (row.width, row.levels) == (SETTINGS.width, SETTINGS.levels)
        assert base or row.estimated_gib <= row.memory_gib


def test_it_is_written_whole(study: AmpStudy, tmp_path: Path) -> None:
    page = write_amp_study(study, tmp_path, ENVIRONMENT).read_text()

    assert {path.name for path in tmp_path.iterdir()} == {
        *("study.md", "study.json", "curves.png", "time_to_dice.png"),
        *(f"{name}.csv" for name in ("steps", "fits", "curves", "largest")),
    }
    assert "- command: `voxtune study amp`" in page
    assert "says nothing about what mixed precision brings on a GPU" in page
    assert page.count("| 16x16x8 | 2 | bf16 |") == 2
    assert len(json.loads((tmp_path / "study.json").read_text())["study"]["curves"]) == len(study.curves)
    steps = pd.read_csv(tmp_path / "steps.csv")
    assert (steps.loc[steps["precision"] == "fp32", "speed_up"] == 1).all()


def test_the_first_part_can_be_written_alone(study: AmpStudy, tmp_path: Path) -> None:
    page = write_amp_study(replace(study, curves=(), largest=()), tmp_path, ENVIRONMENT).read_text()
    assert "## 2. Memory" in page
    assert "## 3. Learning" not in page


def test_a_generated_heart_holds_the_smallest_patch_of_each_device() -> None:
    for device in ("cpu", "cuda"):
        patch = AmpSettings.usual(device).patches[0]
        size = phantom_size(patch)
        assert all(size * usual * 0.92 / 1.05 >= side for side, usual in zip(patch, (64, 64, 48), strict=True))
        assert size <= 4


def test_a_cell_that_does_not_fit_says_so(study: AmpStudy, tmp_path: Path) -> None:
    cells = (study.cells[0], replace(study.cells[1], times=StepTimes(failure="out of memory")), *study.cells[2:])
    full = replace(study, cells=cells)
    row = step_table(full).iloc[1]
    assert row["failure"] == "out of memory"
    assert pd.isna(row["speed_up"])
    assert "| 8x8x8 | 1 | bf16 | out of memory |" in write_amp_study(full, tmp_path, {}).read_text()


def test_a_precision_that_diverged_leaves_the_others_figures(study: AmpStudy, tmp_path: Path) -> None:
    curves = tuple(point for point in study.curves if point.precision == "fp32")
    largest = (study.largest[0], replace(study.largest[1], dice=(), steps=0.0))
    page = write_amp_study(replace(study, curves=curves, largest=largest), tmp_path, ENVIRONMENT).read_text()
    assert (tmp_path / "time_to_dice.png").is_file()
    assert "| 0 |  |" in page.splitlines()[-1]


def test_the_sources_figures_stand_beside_their_sizes(study: AmpStudy) -> None:
    cell = replace(study.cells[0], patch=(128, 128, 128), batch=8)
    source = replace(study, cells=(cell, replace(cell, precision="fp16")))
    table = step_table(source)
    assert table["v100"].tolist() == [1.381, 0.515]
    assert table["v100_speed_up"].tolist() == pytest.approx([1, 2.68], abs=0.01)


def test_what_fits_is_counted(study: AmpStudy) -> None:
    assert fits_table(study)["precision"].tolist() == ["fp32", "bf16"]
    assert [_most(limit.__ge__) for limit in (0, 1, 5, 64, 100)] == [0, 1, 5, 64, 64]


def test_time_to_a_dice() -> None:
    curve = [
        CurvePoint(precision="fp32", seed=0, step=step, seconds=seconds, loss=0.0, dice=dice)
        for step, seconds, dice in ((1, 2.0, 0.4), (2, 4.0, 0.3), (3, 6.0, 0.7))
    ]
    assert seconds_to(curve, 0.2) == pytest.approx(1.0)
    assert seconds_to(curve, 0.4) == pytest.approx(2.0)
    assert seconds_to(curve, 0.5) == pytest.approx(5.0)
    assert seconds_to(curve, 0.8) == float("inf")


def test_parts_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(step_times._Clock, "mark", lambda self: float(next(ticks)))
    network = NetworkConfig(
        architecture="compact_unet",
        in_channels=1,
        out_channels=2,
        width=2,
        levels=2,
        strides=level_strides(2, (1, 1, 1)),
        normalisation="batch",
    )
    found = time_step(network, patch_size=(4, 4, 4), batch_size=1, precision=resolve_precision("fp32", "cpu"), steps=4)
    assert found.steps == 4
    one = Spread(median=1.0, low=1.0, high=1.0)
    assert found.seconds == dict.fromkeys(PARTS, one) | {"total": Spread(median=4.0, low=4.0, high=4.0)}


def test_a_step_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step_times, "build_network", full)
    network: Any = SimpleNamespace(in_channels=1, out_channels=2)
    found = time_step(network, patch_size=(4, 4, 4), batch_size=1, precision=resolve_precision("fp32", "cpu"))
    assert found == StepTimes(failure="out of memory")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precisions": ("fp32", "fp16")}, "precision: fp16 needs a CUDA GPU, and this run is on 'cpu'; use auto or"),
        ({"precisions": ("fp32", "auto")}, "precision: auto is one of the others; name them, such as fp32,fp16,bf16"),
        ({"precisions": ("bf16",)}, "precision: must be fp32 and at least one other to compare with it, got 'bf16'"),
        ({"network": "vnet"}, "network: must be one of compact_unet, unet3d, residual_unet, dynunet, got 'vnet'"),
        ({"patches": ((10, 8, 8),)}, "patch_size: 10 is not a multiple of 4 (the network halves x twice); use 8 or 12"),
        (
            {"patches": ((64, 64, 64),)},
            "patch: 64x64x64, on which networks are trained here, is larger than the median",
        ),
    ],
    ids=str,
)
def test_what_can_not_be_compared(volumes: Volumes, changes: dict[str, Any], message: str) -> None:
    settings = replace(SETTINGS, **changes)

    def check() -> None:
        settings.check()
        settings.check_volumes(volumes)

    with pytest.raises(SettingError) as error:
        check()
    assert str(error.value).startswith(message)


def test_a_batch_that_is_none_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["study", "amp", "--device", "cpu", "--batch", "2,0", "-o", str(tmp_path / "new")])
    assert isinstance(found.exception, USER_ERRORS)
    assert str(found.exception) == "--batch: must be whole numbers above 0 with commas between, got '2,0'"
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    found = CliRunner().invoke(app, ["study", "amp", "--device", "cpu", "-o", str(tmp_path)])
    assert str(found.exception) == (
        f"{tmp_path}: exists and is not an empty folder; nothing was measured, choose another --output"
    )


@pytest.mark.slow
def test_the_command_on_a_generated_heart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.amp_study.EVALUATIONS", 2)  # many processors have no bf16, and are slow at it
    output = tmp_path / "study"
    sizes = ["--patch", "16,16", "--batch", "1, 1", "--steps", "6", "--seeds", "1", "--seconds", "1", "--threads", "1"]
    found = CliRunner().invoke(app, ["study", "amp", "--device", "cpu", *sizes, "-o", str(output)])
    assert found.exit_code == 0, found.output
    assert (output / "study.md").is_file()
    assert len(pd.read_csv(output / "steps.csv")) == 2  # what is named twice is measured once
    assert (output / "curves.png").stat().st_size > 10_000
