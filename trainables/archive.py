"""Reads torch's zip archive of tensors and plain types without running what is in it, and finds out damage first.

Models and the states of trials are such files; both may come from anyone.
"""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from trainables.errors import ModelFileError


def read_archive(path: Path) -> Any:
    """What `torch.save` put into `path`, tensors on the CPU. Raises ModelFileError naming file and fault."""
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            started_whole = file.read(2) == b"PK"
        if not zipfile.is_zipfile(path):
            what = "ends too early: copied or written only in part?" if started_whole else "not a voxtune model"
            raise ModelFileError(f"{path}: {what}")
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                # torch would inflate them: a small file could fill the memory
                raise ModelFileError(f"{path}: has compressed entries, which torch never writes; not a voxtune model")
            damaged = archive.testzip()  # torch itself does not compare checksums
        if damaged is not None:
            raise ModelFileError(f"{path}: damaged: the checksum of {damaged!r} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise ModelFileError(
            f"{path}: holds Python objects, which could run code when loaded; a voxtune model holds tensors and plain "
            "types only"
        ) from None
    except ModelFileError:
        raise
    except Exception as error:  # torch's reader has no error of its own for what torch never wrote
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelFileError(f"{path}: not a voxtune model: {line}") from None
