"""Classes and regions: what the network learns from the labels, and the labels it writes."""

import json
import pickle
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from trainables.errors import SettingError
from trainables.targets import Targets, plan_targets

TUMOUR = {0: "background", 1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}
NESTED: dict[str, int | list[int]] = {"WT": [1, 2, 3], "TC": [2, 3], "ET": 3}
LABELS = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)


def test_each_label_is_its_own_class_by_default() -> None:
    targets = plan_targets(TUMOUR)
    assert targets.names == ("edema", "non-enhancing tumor", "enhancing tumour")
    assert targets.members == ((1,), (2,), (3,))
    assert (targets.regions, targets.channels) == (False, 4)
    np.testing.assert_array_equal(targets.encode(LABELS), LABELS)
    np.testing.assert_array_equal(targets.decode(LABELS), LABELS)


def test_a_merged_class_is_written_as_its_first_member() -> None:
    targets = plan_targets(TUMOUR, {"tumour": [2, 1, 3]})
    assert targets.channels == 2
    np.testing.assert_array_equal(targets.encode(LABELS), [[0, 1, 1, 1], [1, 1, 1, 0]])
    np.testing.assert_array_equal(targets.decode(np.array([0, 1], np.uint8)), [0, 2])


def test_labels_left_out_become_background_and_classes_keep_the_users_order() -> None:
    targets = plan_targets(TUMOUR, {"b": 3, "a": 1})
    np.testing.assert_array_equal(targets.encode(LABELS[0]), [0, 2, 0, 1])
    np.testing.assert_array_equal(targets.decode(np.array([0, 1, 2])), [0, 3, 1])


def test_nested_regions_are_bit_masks() -> None:
    targets = plan_targets(TUMOUR, NESTED, regions=True)
    assert targets.channels == 3
    np.testing.assert_array_equal(targets.encode(LABELS[0]), [0b000, 0b001, 0b011, 0b111])
    #                                                        WT  TC  both, ET with any: the last region present wins
    np.testing.assert_array_equal(targets.decode(np.arange(8)), [0, 1, 2, 2, 3, 3, 3, 3])


@pytest.mark.parametrize("order", [["WT", "TC", "ET"], ["ET", "TC", "WT"], ["TC", "WT", "ET"]])
def test_regions_come_back_in_any_order(order: list[str]) -> None:
    targets = plan_targets(TUMOUR, {name: NESTED[name] for name in order}, regions=True)
    np.testing.assert_array_equal(targets.decode(targets.encode(LABELS)), LABELS)


def test_overlapping_regions_come_back() -> None:
    targets = plan_targets(TUMOUR, {"a": [1, 2], "b": [2, 3]}, regions=True)
    np.testing.assert_array_equal(targets.encode(LABELS[0]), [0b00, 0b01, 0b11, 0b10])
    np.testing.assert_array_equal(targets.decode(targets.encode(LABELS)), LABELS)


def test_label_values_past_a_byte() -> None:
    targets = plan_targets({0: "background", 7: "a", 1024: "b"})
    encoded = targets.encode(np.array([0, 1024, 7], np.uint16))
    assert encoded.dtype == np.uint8
    assert encoded.tolist() == [0, 2, 1]
    decoded = targets.decode(encoded)
    assert (decoded.dtype, decoded.tolist()) == (np.uint16, [0, 1024, 7])


def test_masks_of_classes_and_regions() -> None:
    codes = np.array([[0, 1, 2, 3]], np.uint8)
    classes, regions = plan_targets(TUMOUR), plan_targets(TUMOUR, {"a": [1, 2], "b": [2, 3]}, regions=True)
    assert [classes.mask(codes, index).tolist() for index in (0, 2)] == [
        [[False, True, False, False]],
        [[False, False, False, True]],
    ]
    assert [regions.mask(codes, index).tolist() for index in (0, 1)] == [
        [[False, True, False, True]],
        [[False, False, True, True]],
    ]


@pytest.mark.parametrize("order", ["C", "F"])
def test_volumes_of_either_memory_order(order: str) -> None:
    label = np.asarray(np.random.default_rng(0).integers(0, 4, (5, 6, 7)), np.uint8, order=order)  # type: ignore[call-overload]
    targets = plan_targets(TUMOUR, {"tumour": [1, 3]})
    encoded = targets.encode(label)
    assert encoded.dtype == np.uint8
    np.testing.assert_array_equal(encoded, np.isin(label, [1, 3]))
    decoded = targets.decode(encoded)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, encoded)


@pytest.mark.parametrize("wanted", [None, {"tumour": [1, 2, 3]}])
def test_plain_types_and_back(wanted: Mapping[str, Sequence[int]] | None) -> None:
    targets = plan_targets(TUMOUR, wanted)
    targets.encode(LABELS)
    assert Targets.from_mapping(json.loads(json.dumps(targets.to_mapping()))) == targets
    assert pickle.loads(pickle.dumps(targets)) == targets


@pytest.mark.parametrize(
    ("wanted", "regions", "expected"),
    [
        ({}, False, "labels: 0 names for 0 groups of label values"),
        ({"a": []}, False, "labels: a has no label value"),
        ({"": [1]}, False, "labels: names must differ and not be empty, got ''"),
        ({"a": 0}, False, "labels: a has 0, the background, which is no target"),
        (
            {"a": [1, 4]},
            False,
            "labels: a has 4, which is not a label of the data set: "
            "1 (edema), 2 (non-enhancing tumor), 3 (enhancing tumour)",
        ),
        ({"a": "edema"}, False, "labels: a has 'edema', which is not a label of the data set: 1 (edema), 2"),
        ({"a": True}, False, "labels: a has True, which is not a label"),
        ({"a": 1.0}, False, "labels: a has 1.0, which is not a label"),
        ({"a": [1, 1]}, False, "labels: a has label 1 twice"),
        ({"a": [1, 2], "b": [2]}, False, "labels: label 2 is in a and in b; only regions may share a label"),
        ({"a": [1, 1]}, True, "labels: a has label 1 twice"),
        ({"a": [1, 2], "b": [2, 1]}, True, "labels: two regions are made of the same labels"),
    ],
)
def test_targets_that_make_no_sense(wanted: Mapping[str, int | list[int]], regions: bool, expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        plan_targets(TUMOUR, wanted, regions=regions)
    assert str(caught.value).startswith(expected)


def test_no_more_targets_than_a_byte_holds() -> None:
    many = {value: f"label {value}" for value in range(257)}
    assert plan_targets({value: many[value] for value in range(256)}).channels == 256
    with pytest.raises(SettingError, match=r"^labels: 256 classes; at most 255 can be stored in a byte$"):
        plan_targets(many)
    with pytest.raises(SettingError, match=r"^labels: 9 regions; at most 8 can be stored in a byte$"):
        plan_targets(many, {str(value): value for value in range(1, 10)}, regions=True)


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"names": ["a"], "members": [[1]]},
        {"names": "a", "members": [[1]], "regions": False},
        {"names": [1], "members": [[1]], "regions": False},
        {"names": ["a"], "members": [1], "regions": False},
        {"names": ["a"], "members": [["1"]], "regions": False},
        {"names": ["a"], "members": [[1]], "regions": "no"},
        {"names": ["a"], "members": [[1]], "regions": False, "more": 1},
    ],
)
def test_a_mapping_of_another_kind(mapping: Mapping[str, object]) -> None:
    with pytest.raises(SettingError, match=r"^labels: need names, members and regions, got "):
        Targets.from_mapping(mapping)
