"""Which images and labels a data set holds: reads a CSV file with a line for each case.

    case,image_T1,image_FLAIR,label,group
    anna_1,anna/1/t1.nii.gz,anna/1/flair.nii.gz,anna/1/seg.nii.gz,anna

`image` is a file with all channels, or there is an `image_NAME` for the file of each channel, in the order of the
columns. `group` says whose the case is. `case` names it; by default the first image's file does, with the folders above
it where files are called alike. Paths count from the table's folder; unlike a `dataset.json`, which comes with the
data, a table is its user's own list of files, which may lie anywhere. What the label values are called no table says:
they are what the label files hold.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainables.csv_file import read_rows
from trainables.dataset import SUFFIXES, Case, Dataset, ImageFiles, stem
from trainables.errors import DatasetError
from trainables.problems import is_file, missing_hint, name_problem, raise_problems
from trainables.volume_file import header_of

TABLE_SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t"

IMAGE, LABEL, GROUP, CASE = "image", "label", "group", "case"
_CHANNEL = "image_"
_SAYS_NOTHING = ("cases", "data", "dataset")
_KNOWN = f"{IMAGE} or {_CHANNEL}NAME, {LABEL}, {GROUP} and {CASE}"
_NEEDED = f"needed are {LABEL}, and {IMAGE} or an {_CHANNEL}NAME for each channel"


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Where in a row what stands."""

    images: Mapping[str, int]
    """By the name of its channel; of a file with all channels by nothing."""

    others: Mapping[str, int]
    """`label`, `group` and `case`, those that are there."""

    unused: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A line of the table."""

    line: int
    image: ImageFiles
    label: Path | None
    group: str | None


def read_case_table(table: Path) -> Dataset:
    """The data set that the CSV file `table` lists; sees that its files are there.

    Columns are set apart by commas, semicolons or tabs. Raises DatasetError, naming the file, the line, the column, the
    rule and the value.
    """
    columns, rows = _read(table)
    if LABEL not in columns.others:
        raise DatasetError(f"{table}: has no column {LABEL}; {_NEEDED}")
    cases = [Case(row.image, row.label, row.group) for row in rows if row.label is not None]
    raise_problems(
        f"{file}: listed in line {row.line} of {table.name}, but no such file{missing_hint(file)}"
        for row, case in zip(rows, cases, strict=True)
        for file in case.files
        if not is_file(file)
    )
    unused = f"{table}: {', '.join(columns.unused)}: not used; a table's columns are {_KNOWN}"
    return Dataset(
        source=table,
        manifest=table,
        name=_name(table),
        modalities=_channels(columns, rows),
        labels={},
        cases=tuple(cases),
        notes=(unused,) if columns.unused else (),
    )


def _name(table: Path) -> str:
    """The table's, or its folder's where that of the table says nothing."""
    folder = table.absolute().parent.name
    return folder if folder and table.stem.lower() in _SAYS_NOTHING else table.stem


def images_in_table(table: Path) -> tuple[tuple[str, ...], list[ImageFiles]]:
    """The names of the channels, and the images that `table` lists, which needs no labels for that.

    Raises DatasetError as `read_case_table` does, but for files that are not there.
    """
    columns, rows = _read(table)
    return _channels(columns, rows), [row.image for row in rows]


def _read(table: Path) -> tuple[_Columns, list[_Row]]:
    header, lines = _cells(table)
    columns = _columns(table, header)
    rows: list[_Row] = []
    used: dict[Path, int] = {}
    for line, cells in lines:
        place = f"{table}: line {line}"
        if len(cells) != len(header):
            raise DatasetError(f"{place} has {len(cells)} cells, the first line {len(header)}: {_shown(cells)}")
        row = _row(place, line, cells, header, columns, table.parent)
        for file in (*row.image.files, *([row.label] if row.label else [])):
            if file in used:
                raise DatasetError(f"{place}: {file} is already listed in line {used[file]}")
            used[file] = line
        rows.append(row)
    if not rows:
        raise DatasetError(f"{table}: lists no case; each needs a line below the names of the columns")
    if CASE not in columns.others:
        rows = _named_by_files(rows)
    _check_names(table, rows)
    return columns, rows


def _cells(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and each line that is not empty with its number, counted from 1."""
    filled = [(line, cells) for line, cells in read_rows(table, delimiters=DELIMITERS) if any(cells)]
    if not filled:
        raise DatasetError(f"{table}: is empty; its first line must name the columns: {_NEEDED}")
    return filled[0][1], filled[1:]


