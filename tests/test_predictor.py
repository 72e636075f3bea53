"""Averaging over members and mirrored forms, against the same done by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from make_data import blob_case
from make_model import make_model
from torch import Tensor

from trainables.errors import SettingError
from trainables.inference import encode, probabilities
from trainables.merging import Part, merge
from trainables.model_file import Model
from trainables.networks import NetworkConfig, build_network
from trainables.precision import resolve_precision
from trainables.predictor import Predictor, doubtful_flips
from trainables.targets import Targets
from trainables.windows import window_size

REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)


def probabilities_of(model: Model, volume: np.ndarray) -> Tensor:
    return probabilities(
        model.build(),
        volume,
        window=window_size(volume.shape[1:], patch_size=model.patch_size, strides=model.network.strides),
        targets=model.targets,
        device="cpu",
        precision=resolve_precision("fp32", "cpu"),
        overlap=model.overlap,
    ).clone()


def image() -> np.ndarray:
    return blob_case(1)[0][None]


@pytest.mark.parametrize("targets", [make_model().targets, REGIONS])
def test_members_of_one_plan_are_averaged(targets: Targets) -> None:
    models = [make_model(seed, targets=targets) for seed in range(3)]
    predictor = Predictor(models, device="cpu")
    ((volume, grid),) = predictor.prepare(image(), np.eye(4)).values()
    mean = torch.stack([probabilities_of(model, volume) for model in models]).mean(0)
    expected = targets.decode(grid.restore(encode(mean, targets, threshold=0.5).numpy()))
    found = predictor.label(image(), np.eye(4))
    assert np.mean(found == expected) > 0.999  # but for rounding where two are as probable
    alone = Predictor(models[:1], device="cpu").label(image(), np.eye(4))
    assert np.mean(alone == expected) < 0.95


def test_members_of_other_spacings_meet_on_the_files_voxels() -> None:
    models = [make_model(0), make_model(1, spacing=(1.5, 1.5, 2)), make_model(2)]
    predictor = Predictor(models, device="cpu")
    prepared = predictor.prepare(image(), np.eye(4))
    assert [volume.shape[1:] for volume, _ in prepared.values()] == [(20, 24, 18), (13, 16, 9)]
    parts = []
    for plan, share in ((models[0].plan, 2 / 3), (models[1].plan, 1 / 3)):
        volume, grid = prepared[plan]
        total = torch.stack([probabilities_of(model, volume) for model in models if model.plan == plan]).sum(0) / 3
        parts.append(Part(probabilities=total, grid=grid, share=share))
    expected = predictor.targets.decode(merge(parts, predictor.targets))
    assert np.mean(predictor.segment(prepared) == expected) > 0.999


@pytest.mark.parametrize("flips", ["x", "zy", "xyz"])
def test_mirrored_forms_are_averaged(flips: str) -> None:
    """By hand: mirror, segment, mirror back, for every combination of the axes."""
    model = make_model()
    predictor = Predictor([model], device="cpu", flips=flips)
    ((volume, grid),) = predictor.prepare(image(), np.eye(4)).values()
    forms = [[]]
    for axis in ("xyz".index(letter) + 1 for letter in flips):
        forms += [[*form, axis] for form in forms]
    assert len(forms) == 2 ** len(flips)
    found = [probabilities_of(model, np.flip(volume, tuple(form))).flip(form) for form in forms]
    expected = model.targets.decode(grid.restore(encode(torch.stack(found).mean(0), model.targets).numpy()))
    label = predictor.label(image(), np.eye(4))
    assert np.mean(label == expected) > 0.999
    assert np.mean(label == Predictor([model], device="cpu").label(image(), np.eye(4))) < 0.99


def test_probabilities_of_cut_volumes_are_the_softmax_of_the_blended_logits() -> None:
    """Of a network whose logits are the image's values whatever the window, the blend is these values again."""

    class Identity(torch.nn.Module):
        def forward(self, windows: Tensor) -> Tensor:
            return windows

    volume = np.random.default_rng(0).normal(size=(3, 20, 17, 9)).astype(np.float32)
    for targets, expected in (
        (make_model().targets, torch.from_numpy(volume).softmax(0)),
        (replace(REGIONS, names=("a", "b", "c"), members=((1,), (2,), (3,))), torch.from_numpy(volume).sigmoid()),
    ):
        found = probabilities(
            Identity(),
            volume,
            window=(8, 8, 8),
            targets=targets,
            device="cpu",
            precision=resolve_precision("fp32", "cpu"),
            overlap=0.5,
            at_once=3,
        )
        torch.testing.assert_close(found, expected)


def test_only_if_all_members_were_validated_so_one_piece_stays() -> None:
    models = [make_model(seed, training={"largest_component": True}) for seed in range(2)]
    mixed = [models[0], replace(models[1], training={})]
    labels = [Predictor(members, device="cpu").label(image(), np.eye(4)) for members in (models, mixed)]
    counts = [np.count_nonzero(label) for label in labels]
    assert 0 < counts[0] < counts[1]


def test_flips_that_are_no_axes() -> None:
    with pytest.raises(SettingError, match="flips: must be different letters out of xyz, or empty, got 'lr'"):
        Predictor([make_model()], device="cpu", flips="lr")


def test_flips_that_may_make_labels_worse_are_told() -> None:
    mirrored = make_model(training={"flips": "xyz"})
    assert doubtful_flips([mirrored], "xz") == []
    assert doubtful_flips([mirrored, make_model()], "yz") == [
        "flips: y, z: training mirrored nothing along there, so Dice may fall"
    ]
    sided = Targets(names=("kidney_left", "Right kidney"), members=((1,), (2,)), regions=False)
    kidneys = make_model(targets=sided, training={"flips": "xyz"})
    assert doubtful_flips([kidneys], "yz") == []
    assert doubtful_flips([kidneys], "x") == ["flips: x swaps left and right, which are classes of their own here"]


def test_networks_of_an_ensemble_may_differ() -> None:
    network = NetworkConfig(
        architecture="compact_unet", in_channels=1, out_channels=3, width=4, levels=2, strides=((2, 2, 2),)
    )
    other = make_model(network=network, weights=build_network(network).state_dict(), patch_size=(8, 8, 8))
    assert Predictor([make_model(), other], device="cpu").label(image(), np.eye(4)).shape == (20, 24, 18)
