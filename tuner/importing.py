"""Imports the class that a configuration file names, and says in the file's words what is wrong with the name."""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from traceback import extract_tb
from typing import Any

from tuner.errors import SweepConfigError

OURS = ("trainables", "tuner", "optuna")


def code_note(source: Path | str, *named: str | None) -> str | None:
    """What the user is told before code is run that the file `source` names and that is neither ours nor Optuna's.

    A sweep file is the user's own. The one of a run, and a `best/config.yaml`, may have come from somebody else.
    """
    others = [text for text in named if text and ":" in text and top_module(text) not in OURS]
    return f"{source} names code, which is run: {', '.join(others)}" if others else None


def import_named(text: str, *, key: str, kind: type) -> Any:
    """The class that the import string `text`, `module:Class`, names.

    A module in the current folder is found too: a user's own lies where the command is typed, and Ray puts that folder
    on its workers' path. The module's code is run, whatever it does.

    Args:
        key: the key that holds `text`, the file before it: `sweep.yaml: trainable`.
        kind: what the class must be: a base class of it, or a runtime-checkable protocol of methods.

    Raises SweepConfigError naming key, rule and `text` if the module can't be imported, has no such name, or if that
    is no class of this kind.
    """
    module, _, name = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:  # a script without a main guard may end the process
        raise SweepConfigError(f"{key}: {text} can't be imported: {_told(error)}") from error
    if not isinstance(found, type):
        raise SweepConfigError(f"{key}: must be {_described(kind)}; {text} is no class: {found!r:.80}")
    if not issubclass(found, kind):
        raise SweepConfigError(f"{key}: must be {_described(kind)}; {text} is none")
    return found


def source_path(spec: ModuleSpec) -> Path | None:
    """The file of a module, or the folder of a package; None for what is built in."""
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.has_location else None


def top_module(text: str) -> str:
    """The outermost package, or the module, of an import string `package.module:Class`."""
    return text.partition(":")[0].partition(".")[0]


def _told(error: BaseException) -> str:
    """What went wrong and, if code that was imported raised it, in which line."""
    frames = [frame for frame in extract_tb(error.__traceback__)[1:] if "importlib" not in frame.filename]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    kind = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
    return f"{kind}{error}{place}"


def _described(kind: type) -> str:
    if not getattr(kind, "_is_protocol", False):
        return f"a subclass of {kind.__name__}"
    *others, last = (name for name in vars(kind) if not name.startswith("_"))
    return f"a class with the methods {', '.join(others)} and {last}"
