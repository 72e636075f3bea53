"""Counts the memory of tensors that are alive, as their storages are made and freed.

Storages that tensors share, and what is changed in place, count once. So it is told for tensors without data, too.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

HEAP_UP_TO = 2**25
"""Bytes. Where glibc manages memory, larger storages are mapped one by one and go back to the kernel when freed
(M_MMAP_THRESHOLD in mallopt(3), which rises to here by itself); smaller ones leave gaps between one another."""

_BACKWARD = torch.ops.aten.convolution_backward.default
_CONVOLUTIONS = (torch.ops.aten.convolution.default, _BACKWARD)
_FORWARD_TRANSPOSED, _BACKWARD_TRANSPOSED = 6, 7
"""Which of their arguments says whether they are transposed."""

Purpose = Literal["parameters", "inputs", "activations", "temporaries", "gradients"]


@dataclass(frozen=True, kw_only=True)
class Held:
    """Bytes held at the moment when most are held, by purpose."""

    by_purpose: Mapping[Purpose, int]

    largest_convolution: int
    """Bytes that the largest convolution in it reads and writes, around which a library needs workspace."""

    heap: int
    """The most bytes held at any moment, not only that one, in storages of up to HEAP_UP_TO."""

    def __getitem__(self, purpose: Purpose) -> int:
        return self.by_purpose.get(purpose, 0)

    @property
    def total(self) -> int:
        return sum(self.by_purpose.values())


class LiveStorages(TorchDispatchMode):
    """Counts the storages that are alive; new ones are put down to the `purpose` of the moment."""

    def __init__(self, *, unfolded: Collection[torch.dtype] = ()) -> None:
        """`unfolded`: formats in which convolutions unfold their input first, see `_columns`."""
        super().__init__()
        self._unfolded = unfolded
        self.purpose: Purpose = "parameters"
        self._now: Counter[Purpose] = Counter()
        self._known: dict[int, tuple[int, Purpose]] = {}
        self._most: dict[Purpose, int] = {}
        self._most_total = 0
        self._total = 0
        self._largest_convolution = 0
        self._heap = 0
        self._most_heap = 0

    @property
    def most(self) -> Held:
        return Held(by_purpose=self._most, largest_convolution=self._largest_convolution, heap=self._most_heap)

    def assign(self, tensor: Tensor, purpose: Purpose) -> None:
        """Put a tensor that is already counted down to another purpose."""
        key = tensor.untyped_storage()._cdata
        if key in self._known:
            size, before = self._known[key]
            self._known[key] = size, purpose
            self._now[before] -= size
            self._now[purpose] += size

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known[key] = size, self.purpose
        self._take(size, self.purpose)
        finalize(storage, self._drop, key)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        for tensor in tensors:
            self.add(tensor)
        if func in _CONVOLUTIONS:
            given = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
            self._largest_convolution = max(self._largest_convolution, tensor_bytes([*given, *tensors]))
            output, image, weight = args[:3] if func is _BACKWARD else (made, *args[:2])
            transposed = args[_BACKWARD_TRANSPOSED if func is _BACKWARD else _FORWARD_TRANSPOSED]
            if image.dtype in self._unfolded and not transposed:
                columns = _columns(output, image, weight, backward=func is _BACKWARD)
                self._take(columns, "temporaries")
                self._give(columns, "temporaries")
        return made

    def _take(self, size: int, purpose: Purpose) -> None:
        self._now[purpose] += size
        self._total += size
        if size <= HEAP_UP_TO:
            self._heap += size
            self._most_heap = max(self._most_heap, self._heap)
        if self._total > self._most_total:
            self._most, self._most_total = dict(self._now), self._total

    def _give(self, size: int, purpose: Purpose) -> None:
        self._now[purpose] -= size
        self._total -= size
        if size <= HEAP_UP_TO:
            self._heap -= size

    def _drop(self, key: int) -> None:
        self._give(*self._known.pop(key))


def _columns(output: Tensor, image: Tensor, weight: Tensor, *, backward: bool) -> int:
    """Bytes of the matrix that makes a convolution a matrix product: all that each voxel of the output is made from.

    So torch convolves where oneDNN does not (`slow_conv3d` in ATen/native/ConvolutionMM3d.cpp): the whole batch at
    once. On the way back the matrix is the product, sample by sample, and a product in bf16 is made in fp32 first
    (`sbgemm` in ATen/native/CPUBlas.cpp). A kernel of one voxel needs none.
    """
    if prod(weight.shape[2:]) == 1:
        return 0
    of_sample = prod(weight.shape[1:]) * prod(output.shape[2:])
    product = 4 * of_sample if backward and image.dtype == torch.bfloat16 else 0
    return len(image) * of_sample * image.element_size() + product


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
