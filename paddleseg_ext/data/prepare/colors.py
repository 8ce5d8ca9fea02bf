"""Masks in colors to masks of class ids, by a table of colors."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from paddleseg_ext.checkpoint.atomic import digest
from paddleseg_ext.data.class_table import ClassTable, Color, read_class_table
from paddleseg_ext.data.image_io import open_image
from paddleseg_ext.data.pairs import LABELS as ENDINGS
from paddleseg_ext.data.prepare.outputs import LABELS, RECORD, TABLE, claim, write_classes
from paddleseg_ext.data.prepare.work import IGNORED, Report, for_all, kept, values_of, write_label, write_text
from paddleseg_ext.errors import UserError, reason

VOID = ("void", "ignore", "unlabeled")  # names of colors that belong to no class
LEAST_SHARE = 5e-4  # of all pixels: what is rarer is taken for a mixture of colors at an edge
NAMED = 5


def prepare_colors(
    labels: Path, output: Path, table: Path | None = None, ignore_unknown: bool = False, num_workers: int = 0
) -> Report:
    """Write a mask of ids for each mask in colors; gray and palette files count as colors too.

    Args:
        labels: Folder of the masks, searched to any depth.
        output: Folder of the results.
        table: Lines of ``red green blue name`` in the order of the ids; colors named ``void``, ``ignore`` or
            ``unlabeled`` are ignored and have no id.
        ignore_unknown: Ignore pixels in other colors, as at smoothed edges.
        num_workers: Processes.

    Raises:
        UserError: There is no table; then one is proposed in `output`. Or a file is damaged or has unknown colors.
    """
    files = _files(labels, output)
    if table is None:
        raise UserError(_propose(files, output, num_workers))
    known = read_class_table(table, with_colors=True)
    if len(set(known.colors)) < len(known.colors):
        raise UserError(f"`table` {table}: a color occurs twice")
    classes = [(name, color) for name, color in zip(known.names, known.colors) if name.lower() not in VOID]
    if not 1 <= len(classes) < IGNORED:
        raise UserError(f"`table` {table}: it has {len(classes)} classes, and masks of 8 bits hold 1…{IGNORED - 1}")
    numbers = {name: number for number, (name, _) in enumerate(classes)}
    ids = {color: numbers.get(name, IGNORED) for name, color in zip(known.names, known.colors)}
    settings = {"source": "colors", "labels": os.path.realpath(labels), "table": digest(table)}
    claim(output, {**settings, "ignore_unknown": ignore_unknown})
    task = partial(_convert, root=labels, output=output, ids=ids, ignore_unknown=ignore_unknown)
    found = {value for values in for_all(task, files, num_workers, "mask") for value in values}
    write_classes(output, ClassTable(tuple(name for name, _ in classes), tuple(color for _, color in classes)))
    report = Report()
    absent = [name for number, (name, _) in enumerate(classes) if number not in found]
    if absent:
        report.warnings.append(f"no mask has the class{'es' if len(absent) > 1 else ''} {', '.join(absent[:8])}")
    report.lines.append(f"{len(files)} masks of {len(classes)} classes in {output / LABELS}")
    report.lines.append(
        f"go on with: paddleseg-ext prepare folder --images DIR --labels {output / LABELS} --classes "
        f"{output / 'labels.txt'} --output DIR"
    )
    return report


def read_colors(path: Path) -> np.ndarray:
    """The colors of a mask: (H, W) int32, red · 65536 + green · 256 + blue.

    Raises:
        UserError: The file is damaged, was compressed with loss, or is transparent somewhere.
    """
    try:
        with open_image(path) as image:
            if image.format in ("JPEG", "MPO", "JPEG2000", "WEBP"):
                raise UserError(f"{path}: {image.format} changes colors when it compresses; save it anew as PNG")
            rgba = np.asarray(image.convert("RGBA"), np.int32)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise UserError(f"{path}: the label file cannot be read as a picture ({reason(error)})") from error
    if rgba[..., 3].min() < 255:
        raise UserError(f"{path}: it is transparent somewhere, and a mask has one color per pixel")
    return (rgba[..., 0] << 16) | (rgba[..., 1] << 8) | rgba[..., 2]


def _files(labels: Path, output: Path) -> list[Path]:
    if not labels.is_dir():
        raise UserError(f"`labels`: there is no folder {labels}")
    inside = os.path.realpath(output) + os.sep
    files = [file for file in sorted(labels.rglob("*")) if file.suffix.lower() in ENDINGS - {".npy"}]
    files = [file for file in files if not os.path.realpath(file).startswith(inside)]
    if not files:
        raise UserError(f"`labels`: there are no masks in {labels}")
    by_stem: dict[Path, Path] = {}
    for file in files:
        other = by_stem.setdefault(file.with_suffix(""), file)
        if other != file:
            raise UserError(f"{other} and {file} differ in their ending alone, so their masks would have one name")
    return files


def _propose(files: Sequence[Path], output: Path, num_workers: int) -> str:
    """Write the table of the frequent colors, and say how to go on."""
    path = output / TABLE
    if path.exists():
        return f"{path} is there: write the names of the classes in it, and run this again with `table` {path}"
    counts: Counter[int] = Counter()
    for counted in for_all(_count, files, num_workers, "mask"):
        counts.update(counted)
    total = sum(counts.values())
    frequent = [color for color, times in counts.most_common(IGNORED - 1) if times >= LEAST_SHARE * total]
    rest = total - sum(counts[color] for color in frequent)
    text = "".join("{} {} {} class {}\n".format(*_rgb(color), number) for number, color in enumerate(frequent))
    write_text(path, text)
    sentence = (
        f"{len(files)} masks have {len(counts)} colors; the {len(frequent)} frequent ones are in {path}: write the "
        f"names of the classes in it, void for what is none, and run this again with `table` {path}"
    )
    if rest:
        sentence += (
            f"; the other {len(counts) - len(frequent)} colors, {100 * rest / total:.2g} % of the pixels, are rare, as "
            "those of smoothed edges are, and `ignore_unknown` ignores them"
        )
    return sentence


def _count(path: Path) -> dict[int, int]:
    colors, times = np.unique(read_colors(path), return_counts=True)
    return dict(zip(colors.tolist(), times.tolist()))


def _convert(path: Path, root: Path, output: Path, ids: dict[Color, int], ignore_unknown: bool) -> tuple[int, ...]:
    file = (output / LABELS / path.relative_to(root)).with_suffix(".png")
    before = kept(file, [path, output / RECORD])
    if before is not None:
        return values_of(before)
    pixels = read_colors(path)
    colors, inverse = np.unique(pixels, return_inverse=True)
    values = [ids.get(_rgb(color)) for color in colors.tolist()]
    unknown = [_rgb(color) for color, value in zip(colors.tolist(), values) if value is None]
    if unknown and not ignore_unknown:
        listed = ", ".join(" ".join(map(str, color)) for color in unknown[:NAMED])
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        raise UserError(f"{path}: its colors {listed}{more} are not in `table`; add them, or use `ignore_unknown`")
    lookup = np.array([IGNORED if value is None else value for value in values], np.uint8)
    mask = lookup[inverse].reshape(pixels.shape)
    write_label(file, mask)
    return values_of(mask)


def _rgb(color: int) -> Color:
    return color >> 16, color >> 8 & 255, color & 255
