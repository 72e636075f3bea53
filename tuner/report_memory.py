"""What the report says of configurations that did not fit in memory: how many, by how much, and what made them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import pandas as pd

from search_spaces.parameters import Choice, Float, Int, Parameter
from tuner.markdown import count, escape, listed, setting
from tuner.results import Results

CHANCE = 0.05
"""A parameter is named as the cause if random configurations would look so clear less often than this."""

MOST_NAMED = 4
"""Values that a sentence can name."""

_Values = Mapping[str, Any]


def memory(results: Results) -> Iterator[str]:
    """The paragraphs, in Markdown; none if everything fitted."""
    away = results.turned_away
    if len(away):
        limit, estimated = away["memory_limit_gib"].dropna(), away["estimated_gib"].dropna()
        one = len(away) == 1
        text = f"{count(len(away), 'configuration')} {'was' if one else 'were'} turned away before starting: "
        text += f"{'its' if one else 'their'} estimated peak memory"
        text += f", {_range(estimated)} GiB, exceeds {_range(limit)} GiB" if len(limit) else " is too much"
        yield f"{text}. {'It is' if one else 'They are'} not counted as {'a trial' if one else 'trials'}."
        if results.default and results.default.number in set(away["number"]):
            yield "The default configuration is among them."
    trials = results.trials
    full = trials[trials["stop_reason"] == "out of memory"]
    if len(full):
        numbers = listed(list(full["number"]))
        text = f"{count(len(full), 'trial')} started and ran out of memory: {numbers}."
        if len(estimated := full["estimated_gib"].dropna()):
            text += f" The estimate was {_range(estimated)} GiB."
        yield text
    if text := cause(results):
        yield text


def cause(results: Results) -> str:
    """A sentence on what the configurations that did not fit have in common and no other has; empty if unclear."""
    misfits = [
        trial.params
        for trial in results.sweep_trials
        if trial.user_attrs.get("stop_reason") in ("turned away", "out of memory")
    ]
    fits = [trial.params for trial in results.begun if trial.intermediate_values]
    if not misfits or not fits:
        return ""
    searched = results.space.searched
    discrete = [name for name, parameter in searched.items() if isinstance(parameter, Choice | Int)]
    findings = [_one(name, parameter, misfits, fits) for name, parameter in searched.items()]
    findings += [_several(pair, misfits, fits) for pair in combinations(discrete, 2)]
    arrangements = comb(len(misfits) + len(fits), len(misfits))
    finding = min((finding for finding in findings if finding), key=lambda finding: finding.ways, default=None)
    return finding.text if finding and len(findings) * finding.ways < CHANCE * arrangements else ""


@dataclass(frozen=True)
class _Finding:
    """Something that all misfits have and nothing else has."""

    text: str
    ways: float
    """In how many ways configurations could be split as clearly by the same values."""


def _one(name: str, parameter: Parameter, misfits: Sequence[_Values], fits: Sequence[_Values]) -> _Finding | None:
    if not isinstance(parameter, Float | Int):
        return _several((name,), misfits, fits)
    lowest, highest = min(values[name] for values in misfits), max(values[name] for values in misfits)
    if lowest > max(values[name] for values in fits):
        return _Finding(_sentence(f"{escape(name)} of {setting(lowest)} or more"), 2)
    if highest < min(values[name] for values in fits):
        return _Finding(_sentence(f"{escape(name)} of {setting(highest)} or less"), 2)
    return None


def _several(names: Sequence[str], misfits: Sequence[_Values], fits: Sequence[_Values]) -> _Finding | None:
    wrong = dict.fromkeys(tuple(values[name] for name in names) for values in misfits)
    right = {tuple(values[name] for name in names) for values in fits}
    if wrong.keys() & right or len(wrong) > MOST_NAMED:
        return None
    named = [
        " with ".join(f"{escape(name)} {setting(value)}" for name, value in zip(names, values, strict=True))
        for values in sorted(wrong, key=str)
    ]
    return _Finding(_sentence(" or ".join(named)), 2.0 ** (len(wrong) + len(right)))


def _sentence(what: str) -> str:
    return f"All that did not fit have {what}; none that fitted has."


def _range(values: pd.Series) -> str:
    """`11.2` or `11.2 to 30.1`."""
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"
