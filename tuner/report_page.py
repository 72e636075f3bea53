"""What the report says: the answer first, then what it rests on.

The page is Markdown. Names and messages come from users' files and are escaped.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tuner.config import SEGMENTATION, SweepConfig
from tuner.durations import duration
from tuner.importance import FEWEST_TRIALS, Importance
from tuner.markdown import count, dice, escape, setting, spread, table
from tuner.report_answer import answer, budget_share, trials_left
from tuner.results import Results

LEADERS = 10
"""Trials on the leaderboard; all of them stand in trials.csv."""

ENDINGS = {
    "full budget": "reached the full budget",
    "stopped at rung": "stopped at a rung",
    "out of memory": "did not fit in memory",
    "error": "failed",
}
"""How a stop reason is told after a number of trials."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that the report is about."""

    config: SweepConfig
    results: Results
    importance: Importance | None
    environment: Mapping[str, Any]
    split: Mapping[str, Any]
    folder: str
    """The sweep's directory as commands are to name it."""

    has_model: bool

    def to_markdown(self) -> str:
        """The whole page."""
        sections = [
            f"# Sweep {escape(self.config.name)}",
            *answer(self.config, self.results),
            *self._files(),
            *self._confirmed(),
            *self._leaderboard(),
            *self._pictures(),
            *self._endings(),
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
            text += f", its model [best/model.pt](../best/model.pt) (seed {best.run.seed}"
            text += ", the run with the highest validation Dice)" if len(best.runs) > 1 else ")"
        yield text + "."

    def _confirmed(self) -> Iterator[str]:
        results = self.results
        if results.confirmed.empty:
            return
        yield "## Confirmed with other seeds"
        running = sum(not trial.state.is_finished() for trial in results.confirm_trials)
        if running:
            yield f"Not over: {count(running, 'run')} to go. Until then the sweep's own order holds."
        rows = []
        for config in results.confirmed_summary["config"]:
            runs = results.confirmed[results.confirmed["config"] == config]
            by_run = zip(runs["validation"], runs["seed"], strict=True)
            values = ", ".join(f"{dice(score) or 'none'} ({seed})" for score, seed in by_run)
            tests = runs["test"].dropna()
            rows.append([f"trial {config}", spread(runs["validation"].dropna()), values, *_cells(tests)])
        header = ["", "validation Dice", "by run (seed)", "test Dice"]
        width = 4 if results.tested else 3
        yield table(header[:width], [row[:width] for row in rows])
        yield (
            "± is the standard deviation over the runs. The first of them is the sweep's own, which got the "
            "configuration picked and so is biased upwards."
        )

    def _leaderboard(self) -> Iterator[str]:
        results = self.results
        if not results.ranking:
            return
        trials = results.trials.to_dict("records")
        searched = list(results.space.searched)
        rows = []
        for run in results.ranking[:LEADERS]:
            parameters, row = results.sweep_trials[run.number].params, trials[run.number]
            values = (setting(parameters[name]) for name in searched)
            peak = f"{row['peak_gib']:.2f}" if pd.notna(row["peak_gib"]) else ""
            training = duration(row["training_seconds"])
            rows.append([str(run.number), dice(run.score), budget_share(run.step), *values, training, peak])
        yield "## Leaderboard"
        yield table(["trial", "Dice", "budget", *map(escape, searched), "training", "peak GiB"], rows)
        total = len(results.trials)
        rest = f"The first {len(rows)} of {count(total, 'trial')}; all" if total > len(rows) else "All"
        yield (
            f"{rest} are in [trials.csv](trials.csv), each evaluation in [curves.csv](curves.csv), each case in "
            "[cases.csv](cases.csv). Trials are ordered by the budget they reached, then by Dice there."
        )

    def _pictures(self) -> Iterator[str]:
        if not self.results.ranking:
            return
        yield "## Learning curves"
        yield "![Validation Dice of every trial over the training budget](learning_curves.png)"
        yield "## Parameter importance"
        if self.importance is None:
            yield f"Not shown: with fewer than {FEWEST_TRIALS} evaluated trials influence can't be told from luck."
            return
        yield "![Share of importance of each parameter](importance.png)"
        if self.importance.clear:
            names = ", ".join(map(escape, self.importance.clear))
            yield f"More than chance: {names}. For the others these trials show no influence."
        else:
            yield "No parameter's influence is larger than what chance would give with these trials."

    def _endings(self) -> Iterator[str]:
        trials = self.results.trials
        if trials.empty:
            return
        yield "## How trials ended"
        ending = trials["stop_reason"].fillna(trials["state"].str.lower()).value_counts()
        yield ", ".join(f"{number} {ENDINGS.get(str(name), escape(name))}" for name, number in ending.items()) + "."
        errors = trials[trials["state"] == "FAIL"].copy()
        if len(errors):
            errors["line"] = [_last_line(error) for error in errors["error"]]
            rows = [
                [escape(line), ", ".join(str(number) for number in numbers)]
                for line, numbers in errors.groupby("line", sort=False)["number"]
            ]
            yield table(["error", "trials"], rows)

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
        libraries = ", ".join(f"{name} {version}" for name, version in known.get("libraries", {}).items() if version)
        machine = f"{known.get('processor')}, {known.get('cores')} cores, {known.get('memory_gib')} GiB"
        yield "## Environment"
        facts = {
            "machine": machine,
            "devices": devices or "no GPU",
            "system": known.get("system"),
            "software": f"Python {known.get('python')}, {libraries}",
            "revision": known.get("revision") or "not a checkout",
        }
        yield "\n".join(f"- {name}: {escape(fact)}" for name, fact in facts.items())

    def _commands(self) -> Iterator[str]:
        folder, dataset = self.folder, self.config.dataset
        lines = []
        if self.results.best and self.config.trainable == SEGMENTATION:
            lines.append(("train the best configuration again", f"voxtune train {_quoted(folder, 'best/config.yaml')}"))
        if self.has_model and dataset:
            model, data = _quoted(folder, "best/model.pt"), shlex.quote(str(dataset.path))
            part = "test" if self.split.get("test") else "validation"
            cases = f"--cases {_quoted(folder, 'split.json')} --part {part}"
            lines.append((f"Dice of its model on the {part} cases", f"voxtune evaluate {model} {data} {cases}"))
            lines.append(("segment new images with it", f"voxtune predict {model} IMAGE... -o OUT"))
        if trials_left(self.config, self.results):
            lines.append(("go on with the search", f"voxtune resume {_quoted(folder)}"))
        else:
            more = 2 * len(self.results.sweep_trials)
            lines.append(("search on, up to more trials", f"voxtune resume {_quoted(folder)} --trials {more}"))
        lines.append(("the whole search again", f"voxtune run {_quoted(folder, 'sweep.yaml')} --name NAME"))
        yield "## Commands"
        yield "```sh\n" + "\n".join(f"# {what}\n{command}" for what, command in lines) + "\n```"


def _cells(tests: pd.Series) -> list[str]:
    return [spread(tests) if len(tests) else ""]


def _last_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["unknown"])[-1]


def _quoted(folder: str, file: str = "") -> str:
    return shlex.quote(f"{folder}/{file}" if file else folder)
