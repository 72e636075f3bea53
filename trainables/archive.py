"""Archives of tensors and plain types: written, and read without running what is in them, damage found out first.

Models and the states of trials are such files; both may come from anyone. They are torch's zip archives, or, where
there is no tensor in it, JSON in a zip archive, which has its checksums too.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from trainables.errors import ModelFileError, first_line

MOST_VALUES = 10**6
"""In a file's lists and mappings, each counted as often as it is met. A pickle writes a list once that stands in many
places: 60 lists, each of them twice in the next, would be read for ever by whoever compares, copies or prints them."""


_PLAIN = "plain.json"
"""The one entry of an archive without tensors."""


def write_archive(content: Mapping[str, Any], path: Path) -> None:
    """Write `content`, which `read_archive` gives again. Without tensors torch stays out of it, and so out of the
    memory of a process that does not use it otherwise: 0.1 GiB and 2 seconds."""
    if _is_plain(content):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(_PLAIN, json.dumps(content))
        return
    import torch

    torch.save(content, path)


def read_archive(path: Path) -> Any:
    """What `write_archive` or `torch.save` put into `path`, tensors on the CPU.

    Raises ModelFileError naming file and fault.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            started_whole = file.read(2) == b"PK"
        if not zipfile.is_zipfile(path):
            what = "ends too early: copied or written only in part?" if started_whole else "not a voxtune model"
            raise ModelFileError(f"{path}: {what}")
        content = _content(path)
        if _has_more_values(content, MOST_VALUES):
            raise ModelFileError(f"{path}: holds more than {MOST_VALUES} values; not a voxtune model")
        return content
    except UnpicklingError:
        raise ModelFileError(
            f"{path}: holds Python objects, which could run code when loaded; a voxtune model holds tensors and plain "
            "types only"
        ) from None
    except ModelFileError:
        raise
    except Exception as error:  # torch's reader has no error of its own for what torch never wrote
        raise ModelFileError(f"{path}: not a voxtune model: {first_line(error)}") from None


def _content(path: Path) -> Any:
    """What is in a zip archive that is whole."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            # torch would inflate them: a small file could fill the memory
            raise ModelFileError(f"{path}: has compressed entries, which torch never writes; not a voxtune model")
        if sum(entry.compress_size for entry in archive.infolist()) > path.stat().st_size:
            # each of many entries may be the same bytes, which would be read as often
            raise ModelFileError(f"{path}: has entries that overlap, which torch never writes; not a voxtune model")
        damaged = archive.testzip()  # torch itself does not compare checksums
        if damaged is not None:
            raise ModelFileError(f"{path}: damaged: the checksum of {damaged!r} is wrong")
        if archive.namelist() == [_PLAIN]:
            return json.loads(archive.read(_PLAIN))
    import torch  # which takes seconds

    return torch.load(path, map_location="cpu", weights_only=True)


def _is_plain(value: Any) -> bool:
    """Whether JSON gives it again as it is: a tuple, say, would become a list."""
    if type(value) is dict:
        return all(type(key) is str and _is_plain(inner) for key, inner in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def _has_more_values(content: Any, most: int) -> bool:
    left = [content]
    met = 1
    while left:
        value = left.pop()
        if isinstance(value, dict):
            inner = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            inner = list(value)
        else:
            continue
        met += len(inner)
        if met > most:
            return True
        left += inner
    return False
