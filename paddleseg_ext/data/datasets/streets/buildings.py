"""Houses along the street, and the skyline."""

from __future__ import annotations

from dataclasses import dataclass

from paddleseg_ext.data.datasets.streets.canvas import Canvas, shaded
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import BUILDING, END, VEGETATION, Side, Street

# Some walls have the gray of the road, the white of the sky or the green of a hedge, so that colors are ambiguous.
WALL_COLORS = (
    (146, 92, 74),
    (182, 164, 132),
    (124, 122, 120),
    (158, 155, 150),
    (206, 203, 196),
    (170, 182, 194),
    (90, 90, 94),
    (190, 158, 104),
    (178, 138, 122),
    (122, 130, 108),
)
ROOF_COLORS = ((112, 70, 60), (78, 76, 80), (96, 88, 82), (130, 84, 66))
GLASS_COLORS = ((52, 60, 70), (78, 90, 104), (110, 128, 146), (40, 42, 46))
LAMPLIGHT = (236, 204, 130)


@dataclass(frozen=True)
class House:
    """A house beside the street. Lengths in meters.

    Attributes:
        side: Of the street.
        near: Depth of its nearer end.
        far: Depth of its farther end.
        front: Distance of its front from the camera's axis.
        floors: Number of floors.
        color: Of the walls, RGB from 0 to 255.
        roof: Color of a pitched roof; None for a flat one.
    """

    side: Side
    near: float
    far: float
    front: float
    floors: int
    color: tuple
    roof: tuple | None

    @property
    def height(self) -> float:
        """Of the walls, in meters."""
        return 3.1 * self.floors + 0.6


def plan_houses(street: Street, side: Side, rng: Rng) -> list[House]:
    """Houses of one side of the street, from near to far."""
    houses: list[House] = []
    if side.kind == "park":
        return houses
    tall = rng.choice((2, 3, 4, 6)) if side.kind == "city" else 1
    near = rng.uniform(-6, 3)
    while near < END:
        far = near + (rng.uniform(8, 20) if side.kind == "city" else rng.uniform(7, 12))
        floors = max(1, tall + rng.integer(-1, 2)) if side.kind == "city" else rng.integer(1, 2)
        pitched = rng.bernoulli(0.2 if side.kind == "city" else 0.85)
        roof = rng.jitter(rng.choice(ROOF_COLORS)) if pitched else None
        front = side.front + rng.uniform(0.3, 0.8)
        house = House(side, near, far, front, floors, rng.jitter(rng.choice(WALL_COLORS), 18), roof)
        if not street.is_crossed(near - 2, far + 2):
            houses.append(house)
        near = far + (rng.choice((0, 0, 0, 4)) if side.kind == "city" else rng.uniform(2, 7))
    return houses


def paint_house(canvas: Canvas, house: House, lit: bool, dusk: bool, rng: Rng) -> None:
    """Paint the end wall that faces the camera, the roof, and the front with its windows.

    Args:
        canvas: Canvas to paint on.
        house: The house.
        lit: Whether the front is in sunlight.
        dusk: Whether some windows are lit.
        rng: Random numbers for windows, doors and balconies.
    """
    s, x, near, far, top = house.side.sign, house.front, max(house.near, 0.5), house.far, house.height
    back = x + 9
    front_color, end_color = (house.color, shaded(house.color, 0.78))
    if not lit:
        front_color, end_color = shaded(house.color, 0.72), shaded(house.color, 0.9)
    canvas.face([(s * x, 0, near), (s * back, 0, near), (s * back, top, near), (s * x, top, near)], end_color, BUILDING)
    if house.roof is not None:
        ridge_x, ridge_y = (x + back) / 2, top + 2.6
        canvas.face([(s * x, top, near), (s * ridge_x, ridge_y, near), (s * back, top, near)], end_color, BUILDING)
        eaves = [(s * (x - 0.3), top, near), (s * (x - 0.3), top, far)]
        canvas.face([*eaves, (s * ridge_x, ridge_y, far), (s * ridge_x, ridge_y, near)], house.roof, BUILDING)
    canvas.face([(s * x, 0, near), (s * x, 0, far), (s * x, top, far), (s * x, top, near)], front_color, BUILDING)
    _paint_windows(canvas, house, front_color, dusk, rng)


