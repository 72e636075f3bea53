"""The command line in a shell: colours only where they are wanted, and words completed by the Tab key."""

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SAYS = """
import sys
from tuner import cli
for words in ("--help", "run --help", "run nope.yaml", "run"):
    sys.argv = ["voxtune", *words.split()]
    try:
        cli.main()
    except SystemExit:
        pass
"""
"""Help, and complaints of ours and of Typer."""

STEERED = ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERM", "COLUMNS")
"""Variables by which colours are turned on and off."""

COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|38;[\d;]+|4[0-7]|48;[\d;]+|9[0-7]|10[0-7])(?:;\d+)*m")


def written(terminal: bool, **variables: str) -> bytes:
    """What SAYS prints, to a terminal or to a pipe."""
    environment = {key: value for key, value in os.environ.items() if key not in STEERED} | variables
    command = [sys.executable, "-c", SAYS]
    if not terminal:
        return subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
        ).stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # as Linux says that the other end is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    return b"".join(parts)


def test_a_terminal_has_colours() -> None:
    assert len(COLOUR.findall(written(True, TERM="xterm-256color"))) > 20


def test_no_color_turns_them_off() -> None:
    """Bold and dim stay, as no-color.org has it."""
    shown = written(True, TERM="xterm-256color", NO_COLOR="1")
    assert b"\x1b[1m" in shown
    assert not COLOUR.findall(shown)


@pytest.mark.parametrize(("terminal", "name"), [(False, "xterm-256color"), (True, "dumb")])
def test_what_is_no_terminal_gets_text_alone(terminal: bool, name: str) -> None:
    shown = written(terminal, TERM=name)
    assert b"Usage:" in shown
    assert b"nope.yaml" in shown
    assert b"\x1b" not in shown


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("re",), {"resume", "report"}),
        (("cluster", "o"), {"onprem"}),
        (("run", "--tri"), {"--trials"}),
        (("resume", "h"), {"heart", "hippocampus"}),
        (("report", "hi"), {"hippocampus"}),
        (("watch", "/none"), set()),
        (("status", "--runs", "elsewhere", "h"), {"hips"}),
    ],
)
def test_the_tab_key_in_bash(
    words: tuple[str, ...], completed: set[str], home: Mapping[str, str], tmp_path: Path
) -> None:
    """As a new shell completes after `voxtune --install-completion`."""
    for sweep in ("runs/heart", "runs/hippocampus", "elsewhere/hips"):
        (tmp_path / sweep).mkdir(parents=True)
        (tmp_path / sweep / "sweep.yaml").touch()
    (tmp_path / "runs" / "half").mkdir()
    script = f"""
        source ~/.bashrc
        COMP_WORDS=(voxtune {" ".join(words)}) COMP_CWORD={len(words)}
        $(complete -p voxtune | sed 's/.*-F \\([^ ]*\\).*/\\1/') voxtune
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    answer = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, env=dict(home), capture_output=True, text=True
    )
    assert (set(answer.stdout.split()), answer.stderr) == (completed, "")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The variables of a user for whom completion was installed."""
    voxtune = Path(sys.executable).with_name("voxtune")
    if not (voxtune.is_file() and shutil.which("bash")):
        pytest.skip("needs bash, and voxtune as a command")
    folder = tmp_path_factory.mktemp("home")
    variables = os.environ | {"HOME": str(folder), "PATH": f"{voxtune.parent}:{os.environ['PATH']}"}
    # Typer asks which shell its parent is, so that bash must not hand its own process over.
    subprocess.run(["bash", "--norc", "-c", "voxtune --install-completion; true"], env=variables, check=True)
    return variables
