"""One driver at a time: refused while the owner lives, taken over when it is dead."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tuner import owner
from tuner.errors import SweepDirectoryError
from tuner.owner import own, own_storage, read_owner
from tuner.process import Process

DRIVER = """
    import sys, time
    from pathlib import Path
    from tuner import owner
    owner.HEARTBEAT_SECONDS = 0.2
    with owner.own(Path(sys.argv[1])):
        print("at work", flush=True)
        time.sleep(60)
    print("left in order")
"""


@pytest.fixture
def start():
    """Starts a driver of a folder in another process; all are killed in the end."""
    started = []

    def begin(folder: Path, code: str = DRIVER, **options) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(folder)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "at work\n", process.stderr.read()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def edit(folder: Path, **changes: object) -> None:
    """Change what the owner file says, and keep its heartbeat."""
    file = folder / "owner.json"
    beat = file.stat()
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    os.utime(file, ns=(beat.st_atime_ns, beat.st_mtime_ns))


def age(folder: Path, seconds: float) -> None:
    """Put the heartbeat into the past."""
    then = time.time() - seconds
    os.utime(folder / "owner.json", (then, then))


def leave_a_dead_owner(start, folder: Path) -> None:
    process = start(folder)
    process.kill()
    process.wait()


def test_owner_is_told_and_leaves_nothing(tmp_path):
    assert read_owner(tmp_path) is None
    with own(tmp_path):
        found = read_owner(tmp_path)
        assert found.process == Process.current()
        assert found.alive
        assert found.heartbeat_age < 5
    assert read_owner(tmp_path) is None
    with own(tmp_path):
        pass


def test_owner_is_removed_after_an_error_too(tmp_path):
    with contextlib.suppress(KeyboardInterrupt), own(tmp_path):
        raise KeyboardInterrupt
    assert read_owner(tmp_path) is None


def test_second_driver_is_refused_and_nothing_changed(tmp_path, start):
    process = start(tmp_path)
    before = (tmp_path / "owner.json").read_text()
    host = os.uname().nodename
    expected = rf"{tmp_path} is being worked on by process {process.pid} on {host} \(-c {tmp_path}\) since \d{{4}}-"
    refused = pytest.raises(SweepDirectoryError, match=expected + r".*last heard of \d+ s ago: nothing was changed")
    with refused, own(tmp_path):
        pytest.fail("owned twice")
    assert (tmp_path / "owner.json").read_text() == before
    assert process.poll() is None


def test_same_process_is_refused_too(tmp_path):
    with own(tmp_path), pytest.raises(SweepDirectoryError, match=f"process {os.getpid()} "), own(tmp_path):
        pytest.fail("owned twice")


def test_taken_over_at_once_from_a_killed_driver(tmp_path, start):
    process = start(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: its parent has not asked for its end
    assert not read_owner(tmp_path).alive
    with own(tmp_path):
        assert read_owner(tmp_path).process.pid == os.getpid()


def test_stopped_driver_is_no_dead_driver(tmp_path, start):
    process = start(tmp_path)
    process.send_signal(signal.SIGSTOP)
    age(tmp_path, 3600)
    with pytest.raises(SweepDirectoryError, match=r"last heard of 3600 s ago"), own(tmp_path):
        pytest.fail("owned twice")
    process.send_signal(signal.SIGCONT)


def test_process_number_given_to_another_process(tmp_path, start):
    leave_a_dead_owner(start, tmp_path)
    edit(tmp_path, pid=os.getpid())  # alive, but it started at another time
    with own(tmp_path):
        pass


@pytest.mark.parametrize("elsewhere", [{"host": "node-7"}, {"boot": "another boot"}])
def test_owner_on_another_host_is_judged_by_its_heartbeat(tmp_path, start, elsewhere):
    leave_a_dead_owner(start, tmp_path)
    edit(tmp_path, **elsewhere)
    age(tmp_path, 50)
    with pytest.raises(SweepDirectoryError, match=r"taken to be dead 60 s after"), own(tmp_path):
        pytest.fail("owned twice")
    age(tmp_path, 70)
    assert not read_owner(tmp_path).alive
    with own(tmp_path):
        pass


def test_heartbeat_age_is_by_the_clock_of_the_file_system(tmp_path, start, monkeypatch):
    leave_a_dead_owner(start, tmp_path)
    edit(tmp_path, host="node-7")
    monkeypatch.setattr(time, "time", lambda: 4e9)  # this host's clock is decades ahead
    with pytest.raises(SweepDirectoryError, match=r"last heard of \d s ago"), own(tmp_path):
        pytest.fail("owned twice")


def test_owner_is_touched_while_it_works(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT_SECONDS", 0.05)
    with own(tmp_path):
        age(tmp_path, 100)
        deadline = time.monotonic() + 10
        while read_owner(tmp_path).heartbeat_age > 50 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert read_owner(tmp_path).heartbeat_age < 5


def test_driver_that_was_replaced_while_it_stood_still_ends_at_once(tmp_path, start):
    process = start(tmp_path)
    edit(tmp_path, host="node-7", pid=4242)  # as a driver on another host writes it after a minute's silence
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "left in order" not in out
    assert f"voxtune: {tmp_path} was taken over by another driver while this one stood still" in errors
    assert read_owner(tmp_path).process.pid == 4242


@pytest.mark.slow
def test_one_of_many_gets_a_dead_owner_s_place(tmp_path, start):
    leave_a_dead_owner(start, tmp_path)
    code = """
        import sys, time
        from pathlib import Path
        from tuner.errors import SweepDirectoryError
        from tuner.owner import own
        print("at work", flush=True)
        time.sleep(max(0, float(sys.stdin.readline()) - time.time()))
        try:
            with own(Path(sys.argv[1])):
                print("mine", flush=True)
                time.sleep(3)
        except SweepDirectoryError:
            print("refused")
    """
    rivals = [start(tmp_path, code, stdin=subprocess.PIPE) for _ in range(4)]
    moment = time.time() + 1
    answers = []
    for rival in rivals:
        rival.stdin.write(f"{moment}\n")
        rival.stdin.flush()
    answers = [rival.communicate(timeout=30)[0].strip() for rival in rivals]
    assert sorted(answers) == ["mine", "refused", "refused", "refused"]


def test_sqlite_file_is_owned_by_one_driver_wherever_its_directory(tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    refused = pytest.raises(
        SweepDirectoryError, match=rf"^{re.escape(str(tmp_path))}/studies\.db is being worked on by"
    )
    with own_storage(url), refused, own_storage(url):
        pytest.fail("owned twice")
    with own_storage(url):
        pass


@pytest.mark.parametrize("url", [None, "postgresql://me@host/db", "sqlite://"])
def test_other_storages_take_several_drivers(url):
    with own_storage(url), own_storage(url):
        pass


def test_folder_that_can_t_be_owned_is_named(tmp_path):
    message = rf"{tmp_path}/gone can't be worked on: No such file or directory"
    with pytest.raises(SweepDirectoryError, match=message), own(tmp_path / "gone"):
        pytest.fail("owned nothing")


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 3}'])
def test_owner_file_of_something_else_is_named(tmp_path, content):
    (tmp_path / "owner.json").write_text(content)
    message = rf"{tmp_path}/owner\.json does not say who works here"
    with pytest.raises(SweepDirectoryError, match=message), own(tmp_path):
        pytest.fail("owned")
    assert (tmp_path / "owner.json").read_text() == content
