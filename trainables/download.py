"""Fetches a task of the Medical Segmentation Decathlon, from where MONAI's `DecathlonDataset` gets it.

    FOLDER/Task09_Spleen/              unpacked and whole: it gets this name only then
    FOLDER/Task09_Spleen.tar           the archive; put here by hand it is taken as it is, once its checksum is right
    FOLDER/Task09_Spleen.tar.part      as far as a download came; the next one goes on from there
    FOLDER/.Task09_Spleen.unpacking/   being unpacked, or left by a killed process

MONAI's own download starts from zero after an interruption, which the larger archives (27 GB) rarely survive; so the
transfer is ours, and the addresses and checksums are MONAI's.
"""

import fcntl
import hashlib
import http.client
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from trainables.errors import DatasetError, first_line
from trainables.layouts import read_dataset

TIMEOUT = 60
"""Seconds without an answer or a byte after which a transfer has failed."""

_CHUNK = 2**20


def download_task(
    task: str,
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    url: str | None = None,
    md5: str | None = None,
) -> Path:
    """Fetch and unpack `task`, e.g. `Task09_Spleen`, into `folder`. Returns the folder of its dataset.json.

    `progress` is called with (bytes there, bytes in all). `url` and `md5`, given together, stand in for MONAI's, for a
    mirror. Of an interrupted transfer nothing is lost: call again. An unpacked task is left as it is.

    Raises DatasetError for an unknown task, a failed transfer or a wrong checksum (saying what to do), an archive that
    would write outside its folder, a folder in the way, or too little disk.
    """
    if url is None or md5 is None:
        url, md5 = _source(task)
    unpacked = folder / task
    if unpacked.exists():
        _check_unpacked(unpacked)
        return unpacked
    archive = folder / f"{task}.tar"
    folder.mkdir(parents=True, exist_ok=True)
    by_hand = archive.exists()
    if not by_hand:
        _fetch(task, url, archive, progress)
    found = _md5(archive)
    if found != md5:
        if not by_hand:
            archive.unlink()  # or every further try would find it
        raise DatasetError(
            f"{archive}: its MD5 checksum is {found}, {task} has {md5}; "
            + ("delete it or put the right file there" if by_hand else "it was deleted; download it again")
        )
    _unpack(task, archive, unpacked)
    if not by_hand:
        archive.unlink()
    return unpacked


def _source(task: str) -> tuple[str, str]:
    """Address and MD5 checksum of a task's archive."""
    from monai.apps.datasets import DecathlonDataset  # importing MONAI takes seconds

    known = DecathlonDataset.resource
    if task not in known:
        raise DatasetError(f"{task}: not a task of the Decathlon; these are {', '.join(known)}")
    return known[task], DecathlonDataset.md5[task]


def _check_unpacked(unpacked: Path) -> None:
    try:
        read_dataset(unpacked)
    except DatasetError as error:
        raise DatasetError(
            f"{unpacked}: is there already but no whole data set ({error}); delete it or choose another folder"
        ) from None


def _fetch(task: str, url: str, archive: Path, progress: Callable[[int, int], None] | None) -> None:
    """Bring the archive at `url` to `archive`, going on with what an earlier try left."""
    part = archive.with_name(f"{archive.name}.part")
    try:
        with part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DatasetError(f"{part}: another process is downloading {task} to this folder") from None
            _transfer(url, file, progress)
            part.rename(archive)
    except (OSError, http.client.HTTPException) as error:
        kept = part.stat().st_size if part.exists() else 0
        if not kept:
            part.unlink(missing_ok=True)
        raise DatasetError(
            f"{task}: download from {url} failed: {_reason(error)}. Run it again"
            + (f" to go on from the {kept / 2**20:.1f} MiB that are there" if kept else "")
            + f"; or fetch that file by other means, put it at {archive}, and run it again to check and unpack it"
        ) from None


def _transfer(url: str, file: BinaryIO, progress: Callable[[int, int], None] | None) -> None:
    """Append to `file` what it lacks of the content of `url`."""
    start = file.tell()
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies beyond what is there. If that is not the whole file, its checksum will tell.
        return
    with response:
        if start and response.status != 206:  # a server that can't go on from the middle sends it all
            file.seek(0)
            file.truncate()
            start = 0
        left = int(response.headers.get("Content-Length") or 0)
        total = start + left
        free = shutil.disk_usage(Path(file.name).parent).free
        if left + total > free:
            raise OSError(
                f"{(left + total) / 2**30:.1f} GiB are needed to fetch and unpack it, {free / 2**30:.1f} GiB are free"
            )
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            if progress is not None:
                progress(file.tell(), total)
        if total and file.tell() != total:
            raise OSError(f"the connection ended after {file.tell()} of {total} bytes")
        file.flush()


def _unpack(task: str, archive: Path, unpacked: Path) -> None:
    partial = unpacked.with_name(f".{task}.unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with tarfile.open(archive, "r:") as tar:  # the Decathlon's are not compressed: none grows when unpacked
            if sum(member.size for member in tar) > archive.stat().st_size:
                raise DatasetError(f"{archive}: refused, since its members claim to be larger than itself")
            tar.extractall(partial, filter="data")
        if not (partial / task / "dataset.json").is_file():
            raise DatasetError(f"{archive}: holds no {task}/dataset.json")
        (partial / task).rename(unpacked)
    except tarfile.FilterError as error:
        raise DatasetError(f"{archive}: refused, since it would write outside its folder: {error}") from None
    except OSError as error:
        raise DatasetError(f"{archive}: can't be unpacked beside it: {error.strerror or error}") from None
    except DatasetError:
        raise
    except Exception as error:  # tarfile has no error of its own for much that nobody packs
        raise DatasetError(f"{archive}: not a readable tar archive: {first_line(error)}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, URLError):
        return f"the server can't be reached ({error.reason})"
    return str(error) or type(error).__name__
