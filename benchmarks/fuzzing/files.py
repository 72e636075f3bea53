"""Files that are read as text: sweep files, configurations to train, `dataset.json`, groups of cases, expressions."""

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from make_sweep import SPACE, TOY_SWEEP

from fuzzing.good import PLAN, TARGETS, dataset, dataset_folder
from fuzzing.guard import Subject
from fuzzing.values import garbled, mutated
from trainables.case_expression import CaseExpression
from trainables.dataset import Dataset
from trainables.fingerprint import take_fingerprint
from trainables.layouts import listed_images, read_dataset
from trainables.split import group_cases, split_cases
from trainables.targets import plan_targets
from tuner.config import SEGMENTATION, SweepConfig
from tuner.evaluate import cases_to_score
from tuner.preparation import prepare_sweep
from tuner.rungs import rung_steps
from tuner.sampler import grid, sampler_factory
from tuner.space_check import check_space
from tuner.train import TrainConfig, prepare_config
from tuner.view import View

SEGMENTATION_SWEEP: dict[str, Any] = {
    "name": "blobs",
    "dataset": {
        "path": "DATA",
        "labels": {"organ": 1, "both": [2]},
        "regions": False,
        "group": "number",
        "folds": 3,
        "fold": 0,
        "test_fraction": 0.0,
        "split_seed": 3,
    },
    "preprocessing": {"spacing": [1.0, 1, 1], "normalisation": "auto"},
    "training": {"levels": 2, "width": 4, "precision": "fp32", "flips": "xyz", "deep_supervision": False},
    "space": {
        "learning_rate": {"float": [1e-4, 1e-2], "log": True},
        "tilt": {"float": [0, 30], "step": 10},
        "batch_size": {"int": [2, 4], "step": 2},
        "patch_size": {"choice": [8, "8x8x12", [4, 4, 8]]},
    },
    "default": {"learning_rate": 1e-3, "tilt": 10, "batch_size": 2, "patch_size": 8},
    "budget": {"unit": "steps", "maximum": 90, "first_rung": 10, "reduction": 3},
    "search": {
        "trials": 8,
        "minutes": 5.5,
        "sampler": "tpe",
        "sampler_options": {"multivariate": True},
        "startup_trials": 2,
        "seed": 1,
        "objectives": ["dice"],
        "stop_early": True,
    },
    "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0, "trial_timeout": "auto", "workers_per_trial": 1},
    "confirm": {"top": 1, "seeds": 2},
    "storage": None,
    "on_end": "https://example.org/hook",
    "checkpoints": None,
}
GRID_SWEEP = {
    **TOY_SWEEP,
    "space": {"depth": {"int": [1, 3]}, "rate": {"float": [0, 1], "step": 0.5}, **{"loss": SPACE["loss"]}},
    "search": {"trials": None, "sampler": "grid", "minutes": 1},
}
CONFIGURATION = {
    "dataset": SEGMENTATION_SWEEP["dataset"],
    "preprocessing": {"spacing": "median", "normalisation": "zscore"},
    "parameters": {"levels": 2, "width": 4, "learning_rate": 1e-3, "patch_size": [8, 8, 8], "loss": "dice"},
    "budget": {"unit": "steps", "maximum": 9},
    "seed": 0,
    "threads": 1,
    "device": "cpu",
}

YAML_TOKENS = (
    *(b"&a ", b"*a", b"!!python/object/apply:os.system ", b"!!binary ", b"<<: ", b"? ", b": ", b"- - - ", b"{[", b"]}"),
    *(
        b"\t",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"---\n",
        b"...\n",
        b"%YAML 9.9\n",
        b"|2-\n",
        b"'",
        b'"',
        b"#",
        b"\r",
    ),
    *(b"1e9999", b"0x" + b"f" * 80, b"9" * 200, b".nan", b"-.inf", b"[" * 300, b"{a: " * 300, b"- " * 300),
    *(b"\xc2\x85", b"\xe2\x80\xa8", b"\\x00", b'"\\uD800"', b"1_000", b"2001-01-01", b"1:30", b"~", b"=", b"@", b"`"),
)


