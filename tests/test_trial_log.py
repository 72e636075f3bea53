import sys

import pytest

from tuner.trial_log import MOST, TrialLog


def test_what_is_written_in_the_block_is_kept_and_still_written(capsys: pytest.CaptureFixture[str]) -> None:
    log = TrialLog("trial 3")
    print("before")
    with log.capturing():
        print("to output")
        print("to error", file=sys.stderr)
    print("after")
    assert log.take() == "to output\nto error\n"
    assert log.take() == ""
    written = capsys.readouterr()
    assert written.out == "before\nto output\nafter\n"
    assert written.err == "to error\n"


def test_a_line_of_ours_says_when_and_of_which_trial(capsys: pytest.CaptureFixture[str]) -> None:
    log = TrialLog("trial 3")
    log.say("failed: ValueError: no")
    (line,) = log.take().splitlines()
    day, _, rest = line.partition(" ")
    assert len(day) == 10
    assert rest[8:] == " trial 3: failed: ValueError: no"
    assert capsys.readouterr().out == line + "\n"


def test_of_a_flood_the_end_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    log = TrialLog("trial 3")
    with log.capturing():
        for number in range(3):
            print(str(number) * MOST)
    kept = log.take()
    left_out = 3 * (MOST + 1) - MOST
    assert (
        kept == f"[{left_out} characters left out here: they are in Ray's log of this slot]\n" + "2" * (MOST - 1) + "\n"
    )
    assert len(capsys.readouterr().out) == 3 * (MOST + 1)


def test_the_streams_are_what_they_were_after_an_error() -> None:
    before = sys.stdout, sys.stderr
    log = TrialLog("trial 3")
    with pytest.raises(KeyError), log.capturing():
        raise KeyError
    assert (sys.stdout, sys.stderr) == before
