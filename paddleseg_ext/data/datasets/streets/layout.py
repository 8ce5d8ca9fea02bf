"""Layout of a scene: positions of houses, plants, poles, vehicles and people along a street."""

from __future__ import annotations

from paddleseg_ext.data.datasets.streets.buildings import paint_house, plan_houses
from paddleseg_ext.data.datasets.streets.furniture import (
    Boundary,
    paint_lamp,
    paint_sign,
    paint_traffic_light,
    paint_trash_can,
)
from paddleseg_ext.data.datasets.streets.objects import SceneObjects
from paddleseg_ext.data.datasets.streets.people import paint_person
from paddleseg_ext.data.datasets.streets.plants import LEAF_COLORS, paint_bush, paint_hedge, paint_tree
from paddleseg_ext.data.datasets.streets.street import END, Side
from paddleseg_ext.data.datasets.streets.vehicles import paint_bus, paint_car

NEAREST = 3.0  # meters; no object is nearer to the camera
PIECE = 2.5  # meters; fences, walls and hedges are painted in pieces of this length


def place_side_objects(objects: SceneObjects, side: Side) -> None:
    """Add the houses, boundaries, plants, poles, parked cars and people of one side of the street."""
    rng, street = objects.rng, objects.street
    lit = objects.sun_x * side.sign > 0 and objects.lighting.sun > 0
    for house in plan_houses(street, side, rng):
        # A house is painted before all objects in front of it, hence it is sorted by its far end.
        objects.add(house.far, paint_house, house, lit, objects.lighting.dusk)
        middle = side.sign * (house.front + 4.5)
        objects.add_shadow(middle, house.near, 9.0, house.far - house.near, house.height)
    _add_boundary(objects, side)
    _add_plants(objects, side)
    _add_poles(objects, side)
    if side.parking:
        _add_parked_cars(objects, side)
    for _ in range(rng.integer(0, 7)):
        x = side.sign * rng.uniform(side.sidewalk_start + 0.2, side.sidewalk_end - 0.2)
        _add_person(objects, x, NEAREST + 1 + rng.uniform() * rng.uniform(5, 45))


def place_traffic(objects: SceneObjects) -> None:
    """Add cars and buses on the road, and vehicles and people at the crossing."""
    rng, street = objects.rng, objects.street
    own, oncoming = rng.uniform(-0.2, 0.4), -3.3
    for lane, receding, probability in ((own, True, 0.55), (oncoming, False, 0.6)):
        if lane < -street.left.curb + 1.0:
            continue
        z = rng.uniform(9 if receding else 6, 30)
        while z < 90 and rng.bernoulli(probability):
            _add_vehicle(objects, lane + rng.uniform(-0.3, 0.3), z, True, receding, rng.bernoulli(0.16))
            z += rng.uniform(14, 40)
    if street.crossing is None:
        return
    for offset in (2.0, 5.2):
        if rng.bernoulli(0.45):
            x = rng.uniform(3, 16) * rng.choice((-1, 1))
            _add_vehicle(objects, x, street.crossing + offset, False, True, rng.bernoulli(0.2))
    for _ in range(rng.integer(0, 4)):
        _add_person(objects, rng.uniform(-6, 6), street.crossing - rng.uniform(1.2, 3.6))


def _add_boundary(objects: SceneObjects, side: Side) -> None:
    rng = objects.rng
    if side.boundary == "none":
        return
    boundary = Boundary(side.boundary, rng)
    leaf, height = rng.jitter(rng.choice(LEAF_COLORS)), rng.uniform(0.9, 1.8)
    x = side.sign * (side.sidewalk_end + 0.15)
    z = 1.0
    while z < END * 0.7:
        gap = objects.street.is_crossed(z, z + PIECE) or rng.bernoulli(0.06)
        if not gap and side.boundary == "hedge":
            objects.add(z, paint_hedge, x, z, z + PIECE, height, leaf)
        elif not gap:
            objects.add(z, boundary.paint, x, z, z + PIECE)
        z += PIECE


def _add_plants(objects: SceneObjects, side: Side) -> None:
    rng, street = objects.rng, objects.street
    bare = rng.bernoulli(0.12)
    spacing = rng.uniform(7, 16)
    rows = []
    if side.verge or rng.bernoulli(0.4):
        rows.append((side.curb + 0.6, side.curb + 0.9, spacing))
    if side.kind == "suburb":
        rows.append((side.sidewalk_end + 1, side.front - 0.5, 6.0))
    if side.kind == "park":
        rows += [(side.sidewalk_end + 2, side.sidewalk_end + 9, 5.0), (side.sidewalk_end + 9, side.front, 4.0)]
    for inner, outer, step in rows:
        z = NEAREST + rng.uniform(0, step)
        while z < END * 0.75:
            x = side.sign * rng.uniform(inner, outer)
            if street.is_crossed(z - 1, z + 1):
                pass
            elif side.kind == "suburb" and rng.bernoulli(0.5) and inner > side.sidewalk_end:
                objects.add(z, paint_bush, x, z, rng.uniform(0.7, 1.8))
            elif rng.bernoulli(0.8):
                height = rng.uniform(4, 9)
                objects.add(z, paint_tree, x, z, height, bare)
                objects.add_shadow(x, z, 1.5, 1.5, height * 0.8)
            z += step * rng.uniform(0.7, 1.3)


def _add_poles(objects: SceneObjects, side: Side) -> None:
    rng, street = objects.rng, objects.street
    x = side.sign * (side.curb + 0.45)
    spacing = rng.uniform(14, 26)
    z = NEAREST + rng.uniform(0, spacing)
    while z < 90:
        if not street.is_crossed(z, z):
            objects.add(z, paint_lamp, x, z)
        z += spacing
    for _ in range(rng.integer(0, 3)):
        z = NEAREST + 2 + rng.uniform() * rng.uniform(4, 40)
        if not street.is_crossed(z, z):
            objects.add(z, paint_sign, x + side.sign * rng.uniform(0, 0.6), z)
    if street.crossing is not None and rng.bernoulli(0.8):
        for z in (street.crossing - 0.6, street.crossing + street.CROSSING + 0.6):
            objects.add(z, paint_traffic_light, x, z)
    if rng.bernoulli(0.5):
        z = NEAREST + rng.uniform(1, 14)
        objects.add(z, paint_trash_can, side.sign * (side.sidewalk_end - 0.4), z)


def _add_parked_cars(objects: SceneObjects, side: Side) -> None:
    rng, street = objects.rng, objects.street
    x = side.sign * (side.curb - 1.05)
    z = rng.uniform(NEAREST, 12)
    while z < 80:
        if rng.bernoulli(0.8) and not street.is_crossed(z - 4, z + 9):
            _add_vehicle(objects, x, z, True, side.sign > 0, False)
        z += rng.uniform(5.2, 8)


def _add_vehicle(objects: SceneObjects, x: float, z: float, along: bool, receding: bool, bus: bool) -> None:
    width, length = (1.8, 4.3) if along else (4.3, 1.8)
    if bus:
        width, length = (2.5, 10.0) if along else (10.0, 2.5)
        objects.add(z, paint_bus, x, z, along)
    else:
        objects.add(z, paint_car, x, z, along, receding)
    objects.add_shadow(x, z, width, length, 3.0 if bus else 1.2)


def _add_person(objects: SceneObjects, x: float, z: float) -> None:
    objects.add(z, paint_person, x, z)
    objects.add_shadow(x, z, 0.4, 0.3, 1.6)
