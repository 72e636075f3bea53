"""Archives of a Decathlon task, as a mirror may hold them; put in place by hand, with a checksum that is theirs."""

import hashlib
import io
import tarfile
from functools import cache
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fuzzing.good import dataset_folder
from fuzzing.guard import Subject
from fuzzing.values import NUMBERS, TEXTS, garbled
from trainables.download import download_task
from trainables.layouts import read_dataset

TASK = "Task99_Blobs"
KINDS = (
    *(tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE),
    *(tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"?"),
)
PLACES = (TASK, f"{TASK}/x", f"{TASK}/x/y", f"{TASK}/dataset.json", f"{TASK}/../..", "..", "../..", "/", ".", *TEXTS)
BLOCK = 512
_FIELDS = {"mode": (100, 8), "size": (124, 12), "time": (136, 12), "checksum": (148, 8), "kind": (156, 1)}
"""Where they lie in a header, and how long they are (POSIX ustar)."""


@cache
def _members() -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(_good())) as tar:
        return [(member, file.read() if (file := tar.extractfile(member)) else b"") for member in tar]


@cache
def _good() -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        tar.add(dataset_folder(), arcname=TASK)
    return written.getvalue()


@st.composite
def _by_members(draw: DrawFn) -> bytes:
    """With members more that lead elsewhere, stand for what is no file, or in the place of others."""
    written = io.BytesIO()
    places = st.one_of(st.sampled_from(PLACES), st.text(max_size=8))
    kept = draw(st.integers(0, len(_members())))
    with tarfile.open(
        fileobj=written, mode="w", format=draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)))
    ) as tar:
        for member, content in _members()[:kept]:
            tar.addfile(member, io.BytesIO(content))
        for _ in range(draw(st.integers(1, 4))):
            odd = tarfile.TarInfo(draw(places))
            odd.type, odd.linkname = draw(st.sampled_from(KINDS)), draw(places)
            odd.mode = draw(st.sampled_from((0, 0o644, 0o777, 0o6777)))
            content = draw(st.binary(max_size=20)) if odd.type == tarfile.REGTYPE else b""
            odd.size = len(content)
            try:
                tar.addfile(odd, io.BytesIO(content))
            except (ValueError, UnicodeError):
                continue  # what tarfile itself can't write
        for member, content in _members()[kept:]:
            tar.addfile(member, io.BytesIO(content))
    return written.getvalue()


@st.composite
def _by_headers(draw: DrawFn) -> bytes:
    """Fields of headers overwritten, most with the header's checksum made right again."""
    content = bytearray(_good())
    for _ in range(draw(st.integers(1, 3))):
        member = draw(st.sampled_from([member for member, _ in _members()]))
        start, length = _FIELDS[draw(st.sampled_from(sorted(_FIELDS)))]
        value = draw(
            st.one_of(st.binary(max_size=12), st.sampled_from(NUMBERS).map(lambda number: str(number).encode()))
        )
        at = member.offset + start
        content[at : at + length] = value[:length].ljust(length, b"\0")
        if draw(st.integers(0, 3)):
            header = content[member.offset : member.offset + BLOCK]
            header[148:156] = b" " * 8
            content[member.offset + 148 : member.offset + 156] = f"{sum(header):06o}\0 ".encode()
    return bytes(content)


def _use(content: bytes, folder: Path) -> None:
    (folder / f"{TASK}.tar").write_bytes(content)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    unpacked = download_task(TASK, folder, url="http://127.0.0.1:9/", md5=digest)
    read_dataset(unpacked)
    assert sorted(path.name for path in folder.iterdir()) == [TASK, f"{TASK}.tar"]


SUBJECTS = (
    Subject(
        name="archive of a task",
        inputs=lambda: st.one_of(
            _by_members(), _by_members(), _by_headers(), garbled(_good(), tokens=(b"\0" * BLOCK,))
        ),
        use=_use,
        good=_good,
        examples=60,
    ),
)
