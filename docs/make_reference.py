"""Writes the pages and the schema that follow from the code: `python docs/make_reference.py`.

    docs/reference/commands.md      every command and option, from the command line itself
    docs/reference/sweep_file.md    every key of the sweep file, from its classes and their docstrings
    docs/reference/python.md        what tuner.api names
    docs/sweep.schema.json          the same for editors, as `voxtune schema` prints it
    docs/benchmarks.md              every benchmark with its newest figures, from benchmarks/results

They are committed, so that they can be read without building anything; tests/test_docs.py holds that they are current.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks_page import benchmarks_page
from command_pages import commands_page
from python_page import python_page
from sweep_file_page import sweep_file_page

from tuner.editor_schema import editor_schema

DOCS = Path(__file__).parent


def references() -> Mapping[Path, str]:
    """The files and what they should hold."""
    return {
        DOCS / "reference" / "commands.md": commands_page(),
        DOCS / "reference" / "sweep_file.md": sweep_file_page(),
        DOCS / "reference" / "python.md": python_page(),
        DOCS / "benchmarks.md": benchmarks_page(),
        DOCS / "sweep.schema.json": json.dumps(editor_schema(), indent=2) + "\n",
    }


def main() -> None:
    for path, text in references().items():
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
