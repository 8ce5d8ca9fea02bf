"""The folder of a prepared data set: what it was made by, lists, classes and a configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddleseg_ext.data.class_table import ClassTable, read_class_table
from paddleseg_ext.data.prepare.training_config import crop_of, training_config
from paddleseg_ext.data.prepare.work import IGNORED, Report, write_text
from paddleseg_ext.errors import UserError

RECORD, TABLE, CONFIG, CLASSES, LABELS = "prepare.json", "table.txt", "config.yml", "labels.txt", "labels"
OURS = ("train.txt", "val.txt", CONFIG, CLASSES, LABELS)  # a proposed table is edited, and stays


@dataclass(frozen=True)
class Sample:
    """An image and its label, checked.

    Attributes:
        image: File.
        label: File.
        size: Width and height of both.
        gray: Whether the image has one channel.
        values: Those in the label.
    """

    image: Path
    label: Path
    size: tuple[int, int]
    gray: bool
    values: tuple[int, ...]


def claim(output: Path, settings: Mapping[str, Any]) -> None:
    """Note in the folder what it is made by; the same settings go on with what is there.

    Other settings begin anew where the earlier run did not come to its end; labels older than the note are not `kept`.

    Args:
        output: Made if it is missing.
        settings: What decides the contents, as JSON has it.

    Raises:
        UserError: It was finished with other settings, holds files of somebody else, or cannot be written.
    """
    record = output / RECORD
    text = json.dumps(settings, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if not record.exists():
        there = [name for name in OURS if os.path.lexists(output / name)]
        if there:
            raise UserError(
                f"`output` {output}: {there[0]} is there and was not written by prepare; name another folder"
            )
        write_text(record, text)
        return
    try:
        before = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{record}: it is damaged; name another `output`, or delete the folder") from error
    now = json.loads(text)
    if before != now and not (output / CLASSES).exists():  # which is written at the end
        write_text(record, text)
    elif before != now:
        keys = [key for key in {**now, **before} if before.get(key) != now.get(key)] if isinstance(before, dict) else []
        changed = f" ({', '.join(keys)})" if keys else ""
        raise UserError(
            f"`output` {output}: it was prepared with other settings{changed}; name another folder, or delete it"
        )


def write_classes(output: Path, table: ClassTable) -> None:
    """Write `labels.txt`; one with as many classes, whose names somebody may have edited, is kept.

    Raises:
        UserError: The one that is there is malformed.
    """
    path = output / CLASSES
    if not path.exists() or len(read_class_table(path).names) != len(table.names):
        write_text(path, table.text())


def finish(
    output: Path,
    train: Sequence[Sample],
    val: Sequence[Sample],
    table: ClassTable,
    report: Report,
    crop: Sequence[int] | None = None,
    ignore_index: int = IGNORED,
) -> None:
    """Write the lists, the classes and, if there is none, the configuration; add lines to the report."""
    output = Path(os.path.realpath(output))
    samples = [*train, *val]
    crop = crop or crop_of([sample.size for sample in samples])
    channels = 1 if all(sample.gray for sample in samples) else 3
    names = {mode: _list(part, output) for mode, part in (("train", train), ("val", val))}
    for mode, text in names.items():
        write_text(output / f"{mode}.txt", text)
    config_is_kept = (output / CONFIG).exists()
    if not config_is_kept:
        write_text(output / CONFIG, training_config(output, len(train), crop, channels, ignore_index))
    write_classes(output, table)
    found = {value for sample in samples for value in sample.values} - {ignore_index}
    absent = [name for number, name in enumerate(table.names) if number not in found]
    if absent:
        report.warnings.append(f"no label has the class{'es' if len(absent) > 1 else ''} {', '.join(absent[:8])}")
    report.lines.append(
        f"{len(train)} samples for training and {len(val)} for validation, {len(table.names)} classes, "
        f"{'gray' if channels == 1 else 'color'} images"
    )
    if config_is_kept:
        report.lines.append(f"{output / CONFIG} was there and is kept as it is")
    report.lines.append(f"train with: python tools/train.py --config {output / CONFIG} --do_eval")


def relative(file: Path, root: Path) -> str:
    """The file's name in a list; symbolic links in it stay.

    Raises:
        UserError: The name cannot stand in a list.
    """
    name = os.path.relpath(os.path.join(os.path.realpath(file.parent), file.name), root)
    name = Path(name).as_posix()
    if any(character in name for character in "\t\r\n"):
        raise UserError(f"{name!r}: a name with a tab or a line end cannot stand in a list; rename the file")
    return f"./{name}" if name.startswith("#") else name


def _list(samples: Sequence[Sample], root: Path) -> str:
    return "".join(f"{relative(sample.image, root)}\t{relative(sample.label, root)}\n" for sample in samples)
