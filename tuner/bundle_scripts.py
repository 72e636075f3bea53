"""The code that a MONAI Bundle carries: our own modules, copied with all of ours that they import.

So a bundle computes what `voxtune predict` computes, by the same lines, where voxtune is not installed.
"""

import ast
import re
from importlib import metadata
from pathlib import Path

import trainables

ENTRIES = {
    "bundle_files": ("LabelWriter", "NiftiReader", "cases_in", "images_in"),
    "bundle_inference": ("WindowInferer", "network"),
    "bundle_transforms": (
        "CheckImaged",
        "LabelValuesd",
        "NormaliseChannelsd",
        "ResampleToSpacingd",
        "RoundToHalfd",
        "TargetMasksd",
        "not_empty",
    ),
    "networks": ("place_network",),
}
"""What a bundle's configurations name, by module."""

_SOURCE = Path(trainables.__file__).parent
_IMPORT = re.compile(r"^( *)from trainables\.(\w+) import ", re.MULTILINE)


def bundled_modules() -> list[str]:
    """The modules of `trainables` that the entries need, by name, in order."""
    found: set[str] = set()
    waiting = list(ENTRIES)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imported(_read(module))
    return sorted(found)


def write_scripts(folder: Path) -> None:
    """Write the package `folder`: a file for each module, which import one another from beside them."""
    folder.mkdir()
    version = metadata.version("voxtune")
    for module in bundled_modules():
        header = f"# From voxtune {version}, trainables/{module}.py. SPDX-License-Identifier: Apache-2.0\n"
        text = _IMPORT.sub(r"\1from .\2 import ", _read(module))
        (folder / f"{module}.py").write_text(header + text, encoding="utf-8")
    imports = "".join(_import_line(module, names) for module, names in ENTRIES.items())
    (folder / "__init__.py").write_text(
        f'"""What the configurations use of voxtune {version}; copied, so that voxtune need not be installed."""\n\n'
        f"# SPDX-License-Identifier: Apache-2.0\n{imports}",
        encoding="utf-8",
    )


def _import_line(module: str, names: tuple[str, ...]) -> str:
    return "".join(f"from .{module} import {name} as {name}\n" for name in names)


def _imported(source: str) -> list[str]:
    """The modules of `trainables` that `source` imports, inside functions too."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = []
    for node in nodes:
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for name in names:
            package, _, module = name.partition(".")
            if package == "trainables":
                assert isinstance(node, ast.ImportFrom), (
                    f"line {node.lineno}: only `from trainables.x import` is copied"
                )
                assert module, f"line {node.lineno}: only `from trainables.x import` is copied"
                modules.append(module)
    return modules


def _read(module: str) -> str:
    return (_SOURCE / f"{module}.py").read_text(encoding="utf-8")
