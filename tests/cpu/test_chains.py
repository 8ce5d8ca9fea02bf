"""Which layers follow each other is read from code, and only where nothing else can use what is between them."""

from __future__ import annotations

import linecache
from typing import Any

import pytest
from paddle import nn

from paddleseg_ext.cpu import chains

FOUND = {
    "in turn": ("x = self.a(x)\nx = self.b(x)\nx = self.c(x)\nreturn x", ["abc"]),
    "returned": ("y = self.a(x)\nreturn self.b(y)", ["ab"]),
    "within each other": ("return self.c(self.b(self.a(x)))", ["abc"]),
    "a part of an expression": ("return x + self.b(self.a(x))", ["ab"]),
    "both": ("x = self.b(self.a(x))\nif self.on:\n    x = self.c(x)\nreturn x", ["abc"]),
    "left out": ("x = self.b(self.a(x))\nif self.off:\n    x = self.c(x)\nreturn x", ["ab"]),
    "absent": ("x = self.b(self.a(x))\nif self.off:\n    x = self.none(x)\nreturn x", ["ab"]),
    "in a loop": ("for _ in range(2):\n    x = self.a(x)\n    x = self.b(x)\nreturn x", ["ab"]),
    "two": ("x = self.a(x)\nx = self.b(x)\nx = x + 1\nx = self.d(self.c(x))\nreturn x", ["ab", "cd"]),
}
NOT_FOUND = {
    "kept": "y = self.a(x)\nz = self.b(y)\nreturn z",
    "used between": "x = self.a(x)\nprint(x)\nx = self.b(x)\nreturn x",
    "another argument": "x = self.a(x)\nx = self.b(x, 1)\nreturn x",
    "a call elsewhere": "x = self.a(x)\nx = self.b(x)\nreturn self.a(x)",
    "another name for a layer": "x = self.a(x)\nx = self.b(x)\nreturn x, self.a",
    "walrus": "return self.b(y := self.a(x)) + y",
    "a method": "x = self.a(x)\nx = self.b(x)\nreturn self.helper(x)",
    "passed on": "x = self.a(x)\nx = self.b(x)\nreturn help(self, x)",
    "a function within": "x = self.a(x)\nf = lambda: x\nx = self.b(x)\nreturn f()",
    "at last": "try:\n    x = self.a(x)\n    return self.b(x)\nfinally:\n    print(x)",
    "another condition": "x = self.a(x)\nif self.on:\n    x = self.b(x)\nelse:\n    x = x\nreturn x",
}


def parent(code: str, called: str = "forward") -> nn.Layer:
    """A layer with this forward, whose source `inspect` finds."""
    lines = ["class Parent(Base):", f"    def {called}(self, x):", *(f"        {line}" for line in code.split("\n"))]
    source, file = "\n".join(lines) + "\n", f"<chains {hash(code)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    names: dict[str, Any] = {"Base": Base}
    exec(compile(source, file, "exec"), names)
    return names["Parent"]()


class Base(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Identity() for _ in "abcd")
        self.on, self.off, self.none = True, False, None

    def helper(self, x: object) -> object:
        return x


def runs(layer: nn.Layer) -> list[str]:
    children = dict(layer.named_children())
    names = {child: name for name, child in children.items()}
    return sorted("".join(names[child] for child in run) for run in chains.runs(layer, children))


@pytest.mark.parametrize("case", FOUND)
def test_found(case: str) -> None:
    code, expected = FOUND[case]
    assert runs(parent(code)) == expected


@pytest.mark.parametrize("case", NOT_FOUND)
def test_not_found(case: str) -> None:
    assert runs(parent(NOT_FOUND[case])) == []


def test_a_sequence_needs_no_code() -> None:
    assert runs(nn.Sequential(nn.Identity(), nn.Identity())) == ["01"]


def test_a_file_that_has_changed_since_is_not_believed() -> None:
    layer = parent("y = self.a(x)\nreturn self.b(x)")
    file = type(layer).forward.__code__.co_filename
    lines = linecache.cache[file][2]
    assert runs(layer) == []
    chains._read.cache_clear()
    linecache.cache[file] = (0, None, [*lines[:3], lines[3].replace("(x)", "(y)")], file)
    assert runs(layer) == []
