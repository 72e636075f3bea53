"""The reference page of the command line, in Markdown, read off the commands themselves.

Typer carries its own copy of Click, so that sphinx-click, which knows Click's classes, can't read its commands.
"""

import inspect
import re
import types
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer

from tuner.cli import app

HEAD = """\
# Commands

`--help` after a command says the same in the terminal. Exit codes of all of them: 0 done; 1 the work failed; 2
something in the input is wrong, and nothing was started; 130 stopped by Ctrl-C.

`voxtune --install-completion` teaches bash, zsh, fish or PowerShell to complete commands, options and sweeps' names by
the Tab key; a new shell knows them. `NO_COLOR=1` turns colours off; where the output is no terminal there are none.
"""

COMMANDS: Any = typer.main.get_command(app)

VALUES = {Path: "PATH", int: "N", float: "NUMBER", str: "TEXT"}


def leaves(command: Any = None, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that name it, groups left out."""
    command = command or COMMANDS
    if not hasattr(command, "commands"):
        yield names, command
        return
    for name, one in command.commands.items():
        yield from leaves(one, (*names, name))


def commands_page() -> str:
    """The whole page."""
    panels = groupby(leaves(), key=_panel)
    parts = [f"## {panel}\n\n" + "\n".join(_section(*found) for found in group) for panel, group in panels]
    return "\n".join([HEAD, *parts])


def _panel(found: tuple[tuple[str, ...], Any]) -> str:
    """The heading below which `voxtune --help` shows a command, or the group that it is in."""
    return str(COMMANDS.commands[found[0][0]].rich_help_panel)


def _section(names: tuple[str, ...], command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    usage = " ".join(["voxtune", *names, *map(_argument, arguments), *["[OPTIONS]"] * bool(options)])
    rows = [(_argument(one).strip("[]"), _default(one), one.help) for one in arguments]
    rows += [(_option(one), _default(one), _meaning(one)) for one in options]
    lines = [f"| `{_cell(name)}` | {default} | {_cell(meaning)} |" for name, default, meaning in rows]
    table = "\n".join(["", "| | default | |", "|---|---|---|", *lines, ""]) if rows else ""
    return f"### voxtune {' '.join(names)}\n\n```text\n{usage}\n```\n\n{_help(command.help)}{table}"


def examples(text: str) -> list[str]:
    """The commands that a docstring shows, indented there."""
    return [inspect.cleandoc(one) for one in _paragraphs(text) if one.startswith("  ")]


def _help(text: str) -> str:
    """A docstring as Markdown: its examples become a block of commands."""
    told = [" ".join(one.split()) for one in _paragraphs(text) if not one.startswith("  ")]
    told = [one for one in told if one not in ("Example:", "Examples:")]
    return "\n\n".join([*told, "```sh\n" + "\n".join(examples(text)) + "\n```\n"])


def _paragraphs(text: str) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(text))


def _argument(one: Any) -> str:
    name = one.metavar or one.name.upper()
    return name if one.required else f"[{name.strip('[]')}]"


def _option(one: Any) -> str:
    """`--output, -o PATH`, or both ways of a switch."""
    names = ", ".join(sorted(one.opts, key=len, reverse=True))
    if one.is_flag:
        return " / ".join([names, *one.secondary_opts])
    return f"{names} {one.metavar or _value(one.type_descriptor.annotation)}"


def _value(annotation: Any) -> str:
    """What an option takes, in capitals; of a choice its values."""
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType, list):
        return _value(next(one for one in get_args(annotation) if one is not type(None)))
    return VALUES[annotation]


def _meaning(one: Any) -> str:
    bounds = [f"{word} {bound:g}" for word, bound in (("from", one.min), ("to", one.max)) if bound is not None]
    notes = [" ".join(bounds)] if bounds else []
    notes += ["may be given several times"] * bool(one.multiple)
    notes += ["or the variable " + " or ".join(f"`{name}`" for name in one.envvar)] if one.envvar else []
    return one.help + (f" ({'; '.join(notes)})" if notes else "")


def _default(one: Any) -> str:
    if one.required:
        return "*needed*"
    if one.default is None or one.default is False or one.default == "":
        return ""
    if one.default is True:
        return f"`{one.opts[0]}`"
    return f"`{one.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
