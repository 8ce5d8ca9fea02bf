"""Pedestrians."""

from __future__ import annotations

from paddleseg_ext.data.datasets.streets.canvas import Canvas, shaded
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import PERSON

CLOTHES = (
    (44, 46, 56),
    (104, 104, 106),
    (150, 58, 52),
    (66, 86, 60),
    (190, 186, 176),
    (58, 78, 120),
    (140, 120, 90),
    (90, 80, 76),
)
SKIN = ((214, 172, 142), (176, 128, 98), (112, 78, 58), (232, 196, 170))
HAIR = ((40, 32, 28), (96, 70, 46), (168, 140, 90), (120, 118, 116))


def paint_person(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """Paint a standing or walking person at (x, z).

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Its depth, in meters.
        rng: Random numbers for height, pose and clothes.
    """
    tall = rng.uniform(1.5, 1.9)
    coat, trousers = rng.jitter(rng.choice(CLOTHES)), rng.jitter(rng.choice(CLOTHES))
    skin, stride = rng.jitter(rng.choice(SKIN), 6), rng.uniform(0.0, 0.28)
    hip, shoulder, neck = tall * 0.48, tall * 0.82, tall * 0.86
    if rng.bernoulli(0.3):  # a long coat
        hip = tall * 0.3
    for step, shade in ((-stride, 0.85), (stride, 1.0)):
        leg = [(x - 0.08, hip, z), (x + 0.1, hip, z), (x + step + 0.09, 0, z), (x + step - 0.07, 0, z)]
        canvas.face(leg, shaded(trousers, shade), PERSON)
    swing = stride * 0.6
    for place, shade in ((-1, 0.8), (1, 0.92)):
        top = x + place * 0.2
        hand = top + place * 0.06 + swing * place
        arm = [
            (top - 0.07, shoulder, z),
            (top + 0.07, shoulder, z),
            (hand + 0.06, hip * 0.98, z),
            (hand - 0.06, hip * 0.98, z),
        ]
        canvas.face(arm, shaded(coat, shade), PERSON)
    waist = tall * 0.48 if hip > tall * 0.4 else hip
    body = [(x - 0.22, shoulder, z), (x + 0.22, shoulder, z), (x + 0.18, waist, z), (x - 0.18, waist, z)]
    canvas.face(body, coat, PERSON)
    canvas.rectangle(x, z, 0.12, shoulder, neck + 0.03, shaded(skin, 0.9), PERSON)
    canvas.ellipse(x, tall * 0.93, z, (0.105, 0.135), skin, PERSON)
    canvas.ellipse(x, tall * 0.97, z, (0.11, 0.085), rng.jitter(rng.choice(HAIR), 8), PERSON)
