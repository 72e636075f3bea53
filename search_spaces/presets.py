"""Ready-made search spaces for tasks of the Medical Segmentation Decathlon: commented YAML files in `presets/`."""

from pathlib import Path

from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace, parse_space
from search_spaces.yaml_file import read_yaml

FOLDER = Path(__file__).with_name("presets")


def preset_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def preset_file(name: str) -> Path:
    """The YAML file of a preset, for those who want its comments too. Raises SpaceError where there is none."""
    if name not in preset_names():
        raise SpaceError(f"preset: there is no {name!r}; available are {', '.join(preset_names())}")
    return FOLDER / f"{name}.yaml"


def load_preset(name: str) -> SearchSpace:
    """The search space called `name`. Raises SpaceError where there is none."""
    return parse_space(read_yaml(preset_file(name)), key=f"preset {name}")
