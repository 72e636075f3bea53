"""What a process takes of the processor between two moments."""

import subprocess
import sys
import time

import pytest

from tuner.cpu_watch import CpuWatch, watched_cpu

WORKS = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass\ntime.sleep(30)"


def test_what_a_process_used_is_known_between_two_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = CpuWatch.__new__(CpuWatch)
    watch._samples = [(100.0, 1.0), (102.0, 2.0), (104.0, 2.0)]
    assert watch.seconds(101.0, 103.0) == pytest.approx(0.5)
    assert watch.seconds(90.0, 200.0) == pytest.approx(1.0)


def test_a_process_that_works_is_seen_to() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKS]) as process:
        began = time.time()
        with watched_cpu(process.pid) as watch:
            deadline = time.monotonic() + 60
            while watch.seconds(began, time.time()) < 0.6 and time.monotonic() < deadline:
                time.sleep(0.1)
            process.kill()
            process.wait()  # it ends while it is watched
        assert 0.6 <= watch.seconds(began, time.time()) < 2
