"""What the report says: the answer first, then what it rests on. Its chapters make `report.md` and `report.html`."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from tuner.best import Best
from tuner.chapters import Block, Chapter, Chart
from tuner.config import SweepConfig
from tuner.directory import CROSS_VALIDATION
from tuner.environment import libraries_text
from tuner.importance import FEWEST_TRIALS, Importance
from tuner.markdown import amount, dice, escape
from tuner.report_answer import answer
from tuner.report_cases import Cases, cases
from tuner.report_commands import commands, quoted
from tuner.report_data import data
from tuner.report_leaders import leaderboard
from tuner.report_memory import memory
from tuner.report_precision import precision
from tuner.report_tiles import tiles
from tuner.report_time import time_spent
from tuner.report_trials import confirmed, endings, front
from tuner.results import Results
from tuner.terminator import Gain

CURVES, IMPORTANCE, FRONT = "learning_curves.png", "importance.png", "front.png"


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that the report is about."""

    config: SweepConfig
    results: Results
    importance: Importance | None
    gain: Gain | None
    environment: Mapping[str, Any]
    split: Mapping[str, Any]
    cases: Cases | None
    folder: str
    """The sweep's directory as commands are to name it."""

    has_model: bool
    has_folds: bool
    """Whether `voxtune train --folds` left its page."""

    pictures: Set[str]
    """The names of the pictures beside the page."""

    price: float | None = None
    """Of a device's hour."""

    @property
    def title(self) -> str:
        return f"Sweep {self.config.name}"

    @property
    def about(self) -> str:
        """What was searched, in a line."""
        config, dataset = self.config, self.environment.get("dataset", {}).get("name")
        data = f"on {dataset}" if dataset else f"of {config.trainable}"
        budget = amount(config.budget.maximum, config.budget.unit)
        return f"Hyperparameter search {data}; a trial's full budget is {budget}."

    def chapters(self) -> list[Chapter]:
        """In order; a page leaves out those that say nothing."""
        results, config = self.results, self.config
        chapters: Mapping[str, Iterable[Block]] = {
            "": self._answer(),
            "Confirmed with other seeds": confirmed(results),
            "Learning curves": self._curves(),
            "Parameter importance": self._importance(),
            "Parallel coordinates": self._parallel(),
            "Pareto front" if results.front else "Dice against time and memory": self._front(),
            "What fits in memory": [
                Chart(keys=["batch_patch"], alt="Configurations by batch and patch size, and which did not fit"),
                *memory(results),
            ],
            "How trials ended": [Chart(keys=["timeline"], alt="Which trial ran when on which slot"), *endings(results)],
            "Where the time went": [Chart(keys=["utilisation"], alt="Use of the slots"), *time_spent(results)],
            "Precision": precision(self.environment),
            "Leaderboard": leaderboard(results),
            "Cases of the best model": cases(
                results,
                self.cases,
                command=f"voxtune report {quoted(self.folder)}",
                pictured=config.dataset is not None,
            ),
            "Data": data(config, self.environment.get("dataset", {}), self.split),
            "Environment": self._environment(),
            "Commands": commands(config, results, self.split, folder=self.folder, has_model=self.has_model),
        }
        return [Chapter.of(title, blocks) for title, blocks in chapters.items()]

    def _picture(self, name: str) -> str | None:
        return name if name in self.pictures else None

    def _answer(self) -> Iterator[Block]:
        yield tiles(self.config, self.results, price=self.price)
        yield from answer(self.config, self.results, self.gain, price=self.price)
        best = self.results.best
        if best is None:
            return
        text = "The configuration is [best/config.yaml](../best/config.yaml)"
        if self.has_model:
            text += f", its model [best/model.pt](../best/model.pt) (seed {best.run.seed}{self._about_model(best)})"
        yield text + "."
        if self.has_folds:
            yield f"Trained on every fold: [folds/{CROSS_VALIDATION}](../folds/{CROSS_VALIDATION})."

    def _about_model(self, best: Best) -> str:
        """The model's own Dice, where there were several to choose from."""
        if not best.repeats:
            return ""
        test = self.results.case_scores(best.run, "test").mean()
        tested = f", test Dice {dice(test)}" if dice(test) else ""
        return f", of its runs the one with the highest validation Dice, {dice(best.run.score)}{tested}"

    def _curves(self) -> Iterator[Block]:
        yield Chart(
            keys=["curves"],
            picture=self._picture(CURVES),
            alt="Validation Dice of every trial over the training budget",
        )

    def _importance(self) -> Iterator[Block]:
        if not self.results.standings:
            return
        if self.importance is None:
            yield f"Not shown: with fewer than {FEWEST_TRIALS} evaluated trials influence can't be told from luck."
            return
        yield Chart(keys=["importance"], picture=self._picture(IMPORTANCE), alt="Share of importance of each parameter")
        if self.importance.clear:
            names = ", ".join(map(escape, self.importance.clear))
            yield f"More than chance: {names}. For the others these trials show no influence."
        else:
            yield "No parameter's influence is larger than what chance would give with these trials."

    def _parallel(self) -> Iterator[Block]:
        yield Chart(
            keys=["parallel"],
            alt="Each trial as a line through its parameters and its Dice",
            note="Drag along an axis to see only the trials that pass there; a click on it shows all again.",
        )

    def _front(self) -> Iterator[Block]:
        yield from front(self.results)
        yield Chart(
            keys=["time_front", "memory_front"],
            picture=self._picture(FRONT),
            alt="Dice of every trial against the other objectives, the front marked",
        )

    def _environment(self) -> Iterator[Block]:
        known = self.environment
        if not known:
            return
        devices = ", ".join(f"{d['name']} ({d['memory_gib']:.0f} GiB)" for d in known.get("devices", []))
        machine = f"{known.get('processor')}, {known.get('cores')} cores, {known.get('memory_gib')} GiB"
        facts = {
            "machine": machine,
            "devices": devices or "no GPU",
            "system": known.get("system"),
            "software": f"Python {known.get('python')}, {libraries_text(known)}",
            "revision": known.get("revision") or "not a checkout",
        }
        yield "\n".join(f"- {name}: {escape(fact)}" for name, fact in facts.items())
