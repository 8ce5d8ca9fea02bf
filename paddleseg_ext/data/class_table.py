"""The classes of a user's data set: names and colors, from a list, a number or a text file such as `labels.txt`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddleseg_ext.data.classes import generic_palette
from paddleseg_ext.data.text_lines import read_lines
from paddleseg_ext.errors import UserError

Color = tuple[int, int, int]
COLORED_LINE = re.compile(r"(\d+)\s+(\d+)\s+(\d+)\s+(\S.*)")
MOST_CLASSES = 65535


@dataclass(frozen=True)
class ClassTable:
    """Classes in the order of their ids.

    Attributes:
        names: Of the classes, each once.
        colors: RGB, as many as names.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]

    @classmethod
    def of(cls, classes: Any, root: Path, palette: Any = None, owner: str = "classes") -> ClassTable:
        """From the arguments of a data set.

        Args:
            classes: A list of names, their number, or a file of `name` or `red green blue name` lines, relative to
                `root`.
            root: The data set's folder.
            palette: RGB colors that replace those of the file.
            owner: Begins the messages.

        Raises:
            UserError: Neither is given, the file is missing or malformed, or names and colors are not as many.
        """
        if isinstance(classes, (str, Path)):
            table = read_class_table(root / classes)
        elif isinstance(classes, int) and not isinstance(classes, bool):
            if not 1 <= classes <= MOST_CLASSES:
                raise UserError(f"{owner}: classes: {classes} is not allowed; a number of classes is at least 1")
            table = cls.named([f"class {number}" for number in range(classes)], owner)
        elif isinstance(classes, (list, tuple)):
            table = cls.named([str(name) for name in classes], owner)
        else:
            raise UserError(
                f"{owner}: classes: {classes!r} is not allowed; it is a list of names, their number, or a text file"
            )
        return table if palette is None else cls(table.names, _checked_palette(palette, len(table.names), owner))

    @classmethod
    def named(cls, names: Sequence[str], owner: str = "classes") -> ClassTable:
        """Classes in the colors of `generic_palette`.

        Raises:
            UserError: There is no name, an empty one, or one occurs twice.
        """
        if not names or not all(name.strip() for name in names):
            raise UserError(f"{owner}: classes: {list(names)!r} is not allowed; each class has a name")
        for index, name in enumerate(names):
            if name in names[:index]:
                raise UserError(f"{owner}: classes: '{name}' occurs twice; each class has a name of its own")
        colors = tuple((int(red), int(green), int(blue)) for red, green, blue in generic_palette(len(names)))
        return cls(tuple(names), colors)

    def text(self) -> str:
        """The lines of a file that `read_class_table` reads."""
        return "".join(f"{r} {g} {b} {name}\n" for (r, g, b), name in zip(self.colors, self.names))


def read_class_table(path: Path, with_colors: bool = False) -> ClassTable:
    """The classes in a text file, one per line: `name` or `red green blue name`; all lines are of one kind.

    Args:
        path: The file.
        with_colors: Whether only the latter are allowed.

    Raises:
        UserError: The file is missing, not UTF-8, empty, or a line is malformed; the message names it.
    """
    lines = read_lines(path, "the file of classes")
    if not lines:
        raise UserError(f"{path}: it names no class; it has one line per class: `name` or `red green blue name`")
    rows = [(number, line, COLORED_LINE.fullmatch(line)) for number, line in lines]
    colored = with_colors or rows[0][2] is not None
    names: list[str] = []
    colors: list[Color] = []
    for number, line, match in rows:
        if (match is not None) is not colored:
            expected = "red green blue name" if colored else "name"
            raise UserError(f"{path}: line {number}, {line!r}, is not `{expected}`, of which kind all lines are")
        name = match[4] if match else line
        if name in names:
            raise UserError(f"{path}: line {number}, {line!r}: the class '{name}' occurs twice")
        names.append(name)
        if match:
            color = (int(match[1]), int(match[2]), int(match[3]))
            if max(color) > 255:
                raise UserError(f"{path}: line {number}, {line!r}: red, green and blue are 0…255")
            colors.append(color)
    return ClassTable(tuple(names), tuple(colors)) if colored else ClassTable.named(names, str(path))


def _checked_palette(palette: Any, count: int, owner: str) -> tuple[Color, ...]:
    def is_color(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple))
            and len(value) == 3
            and all(isinstance(part, int) and 0 <= part <= 255 for part in value)
        )

    if not isinstance(palette, (list, tuple)) or not all(map(is_color, palette)):
        raise UserError(f"{owner}: palette: {palette!r} is not allowed; it is a list of [red, green, blue] of 0…255")
    if len(palette) != count:
        raise UserError(f"{owner}: palette: it has {len(palette)} colors, and there are {count} classes")
    return tuple((color[0], color[1], color[2]) for color in palette)
