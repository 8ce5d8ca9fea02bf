"""The plan of one street: what runs along it, and from where it is seen."""

from __future__ import annotations

from dataclasses import dataclass

from paddleseg_ext.data.datasets.streets.camera import Camera
from paddleseg_ext.data.datasets.streets.rng import Rng

# Cityscapes' train ids of what is drawn.
ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN = 0, 1, 2, 3, 4, 5, 6, 7
VEGETATION, TERRAIN, SKY, PERSON, CAR, BUS = 8, 9, 10, 11, 13, 15
DRAWN = (ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN, SKY, PERSON, CAR, BUS)

END = 130.0  # meters; nothing but the skyline stands beyond


@dataclass(frozen=True)
class Side:
    """One side of the street, from the kerb outwards. Lengths in meters.

    Attributes:
        sign: −1 for the left side, 1 for the right.
        kerb: Distance of the kerb from the camera's axis.
        verge, footway, garden: Widths of the grass strip, the sidewalk, and the ground before the buildings (0: none).
        kind: `city` (house beside house), `suburb` (houses in gardens) or `park` (no houses).
        boundary: What separates sidewalk and garden: `fence`, `wall`, `hedge` or `none`.
        parking: Whether cars are parked along the kerb.
    """

    sign: int
    kerb: float
    verge: float
    footway: float
    garden: float
    kind: str
    boundary: str
    parking: bool

    @property
    def footway_start(self) -> float:
        return self.kerb + self.verge

    @property
    def footway_end(self) -> float:
        return self.footway_start + self.footway

    @property
    def front(self) -> float:
        """Distance of the house fronts from the camera's axis."""
        return self.footway_end + self.garden


@dataclass(frozen=True)
class Street:
    """The street. `crossing` is the depth at which another street crosses (None: none), of width `CROSSING`."""

    left: Side
    right: Side
    crossing: float | None

    CROSSING = 8.0

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.left, self.right

    def is_crossed(self, near: float, far: float) -> bool:
        """Whether the crossing street passes between the two depths."""
        return self.crossing is not None and near < self.crossing + self.CROSSING and far > self.crossing


def plan_street(rng: Rng) -> Street:
    """A street by rng."""
    left = _plan_side(rng, -1, rng.of((1.8, 4.8, 5.2, 7.5)))
    right = _plan_side(rng, 1, rng.of((2.4, 3.0, 4.6)))
    return Street(left, right, rng.real(12, 45) if rng.happens(0.5) else None)


def place_camera(rng: Rng, width: int, height: int) -> Camera:
    """A camera by rng for a canvas of that size."""
    return Camera(
        width=width,
        height=height,
        focal=width * rng.real(0.55, 0.8),
        center=width * rng.real(0.4, 0.6),
        horizon=height * rng.real(0.36, 0.52),
        eye=rng.real(1.25, 2.1),
        bend=rng.real(-0.0016, 0.0016),
    )


def _plan_side(rng: Rng, sign: int, kerb: float) -> Side:
    kind = rng.of(("city", "city", "city", "suburb", "suburb", "park"))
    parking = rng.happens(0.55)
    return Side(
        sign=sign,
        kerb=kerb + (2.2 if parking else 0.0),
        verge=rng.real(0.8, 2.4) if rng.happens(0.35) else 0.0,
        footway=rng.real(1.6, 4.0),
        garden={"city": 0.0, "suburb": rng.real(3.0, 7.0), "park": rng.real(25.0, 40.0)}[kind],
        kind=kind,
        boundary="none" if kind == "city" else rng.of(("fence", "fence", "wall", "wall", "hedge")),
        parking=parking,
    )
