"""Draw the package's rooms and what imports what: `python tools/draw_architecture.py` writes docs/architecture.svg.

Rooms and their rows are those of the contract in pyproject.toml, imports those of the files (needs import-linter). An
import that a chain of others implies is left out. Rows are ordered so that few lines cross.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections import defaultdict
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, FIGURE = "paddleseg_ext", ROOT / "docs" / "architecture.svg"
WIDTH, BOX, TALL, GAP, LANE = 1000, 218, 58, 34, 26  # pixels; a lane is the room that a passing line takes
LETTERS = 36  # of a line in a box
INK, PAPER, FILL, LINE, EDGE = "#1f2933", "#ffffff", "#eef3f8", "#7b8794", "#9aa5b1"

Point = tuple[float, float]


def rooms() -> list[list[str]]:
    """The rows of rooms, top first, as the linter has them."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    contract = re.search(r'type = "layers"\nlayers = \[(.*?)\]', text, re.S)
    assert contract is not None
    rows = re.findall(r'"(.*?)"', contract[1])
    return [[name.strip().removeprefix(f"{PACKAGE}.") for name in row.split("|")] for row in rows]


def imports() -> list[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second, without those that others imply."""
    import grimp

    known = {room for row in rooms() for room in row}
    graph, below = grimp.build_graph(PACKAGE), defaultdict(set)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            upper, lower = (name.split(".")[1] if "." in name else "" for name in (module, imported))
            if upper in known and lower in known and upper != lower:
                below[upper].add(lower)

    def reached(start: str) -> set[str]:
        return {end for step in below[start] for end in (step, *reached(step))}

    return sorted(
        (upper, lower)
        for upper in known
        for lower in below[upper]
        if not any(lower in reached(other) for other in below[upper] - {lower})
    )


def what(room: str) -> list[str]:
    """The first line of a room's documentation, in two lines at most."""
    path = ROOT / PACKAGE / room
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    first = (ast.get_docstring(ast.parse(source.read_text("utf-8"))) or "").split("\n")[0].replace("`", "")
    text = re.split(r"[:;.](?: |$)", first)[0]
    if len(text) > 2 * LETTERS:
        text = text.split(", ")[0]
    return textwrap.wrap(text, LETTERS, max_lines=2, placeholder=" …")


def rows_with_lanes() -> tuple[list[list[str]], list[list[str]]]:
    """Rows of rooms, and of lanes for lines that pass, ordered for few crossings; and the stations of each line."""
    rows = rooms()
    height = {room: number for number, row in enumerate(rows) for room in row}
    paths = []
    for upper, lower in imports():
        lanes = [f"{upper}>{lower}@{n}" for n in range(height[upper] + 1, height[lower])]
        for n, lane in enumerate(lanes, height[upper] + 1):
            rows[n].append(lane)
        paths.append([upper, *lanes, lower])
    near: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for path in paths:
        for one, other in zip(path, path[1:]):
            near[one].append((1, other))
            near[other].append((-1, one))
    for turn in range(24):
        side = -1 if turn % 2 == 0 else 1
        for row in rows[1:] if side < 0 else rows[-2::-1]:
            places = {name: x for name, (x, _) in placed(rows).items()}
            own = {name: [places[other] for where, other in near[name] if where == side] for name in row}
            row.sort(key=lambda name: (sum(own[name]) / len(own[name]) if own[name] else places[name], name))
    return rows, paths


def placed(rows: list[list[str]]) -> dict[str, Point]:
    """Middle of each room and lane."""
    found = {}
    for number, row in enumerate(rows):
        widths = [LANE if "@" in name else BOX for name in row]
        space = (WIDTH - sum(widths)) / (len(row) + 1)
        x = 0.0
        for name, width in zip(row, widths):
            found[name] = (round(x + space + width / 2, 1), 70 + number * (TALL + GAP) + TALL / 2)
            x += space + width
    return found


def svg() -> str:
    """The drawing."""
    rows, paths = rows_with_lanes()
    places = placed(rows)
    tall = 70 + len(rows) * (TALL + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" font-family="sans-serif">',
        "<title>Rooms of paddleseg_ext; a line leads down from a room to one that it imports</title>",
        f'<rect width="{WIDTH}" height="{tall}" fill="{PAPER}"/>',
        f'<text x="{WIDTH / 2}" y="34" text-anchor="middle" font-size="17" fill="{INK}">'
        "A line leads down from a room to one that it imports</text>",
    ]
    out += [_line([places[name] for name in path], f"{path[0]} imports {path[-1]}") for path in paths]
    out += [_box(name, places[name]) for row in rows for name in row if "@" not in name]
    return "\n".join([*out, "</svg>", ""])


def _line(points: list[Point], title: str) -> str:
    (x, y), *rest = points
    d, half = f"M{x} {y + TALL / 2:g}", TALL / 2
    for number, (to_x, to_y) in enumerate(rest, 1):
        start, end = y + half, to_y - half
        middle = (start + end) / 2
        d += f" C{x} {middle:g} {to_x} {middle:g} {to_x} {end:g}"
        if number < len(rest):
            d += f" V{to_y + half:g}"
        x, y = to_x, to_y
    return f'<path d="{d}" fill="none" stroke="{EDGE}" stroke-width="1.6"><title>{escape(title)}</title></path>'


def _box(name: str, at: Point) -> str:
    left, top = at[0] - BOX / 2, at[1] - TALL / 2
    lines = [
        f'<rect x="{left:g}" y="{top:g}" width="{BOX}" height="{TALL}" rx="6" fill="{FILL}" stroke="{LINE}"/>',
        f'<text x="{at[0]}" y="{top + 19:g}" text-anchor="middle" font-size="15" font-weight="bold" fill="{INK}">'
        f"{escape(name)}</text>",
    ]
    lines += [
        f'<text x="{at[0]}" y="{top + 35 + 14 * n:g}" text-anchor="middle" font-size="11.5" fill="{INK}">'
        f"{escape(text)}</text>"
        for n, text in enumerate(what(name))
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    FIGURE.write_text(svg(), encoding="utf-8")
    print(FIGURE.relative_to(ROOT))
