"""Values and bytes that are nearly right: a good one, in which a few places are changed."""

import copy
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Place = tuple[Any, ...]
"""The keys and indices that lead to a part of a nested value."""

NUMBERS = (
    0,
    -1,
    1,
    2,
    1.5,
    1.0000001,
    -0.0,
    1e-300,
    1e300,
    1e999,
    -1e999,
    float("nan"),
    2**31,
    2**63 - 1,
    -(2**63),
    2**64,
    10**40,
)
TEXTS = (
    *("", " ", "0", "-1", "1e-4", "null", "nan", "auto", "true", "0x10", "../../etc/passwd", "/etc/passwd", "a/b"),
    *("a\0b", "\ud7ff", "é" * 300, "x" * 3000, "${HOME}", "${", "$(id)", "<script>", "[red]", "{0}", "%s%n", "\n---\n"),
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
)

FOREIGN: SearchStrategy[Any] = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.dictionaries(st.one_of(st.text(max_size=8), st.sampled_from(TEXTS)), SCALARS, max_size=3),
    st.just(list(range(3000))),
    st.integers(2, 60).map(lambda depth: _nested(depth)),
)
"""What stands where something else was expected."""


@st.composite
def mutated(draw: DrawFn, good: Any, *, foreign: SearchStrategy[Any] = FOREIGN, most: int = 3) -> Any:
    """`good`, nested lists and dicts, with up to `most` changes anywhere in it."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(0, most))):
        value = _changed(draw, value, foreign)
    return value


@st.composite
def garbled(draw: DrawFn, good: bytes, *, tokens: Sequence[bytes] = (), most: int = 3) -> bytes:
    """`good` with up to `most` changes of a few bytes: overwritten, cut, repeated, or `tokens` put in."""
    content = bytearray(good)
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(("overwrite", "cut", "cut off", "repeat", "put in"))):
            case "overwrite":
                content[start:end] = draw(st.binary(min_size=end - start, max_size=end - start))
            case "cut":
                del content[start:end]
            case "cut off":
                del content[start:]
            case "repeat":
                content[start:start] = content[start:end] * draw(st.integers(1, 20))
            case "put in":
                content[start:start] = draw(st.one_of(st.sampled_from([b"", *tokens]), st.binary(max_size=12)))
    return bytes(content)


def _changed(draw: DrawFn, value: Any, foreign: SearchStrategy[Any]) -> Any:
    places = list(islice(_places(value), 5000))  # a value may hold itself many times
    place = draw(st.sampled_from(places))
    if not place:
        # All of it at once says little: rarely.
        return _own(draw(foreign)) if draw(st.integers(0, 9)) == 0 else value
    parent = _at(value, place[:-1])
    key = place[-1]
    match draw(st.sampled_from(("replace", "replace", "replace", "remove", "rename", "add", "swap", "repeat"))):
        case "replace":
            parent[key] = _own(draw(foreign))
        case "remove":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            parent[draw(st.one_of(st.text(max_size=8), st.sampled_from(TEXTS)))] = parent.pop(key)
        case "add" if isinstance(parent, dict):
            parent[draw(st.one_of(st.text(max_size=8), st.sampled_from(TEXTS)))] = _own(draw(foreign))
        case "repeat" if isinstance(parent, list):
            parent[key:key] = copy.deepcopy(parent[key : key + 1]) * draw(st.integers(1, 5))
        case _:
            other = draw(st.sampled_from(places))
            parent[key] = copy.deepcopy(_at(value, other))
    return value


def _own(value: Any) -> Any:
    """A copy of lists and mappings: the strategy may give the very same ones again, and they are changed here."""
    return copy.deepcopy(value) if isinstance(value, list | dict) else value


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from _places(part, (*place, key))


def _at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def _nested(depth: int) -> Any:
    value: Any = []
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value
