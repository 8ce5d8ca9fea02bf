"""Puts houses, plants, poles, vehicles and people into a street."""

from __future__ import annotations

from paddleseg_ext.data.datasets.streets.buildings import paint_house, plan_houses
from paddleseg_ext.data.datasets.streets.furniture import (
    Boundary,
    paint_bin,
    paint_lamp,
    paint_sign,
    paint_traffic_light,
)
from paddleseg_ext.data.datasets.streets.objects import Residents
from paddleseg_ext.data.datasets.streets.people import paint_person
from paddleseg_ext.data.datasets.streets.plants import LEAF_COLORS, paint_bush, paint_hedge, paint_tree
from paddleseg_ext.data.datasets.streets.street import END, Side
from paddleseg_ext.data.datasets.streets.vehicles import paint_bus, paint_car

NEAREST = 3.0  # meters; nothing stands nearer to the camera
PIECE = 2.5  # meters; fences, walls and hedges are painted in pieces of that length


def furnish(residents: Residents, side: Side) -> None:
    """Line one side of the street with houses, boundaries, plants, poles, parked cars and people."""
    rng, street = residents.rng, residents.street
    lit = residents.sun_x * side.sign > 0 and residents.light.sun > 0
    for house in plan_houses(street, side, rng):
        # A house comes before whatever stands in front of it, hence its far end is its depth.
        residents.add(house.far, paint_house, house, lit, residents.light.dusk)
        middle = side.sign * (house.front + 4.5)
        residents.shade(middle, house.near, 9.0, house.far - house.near, house.height)
    _add_boundary(residents, side)
    _add_plants(residents, side)
    _add_poles(residents, side)
    if side.parking:
        _park_cars(residents, side)
    for _ in range(rng.whole(0, 7)):
        x = side.sign * rng.real(side.footway_start + 0.2, side.footway_end - 0.2)
        _add_person(residents, x, NEAREST + 1 + rng.real() * rng.real(5, 45))


def send_traffic(residents: Residents) -> None:
    """Cars and buses on the road, and what happens at the crossing."""
    rng, street = residents.rng, residents.street
    own, oncoming = rng.real(-0.2, 0.4), -3.3
    for lane, receding, probability in ((own, True, 0.55), (oncoming, False, 0.6)):
        if lane < -street.left.kerb + 1.0:
            continue
        z = rng.real(9 if receding else 6, 30)
        while z < 90 and rng.happens(probability):
            _add_vehicle(residents, lane + rng.real(-0.3, 0.3), z, True, receding, rng.happens(0.16))
            z += rng.real(14, 40)
    if street.crossing is None:
        return
    for offset in (2.0, 5.2):
        if rng.happens(0.45):
            x = rng.real(3, 16) * rng.of((-1, 1))
            _add_vehicle(residents, x, street.crossing + offset, False, True, rng.happens(0.2))
    for _ in range(rng.whole(0, 4)):
        _add_person(residents, rng.real(-6, 6), street.crossing - rng.real(1.2, 3.6))


def _add_boundary(residents: Residents, side: Side) -> None:
    rng = residents.rng
    if side.boundary == "none":
        return
    boundary = Boundary(side.boundary, rng)
    leaf, height = rng.near(rng.of(LEAF_COLORS)), rng.real(0.9, 1.8)
    x = side.sign * (side.footway_end + 0.15)
    z = 1.0
    while z < END * 0.7:
        gap = residents.street.is_crossed(z, z + PIECE) or rng.happens(0.06)
        if not gap and side.boundary == "hedge":
            residents.add(z, paint_hedge, x, z, z + PIECE, height, leaf)
        elif not gap:
            residents.add(z, boundary.paint, x, z, z + PIECE)
        z += PIECE


def _add_plants(residents: Residents, side: Side) -> None:
    rng, street = residents.rng, residents.street
    bare = rng.happens(0.12)
    spacing = rng.real(7, 16)
    rows = []
    if side.verge or rng.happens(0.4):
        rows.append((side.kerb + 0.6, side.kerb + 0.9, spacing))
    if side.kind == "suburb":
        rows.append((side.footway_end + 1, side.front - 0.5, 6.0))
    if side.kind == "park":
        rows += [(side.footway_end + 2, side.footway_end + 9, 5.0), (side.footway_end + 9, side.front, 4.0)]
    for inner, outer, step in rows:
        z = NEAREST + rng.real(0, step)
        while z < END * 0.75:
            x = side.sign * rng.real(inner, outer)
            if street.is_crossed(z - 1, z + 1):
                pass
            elif side.kind == "suburb" and rng.happens(0.5) and inner > side.footway_end:
                residents.add(z, paint_bush, x, z, rng.real(0.7, 1.8))
            elif rng.happens(0.8):
                height = rng.real(4, 9)
                residents.add(z, paint_tree, x, z, height, bare)
                residents.shade(x, z, 1.5, 1.5, height * 0.8)
            z += step * rng.real(0.7, 1.3)


def _add_poles(residents: Residents, side: Side) -> None:
    rng, street = residents.rng, residents.street
    x = side.sign * (side.kerb + 0.45)
    spacing = rng.real(14, 26)
    z = NEAREST + rng.real(0, spacing)
    while z < 90:
        if not street.is_crossed(z, z):
            residents.add(z, paint_lamp, x, z)
        z += spacing
    for _ in range(rng.whole(0, 3)):
        z = NEAREST + 2 + rng.real() * rng.real(4, 40)
        if not street.is_crossed(z, z):
            residents.add(z, paint_sign, x + side.sign * rng.real(0, 0.6), z)
    if street.crossing is not None and rng.happens(0.8):
        for z in (street.crossing - 0.6, street.crossing + street.CROSSING + 0.6):
            residents.add(z, paint_traffic_light, x, z)
    if rng.happens(0.5):
        z = NEAREST + rng.real(1, 14)
        residents.add(z, paint_bin, side.sign * (side.footway_end - 0.4), z)


def _park_cars(residents: Residents, side: Side) -> None:
    rng, street = residents.rng, residents.street
    x = side.sign * (side.kerb - 1.05)
    z = rng.real(NEAREST, 12)
    while z < 80:
        if rng.happens(0.8) and not street.is_crossed(z - 4, z + 9):
            _add_vehicle(residents, x, z, True, side.sign > 0, False)
        z += rng.real(5.2, 8)


def _add_vehicle(residents: Residents, x: float, z: float, along: bool, receding: bool, bus: bool) -> None:
    width, length = (1.8, 4.3) if along else (4.3, 1.8)
    if bus:
        width, length = (2.5, 10.0) if along else (10.0, 2.5)
        residents.add(z, paint_bus, x, z, along)
    else:
        residents.add(z, paint_car, x, z, along, receding)
    residents.shade(x, z, width, length, 3.0 if bus else 1.2)


def _add_person(residents: Residents, x: float, z: float) -> None:
    residents.add(z, paint_person, x, z)
    residents.shade(x, z, 0.4, 0.3, 1.6)
