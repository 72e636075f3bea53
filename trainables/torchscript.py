"""A model's network as TorchScript, which runs where neither our code nor MONAI is.

Traced, since our instance normalisation has a gradient of its own, which scripting refuses. A trace notes what is done
to the tensors, not their sizes: nothing in our networks depends on those, and that is tried here.
"""

import warnings

import torch

from trainables.levels import patch_divisors
from trainables.model_file import Model
from trainables.networks import build_network

_TOLERANCE = 1e-4
"""Of logits, as a share of the largest."""


def trace_network(model: Model) -> torch.jit.ScriptModule:
    """The network of `model` in fp32, for any device, batch and size that its strides divide.

    Raises AssertionError where it gives other logits than the network on a larger volume than it was traced with.
    """
    network = build_network(model.network, memory_format="contiguous")
    network.load_state_dict(dict(model.weights))
    network.eval().requires_grad_(False)
    channels, divisors = model.network.in_channels, patch_divisors(model.network.strides)
    generator = torch.Generator().manual_seed(0)
    patch = torch.rand((1, channels, *model.patch_size), generator=generator)
    larger = (size + divisor for size, divisor in zip(model.patch_size, divisors, strict=True))
    other = torch.rand((2, channels, *larger), generator=generator)
    with torch.no_grad(), warnings.catch_warnings():
        # that tracing is on its way out of torch, and that checks of sizes are not kept
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(network, patch, check_trace=False)
        wanted, found = network(other), traced(other)
        difference = (wanted - found).abs().max() / wanted.abs().max().clamp(min=1e-6)
    assert difference <= _TOLERANCE, f"the traced network's logits are {difference:.1e} off"
    return traced
