"""The rows of a CSV file that its user wrote, most often with a spreadsheet's help."""

import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from io import StringIO
from pathlib import Path

from trainables.errors import DatasetError


def read_rows(file: Path, *, delimiters: str = ",") -> list[tuple[int, list[str]]]:
    """The number of each row's last line, counted from 1, and its cells without blanks around them.

    Cells are set apart by whichever of `delimiters` the first line has most of. Raises DatasetError, naming the file,
    where it can't be read, or is no CSV in UTF-8.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: can't be read: {error.strerror}") from None
    lines = StringIO(_decoded(file, content), newline="")
    delimiter = max(delimiters, key=lines.readline().count)
    lines.seek(0)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise DatasetError(f"{file}: can't be read as CSV: line {reader.line_num}: {error}") from None


def _decoded(file: Path, content: bytes) -> str:
    """`content` as text. Raises DatasetError where it is not in UTF-8, and says in which line."""
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in content[:2]:
        problem = "is in UTF-16"
    else:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            problem = f"line {line} is not in UTF-8 (byte 0x{error.object[error.start]:02x})"
    raise DatasetError(f"{file}: {problem}; save it as CSV UTF-8, as Excel calls it")
