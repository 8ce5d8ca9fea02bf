"""Geometry of one street: its two sides, the crossing and the camera."""

from __future__ import annotations

from dataclasses import dataclass

from paddleseg_ext.data.datasets.streets.camera import Camera
from paddleseg_ext.data.datasets.streets.rng import Rng

# Cityscapes trainIds of the classes that are drawn.
ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN = 0, 1, 2, 3, 4, 5, 6, 7
VEGETATION, TERRAIN, SKY, PERSON, CAR, BUS = 8, 9, 10, 11, 13, 15
DRAWN = (ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN, SKY, PERSON, CAR, BUS)

END = 130.0  # meters; only the skyline lies beyond


@dataclass(frozen=True)
class Side:
    """One side of the street, from the curb outward. Lengths in meters.

    Attributes:
        sign: −1 for the left side, 1 for the right.
        curb: Distance of the curb from the camera's axis.
        verge, sidewalk, garden: Widths of the grass strip, the sidewalk, and the ground before the buildings (0: none).
        kind: `city` (house beside house), `suburb` (houses in gardens) or `park` (no houses).
        boundary: What separates sidewalk and garden: `fence`, `wall`, `hedge` or `none`.
        parking: Whether cars are parked along the curb.
    """

    sign: int
    curb: float
    verge: float
    sidewalk: float
    garden: float
    kind: str
    boundary: str
    parking: bool

    @property
    def sidewalk_start(self) -> float:
        """Distance of the sidewalk's near edge from the camera's axis."""
        return self.curb + self.verge

    @property
    def sidewalk_end(self) -> float:
        """Distance of the sidewalk's far edge from the camera's axis."""
        return self.sidewalk_start + self.sidewalk

    @property
    def front(self) -> float:
        """Distance of the house fronts from the camera's axis."""
        return self.sidewalk_end + self.garden


@dataclass(frozen=True)
class Street:
    """Two sides and, at depth `crossing`, a crossing street of width `CROSSING` (None: no crossing)."""

    left: Side
    right: Side
    crossing: float | None

    CROSSING = 8.0

    @property
    def sides(self) -> tuple[Side, Side]:
        """Left and right."""
        return self.left, self.right

    def is_crossed(self, near: float, far: float) -> bool:
        """Whether the crossing street overlaps the depths from `near` to `far` meters."""
        return self.crossing is not None and near < self.crossing + self.CROSSING and far > self.crossing


def plan_street(rng: Rng) -> Street:
    """Random street."""
    left = _plan_side(rng, -1, rng.choice((1.8, 4.8, 5.2, 7.5)))
    right = _plan_side(rng, 1, rng.choice((2.4, 3.0, 4.6)))
    return Street(left, right, rng.uniform(12, 45) if rng.bernoulli(0.5) else None)


def place_camera(rng: Rng, width: int, height: int) -> Camera:
    """Random camera for a canvas of this size."""
    return Camera(
        width=width,
        height=height,
        focal=width * rng.uniform(0.55, 0.8),
        center=width * rng.uniform(0.4, 0.6),
        horizon=height * rng.uniform(0.36, 0.52),
        eye=rng.uniform(1.25, 2.1),
        bend=rng.uniform(-0.0016, 0.0016),
    )


def _plan_side(rng: Rng, sign: int, curb: float) -> Side:
    kind = rng.choice(("city", "city", "city", "suburb", "suburb", "park"))
    parking = rng.bernoulli(0.55)
    return Side(
        sign=sign,
        curb=curb + (2.2 if parking else 0.0),
        verge=rng.uniform(0.8, 2.4) if rng.bernoulli(0.35) else 0.0,
        sidewalk=rng.uniform(1.6, 4.0),
        garden={"city": 0.0, "suburb": rng.uniform(3.0, 7.0), "park": rng.uniform(25.0, 40.0)}[kind],
        kind=kind,
        boundary="none" if kind == "city" else rng.choice(("fence", "fence", "wall", "wall", "hedge")),
        parking=parking,
    )
