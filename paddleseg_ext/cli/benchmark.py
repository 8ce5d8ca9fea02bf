"""Measure speed and memory against PaddleSeg in the same run and write the figures down."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

from paddleseg_ext.benchmark.tables import write_table
from paddleseg_ext.cli.common import DEVICES, set_device

# name -> module with `add_arguments(parser)` and `run(args) -> rows`, and its help
SUBJECTS = {
    "data": ("paddleseg_ext.benchmark.data", "preparing training samples beside PaddleSeg's transforms"),
    "eval": ("paddleseg_ext.benchmark.evaluation", "metric, sliding windows and whole evaluation"),
    "export": ("paddleseg_ext.benchmark.export", "exported networks under Paddle Inference and ONNX Runtime"),
    "heads": ("paddleseg_ext.benchmark.heads", "heads and layers beside PaddleSeg's networks with the same weights"),
    "model": ("paddleseg_ext.benchmark.model", "whole networks beside PaddleSeg's with the same weights"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each subject, with the arguments that all of them share."""
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT", required=True)
    for name, (module, text) in SUBJECTS.items():
        subject = subjects.add_parser(name, help=text, description=text)
        subject.add_argument("--device", default="auto", help=DEVICES)
        subject.add_argument("--output", default="benchmarks", help="folder for SUBJECT.md and SUBJECT.csv")
        importlib.import_module(module).add_arguments(subject)


def run(args: argparse.Namespace) -> int:
    """Measure a subject, print its table and write it."""
    set_device(args.device)
    rows: Sequence[Any] = importlib.import_module(SUBJECTS[args.subject][0]).run(args)
    path = write_table(args.output, args.subject, rows)
    print(path.read_text(encoding="utf-8"))
    return 0
