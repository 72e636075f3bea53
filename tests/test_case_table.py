"""A table of cases: the forms that it may have, and each rule that one may break."""

from collections.abc import Callable
from pathlib import Path

import pytest
from make_data import blob_case, write_nifti

from trainables.errors import DatasetError
from trainables.layouts import listed_images, read_dataset
from tuner.config import DatasetConfig
from tuner.preparation import groups_of

ROWS = "image,label\na.nii.gz,la.nii.gz\nb.nii,lb.nii\n"


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes `cases.csv` beside empty files for each name that ends with a NIfTI's."""

    def write(content: str | bytes, name: str = "cases.csv") -> Path:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        for cell in data.decode("latin-1").replace("\n", ",").replace(";", ",").replace("\t", ",").split(","):
            if cell.strip().strip('"').endswith((".nii", ".nii.gz")) and not cell.startswith("missing"):
                (tmp_path / cell.strip().strip('"')).touch()
        return tmp_path / name

    return write


def message(table: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(table)
    return str(caught.value)


def names(table: Path) -> list[tuple[str, list[str], str, str | None]]:
    return [
        (case.name, [file.name for file in case.image.files], case.label.name, case.group)
        for case in read_dataset(table).cases
    ]


def test_the_smallest_table(table: Callable[..., Path], tmp_path: Path) -> None:
    dataset = read_dataset(table(ROWS))
    assert (dataset.name, dataset.source, dataset.modalities) == (tmp_path.name, tmp_path / "cases.csv", ("channel_0",))
    assert [(case.name, *case.files, case.group) for case in dataset.cases] == [
        ("a", tmp_path / "a.nii.gz", tmp_path / "la.nii.gz", None),
        ("b", tmp_path / "b.nii", tmp_path / "lb.nii", None),
    ]
    assert (dict(dataset.labels), dataset.groups, dataset.notes) == ({}, {}, ())


def test_a_table_with_a_name_of_its_own_gives_it_to_the_data_set(table: Callable[..., Path]) -> None:
    assert read_dataset(table(ROWS, name="Tumours 2026.csv")).name == "Tumours 2026"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + ROWS.encode(),
        ROWS.replace("\n", "\r\n").encode(),
        ROWS.replace(",", ";").encode(),
        ROWS.replace(",", "\t").encode(),
        b' Image , LABEL \n\n"a.nii.gz", la.nii.gz \n,\nb.nii,lb.nii',
    ],
)
def test_spreadsheets_write_tables_in_many_ways(table: Callable[..., Path], content: bytes) -> None:
    assert names(table(content)) == [("a", ["a.nii.gz"], "la.nii.gz", None), ("b", ["b.nii"], "lb.nii", None)]


def test_a_column_a_channel_a_name_and_a_group(table: Callable[..., Path]) -> None:
    content = "group,Image_CT,image_pet,age,label,case,\nanna,a.nii,b.nii,7,c.nii,first scan,x\n"
    dataset = read_dataset(made := table(content))
    assert dataset.modalities == ("CT", "pet")
    assert names(made) == [("first scan", ["a.nii", "b.nii"], "c.nii", "anna")]
    assert dataset.notes == (
        f"{made}: age, column 7 without a name: not used; a table's columns are image or image_NAME, label, group and "
        "case",
    )


