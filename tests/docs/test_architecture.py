"""The drawing of the rooms is that of the imports as they are."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page

pytest.importorskip("grimp", reason="comes with import-linter, which has no release for Python 3.9")
from tools import draw_architecture  # noqa: E402

FIGURE = ROOT / "docs" / "architecture.svg"


def test_the_drawing_is_up_to_date() -> None:
    assert FIGURE.read_text("utf-8") == draw_architecture.svg(), "run python tools/draw_architecture.py"


def test_every_room_is_drawn_and_arrows_point_downwards() -> None:
    rooms, imports = draw_architecture.rooms(), draw_architecture.imports()
    folders = {path.parent.name for path in (ROOT / "paddleseg_ext").glob("*/__init__.py")}
    assert folders <= {room for row in rooms for room in row}
    heights = {room: number for number, row in enumerate(rooms) for room in row}
    assert imports and all(heights[upper] < heights[lower] for upper, lower in imports)


def test_it_is_well_formed_and_brings_its_background() -> None:
    root = ElementTree.fromstring(FIGURE.read_text("utf-8"))
    first = list(root)[1]  # after the title
    assert first.tag.endswith("rect") and first.get("fill", "").startswith("#")


@pytest.mark.parametrize("name", ["architecture.md", "architecture_cn.md"])
def test_the_pages_show_it(name: str) -> None:
    assert "(architecture.svg)" in Page(Path(ROOT / "docs" / name)).text
