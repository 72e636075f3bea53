"""The table of benchmarks/guards.py is current: texts and tests are where it says; and what counts as a failure."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from guarding import GUARDS
from guarding.trial import Ran


def test_guards_and_their_tests_are_where_the_table_says() -> None:
    root = Path(__file__).parents[1]
    guards = [guard for guards in GUARDS.values() for guard in guards]
    assert len({guard.danger for guard in guards}) == len(guards)
    for guard in guards:
        for cut in guard.cuts:
            cut.check(root)
            assert cut.without != cut.guard
        for test in guard.tests:
            file, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}(" in (root / file).read_text(), test


def test_what_counts_as_failing() -> None:
    ran = Ran(
        {
            "a.py::one": None,
            "a.py::two[x]": None,
            "a.py::two[y]": "Failed: DID NOT RAISE <class 'ValueError'>",
            "a.py::three": "ImportError: no module named ray",
            "a.py::four": "not run: error: fixture 'x' not found",
        },
        "1 passed",
    )
    assert [ran.passes(f"a.py::{name}") for name in ("one", "two", "two[x]", "three", "none")] == [1, 0, 1, 0, 0]
    assert [ran.proves(f"a.py::{name}") for name in ("one", "two", "two[x]", "three", "four", "none")] == [
        0,
        1,
        0,
        0,
        0,
        0,
    ]
    assert ran.why("a.py::two") == "Failed: DID NOT RAISE <class 'ValueError'> (1 of 2 cases)"
    assert ran.why("a.py::none") == "1 passed"
