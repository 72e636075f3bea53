"""A model as a MONAI Bundle: a folder that MONAI's own tools run, where voxtune is not installed."""

import json
import os
import shutil
from pathlib import Path

import torch
from monai.data import save_net_with_metadata

from trainables.torchscript import trace_network
from tuner.bundle_configs import Config, evaluation_config, inference_config
from tuner.bundle_docs import code_licence, data_licence, licence_note, readme
from tuner.bundle_metadata import bundle_metadata
from tuner.bundle_scripts import write_scripts
from tuner.bundle_source import BundleSource
from tuner.files import check_output


def write_bundle(source: BundleSource, folder: Path, *, authors: str | None = None) -> list[Path]:
    """Write the bundle `folder`, whole or not at all. Returns its files.

        configs/    metadata.json, inference.json, evaluate.json (read after inference.json)
        models/     model.pt: the weights; model.ts: the network with them as TorchScript
        scripts/    what the configurations use of voxtune
        docs/       README.md, data_license.txt
        LICENSE

    `authors`: who answers for it. Raises OutputError where `folder` exists already or can't be made.
    """
    check_output(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(source, partial, authors=authors)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write(source: BundleSource, folder: Path, *, authors: str | None) -> None:
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True)
    facts = bundle_metadata(source, authors=authors)
    inference = inference_config(source.model)
    _write_json(folder / "configs" / "metadata.json", facts)
    _write_json(folder / "configs" / "inference.json", inference)
    _write_json(folder / "configs" / "evaluate.json", evaluation_config())
    torch.save(dict(source.model.weights), folder / "models" / "model.pt")
    save_net_with_metadata(
        trace_network(source.model),
        str(folder / "models" / "model.ts"),
        include_config_vals=False,
        meta_values=facts,
        more_extra_files={"inference.json": json.dumps(inference).encode()},
    )
    write_scripts(folder / "scripts")
    (folder / "scripts" / "LICENSE").write_text(code_licence(), encoding="utf-8")
    (folder / "docs" / "README.md").write_text(readme(source), encoding="utf-8")
    (folder / "docs" / "data_license.txt").write_text(data_licence(source), encoding="utf-8")
    (folder / "LICENSE").write_text(licence_note(source), encoding="utf-8")


def _write_json(path: Path, content: Config) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
