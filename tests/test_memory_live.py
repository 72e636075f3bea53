"""Storages counted as they come and go, against bytes counted by hand."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch._subclasses.fake_tensor import FakeTensorMode

from trainables.memory_live import HEAP_UP_TO, LiveStorages

VOXELS = 8**3
IMAGE, WEIGHT, OUTPUT = 4 * 2 * 3 * VOXELS, 4 * 5 * 3 * 27, 4 * 2 * 5 * VOXELS
COLUMNS = 4 * 2 * 3 * 27 * VOXELS


def test_what_is_freed_counts_no_more_and_views_count_once() -> None:
    with LiveStorages() as live:
        first = torch.empty(100, dtype=torch.float32)
        view = first[:50].add_(1)
        del first, view
        second = torch.empty(25, dtype=torch.float32)
    assert live.most.total == 400
    assert live.most.heap == 400
    del second


def test_large_storages_are_not_of_the_heap() -> None:
    with FakeTensorMode(), LiveStorages() as live:
        both = torch.empty(100, dtype=torch.uint8), torch.empty(HEAP_UP_TO + 1, dtype=torch.uint8)
    assert live.most.total == 100 + HEAP_UP_TO + 1
    assert live.most.heap == 100
    del both


def test_a_tensor_can_be_put_down_to_another_purpose() -> None:
    with LiveStorages() as live:
        live.purpose = "temporaries"
        gradient = torch.empty(10, dtype=torch.float32)
        live.assign(gradient, "gradients")
        more = torch.empty(1, dtype=torch.float32)
    assert (live.most["gradients"], live.most["temporaries"]) == (40, 4)
    del more


@pytest.mark.parametrize(("unfolded", "columns"), [((), 0), ((torch.float32,), COLUMNS)])
def test_a_convolution_holds_its_unfolded_input_where_it_unfolds(
    unfolded: tuple[torch.dtype, ...], columns: int
) -> None:
    with FakeTensorMode(), LiveStorages(unfolded=unfolded) as live:
        image, weight = torch.empty(2, 3, 8, 8, 8), torch.empty(5, 3, 3, 3, 3)
        output = F.conv3d(image, weight, padding=1)
        assert live.most.total == IMAGE + WEIGHT + OUTPUT + columns
        assert live.most["temporaries"] == columns
        assert live.most.largest_convolution == IMAGE + WEIGHT + OUTPUT
        wide = F.conv3d(output, torch.empty(1, 5, 1, 1, 1))  # a kernel of one voxel needs no unfolding
        assert live.most.total == max(IMAGE + WEIGHT + OUTPUT + columns, IMAGE + WEIGHT + OUTPUT + 4 * 2 * VOXELS + 20)
        del wide


@pytest.mark.parametrize(("dtype", "product"), [(torch.float32, 0), (torch.bfloat16, 4 * 3 * 27 * VOXELS)])
def test_on_the_way_back_a_product_in_bf16_is_made_in_fp32(dtype: torch.dtype, product: int) -> None:
    with FakeTensorMode(), LiveStorages(unfolded=[dtype]) as live:
        image = torch.empty(2, 3, 8, 8, 8, dtype=dtype, requires_grad=True)
        weight = torch.empty(5, 3, 3, 3, 3, dtype=dtype, requires_grad=True)
        F.conv3d(image, weight, padding=1).backward(torch.empty(2, 5, 8, 8, 8, dtype=dtype))
    both_ways = 2 * (IMAGE + WEIGHT + OUTPUT)
    assert live.most.total == (both_ways + COLUMNS) * dtype.itemsize // 4 + product
