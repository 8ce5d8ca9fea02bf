"""Measure speed and memory against PaddleSeg in the same run and write the figures down."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import paddleseg_ext
from paddleseg_ext.cli.common import output_folder
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime.device import DEVICES, set_device

CLONE = Path(paddleseg_ext.__file__).resolve().parents[1]
# name -> module with `add_arguments(parser)` and `run(args) -> rows`, and its help
SUBJECTS = {
    "commands": ("commands", "val and predict as whole processes beside those of another commit"),
    "data": ("data", "preparing training samples beside PaddleSeg's transforms"),
    "eval": ("evaluation", "metric, sliding windows and whole evaluation"),
    "export": ("export", "exported networks under Paddle Inference and ONNX Runtime"),
    "heads": ("heads", "heads and layers beside PaddleSeg's and PyTorch's with the same weights"),
    "model": ("model", "whole networks beside PaddleSeg's and PyTorch's with the same weights"),
    "scale": ("scale", "how time and memory of heads and of sliding windows grow with the pixels"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each subject, with the arguments that all of them share.

    Raises:
        UserError: The package was installed without its clone, where the benchmarks are.
    """
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT", required=True)
    for name, (module, text) in SUBJECTS.items():
        subject = subjects.add_parser(name, help=text, description=text)
        subject.add_argument("--device", default="auto", help=DEVICES)
        subject.add_argument(
            "--output", type=output_folder, help="folder for the table; default: benchmarks/results/DATE_DEVICE_THREADS"
        )
        subject.add_argument("--name", default=name, help="of the table: NAME.md and NAME.csv")
        _benchmark(module).add_arguments(subject)


def run(args: argparse.Namespace) -> int:
    """Measure a subject, print its table and write it.

    Raises:
        UserError: ``--name`` has a folder in it, the device is not there, or as the subject says.
    """
    if Path(args.name).name != args.name:
        raise UserError(f"--name {args.name}: it is the name of a file, without a folder")
    set_device(args.device)
    tables, estimated = _benchmark("tables"), bool(getattr(args, "estimate", None))
    args.output = args.output or str(tables.default_folder(estimated))
    rows: Sequence[Any] = _benchmark(SUBJECTS[args.subject][0]).run(args)
    note, versions = _benchmark("estimate").NOTE if estimated else "", getattr(args, "versions", None)
    path = tables.write_table(args.output, args.name, rows, note, versions)
    print(path.read_text(encoding="utf-8"))
    return 0


def _benchmark(name: str) -> ModuleType:
    """A module of the folder `benchmarks`, which lies in the clone beside the package and is not installed."""
    if not (CLONE / "benchmarks" / "tables.py").is_file():
        raise UserError(
            "benchmark: it runs in a clone of the repository only, where the folder benchmarks is; "
            "run python tools/benchmark.py there"
        )
    if str(CLONE) not in sys.path:
        sys.path.append(str(CLONE))
    return importlib.import_module(f"benchmarks.{name}")
