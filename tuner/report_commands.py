"""The report's chapter on what to do next: the commands, as a shell needs them."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from tuner.config import SweepConfig
from tuner.report_answer import trials_left
from tuner.results import Results


def commands(
    config: SweepConfig, results: Results, split: Mapping[str, Any], *, folder: str, has_model: bool
) -> Iterator[str]:
    """
    Args:
        folder: the sweep's directory as commands are to name it.
    """
    dataset = config.dataset
    lines = []
    if results.best:
        lines.append(("train the best configuration again", f"voxtune train {quoted(folder, 'best/config.yaml')}"))
    if has_model and dataset:
        model, data = quoted(folder, "best/model.pt"), shlex.quote(str(dataset.path))
        part = "test" if split.get("test") else "validation"
        cases = f"--cases {quoted(folder, 'split.json')} --part {part}"
        lines.append((f"Dice of its model on the {part} cases", f"voxtune evaluate {model} {data} {cases}"))
        lines.append(("segment new images with it", f"voxtune predict {model} IMAGE... -o OUT"))
    if results.best and dataset:
        lines.append(("train the best three on every fold", f"voxtune train {quoted(folder)} --folds all --top 3"))
    if trials_left(results):
        lines.append(("go on with the sweep", f"voxtune resume {quoted(folder)}"))
    else:
        more = 2 * len(results.begun)
        lines.append(("search on, up to more trials", f"voxtune resume {quoted(folder)} --trials {more}"))
    lines.append(("the whole search again", f"voxtune run {quoted(folder, 'sweep.yaml')} --name NAME"))
    lines.append(("this report again", f"voxtune report {quoted(folder)}"))
    yield "```sh\n" + "\n".join(f"# {what}\n{command}" for what, command in lines) + "\n```"


def quoted(folder: str, file: str = "") -> str:
    """A path in the sweep's directory for a shell."""
    return shlex.quote(f"{folder}/{file}" if file else folder)
