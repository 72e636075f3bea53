"""Images in half precision, where training can't tell the difference."""

import numpy as np


def compact(image: np.ndarray) -> np.ndarray:
    """`image` (C, X, Y, Z) float32 as float16 where training can't tell the difference, else `image` itself.

    float16 keeps 11 bits: values up to 65,504 with a relative error of at most 2^-11. For normalised intensities that
    is a thousandth of their spread, far below the scanner's noise. For values that differ little around a large offset
    it would not be, so what counts is the rounding error against the spread: in each channel its root mean square may
    be at most 2^-10 of the standard deviation.
    """
    largest = np.finfo(np.float16).max
    if image.max() > largest or image.min() < -largest:
        return image
    half = image.astype(np.float16)
    for channel, rounded in zip(image, half, strict=True):
        error = np.square(channel - rounded).mean(dtype=np.float64)
        if error > 2**-20 * channel.var(dtype=np.float64):
            return image
    return half