def yaml_files(*contents: dict[str, Any]) -> SearchStrategy[bytes]:
    """Changed by their keys and values, or by their text."""
    by_key = st.one_of(*(mutated(content) for content in contents)).map(_as_yaml)
    by_text = st.sampled_from([_as_yaml(content) for content in contents]).flatmap(
        lambda text: garbled(text, tokens=YAML_TOKENS)
    )
    return st.one_of(by_key, by_key, by_text)


def _as_yaml(content: Any) -> bytes:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text.encode("utf-8", errors="replace").replace(b"DATA", str(dataset_folder()).encode())


def _use_sweep(content: bytes, folder: Path) -> None:
    """As `voxtune run` does before Ray starts, but that no code of the user's is imported."""
    file = folder / "sweep.yaml"
    file.write_bytes(content)
    config = SweepConfig.read(file).changed({"cache": folder / "cache"})
    file.write_text(config.to_yaml())
    again = SweepConfig.read(file)
    assert again == config, f"read again it is another: {again} is not {config}"
    rung_steps(config.budget.first_share, config.budget.reduction)
    if ":" not in (config.search.sampler or ""):
        sampler_factory(config.search, slots=2)
    if config.search.sampler == "grid":
        next(grid(config.search_space, seed=0))
    if config.trainable == SEGMENTATION:
        check_space(config, PLAN, TARGETS)
        prepare_sweep(config, View(quiet=True))


def _use_configuration(content: bytes, folder: Path) -> None:
    """As `voxtune train` does before it trains."""
    file = folder / "config.yaml"
    file.write_bytes(content)
    config = TrainConfig.read(file).model_copy(update={"cache": folder / "cache"})
    if config.trainable == SEGMENTATION:
        prepare_config(config, file, "cpu", View(quiet=True))
    rung_steps(config.budget.first_share, config.budget.reduction)


def _manifests() -> SearchStrategy[bytes]:
    content = json.loads((dataset_folder() / "dataset.json").read_bytes())
    tokens = (
        b"NaN",
        b"1e999",
        b"\\ud800",
        b"[" * 2000,
        b'{"a":' * 2000,
        b"9" * 5000,
        b"\xef\xbb\xbf",
        b"\0",
        b'"',
        b"}",
    )
    by_key = mutated(content).map(lambda value: json.dumps(value).encode())
    return st.one_of(by_key, by_key, garbled(json.dumps(content).encode(), tokens=tokens))


def _use_manifest(content: bytes, folder: Path) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).symlink_to(dataset_folder() / name)
    (folder / "dataset.json").write_bytes(content)
    _use_dataset(read_dataset(folder))


def _use_dataset(read: Dataset) -> None:
    """As `voxtune run` does before it preprocesses."""
    found = take_fingerprint(read, workers=1)
    plan_targets(read.labelled(found.class_frequencies).labels)
    split_cases(group_cases(read.case_names), folds=None, held_out=0.4)


def _as_nnunet() -> dict[str, Any]:
    content = json.loads((dataset_folder() / "dataset.json").read_bytes())
    return {
        "channel_names": content["modality"],
        "labels": {"background": 0, "both": [1, 2], "class2": 2},
        "regions_class_order": [1, 2],
        "numTraining": 3,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIO",
        "dataset": {
            case.name: {"images": [f"imagesTr/{case.name}.nii.gz"], "label": f"labelsTr/{case.name}.nii.gz"}
            for case in dataset().cases
        },
    }


def _nnunet_manifests() -> SearchStrategy[bytes]:
    by_key = mutated(_as_nnunet()).map(lambda value: json.dumps(value).encode())
    return st.one_of(by_key, by_key, garbled(json.dumps(_as_nnunet()).encode(), tokens=(b"NaN", b"9" * 5000, b"}")))


def _good_table() -> bytes:
    lines = [
        f"{case.name},{dataset_folder()}/imagesTr/{case.name}.nii.gz,{case.label},g{n}\n"
        for n, case in enumerate(dataset().cases)
    ]
    return "".join(["case,image,label,group\n", *lines]).encode()


