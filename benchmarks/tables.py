"""Writing down what was measured, where and how."""

from __future__ import annotations

import argparse
import csv
import datetime
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paddle
import paddleseg
from tqdm import tqdm

import paddleseg_ext
from paddleseg_ext.cli.common import MOST_ROUNDS, whole
from paddleseg_ext.compat.paddle import threads
from paddleseg_ext.runtime.device import device_name
from paddleseg_ext.runtime.threads import count_of

Row = Mapping[str, Any]
RESULTS = Path(__file__).parent / "results"
LEAST_ROUNDS = 3  # with fewer, a spread says nothing


def add_rounds_argument(
    parser: argparse.ArgumentParser, flag: str = "--rounds", text: str = "timed calls of each, in turns"
) -> None:
    """Add ``--rounds``; the median counts."""
    parser.add_argument(flag, type=whole(LEAST_ROUNDS, MOST_ROUNDS), default=5, help=f"{text}; the median counts")


def environment_info() -> dict[str, str]:
    """Device, versions, date and command, for the head of a table."""
    module = sys.modules["__main__"].__spec__  # None for a script
    program = ["-m", module.name.removesuffix(".__main__")] if module else [Path(sys.argv[0]).name]
    return {
        "command": shlex.join([*program, *(_anywhere(word) for word in sys.argv[1:])]),
        "date": datetime.date.today().isoformat(),
        "device": device_name(),
        "threads": str(threads()),
        "paddle": paddle.__version__,
        "paddleseg": getattr(paddleseg, "__version__", "develop"),
        "paddleseg_ext": paddleseg_ext.__version__,
        "python": platform.python_version(),
    }


def _anywhere(word: str) -> str:
    """A word of a command line, without where folders lie on this machine."""
    return f".../{Path(word).name}" if Path(word).is_absolute() else word


def write_table(
    folder: str | Path, name: str, rows: Sequence[Row], note: str = "", versions: Mapping[str, str] | None = None
) -> Path:
    """Write `folder`/`name`.md, with a note above its table, and .csv; all rows have the first one's keys.

    Args:
        folder: It need not exist.
        name: Of the files.
        rows: Of the table.
        note: Above it.
        versions: Of what else was measured, beside `environment_info`.

    Returns:
        Of the former.
    """
    folder, keys = Path(folder), list(rows[0])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(rows)
    told = {**environment_info(), **(versions or {})}
    head = [f"- {key}: `{value}`" if key == "command" else f"- {key}: {value}" for key, value in told.items()]
    lines = ["|".join(["", *(f" {cell} " for cell in cells), ""]) for cells in (keys, ["---"] * len(keys))]
    lines += ["|".join(["", *(f" {row[key]} " for key in keys), ""]) for row in rows]
    path = folder / f"{name}.md"
    path.write_text(
        "\n".join([f"# {name}", "", *([f"**{note}**", ""] if note else []), *head, "", *lines, ""]), encoding="utf-8"
    )
    return path


def default_folder(estimated: bool = False) -> Path:
    """``benchmarks/results/DATE_DEVICE_THREADS`` in the clone; ``DATE_estimate``.

    On a processor such as ``2026-11-25_amd-epyc_2-cores_1-thread``, on a GPU without the threads.
    """
    parts = [device_name(), *([count_of(threads(), "thread")] if paddle.get_device() == "cpu" else [])]
    device = "estimate" if estimated else re.sub(r"[^a-z0-9_]+", "-", ", ".join(parts).lower().replace(", ", "_"))
    return RESULTS / f"{datetime.date.today().isoformat()}_{device}"


def log(text: str) -> None:
    """Tell what is being measured; the measurements take minutes."""
    tqdm.write(text, file=sys.stderr)