def _paint_windows(canvas: Canvas, house: House, wall: tuple, dusk: bool, rng: Rng) -> None:
    s, x = house.side.sign, house.front
    glass = rng.jitter(rng.choice(GLASS_COLORS))
    width, height, sill = rng.uniform(0.9, 1.6), rng.uniform(1.2, 1.9), rng.uniform(0.8, 1.1)
    pitch = width + rng.uniform(0.7, 1.8)
    frame = shaded(wall, rng.choice((0.8, 1.2)))
    shop = house.side.kind == "city" and rng.bernoulli(0.4)
    balcony = rng.bernoulli(0.25)
    count = int((house.far - house.near - 0.8) / pitch)
    margin = (house.far - house.near - count * pitch) / 2
    for floor in (3.1 * number for number in range(house.floors)):  # meters
        if shop and floor == 0:
            _pane(canvas, s * x, house.near + 0.5, house.far - 0.5, 0.4, 2.5, shaded(glass, 0.9))
            _pane(canvas, s * x, house.near + 0.3, house.far - 0.3, 2.5, 3.0, rng.jitter((140, 90, 90), 60))
            continue
        low, high = floor + sill, floor + sill + height
        for column in range(count):
            start = house.near + margin + column * pitch + (pitch - width) / 2
            if canvas.camera.scale(max(start, 1)) > 6:  # frames are visible only at short distance
                _pane(canvas, s * x, start - 0.1, start + width + 0.1, low - 0.1, high + 0.1, frame)
            color = LAMPLIGHT if dusk and rng.bernoulli(0.3) else rng.jitter(glass, 12)
            _pane(canvas, s * x, start, start + width, low, high, color)
        if balcony and floor:
            _pane(canvas, s * x, house.near + 0.8, house.far - 0.8, floor - 0.1, floor + 0.8, shaded(wall, 0.82))
    if rng.bernoulli(0.5):
        _paint_end_windows(canvas, house, glass, (sill, sill + height))
    if not shop:  # a door
        start = house.near + rng.uniform(0.2, 0.8) * (house.far - house.near - 1.2)
        _pane(canvas, s * x, start, start + 1.1, 0, 2.2, rng.jitter((92, 70, 60), 40))


def _paint_end_windows(canvas: Canvas, house: House, glass: tuple, rise: tuple[float, float]) -> None:
    """Two columns of windows in the end wall; `rise` is their lower and upper edge above the floor."""
    s, near = house.side.sign, max(house.near, 0.5)
    for floor in range(house.floors):
        low, high = (3.1 * floor + edge for edge in rise)
        for start in (house.front + 1.6, house.front + 5.2):
            left, right = s * start, s * (start + 1.3)
            canvas.face([(left, low, near), (right, low, near), (right, high, near), (left, high, near)], glass)


def _pane(canvas: Canvas, x: float, near: float, far: float, bottom: float, top: float, color: tuple) -> None:
    """Paint a rectangle on a wall along the street; the label stays."""
    if far < 1.2:
        return
    near = max(near, 1.0)
    canvas.face([(x, bottom, near), (x, bottom, far), (x, top, far), (x, top, near)], color)


def paint_skyline(canvas: Canvas, rng: Rng) -> None:
    """Paint distant houses and trees along the horizon."""
    z = END * 1.6
    x = -220.0
    woods = rng.bernoulli(0.4)
    green, gray = rng.jitter((78, 92, 62)), rng.jitter(rng.choice(WALL_COLORS))
    while x < 220:
        width = rng.uniform(6, 22)
        if rng.bernoulli(0.75 if woods else 0.3):
            for _ in range(4):
                radius = rng.uniform(3, 7)
                place = (x + rng.uniform(0, width), rng.uniform(2, 6), z)
                canvas.ellipse(*place, (radius, radius), rng.jitter(green), VEGETATION)
        else:
            height = rng.uniform(6, 22)
            canvas.rectangle(x + width / 2, z, width, 0, height, rng.jitter(gray, 20), BUILDING)
        x += width * rng.uniform(0.6, 1.0)
