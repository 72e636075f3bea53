import itertools

import pytest

from search_spaces.errors import SpaceError
from search_spaces.parameters import Choice, Fixed, Float, Int
from search_spaces.presets import load_preset, preset_file, preset_names
from search_spaces.space import parse_space
from search_spaces.yaml_file import read_yaml
from trainables.networks import check_patch, level_strides
from trainables.segmentation_config import SegmentationConfig

TASKS = {  # median voxels and spacing (mm) along x, y, z, from the MSD's files
    "hippocampus": ((35, 50, 36), (1, 1, 1)),
    "heart": ((320, 320, 115), (1.25, 1.25, 1.37)),
    "spleen": ((512, 512, 90), (0.79, 0.79, 5)),
    "brain_tumour": ((138, 170, 138), (1, 1, 1)),
    "brain_tumour_distmis": ((138, 170, 138), (1, 1, 1)),
}


def some_values(parameter):
    """Ends of a range, every choice."""
    if isinstance(parameter, Fixed):
        return [parameter.value]
    return parameter.values if isinstance(parameter, Choice) else [parameter.low, parameter.high]


def triple(patch_size):
    return (patch_size,) * 3 if isinstance(patch_size, int) else tuple(map(int, patch_size.split("x")))


def test_there_is_one_for_each_task():
    assert preset_names() == sorted(TASKS)


@pytest.mark.parametrize("name", ["lung", "", "../presets/heart", "heart.yaml"])
def test_an_unknown_preset_lists_the_known_ones(name):
    with pytest.raises(SpaceError) as error:
        load_preset(name)
    known = "brain_tumour, brain_tumour_distmis, heart, hippocampus, spleen"
    assert str(error.value) == f"preset: there is no {name!r}; available are {known}"


@pytest.mark.parametrize("name", TASKS)
def test_the_base_space_is_searched_and_every_file_explains_itself(name):
    space = load_preset(name)
    if name != "brain_tumour_distmis":
        assert {"learning_rate", "batch_size", "patch_size"} <= set(space.searched)
    assert preset_file(name).read_text().startswith("# ")
    assert parse_space(space.to_mapping()) == space


@pytest.mark.parametrize("name", TASKS)
def test_patches_fit_the_task_and_the_network(name):
    space = load_preset(name)
    shape, spacing = TASKS[name]
    for patch_size, levels in itertools.product(some_values(space["patch_size"]), some_values(space["levels"])):
        patch = triple(patch_size)
        check_patch(patch, level_strides(levels, spacing))
        assert all(size <= -(-voxels // 8) * 8 for size, voxels in zip(patch, shape, strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_every_value_is_one_that_training_takes(name):
    space = load_preset(name)
    base = {key: some_values(parameter)[-1] for key, parameter in space.items()}
    for key, parameter in space.items():
        for value in some_values(parameter):
            config = base | {key: value}
            space.validate(config)
            SegmentationConfig.from_mapping(config)


def test_the_search_of_distmis():
    space = load_preset("brain_tumour_distmis")
    assert list(space.searched) == ["learning_rate", "normalisation", "beta2", "amsgrad"]
    assert isinstance(space["learning_rate"], Float)
    network = {key: space.fixed[key] for key in ("network", "width", "levels", "optimizer")}
    assert network == {"network": "unet3d", "width": 8, "levels": 4, "optimizer": "adam"}


def test_a_preset_s_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("search_spaces.presets.FOLDER", tmp_path)
    (tmp_path / "heart.yaml").write_text("width: {int: [8, 4]}")
    with pytest.raises(SpaceError, match=r"preset heart\.width: low 8 must be below high 4"):
        load_preset("heart")
    (tmp_path / "heart.yaml").write_text("width: {int: [4, 8]}")
    assert dict(load_preset("heart")) == {"width": Int(low=4, high=8)}
    assert read_yaml(preset_file("heart")) == {"width": {"int": [4, 8]}}
