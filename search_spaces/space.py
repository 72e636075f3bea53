"""The search space: parameters by name, read from its YAML form and written back to it.

learning_rate: {float: [1e-4, 1e-2], log: true}
width: {int: [8, 32], step: 8}
batch_size: {choice: [2, 4]}
patch_size: {choice: [32, [40, 56, 40]]}
optimizer: adamw
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from search_spaces.errors import SpaceError
from search_spaces.parameters import Choice, Fixed, Float, Int, Parameter

KINDS = {"float": ("log", "step"), "int": ("log", "step"), "choice": ()}
"""The keys that make a mapping a searched parameter, each with the options that may stand beside it."""

ParameterT = TypeVar("ParameterT", bound=Parameter)


class SearchSpace(Mapping[str, Parameter]):
    """An immutable mapping of names to parameters, in the order given, at least one of them searched."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        """Raises SpaceError for a name that is not an identifier, and where nothing is left to search."""
        for name in parameters:
            _check_name(name, "space")
        self._parameters = dict(parameters)
        if not self.searched:
            fixed = f"all fixed: {', '.join(parameters)}" if parameters else "no parameters"
            raise SpaceError(f"space: nothing to search ({fixed}); give at least one a float, int or choice")

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __repr__(self) -> str:
        return f"SearchSpace({self._parameters!r})"

    @property
    def searched(self) -> dict[str, Float | Int | Choice]:
        """The parameters that vary from trial to trial."""
        return {name: p for name, p in self._parameters.items() if not isinstance(p, Fixed)}

    @property
    def fixed(self) -> dict[str, Any]:
        """The values that every trial has in common."""
        return {name: p.value for name, p in self._parameters.items() if isinstance(p, Fixed)}

    def first(self, default: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration: `default` where it names a parameter, else the first choice or the low end of a range."""
        return {**self.fixed, **{name: values[0] for name, values in self.extremes().items()}, **default}

    def extremes(self) -> dict[str, list[Any]]:
        """The values of each searched parameter that show what it allows: all choices, or both ends of a range."""
        return {name: list(p.values) if isinstance(p, Choice) else [p.low, p.high] for name, p in self.searched.items()}

    def size(self) -> int | None:
        """How many different configurations there are; None if a float without a step makes them endless."""
        sizes = [parameter.size() for parameter in self._parameters.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def validate(self, config: Mapping[str, Any]) -> None:
        """Raises SpaceError unless `config` is a point of the space: every parameter, each within its own rules."""
        if missing := [name for name in self if name not in config]:
            raise SpaceError(f"the configuration lacks {', '.join(missing)}")
        self.validate_part(config)

    def validate_part(self, config: Mapping[str, Any]) -> None:
        """The same for a configuration that need not name every parameter."""
        if unknown := [str(name) for name in config if name not in self]:
            raise SpaceError(f"the space has no parameter {', '.join(unknown)}; it has {', '.join(self)}")
        for name in config:
            self[name].validate(name, config[name])

    def canonical(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """`config` with each value as the space writes it: `40x56x40` for `[40, 56, 40]`. Raises SpaceError as
        `validate` does."""
        self.validate(config)
        return {name: parameter.canonical(config[name]) for name, parameter in self.items()}

    def to_mapping(self) -> dict[str, Any]:
        """The YAML form: `parse_space(space.to_mapping()) == space`."""
        return {name: parameter.to_yaml() for name, parameter in self.items()}


def parse_space(mapping: Mapping[str, Any], *, key: str = "space") -> SearchSpace:
    """The space that the YAML form describes; `key` says in errors where the mapping stands in its file.

    Raises SpaceError, its message starting with the parameter's key, such as `space.learning_rate: `.
    """
    return SearchSpace(_parse_each(mapping, _parse_parameter, key))


def parse_fixed(mapping: Mapping[str, Any], *, key: str) -> dict[str, Fixed]:
    """The same for a mapping of names to one value each, nothing of which is searched."""
    return _parse_each(mapping, lambda form: Fixed(value=form), key)


def _parse_each(mapping: Mapping[str, Any], parse: Callable[[Any], ParameterT], key: str) -> dict[str, ParameterT]:
    if not isinstance(mapping, Mapping):
        raise SpaceError(f"{key}: expected a mapping of names to parameters, got {mapping!r}")
    parameters = {}
    for name, form in mapping.items():
        _check_name(name, key)
        try:
            parameters[name] = parse(form)
        except SpaceError as error:
            raise SpaceError(f"{key}.{name}: {error}") from None
    return parameters


def _parse_parameter(form: Any) -> Parameter:
    if not isinstance(form, Mapping):
        return Fixed(value=form)
    kinds = [kind for kind in KINDS if kind in form]
    if len(kinds) != 1:
        raise SpaceError(f"expected one of {', '.join(KINDS)}, got {_keys(form)}")
    kind = kinds[0]
    options = {name: value for name, value in form.items() if name != kind}
    if unknown := [name for name in options if name not in KINDS[kind]]:
        allowed = f"only {' and '.join(KINDS[kind])} may" if KINDS[kind] else "nothing may"
        raise SpaceError(f"unknown {_keys(unknown)}: {allowed} stand beside {kind}")
    if kind == "choice":
        return Choice(values=form[kind])
    bounds = form[kind]
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        raise SpaceError(f"{kind} needs its bounds as [low, high], got {bounds!r}")
    low, high = bounds
    return Float(low=low, high=high, **options) if kind == "float" else Int(low=low, high=high, **options)


def _keys(names: Any) -> str:
    return ", ".join(map(str, names)) or "no key"


def _check_name(name: Any, key: str) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise SpaceError(f"{key}: {name!r} is not a parameter's name (letters, digits and underscores)")
