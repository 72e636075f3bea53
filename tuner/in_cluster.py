"""What a job on a cluster begins with: `voxtune`, once it is clear that the cluster's Python can run it.

    python3 -m tuner.in_cluster run sweep.yaml --address auto ...

The code that travelled lies in the current folder; the libraries that it needs must be the cluster's own.
"""

import platform
import sys


def main() -> None:
    """Do what `voxtune` does with the same arguments. Exit code 2 if this Python or its libraries won't do."""
    if reasons := _reasons():
        print("error: this cluster can't run voxtune:", *reasons, sep="\n  ", file=sys.stderr)
        print(
            f"Install what is missing on every node for the Python that Ray runs in, here {sys.executable}",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.argv[0] = "voxtune"
    from tuner.cli import main as voxtune

    voxtune()


def _reasons() -> list[str]:
    """Why not; empty if nothing stands against it."""
    try:
        from tuner.checks_software import check_libraries, check_python

        checks = [check_python(), *check_libraries()]
    except (ImportError, SyntaxError, TypeError) as error:  # a Python so old, or so bare, that it can't even tell
        return [f"Python {platform.python_version()}: {error}"]
    return [f"{check.name}: {check.found}; {check.advice}" for check in checks if check.status == "problem"]


if __name__ == "__main__":
    main()
