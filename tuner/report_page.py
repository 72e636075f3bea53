"""What the report says: the answer first, then what it rests on.

The page is Markdown. Names and messages come from users' files and are escaped.
"""

import shlex
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from tuner.best import Best
from tuner.config import SweepConfig
from tuner.environment import libraries_text
from tuner.importance import FEWEST_TRIALS, Importance
from tuner.markdown import dice, escape
from tuner.report_answer import answer, trials_left
from tuner.report_precision import precision
from tuner.report_time import time_spent
from tuner.report_trials import confirmed, endings, front, leaderboard
from tuner.results import Results
from tuner.terminator import Gain


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that the report is about."""

    config: SweepConfig
    results: Results
    importance: Importance | None
    gain: Gain | None
    environment: Mapping[str, Any]
    split: Mapping[str, Any]
    folder: str
    """The sweep's directory as commands are to name it."""

    has_model: bool
    pictures: Set[str]
    """The names of the pictures beside the page."""

    def to_markdown(self) -> str:
        """The whole page."""
        sections = [
            f"# Sweep {escape(self.config.name)}",
            *answer(self.config, self.results, self.gain),
            *self._files(),
            *confirmed(self.results),
            *front(self.results, picture="front.png" in self.pictures),
            *leaderboard(self.results),
            *self._pictures(),
            *endings(self.results),
            *time_spent(self.results),
            *precision(self.environment),
            *self._data(),
            *self._environment(),
            *self._commands(),
        ]
        return "\n\n".join(sections) + "\n"

    def _files(self) -> Iterator[str]:
        best = self.results.best
        if best is None:
            return
        text = "The configuration is [best/config.yaml](../best/config.yaml)"
        if self.has_model:
            text += f", its model [best/model.pt](../best/model.pt) (seed {best.run.seed}{self._about_model(best)})"
        yield text + "."

    def _about_model(self, best: Best) -> str:
        """The model's own Dice, where there were several to choose from."""
        if not best.repeats:
            return ""
        test = self.results.case_scores(best.run, "test").mean()
        tested = f", test Dice {dice(test)}" if dice(test) else ""
        return f", of its runs the one with the highest validation Dice, {dice(best.run.score)}{tested}"

    def _pictures(self) -> Iterator[str]:
        if "learning_curves.png" in self.pictures:
            yield "## Learning curves"
            yield "![Validation Dice of every trial over the training budget](learning_curves.png)"
        if not self.results.standings:
            return
        yield "## Parameter importance"
        if self.importance is None:
            yield f"Not shown: with fewer than {FEWEST_TRIALS} evaluated trials influence can't be told from luck."
            return
        if "importance.png" in self.pictures:
            yield "![Share of importance of each parameter](importance.png)"
        if self.importance.clear:
            names = ", ".join(map(escape, self.importance.clear))
            yield f"More than chance: {names}. For the others these trials show no influence."
        else:
            yield "No parameter's influence is larger than what chance would give with these trials."

    def _data(self) -> Iterator[str]:
        if not self.split:
            return
        dataset = self.environment.get("dataset", {})
        parts = [f"{len(self.split[part])} {part}" for part in ("train", "validation", "test") if self.split.get(part)]
        yield "## Data"
        yield f"{escape(dataset.get('name', 'Data set'))}: {', '.join(parts)} cases, listed in `split.json`."
        if "content_hash" in dataset:
            yield f"Content hash: {escape(dataset['content_hash'])}"

    def _environment(self) -> Iterator[str]:
        known = self.environment
        if not known:
            return
        devices = ", ".join(f"{d['name']} ({d['memory_gib']:.0f} GiB)" for d in known.get("devices", []))
        machine = f"{known.get('processor')}, {known.get('cores')} cores, {known.get('memory_gib')} GiB"
        yield "## Environment"
        facts = {
            "machine": machine,
            "devices": devices or "no GPU",
            "system": known.get("system"),
            "software": f"Python {known.get('python')}, {libraries_text(known)}",
            "revision": known.get("revision") or "not a checkout",
        }
        yield "\n".join(f"- {name}: {escape(fact)}" for name, fact in facts.items())

    def _commands(self) -> Iterator[str]:
        folder, dataset = self.folder, self.config.dataset
        lines = []
        if self.results.best:
            lines.append(("train the best configuration again", f"voxtune train {_quoted(folder, 'best/config.yaml')}"))
        if self.has_model and dataset:
            model, data = _quoted(folder, "best/model.pt"), shlex.quote(str(dataset.path))
            part = "test" if self.split.get("test") else "validation"
            cases = f"--cases {_quoted(folder, 'split.json')} --part {part}"
            lines.append((f"Dice of its model on the {part} cases", f"voxtune evaluate {model} {data} {cases}"))
            lines.append(("segment new images with it", f"voxtune predict {model} IMAGE... -o OUT"))
        if trials_left(self.results):
            lines.append(("go on with the sweep", f"voxtune resume {_quoted(folder)}"))
        else:
            more = 2 * len(self.results.begun)
            lines.append(("search on, up to more trials", f"voxtune resume {_quoted(folder)} --trials {more}"))
        lines.append(("the whole search again", f"voxtune run {_quoted(folder, 'sweep.yaml')} --name NAME"))
        yield "## Commands"
        yield "```sh\n" + "\n".join(f"# {what}\n{command}" for what, command in lines) + "\n```"


def _quoted(folder: str, file: str = "") -> str:
    return shlex.quote(f"{folder}/{file}" if file else folder)
