"""Mistakes that a configuration can have: one at a time, drawn from a seed, as the text of a YAML file."""

from __future__ import annotations

import copy
import datetime
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[Any, ...]  # keys and indices from the top level down
VALUES: tuple[Any, ...] = (
    *(None, "", " ", "abc", "1e-3", "0.5", "[512, 512]", "True", True, False),
    *(-1, 0, 1, 3.5, -0.5, 1e308, -1e308, 10**12, -(10**12), 10**400, float("nan"), float("inf")),
    *([], {}, [None], [1, "x"], [-1, -1], [10**9, 10**9], [[1]], {"a": 1}, {"type": "PSPHead"}, {"type": None}, {1: 2}),
    *(datetime.date(2001, 1, 1), datetime.datetime(2001, 1, 1, 12), b"bytes", "路径"),
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{key}: &{key} [{','.join([f'*{last}'] * 9)}]\n" for last, key in zip("abcdefgh", "bcdefghi")
)
HEADERS = (
    "[1, 2",  # never closed
    "\titers: 3",
    "&a [*a]",  # holds itself
    "a: &a {b: *a}",
    "!!python/object/apply:os.system ['true']",
    "--- {}\n--- {}",
    "_base_: .",
    "_base_: 3",
    "_base_: [null]",
    "_base_: {a: 1}",
    "_base_: mutated.yml",  # itself
    "_base_: nowhere.yml",
    "_base_: /dev/null",
    "imports: [no_such_module_at_all]",
    "imports: 3",
    "imports: [3]",
    "train: [1]",
    "train: {x: 1}",
    "? {a: 1}\n: 2",
    "? [a, b]\n: 2",
    "3: 4",
    "null: 4",
    "x: " + "[" * 2000 + "]" * 2000,
    BOMB,
    "\x00",
    "iters: 1\x07",
    "",
    "just words",
    "2001-01-01",
)


@dataclass(frozen=True)
class Mutation:
    """A mistake.

    Attributes:
        what: What was done, for a person.
        key: The key that a good sentence names, or None where no key is wrong.
        text: The file.
        section: The key of the top level that was changed, or None.
    """

    what: str
    key: str | None
    text: str
    section: str | None = None


def mutations(config: dict[str, Any], seed: int) -> Iterator[Mutation]:
    """Endless mistakes in a merged configuration, one each."""
    draw = random.Random(seed)
    places = [path for path, _ in _walk(config) if path]
    while True:
        kind = draw.choice(_KINDS)
        mutation = kind(draw, copy.deepcopy(config), draw.choice(places))
        if mutation is not None:
            yield mutation


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _walk(item, (*path, key))


def _parent(config: Any, path: Path) -> Any:
    for key in path[:-1]:
        config = config[key]
    return config


def _told(what: str, config: dict[str, Any], path: Path) -> Mutation:
    words = [key for key in path if isinstance(key, str)]
    where = ".".join(map(str, path))
    return Mutation(f"{where}: {what}", words[-1], yaml.safe_dump(config, allow_unicode=True), str(path[0]))


def _replace(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation:
    value = copy.deepcopy(draw.choice(VALUES))
    _parent(config, path)[path[-1]] = value
    return _told(f"{value!r:.60}", config, path)


def _drop(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation:
    del _parent(config, path)[path[-1]]
    return _told("dropped", config, path)


def _rename(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation | None:
    key, parent = path[-1], _parent(config, path)
    if not isinstance(key, str) or len(key) < 3:
        return None
    at = draw.randrange(len(key) - 1)
    other = draw.choice([key[:at] + key[at + 1] + key[at] + key[at + 2 :], key + "s", key[:-1], key.upper()])
    if other in parent:
        return None
    parent[other] = parent.pop(key)
    mutation = _told(f"renamed to {other}", config, path)
    return Mutation(mutation.what, other, mutation.text, mutation.section)


def _wrap(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation:
    parent, key = _parent(config, path), path[-1]
    kind = draw.choice(["list", "section", "text"])
    value = parent[key]
    parent[key] = [value] if kind == "list" else {str(key): value} if kind == "section" else str(value)
    return _told(f"wrapped in a {kind}", config, path)


def _swap(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation:
    other, value = draw.choice([(path, value) for path, value in _walk(config) if path])
    _parent(config, path)[path[-1]] = copy.deepcopy(value)
    return _told(f"value of {'.'.join(map(str, other))}", config, path)


def _lift(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation | None:
    """Move an entry out of its section, as wrong indentation does."""
    if len(path) < 2 or not isinstance(path[-1], str):
        return None
    value = _parent(config, path).pop(path[-1])
    outer = _parent(config, path[:-1])
    outer = outer if isinstance(outer, dict) else config
    outer.setdefault(path[-1], value)
    return _told("moved a level up", config, path)


def _resize(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation | None:
    value = _parent(config, path)[path[-1]]
    if not isinstance(value, list) or not value:
        return None
    kind = draw.choice(["doubled", "shortened", "with a word", "with null"])
    if kind == "doubled":
        value.append(copy.deepcopy(value[-1]))
    elif kind == "shortened":
        value.pop()
    else:
        value.insert(draw.randrange(len(value)), "word" if kind == "with a word" else None)
    return _told(kind, config, path)


def _twice(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation:
    text = yaml.safe_dump(config, sort_keys=False)
    lines = [i for i, line in enumerate(text.splitlines()) if line and line[0].isalpha()]
    all_lines = text.splitlines()
    line = all_lines[draw.choice(lines)].partition(":")[0]
    return Mutation(f"{line} stands twice", line, f"{text}\n{line}: 1\n", line)


def _text(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation:
    header = draw.choice(HEADERS)
    alone = draw.random() < 0.5
    key = header.partition(":")[0] if header[:1].isalpha() and ":" in header else None
    return Mutation(f"text {header[:40]!r}", key, header if alone else f"{header}\n{yaml.safe_dump(config)}")


def _cut(draw: random.Random, config: dict[str, Any], path: Path) -> Mutation:
    text = yaml.safe_dump(config)
    at = draw.randrange(len(text))
    garbage = draw.choice(["", ":", "- ", "\t", "{", "'", "&", "*x", "%", "@", "\u2028", "é"])
    return Mutation(f"{garbage!r} at {at}", None, text[:at] + garbage + text[at + (0 if garbage else 400) :])


_KINDS: tuple[Callable[[random.Random, dict[str, Any], Path], Mutation | None], ...] = (
    *(_replace,) * 10,
    *(_drop, _rename, _rename, _wrap, _wrap, _swap, _swap, _lift, _resize, _resize, _twice, _text, _cut),
)