def _columns(table: Path, header: Sequence[str]) -> _Columns:
    images: dict[str, int] = {}
    others: dict[str, int] = {}
    unused = []
    for index, name in enumerate(header):
        lower = name.casefold()
        if lower in (LABEL, GROUP, CASE):
            place, key = others, lower
        elif lower == IMAGE or lower.startswith(_CHANNEL):
            place, key = images, name[len(_CHANNEL) :].strip()
        else:
            unused.append(name or f"column {index + 1} without a name")
            continue
        if key in place:
            raise DatasetError(f"{table}: two columns are called {name}")
        place[key] = index
    if not images:
        raise DatasetError(f"{table}: has no column {IMAGE}; {_NEEDED}; got {_shown(header)}")
    if "" in images and (len(images) > 1 or header[images[""]].casefold() != IMAGE):
        raise DatasetError(
            f"{table}: columns of images are either {IMAGE}, of files with all channels, or {_CHANNEL}NAME, of a "
            f"channel each; got {_shown(header)}"
        )
    return _Columns(images=images, others=others, unused=tuple(unused))


def _named_by_files(rows: Sequence[_Row]) -> list[_Row]:
    """`rows` with the names of their images' first files; with the folders above them where files are called alike."""
    files = [row.image.files[0] for row in rows]
    names = [stem(file) for file in files]
    if len(set(names)) < len(names):
        common = os.path.commonpath([file.parent for file in files])
        names = ["_".join((*file.parent.relative_to(common).parts, stem(file))) for file in files]
    return [replace(row, image=replace(row.image, name=name)) for row, name in zip(rows, names, strict=True)]


def _check_names(table: Path, rows: Iterable[_Row]) -> None:
    """Raises DatasetError where a case's name is no name, or another's too."""
    lines: dict[str, int] = {}
    for row in rows:
        place, name = f"{table}: line {row.line}", row.image.name
        if problem := name_problem(name):
            raise DatasetError(f"{place}: {CASE} {name!r} {problem}")
        if name in lines:
            raise DatasetError(f'{place}: a second case "{name}" besides line {lines[name]}; names differ')
        lines[name] = row.line


def _row(place: str, line: int, cells: Sequence[str], header: Sequence[str], columns: _Columns, folder: Path) -> _Row:
    def cell(index: int) -> str:
        if not cells[index]:
            raise DatasetError(f"{place}: {header[index]} is empty")
        return cells[index]

    def file(index: int) -> Path:
        text = cell(index)
        if not text.endswith(SUFFIXES) or "\0" in text:
            raise DatasetError(f"{place}: {header[index]}: {text!r} is not a NIfTI file (.nii or .nii.gz)")
        home = os.path.expanduser(text)  # noqa: PTH111 (`~name` of nobody stays as it is, where Path's raises)
        return Path(os.path.normpath(folder / home))

    images = tuple(file(index) for index in columns.images.values())
    others = columns.others
    return _Row(
        line=line,
        image=ImageFiles(cell(others[CASE]) if CASE in others else "", images),
        label=file(others[LABEL]) if LABEL in others else None,
        group=cell(others[GROUP]) if GROUP in others else None,
    )


def _channels(columns: _Columns, rows: Sequence[_Row]) -> tuple[str, ...]:
    """The channels' names; where a file has all of them, they are numbered as in the first one."""
    if "" not in columns.images:
        return tuple(columns.images)
    header = header_of(rows[0].image.files[0])
    shape: Sequence[int] = header.get_data_shape() if header is not None else ()
    channels = shape[3] if len(shape) == 4 else 1
    return tuple(f"channel_{number}" for number in range(channels))


def _shown(cells: Sequence[str]) -> str:
    text = ",".join(cells)
    return text if len(text) <= 80 else text[:77] + "..."
