"""Labels as files: where their images lie, in the form that their names say, whole or as they were."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from make_data import write_nifti

from trainables.label_file import write_label
from trainables.volume_file import read_label

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3, -5], [0, 1, 0, 7], [0, 0, 0, 1]])
LABEL = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_nifti(tmp_path / "image.nii.gz", np.ones((2, 3, 4), np.float32), affine=AFFINE)


@pytest.mark.parametrize(("name", "start"), [("label.nii", b"\x5c\x01\0\0"), ("label.nii.gz", b"\x1f\x8b")])
def test_a_label_is_of_the_kind_that_its_name_says(image: Path, tmp_path: Path, name: str, start: bytes) -> None:
    path = tmp_path / name
    write_label(LABEL, like=image, path=path)
    content = path.read_bytes()
    assert content.startswith(start)
    label, affine = read_label(path)
    np.testing.assert_array_equal(label, LABEL)
    np.testing.assert_array_equal(affine, AFFINE)
    write_label(LABEL, like=image, path=path)
    assert path.read_bytes() == content  # whenever it is written


def test_nifti_2_stays_what_it_is(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(np.ones((2, 3, 4), np.float32), AFFINE), tmp_path / "image.nii")
    write_label(LABEL, like=tmp_path / "image.nii", path=tmp_path / "label.nii.gz")
    assert isinstance(nib.load(tmp_path / "label.nii.gz"), nib.Nifti2Image)


def test_a_label_that_can_not_be_written_leaves_the_old_one(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / "label.nii.gz"
    write_label(LABEL, like=image, path=path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        write_label(LABEL + 1, like=image, path=path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
