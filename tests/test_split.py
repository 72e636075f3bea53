"""Folds, held-out shares and test cases: nobody on two sides, level sizes, the same split from the same seed."""

from collections import Counter
from pathlib import Path

import pytest

from trainables.errors import DatasetError, SettingError
from trainables.split import Split, group_cases, split_cases

NAMES = [f"case_{number:03d}" for number in range(1, 41)]
PAIRS = group_cases(NAMES, expression="(int(number) + 1) // 2")


def sides(split: Split) -> list[tuple[str, ...]]:
    return [split.train, split.validation, split.test]


def test_every_case_is_its_own_group_by_default() -> None:
    assert group_cases(["b", "a"]) == {"b": "b", "a": "a"}


def test_pairs_by_expression() -> None:
    assert PAIRS["case_001"] == PAIRS["case_002"] == "1"
    assert PAIRS["case_003"] == PAIRS["case_004"] == "2"


@pytest.mark.parametrize("test_fraction", [0.0, 0.2])
def test_folds_share_out_all_cases_by_whole_groups(test_fraction: float) -> None:
    splits = [split_cases(PAIRS, folds=5, fold=fold, test_fraction=test_fraction) for fold in range(5)]
    tests = {split.test for split in splits}
    assert len(tests) == 1
    assert len(tests.pop()) == 40 * test_fraction
    validated = Counter(name for split in splits for name in split.validation)
    assert set(validated.values()) == {1}
    assert set(validated) | set(splits[0].test) == set(NAMES)
    for split in splits:
        assert sorted(name for side in sides(split) for name in side) == NAMES
        groups = [{PAIRS[name] for name in side} for side in sides(split)]
        assert not (groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2])
        assert all(list(side) == sorted(side) for side in sides(split))


def test_folds_are_level_when_groups_differ_in_size() -> None:
    sizes = {"a": 7, "b": 1, "c": 2, "d": 5, "e": 1, "f": 3, "g": 2}
    groups = {f"{group}{number}": group for group, size in sizes.items() for number in range(size)}
    for seed in range(10):
        counts = [len(split_cases(groups, folds=3, fold=fold, seed=seed).validation) for fold in range(3)]
        assert sorted(counts) == [7, 7, 7]


def test_the_split_of_a_seed_never_changes() -> None:
    # By hand from RandomState(3)'s order 5 4 1 2 9 6 7 0 3 8: two for the test, the others dealt to four folds in turn.
    names = [f"case_{number}" for number in range(10)]
    split = split_cases({name: name for name in names}, folds=4, fold=1, test_fraction=0.2, seed=3)
    assert split == Split(
        train=("case_1", "case_3", "case_6", "case_7", "case_8", "case_9"),
        validation=("case_0", "case_2"),
        test=("case_4", "case_5"),
    )


def test_the_order_of_the_cases_does_not_matter_but_the_seed_does() -> None:
    backwards = dict(reversed(PAIRS.items()))
    assert split_cases(PAIRS, seed=1) == split_cases(backwards, seed=1)
    assert split_cases(PAIRS, seed=1) != split_cases(PAIRS, seed=2)


def test_held_out_share_is_of_what_the_test_leaves() -> None:
    split = split_cases(PAIRS, folds=None, held_out=0.25, test_fraction=0.2)
    assert [len(side) for side in sides(split)] == [24, 8, 8]
    assert not {PAIRS[name] for name in split.train} & {PAIRS[name] for name in split.validation}
    assert split.test == split_cases(PAIRS, folds=5, test_fraction=0.2).test


def test_a_share_takes_the_nearest_whole_groups_and_one_at_least() -> None:
    groups = {f"{group}{number}": group for group in "abcd" for number in range(10)}
    assert len(split_cases(groups, folds=None, held_out=0.3).validation) == 10  # 12 wanted: 10 is nearer than 20
    assert len(split_cases(groups, folds=None, held_out=0.01).validation) == 10
    assert len(split_cases(groups, folds=2, test_fraction=0.4).test) == 20  # 16 wanted
    assert len(split_cases(groups, folds=None, held_out=0.375).validation) == 10  # 15 wanted: 20 is no nearer


def test_where_no_group_is_near_the_share_the_smallest_is_taken() -> None:
    groups = {f"{group}{number}": group for group, size in {"a": 10, "b": 10, "c": 2}.items() for number in range(size)}
    assert split_cases(groups, folds=None, held_out=0.01).validation == ("c0", "c1")


