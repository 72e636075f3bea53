"""The journal under kills, full disks and damage: what was confirmed stays, what was torn goes."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tuner import journal
from tuner.errors import StudyError
from tuner.journal import open_journal, written_together


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.journal"


def write_study(path: Path, trials: int = 3) -> bytes:
    """A journal of finished trials, by Optuna itself. Returns its content."""
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s")
    for number in range(trials):
        study.tell(study.ask(), float(number))
    return path.read_bytes()


def values(path: Path, *, owner: bool = False) -> list[float | None]:
    return [trial.value for trial in load(path, owner=owner).get_trials()]


def load(path: Path, *, owner: bool = False) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_journal(path, owner=owner))


def test_optuna_reads_what_the_owner_writes(path):
    study = optuna.create_study(storage=open_journal(path, owner=True), study_name="s")
    study.tell(study.ask(), 0.5)
    assert optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path)))).best_value == 0.5


def test_torn_tail_is_passed_over_by_readers_and_cut_by_the_owner(path):
    whole = write_study(path)
    path.write_bytes(whole + b'{"op_code":4,"worker_id":"x", "stu')
    torn = path.read_bytes()
    assert values(path) == [0.0, 1.0, 2.0]
    assert path.read_bytes() == torn
    assert values(path, owner=True) == [0.0, 1.0, 2.0]
    assert path.read_bytes() == whole
    assert not path.with_name("study.journal.damaged").exists()  # a record that was never confirmed


def test_torn_tail_longer_than_a_block_is_cut(path):
    whole = write_study(path)
    path.write_bytes(whole + b'{"op_code":8,"user_attr":"' + b"x" * 20_000)
    open_journal(path, owner=True)
    assert path.read_bytes() == whole


def test_journal_torn_in_its_first_record_is_empty(path):
    path.write_bytes(b'{"op_co')
    assert open_journal(path, owner=True).get_all_studies() == []
    assert path.read_bytes() == b""


def test_what_optuna_can_never_read_again_is_mended(path):
    """A torn record with a whole one glued to it, as Optuna leaves them after a kill and a new start."""
    lines = write_study(path).splitlines(keepends=True)
    glued = b'{"op_code":8,"worker_id":"x","trial_id":0,"us' + lines[4]
    damaged = b"".join([*lines[:4], glued, *lines[5:]])
    path.write_bytes(damaged)
    with pytest.raises(json.JSONDecodeError):
        JournalStorage(JournalFileBackend(str(path)))
    message = f"study journal {path} is damaged: line 5 is no record; `voxtune resume {path.parent}` drops"
    with pytest.raises(StudyError, match=re.escape(message)):
        open_journal(path, owner=False)
    assert path.read_bytes() == damaged
    assert values(path, owner=True) == [0.0, 1.0, 2.0]
    assert path.read_bytes() == b"".join(lines)  # the whole record is kept, its torn neighbour is not
    assert path.with_name("study.journal.damaged").read_bytes() == damaged


def test_exactly_the_damaged_lines_are_dropped(path):
    lines = write_study(path).splitlines(keepends=True)
    attribute = b'{"op_code":2,"worker_id":"x","study_id":0,"user_attr":{"a":1}}\n'
    path.write_bytes(b"".join([*lines[:3], b"\x00\xff\x00\n", *lines[3:], b'"half a record\n', attribute]))
    with pytest.raises(StudyError, match=rf"lines 4, {len(lines) + 2} are no record"):
        open_journal(path, owner=False)
    open_journal(path, owner=True)
    assert path.read_bytes() == b"".join([*lines, attribute])


def test_earlier_copy_of_a_damaged_journal_is_kept(path):
    whole = write_study(path)
    for damage in (b"first\n", b"second\n"):
        path.write_bytes(damage + whole)
        open_journal(path, owner=True)
    assert path.with_name("study.journal.damaged").read_bytes() == b"first\n" + whole
    assert path.with_name("study.journal.damaged.1").read_bytes() == b"second\n" + whole


def test_file_that_is_no_journal_of_this_optuna_is_refused(path):
    path.write_text('{"op_code":99,"worker_id":"x"}\n')
    for owner in (False, True):
        with pytest.raises(StudyError, match=rf"is not one that Optuna {re.escape(optuna.__version__)} can read"):
            open_journal(path, owner=owner)
    assert path.read_text() == '{"op_code":99,"worker_id":"x"}\n'


def test_an_interrupt_while_it_is_opened_is_no_error_of_the_journal(path, monkeypatch):
    """Optuna's lock, interrupted when its file has just gone, looks for it once more and fails."""
    unlink = os.unlink

    def interrupted(file: str) -> None:
        unlink(file)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_journal(path, owner=True)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_was_written_together_is_not_read_through_again(path):
    storage = open_journal(path, owner=True)
    study = optuna.create_study(storage=storage)
    for number in range(3):
        with written_together(storage):
            trial = study.ask()
            trial.set_user_attr("name", f"é {number}")
        next_record = storage._replay_result.log_number_read
        assert storage._backend._log_number_offset[next_record] == path.stat().st_size
    assert [trial.user_attrs["name"] for trial in open_journal(path, owner=False).get_all_trials(0)] == [
        f"é {number}" for number in range(3)
    ]