def _tables() -> SearchStrategy[bytes]:
    tokens = (b'"', b",", b";", b"\t", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"image_T1", b"x" * 200_000, b"../" * 50)
    return garbled(_good_table(), tokens=tokens)


def _use_table(content: bytes, folder: Path) -> None:
    (folder / "cases.csv").write_bytes(content)
    _use_dataset(read_dataset(folder / "cases.csv"))
    listed_images(folder / "cases.csv")


def _good_groups() -> bytes:
    return "".join(["case,group\n", *(f"{name},{n % 2}\n" for n, name in enumerate(dataset().case_names))]).encode()


def _groups() -> SearchStrategy[bytes]:
    return garbled(
        _good_groups(), tokens=(b'"', b",", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"x" * 200_000, b"case_001,1\n")
    )


def _use_groups(content: bytes, folder: Path) -> None:
    (folder / "groups.csv").write_bytes(content)
    split_cases(group_cases(dataset().case_names, file=folder / "groups.csv"), folds=2)


_PIECES = (
    *("name", "number", "int(", "str(", ")", "[", "]", "0", "-1", "9" * 17, ":", "+", "-", "*", "//", "%", "'a'", '""'),
    *('.split("_")', ".lower()", ".removeprefix(", ".__class__", "__import__('os')", "lambda: 0", "**", "(", ",", " "),
)


def _use_expression(text: str, folder: Path) -> None:
    group_cases(dataset().case_names, expression=text)
    CaseExpression(text).group("a" * 300 + "7")


def _splits() -> SearchStrategy[tuple[str, bytes]]:
    names = list(dataset().case_names)
    content = {"train": names[:1], "validation": names[1:2], "test": names[2:]}
    as_json = mutated(content).map(lambda value: json.dumps(value).encode())
    return st.one_of(
        st.tuples(st.just("split.json"), st.one_of(as_json, garbled(json.dumps(content).encode()))),
        st.tuples(
            st.just("cases.txt"), garbled("\n".join(names).encode(), tokens=(b"\0", b"\xff", b"\r", b"case_001"))
        ),
    )


def _use_split(given: tuple[str, bytes], folder: Path) -> None:
    name, content = given
    (folder / name).write_bytes(content)
    cases_to_score(dataset(), folder / name, "test" if name.endswith(".json") else None)


SUBJECTS = (
    Subject(
        name="sweep file",
        inputs=lambda: yaml_files(SEGMENTATION_SWEEP, SEGMENTATION_SWEEP, TOY_SWEEP, GRID_SWEEP),
        use=_use_sweep,
        good=lambda: _as_yaml(SEGMENTATION_SWEEP),
        examples=15,
    ),
    Subject(
        name="configuration to train",
        inputs=lambda: yaml_files(CONFIGURATION),
        use=_use_configuration,
        good=lambda: _as_yaml(CONFIGURATION),
        examples=30,
    ),
    Subject(
        name="dataset.json",
        inputs=_manifests,
        use=_use_manifest,
        good=(lambda: (dataset_folder() / "dataset.json").read_bytes()),
        examples=60,
    ),
    Subject(
        name="dataset.json of nnU-Net",
        inputs=_nnunet_manifests,
        use=_use_manifest,
        good=lambda: json.dumps(_as_nnunet()).encode(),
        examples=60,
    ),
    Subject(name="table of cases", inputs=_tables, use=_use_table, good=_good_table, examples=60),
    Subject(name="groups file", inputs=_groups, use=_use_groups, good=_good_groups, examples=60),
    Subject(
        name="group expression",
        inputs=lambda: st.one_of(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join), st.text(max_size=30)),
        use=_use_expression,
        good=lambda: 'name.split("_")[0]',
        examples=100,
    ),
    Subject(name="file of cases", inputs=_splits, use=_use_split, good=lambda: ("cases.txt", b"case_001"), examples=60),
)
