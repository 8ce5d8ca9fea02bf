"""YAML files with their ``_base_`` files, read within bounds and merged as PaddleSeg merges them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from paddleseg_ext.config.shipped import base_path
from paddleseg_ext.errors import UserError, reason

LARGEST = 1 << 20  # bytes of a file
MOST = 100_000  # entries of a file, those that aliases repeat included
BASE, INHERITED = "_base_", "_inherited_"  # PaddleSeg's keys: files to start from; false: take nothing from them

Path_ = tuple[str, ...]


@dataclass
class Merged:
    """A configuration and where it was written.

    Attributes:
        content: Keys and values, those of the file itself over those of its bases.
        lines: File and line of each entry by its path, indices of lists as words.
        files: From the root of the bases to the file itself, with the content of each.
    """

    content: dict[str, Any]
    lines: dict[Path_, tuple[Path, int]] = field(default_factory=dict)
    files: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)

    def where(self, message: str) -> str:
        """Where the entry that a message begins with (``model.backbone: …``) stands, for its end; or ``""``."""
        path = tuple(message.partition(": ")[0].split("."))
        while path:
            if path in self.lines:
                file, line = self.lines[path]
                return f" ({'' if file == self.files[-1][0] else f'{file}, '}line {line})"
            path = path[:-1]
        return ""


def read_files(path: Path) -> Merged:
    """Read a file and its bases.

    Raises:
        UserError: One of them is not there, is no YAML file of keys and values, is its own base, or is too large.
    """
    return _read(path, ())


def _read(path: Path, inside: tuple[Path, ...]) -> Merged:
    if path.resolve() in inside:
        raise UserError(f"{inside[-1]}: _base_: {path} is this file again, over {len(inside)} file(s)")
    own = _Reader(path).read()
    bases = own.content.pop(BASE, None) or []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) and base.strip() for base in bases):
        raise UserError(f"{path}: _base_: {bases!r} is not allowed; it is the path of a YAML file, or a list of them")
    merged = Merged(own.content, own.lines)
    for base in bases:
        below = _read(base_path(path, base), (*inside, path.resolve()))
        merged.files += [file for file in below.files if file not in merged.files]
        merged.content = _over(merged.content, below.content, path, ())
        merged.lines = {**below.lines, **merged.lines}
    merged.files.append((path, own.content))
    return merged


def _over(upper: dict[str, Any], lower: dict[str, Any], file: Path, where: Path_) -> dict[str, Any]:
    """Entries of `upper` over those of `lower`, sections entry by entry."""
    if not upper.get(INHERITED, True):
        return {key: value for key, value in upper.items() if key != INHERITED}
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(value, dict) and below is not None:
            if not isinstance(below, dict):
                raise UserError(f"{file}: {'.'.join((*where, key))}: a section here, but {below!r} in its _base_")
            value = _over(value, below, file, (*where, key))
        merged[key] = value
    return merged


class _Reader:
    """One file, entry by entry: what a plain loader makes of it, with lines, and without what would blow up."""

    def __init__(self, path: Path) -> None:
        self.path, self.entries = path, 0
        self.lines: dict[Path_, tuple[Path, int]] = {}

    def read(self) -> Merged:
        try:
            if self.path.stat().st_size > LARGEST:
                raise UserError(f"{self.path}: it has more than {LARGEST >> 20} MiB, so it is no configuration")
            loader = yaml.SafeLoader(self.path.read_bytes().decode("utf-8-sig"))
            node = loader.get_single_node()
            content = self._value(loader, node, (), ()) if node is not None else None
        except RecursionError:
            raise UserError(f"{self.path} is not valid YAML: it is nested too deeply") from None
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.path} is not valid YAML: byte {error.start} is not UTF-8; save it as UTF-8"
            ) from error
        except (yaml.YAMLError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{self.path} is not valid YAML: {reason(error)}") from error
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror})") from error
        if not isinstance(content, dict):
            raise UserError(f"{self.path}: it holds {type(content).__name__}, not keys and values")
        return Merged(content, self.lines)

    def _value(self, loader: yaml.SafeLoader, node: yaml.Node, where: Path_, inside: tuple[int, ...]) -> Any:
        self.entries += 1
        if self.entries > MOST:
            raise UserError(f"{self.path}: its aliases make more than {MOST} entries of it")
        if id(node) in inside:
            raise UserError(f"{self.path}, line {node.start_mark.line + 1}: {'.'.join(where)} contains itself")
        inside = (*inside, id(node))
        if isinstance(node, yaml.MappingNode):
            return {
                key: self._value(loader, item, (*where, key), inside) for key, item in self._items(loader, node, where)
            }
        if isinstance(node, yaml.SequenceNode):
            if node.tag != "tag:yaml.org,2002:seq":
                raise UserError(f"{self.path}, line {node.start_mark.line + 1}: {node.tag} is not allowed")
            return [self._value(loader, item, (*where, str(i)), inside) for i, item in enumerate(node.value)]
        return loader.construct_object(node)

    def _items(self, loader: yaml.SafeLoader, node: yaml.MappingNode, where: Path_) -> Iterator[tuple[str, yaml.Node]]:
        """Keys and nodes of a section; a key stands once, as otherwise all but the last would be lost silently."""
        if node.tag != "tag:yaml.org,2002:map":
            raise UserError(f"{self.path}, line {node.start_mark.line + 1}: {node.tag} is not allowed")
        first: dict[str, int] = {}
        for key, _ in node.value:
            line, name = key.start_mark.line + 1, key.value if isinstance(key, yaml.ScalarNode) else ""
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                shown = ".".join((*where, name or "a section or list"))
                raise UserError(f"{self.path}, line {line}: {shown} is not allowed as a key; keys are words")
            if name in first and name != "<<":
                section = f" ({'.'.join(where)})" if where else ""
                lines = f"in lines {first[name]} and {line}{section}"
                raise UserError(f"{self.path}: {name!r} stands twice in the same section, {lines}")
            first[name] = line
            self.lines.setdefault((*where, name), (self.path, line))
        loader.flatten_mapping(node)  # what `<<` brings, behind which own entries follow
        for key, item in {key.value: (key, item) for key, item in node.value}.values():
            yield key.value, item
