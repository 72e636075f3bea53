"""Inflates gzip up to a bound: what a file holds is not known before, and a few MB may inflate to many GB."""

import zlib

_PIECE = 2**16
"""Bytes that go to zlib at once; it copies those that belong to the next member, of which there may be many."""

_GZIP = 31
"""zlib's `wbits` for a gzip header, and its checksum compared at the end."""


def inflate(content: bytes, most: int) -> bytes:
    """The first `most` bytes of what `content` holds, all its members after one another.

    Raises EOFError where it ends within a member before that, zlib.error where it is no gzip or damaged.
    """
    view, position, left = memoryview(content), 0, most
    parts: list[bytes] = []
    member = None
    while left and position < len(view):
        piece = view[position : position + _PIECE]
        if member is None:
            blank = len(piece) - len(bytes(piece).lstrip(b"\0")) if parts else 0  # padding may follow a member
            position += blank
            if blank == len(piece):
                continue
            member = zlib.decompressobj(_GZIP)
            piece = piece[blank:]
        part = member.decompress(piece, left)
        position += len(piece) - len(member.unconsumed_tail) - len(member.unused_data)
        left -= len(part)
        parts.append(part)
        if member.eof:
            member = None
    if left and member is not None:
        raise EOFError
    return b"".join(parts)
