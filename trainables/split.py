"""Which cases train, validate and test: seeded folds or a held-out share, with the cases of one group on one side.

A group is usually a person with several images; cases of one person on both sides would flatter the score.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.case_expression import CaseExpression
from trainables.csv_file import read_rows
from trainables.errors import DatasetError, SettingError


@dataclass(frozen=True, kw_only=True)
class Split:
    """Names of cases, sorted; no case is in two of them."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    """Never seen by the search; empty where none was asked for."""


def group_cases(names: Sequence[str], *, expression: str | None = None, file: Path | None = None) -> dict[str, str]:
    """The group of each case: from an expression over its name, or from a CSV file; by default each is its own.

    `expression` is what `case_expression` understands. `file` has the header `case,group` and one line for each case;
    lines for cases that the data set doesn't have are passed over, so that one file serves a data set and a part of it.
    Raises SettingError for the expression, DatasetError for the file.
    """
    if expression is not None and file is not None:
        raise SettingError("group: give either an expression or a file of groups, not both")
    if expression is not None:
        parsed = CaseExpression(expression)
        return {name: parsed.group(name) for name in names}
    if file is not None:
        return _groups_from_file(names, Path(file))
    return {name: name for name in names}


def split_cases(
    groups: Mapping[str, str],
    *,
    folds: int | None = 5,
    fold: int = 0,
    held_out: float | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> Split:
    """Split cases, given the group of each: `fold` of `folds` validates, or, if given, a `held_out` share of them.

    Groups are sorted, shuffled with `seed`, and set aside for the test first; so the test cases depend on neither folds
    nor fold. The others are dealt, large groups first, to the fold with the fewest cases. Shares are of all cases
    (`test_fraction`) or of those left (`held_out`), met as nearly as whole groups allow, with one group at least.

    Raises SettingError if a number is out of range or there are fewer groups than needed.
    """
    if not 0 <= seed < 2**32:
        raise SettingError(f"seed: {seed} of the split is not from 0 to {2**32 - 1}")
    if not 0 <= test_fraction < 1:
        raise SettingError(f"test_fraction: {test_fraction:g} is not from 0 up to (not including) 1")
    members: dict[str, list[str]] = {}
    for case, group in groups.items():
        members.setdefault(group, []).append(case)
    ordered = sorted(members)
    # RandomState is frozen: its stream, and so a split, stays the same in every version of numpy.
    shuffled = [ordered[index] for index in np.random.RandomState(seed).permutation(len(ordered))]
    test = _take(shuffled, members, test_fraction) if test_fraction else []
    rest = [group for group in shuffled if group not in set(test)]
    if test and len(rest) < 2:
        raise SettingError(
            f"test_fraction: {test_fraction:g} leaves {len(rest)} of {len(ordered)} groups of cases; training and "
            "validation need one each"
        )
    if held_out is not None:
        validation = _hold_out(rest, members, held_out)
    elif folds is not None:
        validation = _deal(rest, members, folds, fold)
    else:
        raise SettingError("folds: give a number of folds, or held_out, the share of cases that validates")
    train = [group for group in rest if group not in set(validation)]
    return Split(train=_cases(train, members), validation=_cases(validation, members), test=_cases(test, members))


def fold_splits(
    groups: Mapping[str, str], *, folds: int, test_fraction: float = 0.0, seed: int = 0
) -> tuple[Split, ...]:
    """The splits in which each of `folds` validates in turn, by the same rules: every case that is not a test case
    validates once, and the test cases are the same in all. Raises SettingError as `split_cases` does."""
    return tuple(
        split_cases(groups, folds=folds, fold=fold, test_fraction=test_fraction, seed=seed)
        # With fewer than two there is no fold to ask for: the first says so.
        for fold in range(max(1, folds))
    )


def _hold_out(groups: Sequence[str], members: Mapping[str, list[str]], share: float) -> list[str]:
    if not 0 < share < 1:
        raise SettingError(f"held_out: {share:g} is not between 0 and 1")
    if len(groups) < 2:
        raise SettingError(f"held_out: needs 2 groups of cases outside the test set, there are {len(groups)}")
    taken = _take(groups, members, share)
    if len(taken) == len(groups):
        raise SettingError(f"held_out: {share:g} of {len(groups)} groups leaves no case to train on")
    return taken


def _deal(groups: Sequence[str], members: Mapping[str, list[str]], folds: int, fold: int) -> list[str]:
    """The groups of one fold."""
    if folds < 2:
        raise SettingError(f"folds: {folds} is less than 2")
    if not 0 <= fold < folds:
        raise SettingError(f"fold: {fold} is not from 0 to {folds - 1} (folds: {folds})")
    if len(groups) < folds:
        raise SettingError(f"folds: {folds} need as many groups of cases outside the test set, there are {len(groups)}")
    dealt: list[list[str]] = [[] for _ in range(folds)]
    sizes = [0] * folds
    for group in sorted(groups, key=lambda group: -len(members[group])):
        smallest = sizes.index(min(sizes))
        dealt[smallest].append(group)
        sizes[smallest] += len(members[group])
    return dealt[fold]


def _take(groups: Sequence[str], members: Mapping[str, list[str]], share: float) -> list[str]:
    """Groups in their order while each brings their cases nearer to the share; the smallest if none does."""
    target = share * sum(len(members[group]) for group in groups)
    taken, count = [], 0
    for group in groups:
        size = len(members[group])
        if abs(count + size - target) < abs(count - target):
            taken.append(group)
            count += size
    return taken or sorted(groups, key=lambda group: len(members[group]))[:1]


def _cases(groups: Iterable[str], members: Mapping[str, list[str]]) -> tuple[str, ...]:
    return tuple(sorted(case for group in groups for case in members[group]))


def _groups_from_file(names: Sequence[str], file: Path) -> dict[str, str]:
    rows = read_rows(file)
    header = rows[0][1] if rows else []
    if header != ["case", "group"]:
        raise DatasetError(f'{file}: the first line must be "case,group", got "{",".join(header)}"')
    groups: dict[str, str] = {}
    for line, cells in rows[1:]:
        if not any(cells):
            continue
        if len(cells) != 2 or not all(cells):
            raise DatasetError(f'{file}: line {line} must hold a case and its group, got "{",".join(cells)}"')
        if cells[0] in groups:
            raise DatasetError(f'{file}: line {line} lists case "{cells[0]}" again')
        groups[cells[0]] = cells[1]
    missing = [name for name in names if name not in groups]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DatasetError(f"{file}: has no line for {', '.join(missing[:5])}{more}; every case needs a group")
    return {name: groups[name] for name in names}
