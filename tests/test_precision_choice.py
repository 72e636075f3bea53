"""What a sweep's trials train in: measured at its start, kept in its directory, told to its user."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from make_volumes import write_blobs
from ray.exceptions import GetTimeoutError

from cluster.connect import Cluster
from cluster.nodes import Node
from trainables.precision_table import FormatCheck, PrecisionCheck
from tuner import precision_choice
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.precision_choice import PATIENCE, measured_formats, measuring, precisions_to_check, remarks
from tuner.report_precision import precision

FP32 = FormatCheck(precision="fp32", memory_format="contiguous", step_seconds=0.02, gradient_error=0.0)
FP16 = FormatCheck(precision="fp16", memory_format="channels_last", step_seconds=0.008, gradient_error=0.004)
CHECK = PrecisionCheck(device="NVIDIA H100", patch_size=(32, 32, 32), batch_size=2, rows=(FP32, FP16))
CLUSTER = Cluster(local=True, dashboard=None, nodes=(Node(name="here", cpus=2, gpus=0),))


def sweep(**changes: Any) -> SweepConfig:
    content = {
        "name": "sweep",
        "dataset": {"path": "/data"},
        "training": {"width": 4, "levels": 3, "batch_size": 1},
        "space": {"learning_rate": {"float": [1e-4, 1e-2], "log": True}, "patch_size": {"choice": [16, 24]}},
        "budget": {"maximum": 1e6},
        **changes,
    }
    return SweepConfig.model_validate(content)


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    directory = SweepDirectory.create(tmp_path / "runs" / "sweep")
    directory.environment_file.write_text(json.dumps({"cores": 2}))
    return directory


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"training": {"precision": "auto"}}, None),
        ({"training": {"precision": "fp32"}}, []),
        ({"training": {"precision": "bf16"}}, ["bf16"]),
        ({"space": {"precision": {"choice": ["fp32", "fp16"]}}}, ["fp16", "fp32"]),
        ({"space": {"precision": {"choice": ["auto", "fp32"]}}}, None),
    ],
    ids=str,
)
def test_formats_that_are_compared(changes: dict[str, Any], expected: list[str] | None) -> None:
    assert precisions_to_check(sweep(**changes)) == expected


def test_a_processor_is_measured_once_and_a_resumed_sweep_keeps_to_it(
    tmp_path: Path, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: Any = SimpleNamespace(volumes=write_blobs(tmp_path / "volumes"))
    told: list[str] = []
    options: dict[str, Any] = {"cluster": CLUSTER, "tell": told.append}

    with measuring(sweep(), prepared, directory, local=True) as measured:
        found = measured_formats(sweep(), prepared, directory, measured=measured, **options)
    assert found["cpu"]["precision"] == "fp32" or "bf16" in told[0]
    assert found["cpu"]["memory_format"]["fp32"] in ("contiguous", "channels_last")
    assert told[0].startswith("Precision on cpu: ")
    environment = json.loads(directory.environment_file.read_text())
    assert environment["cores"] == 2
    (check,) = environment["precision_checks"]
    assert check["patch_size"] == [16, 16, 16]
    assert {row["precision"] for row in check["rows"]} == {"fp32", "bf16"}

    monkeypatch.setattr(precision_choice, "check_precisions", None)
    with measuring(sweep(), prepared, directory, local=True) as measured:
        assert measured is None
        assert measured_formats(sweep(), prepared, directory, measured=measured, **options) == found


@pytest.mark.parametrize("changes", [{"training": {"precision": "fp32"}}, {"trainable": "trainables.toy:ToyRun"}])
def test_nothing_is_measured_where_nothing_is_to_be_decided(
    directory: SweepDirectory, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_choice, "check_precisions", None)
    config, prepared = sweep(**changes), SimpleNamespace()
    with measuring(config, prepared, directory, local=True) as measured:  # type: ignore[arg-type]
        found = measured_formats(
            config,
            prepared,  # type: ignore[arg-type]
            directory,
            measured=measured,
            cluster=CLUSTER,
            tell=lambda text: pytest.fail(text),
        )
    assert found == {}


def test_nodes_that_do_not_answer_are_waited_for_together(
    tmp_path: Path, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three GPUs that others hold: the sweep goes on after PATIENCE, and no measurement is left to take one later."""
    began = now = 1000.0
    cancelled: list[str] = []

    def get(answer: str, timeout: float) -> None:
        nonlocal now
        now += timeout
        raise GetTimeoutError(answer)

    task = SimpleNamespace(options=lambda scheduling_strategy: SimpleNamespace(remote=lambda *_, **__: "answer"))
    fake = SimpleNamespace(
        remote=lambda **options: lambda function: task, get=get, cancel=lambda answer, force: cancelled.append(answer)
    )
    monkeypatch.setattr(precision_choice, "ray", fake)
    monkeypatch.setattr(precision_choice.time, "monotonic", lambda: now)
    nodes = tuple(Node(name=f"node{number}", id=f"{number:056x}", cpus=2, gpus=1) for number in range(3))
    found = measured_formats(
        sweep(resources={"gpus_per_trial": 1}),
        SimpleNamespace(volumes=write_blobs(tmp_path / "volumes")),  # type: ignore[arg-type]
        directory,
        cluster=Cluster(dashboard=None, nodes=nodes),
        measured=None,
        tell=lambda text: pytest.fail(text),
    )
    assert found == {}
    assert now - began == PATIENCE
    assert len(cancelled) == 3


def test_what_a_user_is_told() -> None:
    assert list(remarks([CHECK], compared=None)) == [
        "Precision on NVIDIA H100: fp16, channels_last, 2.5 times as fast as fp32"
    ]
    slow = replace(CHECK, rows=(FP32, replace(FP16, step_seconds=0.05)), fault="it is wrong")
    assert list(remarks([slow], compared=None)) == [
        "Precision on NVIDIA H100: fp32, contiguous",
        "Half precision on NVIDIA H100: it is wrong",
    ]
    assert next(remarks([slow], compared=["fp16", "fp32"])) == (
        "precision: fp16 takes 2.5 times as long as fp32 on NVIDIA H100"
    )
    failed = replace(CHECK, rows=(FP32, FormatCheck(precision="bf16", memory_format="contiguous", failure="no memory")))
    assert list(remarks([failed], compared=["bf16"])) == ["precision: bf16 on NVIDIA H100: no memory"]
    assert list(remarks([CHECK], compared=["fp16", "fp32"])) == []


def test_the_reports_section() -> None:
    wrong = replace(FP16, precision="bf16", gradient_error=0.8)
    failed = FormatCheck(precision="tf32", memory_format="contiguous", failure="out of memory")
    check = replace(CHECK, rows=(*CHECK.rows, wrong, failed))
    text, rows = precision({"precision_checks": [check.to_mapping()]})

    assert text.startswith("On NVIDIA H100, a training step of 2 x 32x32x32 voxels.")
    assert rows.splitlines()[2:] == [
        "| fp32 | contiguous | 20.0 | 0 |  |",
        "| fp16 | channels last | 8.0 | 0.004 | what `auto` means here |",
        "| bf16 | channels last | 8.0 | 0.8 | does not agree with fp32 |",
        "| tf32 | contiguous |  |  | out of memory |",
    ]
    assert list(precision({"cores": 2})) == []
