"""Groups from an expression over the case's name: what it can say, and that it can do nothing else."""

import time

import pytest

from trainables.case_expression import CaseExpression
from trainables.errors import SettingError


@pytest.mark.parametrize(
    ("expression", "case", "group"),
    [
        ("(int(number) + 1) // 2", "hippocampus_001", "1"),
        ("(int(number) + 1) // 2", "hippocampus_002", "1"),
        ("(int(number) + 1) // 2", "hippocampus_003", "2"),
        ("number", "left_12_scan_007", "007"),
        ("number", "no digits", ""),
        ("int(number) % 4 - 1", "case_9", "0"),
        ("-int(number) * 3", "case_9", "-27"),
        ("name", "case_9", "case_9"),
        ("name[:4]", "P017_left", "P017"),
        ("name[-5:]", "P017_right", "right"),
        ("name[1:6:2]", "abcdefgh", "bdf"),
        ("name.split('_')[0] + '-' + number", "site_A_12", "site-12"),
        ("name.removeprefix('L').removesuffix('x').lower()", "LABx", "ab"),
        ("str(int(number))", "case_0042", "42"),
        ("  number ", "case_3", "3"),
    ],
)
def test_expressions(expression: str, case: str, group: str) -> None:
    assert CaseExpression(expression).group(case) == group


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "name.__class__",
        "name.format(1)",
        "name.split('_', 1)",
        "name.split(sep='_')",
        "open('x')",
        "eval('1')",
        "int(number, 2)",
        "int(*name)",
        "(lambda: 1)()",
        "[c for c in name]",
        "f'{name}'",
        "number if name else name",
        "name == number",
        "name and number",
        "not name",
        "~1",
        "2 ** 3",
        "1 << 40",
        "1 / 2",
        "1.5",
        "True",
        "None",
        "b'x'",
        "(x := 1)",
        "other",
        "[1, 2]",
        "{'a': 1}['a']",
        "(name, number)",
    ],
)
def test_nothing_else_has_a_meaning(expression: str) -> None:
    with pytest.raises(
        SettingError, match=r'^group: ".*": .* has no meaning here; use name, number, int\(\), str\(\), '
    ):
        CaseExpression(expression)


def test_the_message_names_what_has_no_meaning() -> None:
    with pytest.raises(SettingError, match=r'^group: "name \+ exec\(number\)": exec\(number\) has no meaning here; '):
        CaseExpression("name + exec(number)")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("int(name)", "invalid literal for int() with base 10: 'case_12'"),
        ("number // 2", "'12' and 2 can't be combined so"),
        ("name * 1000000000", "'case_12' and 1000000000 can't be combined so"),
        ("'%9999999999d' % 1", "'%9999999999d' and 1 can't be combined so"),
        ("int(number) // 0", "integer division or modulo by zero"),
        ("name.split('-')[1]", "list index out of range"),
        ("name.split('_')", "the result must be a number or a string"),
        ("int", "int is not a value"),
        ("name.lower", "name.lower is not a value"),
        ("int(number).lower()", "descriptor 'lower' for 'str' objects doesn't apply to a 'int' object"),
        ("name[number]", "string indices must be integers, not 'str'"),
        ("-name", "bad operand type for unary -: 'str'"),
        ("9999999999 * 9999999999", "a number has more than 18 digits"),
        ("10000000000000000000", "a number has more than 18 digits"),
    ],
)
def test_a_failure_names_expression_case_and_reason(expression: str, reason: str) -> None:
    with pytest.raises(SettingError) as caught:
        CaseExpression(expression).group("case_12")
    assert str(caught.value) == f'group: "{expression}" fails for case "case_12" (number is "12"): {reason}'


def test_growth_is_stopped_early() -> None:
    begin = time.perf_counter()
    for expression in ("*".join(["999999999"] * 20), "+".join(["name"] * 40)):
        with pytest.raises(SettingError, match=r"more than (18 digits|1000 characters)"):
            CaseExpression(expression).group("x" * 200)
    assert time.perf_counter() - begin < 1


def test_a_long_expression_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(SettingError, match=r"^group: the expression has 30000 characters; at most 200$"):
        CaseExpression("(" * 15000 + ")" * 15000)


@pytest.mark.parametrize("expression", ["", "number +", "import os", "a = 1", "1; 2", "\0", "(" * 100])
def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(SettingError, match="is not an expression: "):
        CaseExpression(expression)


def test_deep_nesting_within_the_length_works() -> None:
    assert CaseExpression("-" * 198 + "1").group("a") == "1"
