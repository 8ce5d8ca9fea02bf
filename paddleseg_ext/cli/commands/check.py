"""Check the environment, a configuration and every pair of its data before a training; tell class frequencies."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from paddleseg_ext.checkpoint.atomic import write_json
from paddleseg_ext.cli.common import add_config_arguments, output_file, whole
from paddleseg_ext.config.load import load_config
from paddleseg_ext.config.values import MOST_READERS
from paddleseg_ext.data.scan import class_weights
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection.findings import ERROR, Inspection
from paddleseg_ext.inspection.inspect import inspect
from paddleseg_ext.runtime.device import set_device

RULES = ("root", "median", "inverse", "effective")
CACHE = Path.home() / ".cache" / "paddleseg_ext" / "check.json"
MARKS = {"error": "ERROR", "warning": "warning", "ok": "ok"}
ERRORS_FOUND = 1  # exit status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write all that was found to this file")
    parser.add_argument(
        "--page", type=output_file, metavar="FILE", help="write one HTML page with a chart and augmented samples"
    )
    parser.add_argument("--class_weights", choices=RULES, help="print class weights for a loss, as YAML to paste")
    parser.add_argument("--num_workers", type=whole(1, MOST_READERS), default=4, help="threads that read data")
    parser.add_argument("--no_cache", action="store_true", help="read every file again")
    parser.add_argument("--no_step", action="store_true", help="leave out the step that measures time and memory")


def run(args: argparse.Namespace) -> int:
    """Check; 0 if there are no errors, warnings or not, otherwise 1."""
    config = load_config(args.config, opts=args.opts)
    set_device(args.device)
    found = inspect(
        config,
        cache=None if args.no_cache else CACHE,
        num_workers=args.num_workers,
        with_step=not args.no_step,
        progress=partial(tqdm, unit="pair", leave=False, disable=None),
    )
    _print(found)
    if args.class_weights:
        _print_weights(found, args.class_weights)
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(args.json), found.to_dict())
    if args.page:
        from paddleseg_ext.inspection.page import write_page  # brings matplotlib and jinja2

        print(f"page: {write_page(args.page, args.config, found)}")
    return ERRORS_FOUND if found.count(ERROR) else 0


def _print(found: Inspection) -> None:
    for section, findings in found.sections.items():
        print(section)
        for finding in findings:
            print(f"  {MARKS[finding.level]:<8} {finding.text}")
    if found.scans:
        width = max(map(len, found.classes))
        columns = found.percents()
        print("classes, % of the pixels" + "".join(f"{key:>16}" for key in columns))
        occurring = found.occurring()
        for i in occurring:
            numbers = " ".join(f"{shares[i]:>15.3f}" for shares in columns.values())
            print(f"  {found.classes[i]:<{max(width, 20)}}  {numbers}")
        absent = [name for i, name in enumerate(found.names) if i not in occurring]
        if absent:
            print(f"  without a pixel ({len(absent)}): {', '.join(absent)}")
    print(found.summary())


def _print_weights(found: Inspection, rule: str) -> None:
    scan: Any = found.scans.get("train_dataset")
    if scan is None:
        raise UserError("`class_weights`: the training data could not be read, see above")
    weights = class_weights(scan.counts[:-2], scan.images_with, rule)
    numbers = json.dumps([round(float(value), 4) for value in weights])
    print(f"# {rule}, of {len(scan.pairs)} training labels\n- {{type: CrossEntropyLoss, weight: {numbers}}}")
