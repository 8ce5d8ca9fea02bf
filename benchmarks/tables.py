"""Writing down what was measured, where and how."""

from __future__ import annotations

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
from paddleseg_ext.runtime.device import device_name

Row = Mapping[str, Any]


def environment_info() -> dict[str, str]:
    """Device, versions, date and command, for the head of a table."""
    module = sys.modules["__main__"].__spec__  # None for a script
    program = ["-m", module.name.removesuffix(".__main__")] if module else [Path(sys.argv[0]).name]
    return {
        "command": shlex.join([*program, *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "device": device_name(),
        "paddle": paddle.__version__,
        "paddleseg": getattr(paddleseg, "__version__", "develop"),
        "paddleseg_ext": paddleseg_ext.__version__,
        "python": platform.python_version(),
    }


def write_table(folder: str | Path, name: str, rows: Sequence[Row], note: str = "") -> Path:
    """Write `folder`/`name`.md, with a note above its table, and .csv; all rows have the first one's keys.

    Returns:
        Of the former.
    """
    folder, keys = Path(folder), list(rows[0])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(rows)
    head = [
        f"- {key}: `{value}`" if key == "command" else f"- {key}: {value}" for key, value in environment_info().items()
    ]
    lines = ["|".join(["", *(f" {cell} " for cell in cells), ""]) for cells in (keys, ["---"] * len(keys))]
    lines += ["|".join(["", *(f" {row[key]} " for key in keys), ""]) for row in rows]
    path = folder / f"{name}.md"
    path.write_text(
        "\n".join([f"# {name}", "", *([f"**{note}**", ""] if note else []), *head, "", *lines, ""]), encoding="utf-8"
    )
    return path


def default_folder(estimated: bool = False) -> Path:
    """``benchmarks/results/DATE_DEVICE`` in the clone, such as ``2026-11-25_amd-epyc_2-cores``; ``DATE_estimate``."""
    device = "estimate" if estimated else re.sub(r"[^a-z0-9_]+", "-", device_name().lower().replace(", ", "_"))
    return Path(__file__).parent / "results" / f"{datetime.date.today().isoformat()}_{device}"


def log(text: str) -> None:
    """Tell what is being measured; the measurements take minutes."""
    tqdm.write(text, file=sys.stderr)
