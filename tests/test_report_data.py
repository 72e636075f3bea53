"""What the report tells of a data set, from the facts that a sweep keeps of it."""

import json
from pathlib import Path

from make_sweep import sweep_directory

from tuner.chapters import Folded
from tuner.config import DatasetConfig, PreprocessingConfig, SweepConfig
from tuner.data_facts import data_facts
from tuner.preparation import prepare
from tuner.report_data import data


def test_facts_of_a_data_set_and_what_is_told_of_them(small_dataset: Path, tmp_path: Path) -> None:
    labels = {"Head": 1, "both": [1, 2]}
    dataset = DatasetConfig(path=small_dataset, folds=3, fold=1, test_fraction=0.2, labels=labels, regions=True)
    prepared = prepare(dataset, PreprocessingConfig(), cache=tmp_path / "cache")
    facts = json.loads(json.dumps(data_facts(prepared)))
    assert facts["cases"] == 6
    assert facts["content_hash"] == prepared.fingerprint.content_hash
    assert sum(facts["label_shares"].values()) == 1
    assert list(facts["label_shares"])[1:] == ["Head", "class2"]  # as the sweep calls them, where it calls one alone
    assert facts["shape"]["lowest"] == facts["shape"]["highest"] == [20, 24, 18]
    changes = {"dataset": {"path": str(small_dataset), "folds": 3, "fold": 1, "test_fraction": 0.2}}
    config = SweepConfig.read(sweep_directory(tmp_path / "heart", changes=changes).sweep_file)
    split = {"train": ["a", "b", "c"], "validation": ["d", "<e>"], "test": ["f"]}
    told = list(data(config, facts, split))
    names = {block.summary: block.text for block in told if isinstance(block, Folded)}
    assert names == {"3 training cases": "a, b, c", "2 validation cases": "d, <e>", "1 test case": "f"}
    text = "\n".join(block for block in told if isinstance(block, str))
    assert "3 training, 2 validation, 1 test cases, listed in `split.json`." in text
    assert "- image, voxels: all 20 x 24 x 18" in text
    assert f"- content hash: {facts['content_hash']}" in text
    assert "Dealt with seed 0: fold 1 of 3 validates, a share of 0.2 was set aside for the test." in text
    assert "- prepared as: " in text


def test_sweeps_of_older_versions_tell_what_they_kept(tmp_path: Path) -> None:
    config = SweepConfig.read(sweep_directory(tmp_path / "heart").sweep_file)
    kept = {"name": "Heart", "cases": 4, "content_hash": "00"}
    told = list(data(config, kept, {"train": ["a"], "validation": ["b"], "test": []}))
    assert told[:2] == ["Heart: 1 training, 1 validation cases, listed in `split.json`.", "- content hash: 00"]
    assert list(data(config, {}, {})) == []
