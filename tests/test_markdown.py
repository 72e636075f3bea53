"""Names and amounts as Markdown shows them."""

from tuner.markdown import amount, escape


def test_amounts_are_told_in_their_unit() -> None:
    assert amount(1.5e9, "voxels") == "1.5 G voxels"
    assert amount(2e15, "flops") == "2 P flops"
    assert amount(20000, "steps") == "20000 steps"
    assert amount(90, "seconds") == "1 min 30 s"


def test_escape_leaves_plain_names_legible() -> None:
    assert escape("learning_rate 1e-4 (case_001.nii)") == "learning_rate 1e-4 (case_001.nii)"
    assert escape("a\n# b") == "a # b"
