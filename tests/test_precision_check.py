"""What a device trains fastest with: chosen by measurement, and only where gradients agree with fp32."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from trainables import precision_check
from trainables.network_config import NetworkConfig
from trainables.networks import level_strides
from trainables.precision_check import check_precisions
from trainables.precision_table import FormatCheck, PrecisionCheck

NETWORK = NetworkConfig(
    architecture="compact_unet",
    in_channels=1,
    out_channels=3,
    width=4,
    levels=3,
    strides=level_strides(3, (1, 1, 1)),
    normalisation="batch",
)
ROW = FormatCheck(precision="fp32", memory_format="contiguous", step_seconds=1.0, gradient_error=0.0)


def check(**options: Any) -> PrecisionCheck:
    given = {"patch_size": (16, 16, 16), "batch_size": 2, "device": "cpu", **options}
    return check_precisions(NETWORK, **given)


def of(*rows: FormatCheck) -> PrecisionCheck:
    return PrecisionCheck(device="cpu", patch_size=(16, 16, 16), batch_size=2, rows=rows)


def test_every_format_and_layout_of_the_device_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "_slower_convolution", lambda *_: 1.0)  # as where bf16 is in hardware
    found = check()

    assert [(row.precision, row.memory_format) for row in found.rows] == [
        ("fp32", "channels_last"),
        ("fp32", "contiguous"),
        ("bf16", "channels_last"),
        ("bf16", "contiguous"),
    ]
    assert found.rows[0].gradient_error == 0
    for row in found.rows:
        assert row.failure is None
        assert row.step_seconds is not None
        assert 1e-4 < row.step_seconds < 10
    full, half = found.rows[1], found.rows[2]
    assert 0 < (full.gradient_error or 0) < 0.005 < (half.gradient_error or 0) < 0.15


def test_bf16_that_is_emulated_is_not_tried_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "_slower_convolution", lambda *_: 41.6)
    found = check()

    assert [row.failure for row in found.rows[2:]] == [
        "emulated here: a convolution takes 42 times as long as in fp32"
    ] * 2
    assert found.chosen is not None
    assert found.chosen.precision == "fp32"


def test_how_much_slower_a_convolution_is_here() -> None:
    slower = precision_check._slower_convolution(8, torch.bfloat16)
    emulated = not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert slower > 3 if emulated else slower < 30


def test_the_fastest_that_agrees_is_chosen() -> None:
    found = of(
        ROW,
        replace(ROW, memory_format="channels_last", step_seconds=0.9),
        replace(ROW, precision="fp16", step_seconds=0.4, gradient_error=0.01),
        replace(ROW, precision="bf16", step_seconds=0.3, gradient_error=0.9),
        replace(ROW, precision="tf32", step_seconds=None, gradient_error=None, failure="out of memory"),
    )
    assert found.chosen == found.rows[2]
    assert of(*found.rows[:2], replace(found.rows[2], step_seconds=0.85)).chosen == found.rows[1]  # hardly faster
    assert found.fastest("fp32") == found.rows[1]
    assert found.layouts == {"fp32": "channels_last", "fp16": "contiguous"}
    assert found.fastest("tf32") is None
    assert of(found.rows[4]).chosen is None


def test_a_gradient_that_is_no_number_agrees_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "_slower_convolution", lambda *_: 1.0)
    real = precision_check._gradient

    def overflowing(network: nn.Module, precision: Any, *rest: Any) -> torch.Tensor:
        gradient = real(network, precision, *rest)
        return gradient * float("nan") if precision.name == "bf16" else gradient

    monkeypatch.setattr(precision_check, "_gradient", overflowing)
    found = check()
    assert [row.agrees for row in found.rows] == [True, True, False, False]
    assert found.chosen is not None
    assert found.chosen.precision == "fp32"


def test_a_batch_that_does_not_fit_is_tried_as_one_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = precision_check._gradient

    def full(network: nn.Module, precision: Any, batch: Any, regions: bool) -> torch.Tensor:
        if len(batch[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
        return real(network, precision, batch, regions)

    monkeypatch.setattr(precision_check, "_gradient", full)
    found = check(precisions=["fp32"])
    assert found.batch_size == 1
    assert all(row.agrees for row in found.rows)

    monkeypatch.setattr(precision_check, "_gradient", lambda *_: full(nn.Identity(), None, ([1, 2],), False))
    found = check(precisions=["fp32"])
    assert [row.failure for row in found.rows] == ["out of memory"] * 2
    assert found.chosen is None


def test_without_fp32_nothing_is_taken_to_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fp32 does not fit even with one patch, the others are not compared with themselves."""
    real = precision_check._gradient

    def full(network: nn.Module, precision: Any, *rest: Any) -> torch.Tensor:
        if precision.name == "fp32":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(network, precision, *rest)

    monkeypatch.setattr(precision_check, "_slower_convolution", lambda *_: 1.0)
    monkeypatch.setattr(precision_check, "_gradient", full)
    found = check()
    assert found.chosen is None
    assert {row.precision for row in found.rows} == {"fp32"}
    assert found.batch_size == 1


def test_dropout_does_not_make_formats_differ() -> None:
    found = check_precisions(
        replace(NETWORK, dropout=0.5), patch_size=(16, 16, 16), batch_size=2, device="cpu", precisions=["fp32"]
    )
    assert all(row.agrees for row in found.rows)


def test_what_is_not_done_in_time_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "_slower_convolution", lambda *_: 1.0)
    monkeypatch.setattr(precision_check, "MOST_SECONDS", 0.0)
    assert {row.failure for row in check().rows} == {"left out for time"}


def test_a_processor_gets_small_patches() -> None:
    found = check(patch_size=(128, 96, 64), batch_size=8, precisions=["fp32"])
    assert found.patch_size == (32, 24, 32)
    assert found.batch_size == 2


def test_regions_and_the_random_state_are_left_in_peace() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert check(regions=True, precisions=["fp32"]).chosen is not None
    assert torch.rand(1) == expected


def test_it_travels_as_json() -> None:
    found = replace(of(ROW, replace(ROW, precision="fp16", gradient_error=None, failure="no")), fault="a fault")
    mapping = json.loads(json.dumps(found.to_mapping()))
    assert PrecisionCheck.from_mapping(mapping) == found
    assert mapping["chosen"]["precision"] == "fp32"


def test_what_else_the_machine_does_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for a core is not slow; here each step sleeps for longer than it computes."""
    real = precision_check.TrainingStep.__call__

    def delayed(self: Any, *args: Any, **options: Any) -> torch.Tensor:
        time.sleep(0.2)
        return real(self, *args, **options)

    monkeypatch.setattr(precision_check.TrainingStep, "__call__", delayed)
    assert all((row.step_seconds or 1) < 0.2 for row in check(precisions=["fp32"]).rows)