def test_two_groups_are_enough_to_hold_one_out() -> None:
    split = split_cases({"a": "a", "b": "b"}, folds=None, held_out=0.5)
    assert (len(split.train), len(split.validation)) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"folds": 1}, "folds: 1 is less than 2"),
        ({"folds": 5, "fold": 5}, "fold: 5 is not from 0 to 4 (folds: 5)"),
        ({"folds": 5, "fold": -1}, "fold: -1 is not from 0 to 4 (folds: 5)"),
        ({"folds": 21}, "folds: 21 need as many groups of cases outside the test set, there are 20"),
        (
            {"folds": 20, "test_fraction": 0.1},
            "folds: 20 need as many groups of cases outside the test set, there are 18",
        ),
        ({"folds": None}, "folds: give a number of folds, or held_out, the share of cases that validates"),
        ({"held_out": 0.0}, "held_out: 0 is not between 0 and 1"),
        ({"held_out": 1.0}, "held_out: 1 is not between 0 and 1"),
        ({"held_out": 0.999}, "held_out: 0.999 of 20 groups leaves no case to train on"),
        (
            {"held_out": 0.5, "test_fraction": 0.96},
            "test_fraction: 0.96 leaves 1 of 20 groups of cases; training and validation need one each",
        ),
        (
            {"folds": 2, "test_fraction": 0.96},
            "test_fraction: 0.96 leaves 1 of 20 groups of cases; training and validation need one each",
        ),
        ({"test_fraction": 1.0}, "test_fraction: 1 is not from 0 up to (not including) 1"),
        ({"test_fraction": -0.1}, "test_fraction: -0.1 is not from 0 up to (not including) 1"),
        ({"test_fraction": float("nan")}, "test_fraction: nan is not from 0 up to (not including) 1"),
        ({"seed": -1}, "seed: -1 of the split is not from 0 to 4294967295"),
    ],
)
def test_numbers_out_of_range(arguments: dict[str, float], expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        split_cases(PAIRS, **arguments)  # type: ignore[arg-type]
    assert str(caught.value) == expected


def test_one_group_can_not_be_held_out() -> None:
    with pytest.raises(SettingError, match=r"^held_out: needs 2 groups of cases outside the test set, there are 1$"):
        split_cases({"a": "anna", "b": "anna"}, folds=None, held_out=0.5)


@pytest.fixture
def groups_file(tmp_path: Path) -> Path:
    return tmp_path / "groups.csv"


def test_groups_from_a_file(groups_file: Path) -> None:
    groups_file.write_text('\ufeffcase, group\r\na,anna\r\n\r\n"b",anna\nc , bert\nnot here,x\n', encoding="utf-8")
    assert group_cases(["c", "a", "b"], file=groups_file) == {"c": "bert", "a": "anna", "b": "anna"}


def test_a_quoted_group_may_hold_a_line_break(groups_file: Path) -> None:
    groups_file.write_bytes(b'case,group\r\na,"anna\r\nmaria"\r\n')
    assert group_cases(["a"], file=groups_file) == {"a": "anna\r\nmaria"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 'the first line must be "case,group", got ""'),
        (b"name,group\na,1\n", 'the first line must be "case,group", got "name,group"'),
        (b"case,group\na,1\nb\n", 'line 3 must hold a case and its group, got "b"'),
        (b"case,group\na,1,2\n", 'line 2 must hold a case and its group, got "a,1,2"'),
        (b"case,group\na,\n", 'line 2 must hold a case and its group, got "a,"'),
        (b"case,group\na,1\na,2\n", 'line 3 lists case "a" again'),
        (b"case,group\na,1\n", "has no line for b, c, d, e, f and 1 more; every case needs a group"),
        (b"case,group\na,1\nb,1\n", "has no line for c, d, e, f, g; every case needs a group"),
        (b"case,group\n\xff,1\n", "line 2 is not in UTF-8 (byte 0xff); save it as CSV UTF-8, as Excel calls it"),
    ],
)
def test_broken_group_files(groups_file: Path, content: bytes, expected: str) -> None:
    groups_file.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        group_cases("abcdefg", file=groups_file)
    assert str(caught.value).startswith(f"{groups_file}: {expected}")


def test_missing_group_file(groups_file: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        group_cases(["a"], file=groups_file)
    assert str(caught.value) == f"{groups_file}: can't be read: No such file or directory"


def test_an_expression_and_a_file_exclude_each_other(groups_file: Path) -> None:
    with pytest.raises(SettingError, match=r"^group: give either an expression or a file of groups, not both$"):
        group_cases(["a"], expression="name", file=groups_file)
