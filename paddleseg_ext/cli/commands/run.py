"""Run a PaddleSeg script, its own tools/train.py say, with the repairs in force and the heads registered."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

from paddleseg_ext.compat.inference import repaired_inference
from paddleseg_ext.config.load import import_modules
from paddleseg_ext.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the script and whatever follows it, flags included, which is the script's own."""
    parser.add_argument("script", metavar="SCRIPT", help="a Python file, such as path/to/PaddleSeg/tools/train.py")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="handed to the script untouched")


def run(args: argparse.Namespace) -> int:
    """Run the script as `python SCRIPT ARGS…` would; its exceptions and its exit status are its own.

    What the file behind its ``--config`` names under ``imports`` is imported first, which PaddleSeg would not do.

    Raises:
        UserError: There is no such file, or a module cannot be imported.
    """
    script = Path(args.script)
    if not script.is_file():
        raise UserError(f"{args.script}: there is no such script; give the path of a Python file")
    argv, path = sys.argv, sys.path[:]
    sys.argv = [args.script, *args.arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        if (config := _config_of(args.arguments)) is not None:
            import_modules(config)
        with repaired_inference():
            runpy.run_path(args.script, run_name="__main__")
    finally:
        sys.argv, sys.path[:] = argv, path
    return 0


def _config_of(arguments: list[str]) -> Path | None:
    """The file that a script's ``--config`` names, if it is there; otherwise it is the script that says so."""
    for flag, value in zip(arguments, [*arguments[1:], ""]):
        name, _, joined = flag.partition("=")
        if name == "--config" and Path(joined or value).is_file():
            return Path(joined or value)
    return None
