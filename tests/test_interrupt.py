"""Ctrl-C in a real process, with Ray Tune's own signal handling but without a cluster."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tuner.interrupt import SAME_SECONDS, STOPPING, ending_in_order, terminated_as_interrupted, undisturbed

SEARCH = """
import hashlib
import os
import time
from ray.tune.tune import _setup_signal_catching
from tuner.interrupt import ending_in_order, terminated_as_interrupted

def tell(text):
    print(text, flush=True)

def give_up():
    tell("gave up")
    os._exit(130)

with terminated_as_interrupted(), ending_in_order(
    tell, ray_lives=lambda: {ray_lives}, give_up=give_up
):
    if {begun}:
        interrupted = _setup_signal_catching()
    print("searching", flush=True)
    if {in_library}:
        # C which, like Ray's, lets other threads work and calls no Python handler; for a minute or more.
        hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)
    while not ({begun} and interrupted.is_set()):
        time.sleep(0.01)
    time.sleep({step_seconds})  # the trials' steps
    print("ended in order", flush=True)
"""


@contextmanager
def searching(
    *, begun: bool = True, step_seconds: float = 0.0, ray_lives: bool = True, in_library: bool = False
) -> Iterator[Any]:
    script = SEARCH.format(begun=begun, step_seconds=step_seconds, ray_lives=ray_lives, in_library=in_library)
    command = [sys.executable, "-c", script]
    process: Any = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout.readline() == "searching\n", process.stderr.read()
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_says_so_at_once_and_ends_in_order(number: signal.Signals) -> None:
    with searching(step_seconds=0.3) as process:
        process.send_signal(number)
        assert process.stdout.readline() == f"{STOPPING}\n"
        assert process.stdout.read() == "ended in order\n"
        assert process.wait(10) == 0


@pytest.mark.slow
def test_the_second_leaves_at_once() -> None:
    with searching(step_seconds=60) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == f"{STOPPING}\n"
        time.sleep(2 * SAME_SECONDS)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=10)
        assert output == ""
        assert error.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_at_once_are_one(number: signal.Signals) -> None:
    with searching(step_seconds=0.5) as process:
        process.send_signal(number)
        assert process.stdout.readline() == f"{STOPPING}\n"
        process.send_signal(number)
        assert process.stdout.read() == "ended in order\n"


@pytest.mark.slow
def test_without_ray_the_first_leaves_soon() -> None:
    with searching(step_seconds=60, ray_lives=False) as process:
        process.send_signal(signal.SIGTERM)
        output, error = process.communicate(timeout=20)
        assert output.strip() in ("", STOPPING)
        assert error.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.slow
def test_without_ray_it_does_not_hang_in_its_library() -> None:
    with searching(in_library=True, ray_lives=False) as process:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "gave up\n"
        assert process.wait(10) == 130
        assert time.monotonic() - began < 30


@pytest.mark.slow
def test_before_the_search_has_begun_the_first_leaves_at_once() -> None:
    with searching(begun=False, step_seconds=60) as process:
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=10)
        assert output == ""
        assert error.rstrip().endswith("KeyboardInterrupt")


def test_handlers_and_environment_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> list[object]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)]
        return [*handlers, os.environ.get("TUNE_DISABLE_SIGINT_HANDLER")]

    for value in (None, "0"):
        if value is not None:
            monkeypatch.setenv("TUNE_DISABLE_SIGINT_HANDLER", value)
        before = state()
        with ending_in_order(print):
            assert state()[0] is not before[0]
            assert state()[2] == "1"
            signal.signal(signal.SIGUSR1, lambda number, frame: None)  # as Tune does, and leaves behind
        assert state() == before


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def search() -> None:
        with ending_in_order(print):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert seen == [before]


def test_termination_is_an_interrupt_and_then_again_what_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_ray_does_on_termination_does_not_come_back_while_ray_is_left() -> None:
    def rays(number: int, frame: object) -> None:
        raise AssertionError("Ray's handler was called")

    with terminated_as_interrupted():
        ours = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, rays)  # as `ray.init` does
        with terminated_as_interrupted(afterwards=ours):
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_termination_ends_what_was_started_in_the_background() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup, or a script's `&`, leaves it
    try:
        with pytest.raises(KeyboardInterrupt), terminated_as_interrupted():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)


def test_termination_ends_what_has_ctrl_c_blocked() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as Ray leaves it to a job's driver
    try:
        with pytest.raises(KeyboardInterrupt), terminated_as_interrupted():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_termination_outside_the_main_thread_is_left_alone() -> None:
    handlers = []

    def work() -> None:
        with terminated_as_interrupted():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_write_is_finished_first(number: signal.Signals) -> None:
    done: list[str] = []

    def write() -> None:
        with undisturbed():
            with undisturbed():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")
        done.append("never")

    with terminated_as_interrupted():
        before = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt):
            write()
        assert signal.getsignal(number) is before
    assert done == ["inner", "outer"]


def test_without_an_interrupt_a_write_changes_nothing() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with undisturbed():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
