"""Whom our networks are measured beside, and one table of it: PaddleSeg, and mmsegmentation under PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from statistics import geometric_mean
from typing import TYPE_CHECKING

import paddle

from benchmarks.pytorch.environment import TORCH, torch_python
from benchmarks.tables import Row
from paddleseg_ext.errors import UserError

if TYPE_CHECKING:
    from benchmarks.pytorch.peer import PyTorch

PADDLESEG, PYTORCH = PEERS = ("paddleseg", "pytorch")
MEANS = ("speedup", "memory_ratio", "pytorch_speedup")


def add_peers_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--peers``."""
    text = (
        f"{PADDLESEG}: PaddleSeg's networks; {PYTORCH}: mmsegmentation's under PyTorch, on a CPU, for which the "
        f"environment variable {TORCH} names the Python of its environment; default: the former, and the latter where "
        "it can be"
    )
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=text)


def chosen_peers(args: argparse.Namespace) -> list[str]:
    """Of `PEERS`.

    Raises:
        UserError: PyTorch is asked for and cannot be measured.
    """
    on_cpu = paddle.get_device() == "cpu"
    if args.peers is None:
        return [PADDLESEG, PYTORCH] if on_cpu and torch_python() else [PADDLESEG]
    if PYTORCH in args.peers and not on_cpu:
        raise UserError(f"`peers` {PYTORCH}: it is measured on a CPU, in float32; `device` cpu chooses that")
    if PYTORCH in args.peers and not torch_python():
        raise UserError(f"`peers` {PYTORCH}: {TORCH} names no Python of an environment with PyTorch and mmsegmentation")
    return args.peers


@contextmanager
def open_pytorch(args: argparse.Namespace, peers: Collection[str]) -> Iterator[PyTorch | None]:
    """The process of PyTorch's side, within the block; None where it is not among the peers.

    Its versions become ``args.versions``, for the head of the table.
    """
    if PYTORCH not in peers:
        yield None
        return
    from benchmarks.pytorch.peer import PyTorch

    with PyTorch(str(torch_python())) as pytorch:
        args.versions = pytorch.versions
        yield pytorch


def side_by_side(*sides: Sequence[Row]) -> list[Row]:
    """The rows of several peers, of one case and mode each, as one row."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for row in chain(*sides):
        found.setdefault((row["case"], row["mode"]), {}).update(row)
    return list(found.values())


def with_means(rows: Sequence[Row], cases: Collection[str]) -> list[Row]:
    """Rows of one size, and their geometric means over several cases, a row for each mode."""
    means = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        ones = [row for row in rows if row["mode"] == mode and row["case"] in cases]
        if len(ones) > 1:
            row = {key: ones[0][key] for key in ("mode", "batch", "map", "threads")}
            told = [key for key in MEANS if all(key in one for one in ones)]
            row.update({key: round(geometric_mean(one[key] for one in ones), 3) for key in told})
            means.append({"case": f"geometric mean of {len(ones)} heads", **row})
    return [*rows, *means]


def even(rows: Sequence[Row]) -> list[Row]:
    """The rows with the same cells, in the same order; what one lacks is empty."""
    cells = dict.fromkeys(key for row in rows for key in row)
    return [{**dict.fromkeys(cells, ""), **row} for row in rows]
