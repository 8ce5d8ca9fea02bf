"""List what a configuration can name, and which head runs on which backbone."""

from __future__ import annotations

import argparse
import json
import logging
from typing import Any

from paddleseg_ext.config.load import import_modules
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection import listing
from paddleseg_ext.inspection.combinations import Variant, works
from paddleseg_ext.inspection.combinations_page import cell, maps, page

KINDS = ("heads", "backbones", "datasets", "transforms", "losses", "configs", "combos")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; for combos, backbones")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--markdown", action="store_true", help="combos as the page docs/combinations.md")
    parser.add_argument("--measure", action="store_true", help="run combos (of backbones: the maps) again, here")
    parser.add_argument("--config", help="a YAML file whose `imports` register components of your own")


def run(args: argparse.Namespace) -> int:
    """Print the list.

    Raises:
        UserError: An argument has no effect with this list, or there is no component of a name.
    """
    if args.markdown and args.kind != "combos":
        raise UserError("`markdown`: there is a page of combos alone")
    if args.markdown and args.json:
        raise UserError("`markdown` and `json`: give one of them")
    if args.measure and args.kind not in ("combos", "backbones"):
        raise UserError("`measure`: it is for combos and backbones; leave it out")
    if args.names and args.kind == "configs":
        raise UserError("configs: they are listed all, without names")
    if args.config:
        import_modules(args.config)
    logging.getLogger("paddleseg_ext").setLevel(logging.WARNING)
    if args.kind == "combos":
        return _combos(args)
    found = listing.configurations() if args.kind == "configs" else listing.components(args.kind, args.names)
    if args.kind == "backbones":
        record = listing.combinations(args.names, args.measure)
        for entry in found:
            entry["variants"] = [variant.to_dict() for variant in record.get(entry["name"], [])]
            for variant in entry["variants"]:
                del variant["heads"]
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for entry in found:
            _print(entry)
    return 0


def _print(entry: dict[str, Any]) -> None:
    print(f"{entry['name']}  {entry['text']}".rstrip())
    for variant in entry.get("variants", []):
        of = "" if variant["output_stride"] is None else f" at output_stride {variant['output_stride']}"
        print(f"    maps{of}: {maps(Variant(**variant))}")
    if entry.get("variants") == []:
        print(f"    maps: not measured yet; paddleseg-ext list backbones {entry['name']} --measure")
    for argument in entry.get("arguments", []):
        name = argument["name"] if argument["default"] is None else f"{argument['name']}={argument['default']}"
        print(f"    {name:<32}  {argument['text']}".rstrip())


def _combos(args: argparse.Namespace) -> int:
    record = listing.combinations(args.names, args.measure)
    if args.json:
        print(listing.to_json(record), end="")
        return 0
    if args.markdown:
        print(page(record, listing.versions(args.measure)), end="")
        return 0
    unknown = [name for name in args.names if name not in record]
    for name, variants in record.items():
        print(f"{name}  {maps(variants[0])}")
        for head in variants[0].heads:
            notes: list[str] = []
            text = cell(variants, head, notes)
            print(f"    {head:<20}  {notes[0] if notes else f'at stride {text}'}")
    for name in unknown:
        print(f"{name}  not measured yet; paddleseg-ext list combos {name} --measure")
    outcomes = [outcome for variants in record.values() for outcome in variants[0].heads.values()]
    print(f"{sum(map(works, outcomes))} of {len(outcomes)} combinations run; p: on a simple pyramid of the last map")
    return 0