def test_files_may_lie_anywhere(table: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "tables"
    here.mkdir()
    for file in ("x.nii", "home/l.nii", "y.nii", "z.nii"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (here / "t.tsv").write_text(f"image\tlabel\n../x.nii\t~/l.nii\n{tmp_path}/y.nii\t{tmp_path}/z.nii\n")
    (here / "~nobody.nii").touch()
    (here / "t2.tsv").write_text("image\tlabel\n~nobody.nii\t../y.nii\n")
    assert read_dataset(here / "t2.tsv").cases[0].files == (here / "~nobody.nii", tmp_path / "y.nii")
    assert [case.files for case in read_dataset(here / "t.tsv").cases] == [
        (tmp_path / "x.nii", tmp_path / "home" / "l.nii"),
        (tmp_path / "y.nii", tmp_path / "z.nii"),
    ]


def test_channels_of_files_that_hold_all_are_numbered(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", blob_case(0, channels=3)[0])
    (tmp_path / "l.nii").touch()
    (tmp_path / "cases.csv").write_text("image,label\na.nii,l.nii\n")
    assert read_dataset(tmp_path / "cases.csv").modalities == ("channel_0", "channel_1", "channel_2")


def test_files_called_alike_are_told_by_their_folders(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("image\ndata/anna/1/t1.nii\ndata/anna/2/t1.nii\ndata/bert/t1.nii\n")
    assert [image.name for image in listed_images(table)[1]] == ["anna_1_t1", "anna_2_t1", "bert_t1"]


def test_its_groups_hold_unless_others_are_given(table: Callable[..., Path]) -> None:
    made = table("case,image,label,group\nx1,a.nii,b.nii,anna\nx2,c.nii,d.nii,anna\n")
    dataset = read_dataset(made)
    assert groups_of(dataset, DatasetConfig(path=made)) == {"x1": "anna", "x2": "anna"}
    assert groups_of(dataset, DatasetConfig(path=made, group="number")) == {"x1": "1", "x2": "2"}


def test_images_to_be_labelled_need_no_labels(table: Callable[..., Path]) -> None:
    channels, images = listed_images(table("image_T1,case\na.nii,x\n"))
    assert (channels, [(image.name, image.files[0].name) for image in images]) == (("T1",), [("x", "a.nii")])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ": is empty; its first line must name the columns: needed are label, and image or an image_NAME for"),
        ("image,label\n".encode("utf-16"), ": is in UTF-16; save it as CSV UTF-8, as Excel calls it"),
        ("image,label\n".encode("utf-16-le"), ": is in UTF-16; save it as CSV UTF-8, as Excel calls it"),
        (
            "image,label\na.nii,b.nii\nMüller.nii,c.nii\n".encode("latin-1"),
            ": line 3 is not in UTF-8 (byte 0xfc); save it as CSV UTF-8, as Excel calls it",
        ),
        (b'image,label\n"a.nii', ": can't be read as CSV: line 2: unexpected end of data"),
        (b"image,label\n", ": lists no case; each needs a line below the names of the columns"),
        (
            b"a.nii,la.nii\n",
            ": has no column image; needed are label, and image or an image_NAME for each channel; got",
        ),
        (b"image,mask\na.nii,b.nii\n", ": has no column label; needed are label, and image"),
        (b"image,image,label\n", ": two columns are called image"),
        (b"image_T1,image_T1,label\n", ": two columns are called image_T1"),
        (b"image,image_T1,label\n", ": columns of images are either image, of files with all channels, or image_NAME"),
        (b"image_,label\n", ": columns of images are either image, of files with all channels, or image_NAME, of a"),
        (b"image,label\na.nii,b.nii,c.nii\n", ": line 2 has 3 cells, the first line 2: a.nii,b.nii,c.nii"),
        (b"image,label\n\na.nii\n", ": line 3 has 1 cells, the first line 2: a.nii"),
        (b"image,label\na.nii,b.nii\nc.nii,\n", ": line 3: label is empty"),
        (b"image_T1,image_T2,label\na.nii,,b.nii\n", ": line 2: image_T2 is empty"),
        (b"image,label,group\na.nii,b.nii, \n", ": line 2: group is empty"),
        (b"image,label,case\na.nii,b.nii,\n", ": line 2: case is empty"),
        (b"image,label\na.png,b.nii\n", ": line 2: image: 'a.png' is not a NIfTI file (.nii or .nii.gz)"),
        (b"image,label,case\na.nii,b.nii,a/b\n", ": line 2: case 'a/b' must be a file's name: no '/'"),
        (b"image,label,case\na.nii,b.nii,../x\n", ": line 2: case '../x' must be a file's name: no '/'"),
        (b"image,label,case\na.nii,b.nii,\x1b[31m\n", ": line 2: case '\\x1b[31m' must be a file's name"),
        (
            b"image,label,case\na.nii,b.nii,x\nc.nii,d.nii,x\n",
            ': line 3: a second case "x" besides line 2; names differ',
        ),
        (
            b"image,label\na/b_t.nii,b.nii\na_b/t.nii,d.nii\na/t.nii,e.nii\nx/t.nii,f.nii\n",
            ': line 3: a second case "a_b_t" besides line 2; names differ',
        ),
    ],
)
def test_broken_tables(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "cases.csv").write_bytes(content)
    assert message(tmp_path / "cases.csv").startswith(f"{tmp_path}/cases.csv{expected}")


def test_a_file_has_one_place(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("case,image,label\n1,a.nii,b.nii\n2,c.nii,./x/../b.nii\n")
    assert message(table) == f"{table}: line 3: {tmp_path}/b.nii is already listed in line 2"
    table.write_text("case,image_T1,image_T2,label\n1,a.nii,a.nii,b.nii\n")
    assert message(table) == f"{table}: line 2: {tmp_path}/a.nii is already listed in line 2"


def test_files_that_are_not_there_are_listed_with_their_lines(table: Callable[..., Path], tmp_path: Path) -> None:
    made = table("image,label\na.nii,missing1.nii\nmissing2.nii,b.nii\n")
    assert message(made) == (
        "2 problems:\n"
        f"  {tmp_path}/missing1.nii: listed in line 2 of cases.csv, but no such file\n"
        f"  {tmp_path}/missing2.nii: listed in line 3 of cases.csv, but no such file"
    )


def test_paths_of_windows_are_hinted_at(tmp_path: Path) -> None:
    (tmp_path / "b.nii").touch()
    (tmp_path / "cases.csv").write_text("image,label\ndata\\a.nii,b.nii\n")
    assert message(tmp_path / "cases.csv") == (
        f"{tmp_path}/data\\a.nii: listed in line 2 of cases.csv, but no such file; write / instead of \\"
    )


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    assert message(tmp_path / "no.csv") == f"{tmp_path}/no.csv: can't be read: No such file or directory"
