"""The records of a run in ``metrics.jsonl``, as they are read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from paddleseg_ext.errors import UserError

NUMBERS = ("loss", "lr", "seconds", "reader_seconds", "val_loss", "miou", "accuracy", "resumed")
LISTED = 5  # numbers of damaged lines in a message


def read_records(path: Path) -> tuple[list[dict], list[int]]:
    """The records in a file, none where there is no file, and the numbers of lines that are no records.

    A last line cut short by a kill is left out and not told.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    found = [_parsed(line) for line in lines]
    damaged = [number for number, record in enumerate(found, start=1) if record is None]
    return [record for record in found if record is not None], [] if damaged == [len(lines)] else damaged


def not_records(damaged: Sequence[int]) -> str:
    """What a message says of damaged lines."""
    return f"not a record in line {', '.join(map(str, damaged[:LISTED])) + (', …' if len(damaged) > LISTED else '')}"


def _parsed(line: bytes) -> dict | None:
    """A record of training or of an evaluation, or None."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("iter")) is not int:
        return None
    losses, classes = record.get("losses", {}), record.get("classes", {})
    if not isinstance(losses, dict) or not isinstance(classes, dict):
        return None
    if not all(isinstance(scores, dict) for scores in classes.values()):
        return None
    numbers = [record.get(key) for key in NUMBERS] + [
        *losses.values(),
        *(scores.get("iou") for scores in classes.values()),
    ]
    right = all(value is None or type(value) in (int, float) for value in numbers)
    return record if right and ("loss" in record or "miou" in record) else None
