"""Rooms and files stay as small, and layers as plain, as CONTRIBUTING says; imports are checked by import-linter."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "paddleseg_ext"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted({path.parent for path in FILES} - {PACKAGE / "data" / "datasets" / "streets"})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 300


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_holds_more_than_14_files(room: Path) -> None:
    assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= 14


@pytest.mark.parametrize("path", sorted((PACKAGE / "layers").glob("*.py")), ids=lambda path: path.name)
def test_layers_know_no_device_and_no_written_gradient(path: Path) -> None:
    names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
    imported = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    allowed = {"get_device"} if path.name == "resample.py" else set()  # where matrices are kept, one for each device
    device = {"place", "get_device", "is_cpu_place", "is_gpu_place", "PyLayer", "numpy"}
    assert not (names | imported) & device - allowed