def test_what_is_written_together_is_one_write_and_seen_at_once(path, monkeypatch):
    synced = []
    monkeypatch.setattr(journal.os, "fsync", synced.append)
    storage = open_journal(path, owner=True)
    study = optuna.create_study(storage=storage, study_name="sweep")
    trial = study.ask()
    before, synced[:] = path.read_bytes(), []
    with written_together(storage), written_together(storage):
        for number in range(5):
            trial.set_user_attr("seconds", number)
        study.tell(trial, 0.5)
        assert path.read_bytes() == before
        assert study.trials[0].value == 0.5
    assert len(synced) == 1
    study.ask()
    for seen in (study, optuna.load_study(study_name="sweep", storage=open_journal(path, owner=False))):
        assert [known.state for known in seen.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
        assert seen.trials[0].user_attrs == {"seconds": 4}


def test_what_was_written_before_an_error_stands(path):
    storage = open_journal(path, owner=True)
    study = optuna.create_study(storage=storage, study_name="sweep")
    with pytest.raises(ValueError, match="no_storage"), written_together(storage):
        _ = study.set_user_attr("over", "yes") or int("no_storage")
    again = optuna.load_study(study_name="sweep", storage=open_journal(path, owner=False))
    assert again.user_attrs == {"over": "yes"}


def test_a_journal_that_has_not_grown_is_not_opened(path, monkeypatch):
    write_study(path)
    mine = load(path)
    others = load(path, owner=True)
    assert len(mine.get_trials()) == 3
    opened = []
    read = JournalFileBackend.read_logs
    monkeypatch.setattr(JournalFileBackend, "read_logs", lambda self, first: opened.append(first) or read(self, first))
    assert len(mine.get_trials()) == 3
    assert opened == []
    others.tell(others.ask(), 7.0)
    assert [trial.value for trial in mine.get_trials()] == [0.0, 1.0, 2.0, 7.0]
    assert opened


def test_other_records_that_came_meanwhile_are_read_before(path):
    storage = open_journal(path, owner=True)
    study = optuna.create_study(storage=storage, study_name="sweep")
    dashboard = JournalStorage(JournalFileBackend(str(path)))
    optuna.load_study(study_name="sweep", storage=dashboard).set_user_attr("note", "of a user")
    with written_together(storage):
        study.set_user_attr("over", "yes")
        assert study.user_attrs == {"note": "of a user", "over": "yes"}
    again = optuna.load_study(study_name="sweep", storage=open_journal(path, owner=False))
    assert again.user_attrs == {"note": "of a user", "over": "yes"}


def test_reader_makes_and_writes_nothing(path):
    with pytest.raises(StudyError, match=rf"no study at {path}: no trial was begun yet"):
        open_journal(path, owner=False)
    assert list(path.parent.iterdir()) == []
    write_study(path)
    study = load(path)
    with pytest.raises(StudyError, match="was opened to be read"):
        study.set_user_attr("note", 1)
    assert sorted(file.name for file in path.parent.iterdir()) == ["study.journal"]


def test_lock_left_by_a_kill_is_removed_soon(path, monkeypatch):
    monkeypatch.setattr(journal, "LOCK_PATIENCE", 0.3)
    write_study(path)
    Path(f"{path}.lock").symlink_to(path)
    begun = time.monotonic()
    load(path, owner=True).set_user_attr("note", 1)
    assert time.monotonic() - begun < 5  # Optuna's own patience is 30 s
    assert load(path).user_attrs == {"note": 1}


def test_lock_that_changes_hands_is_left_alone(path, monkeypatch):
    monkeypatch.setattr(journal, "LOCK_PATIENCE", 5)
    lock = Path(f"{path}.lock")
    lock.symlink_to(path)
    first = journal._made(lock)
    seen = iter([first, first, (1, 1)])
    monkeypatch.setattr(journal, "_made", lambda _: next(seen))
    journal._remove_stale_lock(lock)
    assert lock.is_symlink()


FILL = """
    import sys
    from pathlib import Path
    import optuna
    from tuner.errors import StudyError
    from tuner.journal import open_journal, written_together
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="s", storage=open_journal(Path(sys.argv[1]), owner=True))
    written = 0
    try:
        while True:
            study.set_user_attr(f"note {written}", "x" * 100)
            written += 1
    except StudyError as error:
        print(written, error, Path(sys.argv[1]).read_bytes().endswith(b"\\n"), sep="\\n")
    # The storage is still of use in this process: what comes after the failure is written once there is room.
    import resource
    if sys.argv[2:]:
        Path(sys.argv[2]).unlink()
    else:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    study.set_user_attr("after", True)
"""


def fill(path: Path, *arguments: str, **options) -> str:
    """Write notes to the journal till it is full, and one more after making room. Returns the message."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FILL), str(path), *arguments],
        capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written, message, whole = done.stdout.splitlines()
    assert int(written) > 10
    assert whole == "True"  # at once, not only when the next record is written
    expected = {f"note {number}": "x" * 100 for number in range(int(written))} | {"after": True}
    assert load(path).user_attrs == expected
    assert all("op_code" in json.loads(line) for line in path.read_bytes().splitlines())
    return message


def test_full_file_takes_the_torn_record_back(path):
    size = len(write_study(path))
    # Not a multiple of a record, so that the last one is written in part.
    soft = size + 5_000

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    message = fill(path, preexec_fn=limit)
    assert message == (
        f"study journal {path} can't be written: the disk is full; what was written before is whole: "
        f"make room, then go on by `voxtune resume {path.parent}`"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_full_file_system_takes_the_torn_record_back(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        write_study(disk / "study.journal")
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 60_000)
        assert "the disk is full" in fill(disk / "study.journal", str(ballast))
    finally:
        subprocess.run(["umount", disk], check=True)


WRITE = """
    import os, sys
    from pathlib import Path
    import optuna
    from tuner.journal import open_journal, written_together
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for _ in sys.stdin:
        writer = os.fork()
        if writer:
            os.waitpid(writer, 0)
            print("killed", flush=True)
            continue
        print(os.getpid(), flush=True)
        study = optuna.create_study(
            storage=open_journal(Path(sys.argv[1]), owner=True), study_name="s", load_if_exists=True
        )
        while True:
            trial = study.ask()
            trial.set_user_attr("cases", {str(number): 0.5 for number in range(2000)})
            study.tell(trial, float(trial.number))
            print(trial.number, flush=True)
"""
"""Begins a writer for each line that it is given, which writes until it is killed."""


@pytest.mark.slow
def test_killed_while_writing_loses_nothing_confirmed(path):
    """Twelve writers, each killed at a moment of its own; the records are large, so that some are torn."""
    command = [sys.executable, "-c", textwrap.dedent(WRITE), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        for kill in range(12):
            process.stdin.write("write\n")
            writer = int(process.stdout.readline())
            confirmed = [int(process.stdout.readline()) for _ in range(3)]
            time.sleep(0.0013 * kill)
            os.kill(writer, signal.SIGKILL)
            confirmed += map(int, iter(process.stdout.readline, "killed\n"))
            trials = load(path).get_trials()
            complete = [trial.number for trial in trials if trial.state == TrialState.COMPLETE]
            assert confirmed[-1] in complete
            unfinished = [trial for trial in trials if trial.state != TrialState.COMPLETE]
            assert len(unfinished) <= kill + 1
    study = load(path, owner=True)
    assert all(trial.value == trial.number for trial in study.get_trials() if trial.state == TrialState.COMPLETE)
    study.tell(study.ask(), 1.0)
