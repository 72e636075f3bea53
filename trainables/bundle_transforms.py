"""Steps of voxtune's preprocessing and postprocessing that MONAI has no transform for, as MONAI transforms.

Copied into every bundle (`tuner.bundle_scripts`), where it stands without voxtune.
"""

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys, convert_to_dst_type

from trainables.half_precision import compact
from trainables.image_rules import check_fit
from trainables.largest_component import keep_largest_component
from trainables.normalisation import ChannelNormalisation, cut_out_background, normalise
from trainables.resampling import image_orders, resample_image, resampled_shape
from trainables.targets import Targets

Data = Mapping[Hashable, Any]
_LINEAR = (1, 1, 1)


def not_empty(image: torch.Tensor) -> torch.Tensor:
    """Which voxels of `image` (C, X, Y, Z) a crop keeps: those that are not 0; all, where every one is."""
    filled = image != 0
    return filled if filled.any() else ~filled


class CheckImaged(MapTransform):
    """Stops at an image that no label should be made of, before anything is done to it, and warns of an odd one."""

    def __init__(self, keys: KeysCollection, modalities: Sequence[str]) -> None:
        """`modalities`: names of the channels that the network was trained on, in order."""
        super().__init__(keys)
        self.modalities = tuple(modalities)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Raises DatasetError as `check_fit` does, naming the file."""
        for key in self.key_iterator(dict(data)):
            path = Path(data[key].meta["filename_or_obj"])
            for note in check_fit([path], _array(data[key]), self.modalities):
                warnings.warn(f"{path}: {note}", stacklevel=2)
        return dict(data)


class NormaliseChannelsd(MapTransform):
    """Intensities of an image as training saw them.

    MONAI's transforms leave out zeros, or nothing; here a background that was cut out is left out (as
    `cut_out_background` tells it), and zeros inside the body are not.
    """

    def __init__(self, keys: KeysCollection, channels: Sequence[Mapping[str, Any]]) -> None:
        """`channels`: of each channel the kind of normalisation, for `ct` with its numbers (`ChannelNormalisation`)."""
        super().__init__(keys)
        self.channels = [ChannelNormalisation.from_mapping(channel) for channel in channels]

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        def normalised(image: np.ndarray) -> np.ndarray:
            image = np.array(image, np.float32, order="C")
            normalise(image, self.channels, cut_out_background(image))
            return image

        return _each_image(self, data, normalised)


class RoundToHalfd(MapTransform):
    """Rounds an image to float16 where training did, since its volumes are stored so. It stays float32."""

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        return _each_image(self, data, lambda image: compact(image).astype(np.float32))


class ResampleToSpacingd(MapTransform, InvertibleTransform):
    """Resamples an image along its own axes, by cubic splines, and linearly along an axis with thick slices.

    MONAI's `Spacingd` has no spline for each axis, and rounds the number of voxels in another way. Its way back is
    linear, for probabilities.
    """

    def __init__(self, keys: KeysCollection, spacing: Sequence[float]) -> None:
        """`spacing`: mm between the network's voxels along x, y, z."""
        super().__init__(keys)
        self.spacing = tuple(spacing)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        changed = dict(data)
        for key in self.key_iterator(changed):
            image: MetaTensor = changed[key]
            spacing = nib.affines.voxel_sizes(image.affine.numpy())
            shape = resampled_shape(image.shape[1:], spacing, self.spacing)
            array = resample_image(_array(image), shape, image_orders(spacing, self.spacing))
            changed[key] = self.push_transform(
                _with_array(array, image),
                orig_size=tuple(image.shape[1:]),
                affine=_finer(image.shape[1:], shape),
            )
        return changed

    def inverse(self, data: Data) -> dict[Hashable, Any]:
        changed = dict(data)
        for key in self.key_iterator(changed):
            image: MetaTensor = changed[key]
            x, y, z = (int(size) for size in self.pop_transform(image)[TraceKeys.ORIG_SIZE])
            back = _with_array(resample_image(_array(image), (x, y, z), _LINEAR), image)
            back.affine = image.affine @ torch.from_numpy(_finer(image.shape[1:], (x, y, z)))
            changed[key] = back
        return changed


class LabelValuesd(MapTransform):
    """What the network says of each voxel, as the values that the training data's label files have: (1, X, Y, Z)."""

    def __init__(self, keys: KeysCollection, targets: Mapping[str, Any], largest_component: bool = False) -> None:
        """`targets`: `Targets.to_mapping`. With `largest_component` each class or region keeps its largest piece."""
        super().__init__(keys)
        self.targets = Targets.from_mapping(targets)
        self.largest_component = largest_component

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Class indices (1, X, Y, Z), or regions one a channel (K, X, Y, Z), to label values (1, X, Y, Z)."""

        def values(found: np.ndarray) -> np.ndarray:
            encoded = found[0].astype(np.uint8)
            if self.targets.regions:
                encoded = sum(channel.astype(np.uint8) << index for index, channel in enumerate(found))
            if self.largest_component:
                encoded = keep_largest_component(encoded, self.targets)
            return self.targets.decode(encoded)[None].astype(np.int32)

        return _each_image(self, data, values)


class TargetMasksd(MapTransform):
    """Label values (1, X, Y, Z) to a mask for each class or region: (K, X, Y, Z), the background left out."""

    def __init__(self, keys: KeysCollection, targets: Mapping[str, Any]) -> None:
        """`targets`: `Targets.to_mapping`."""
        super().__init__(keys)
        self.targets = Targets.from_mapping(targets)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        def masks(label: np.ndarray) -> np.ndarray:
            codes = self.targets.encode(label[0].astype(np.uint16))
            return np.stack([self.targets.mask(codes, index) for index in range(len(self.targets.names))])

        return _each_image(self, data, masks)


def _each_image(transform: MapTransform, data: Data, change: Callable[[np.ndarray], np.ndarray]) -> dict[Hashable, Any]:
    """`data` with `change` done to each of the transform's keys."""
    changed = dict(data)
    for key in transform.key_iterator(changed):
        changed[key] = _with_array(change(_array(changed[key])), changed[key])
    return changed


def _array(image: MetaTensor) -> np.ndarray:
    return image.as_tensor().cpu().numpy()


def _with_array(array: np.ndarray, image: MetaTensor) -> MetaTensor:
    """`array` as a tensor with what is known of `image`, on its device."""
    changed: MetaTensor = convert_to_dst_type(array, image, dtype=array.dtype)[0]
    return changed


def _finer(shape: Sequence[int], new_shape: Sequence[int]) -> np.ndarray:
    """The affine (4, 4) from voxels of an array of `new_shape` to those of `shape` over the same extent."""
    scale = np.array(shape) / np.array(new_shape)
    return nib.affines.from_matvec(np.diag(scale), (scale - 1) / 2)
