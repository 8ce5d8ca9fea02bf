"""Time of day: sky, shadows, haze, and the camera's own faults."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from paddleseg_ext.data.datasets.streets.canvas import SUPERSAMPLING, Canvas
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import BUILDING, ROAD, SIDEWALK, SKY, TERRAIN, VEGETATION, WALL

# How strongly fine and coarse noise modulate a class, in parts of its brightness.
FINE = {BUILDING: 0.05, VEGETATION: 0.22, TERRAIN: 0.1, WALL: 0.1, ROAD: 0.03, SIDEWALK: 0.03}
COARSE = {BUILDING: 0.07, VEGETATION: 0.25, TERRAIN: 0.12, WALL: 0.08, ROAD: 0.09, SIDEWALK: 0.09}


@dataclass(frozen=True)
class Light:
    """One time of day.

    Attributes:
        zenith, rim: Colors of the sky above and at the horizon.
        tint: What the light multiplies red, green and blue with.
        sun: How much darker a shadow is, from 0 (overcast) to 1.
        clouds: How much of the sky clouds cover, from 0 to 1.
        dusk: Whether lamps burn.
    """

    zenith: tuple
    rim: tuple
    tint: tuple
    sun: float
    clouds: float
    dusk: bool = False


TIMES = (
    Light((104, 150, 206), (188, 208, 228), (1.04, 1.02, 0.97), 0.45, 0.25),
    Light((128, 166, 210), (206, 216, 226), (1.02, 1.0, 0.98), 0.38, 0.7),
    Light((186, 190, 196), (214, 216, 216), (0.92, 0.95, 0.98), 0.0, 1.0),
    Light((150, 154, 160), (190, 192, 194), (0.78, 0.81, 0.86), 0.0, 1.0),
    Light((116, 130, 166), (232, 192, 146), (1.04, 0.9, 0.74), 0.5, 0.4),
    Light((66, 78, 112), (170, 140, 134), (0.6, 0.62, 0.74), 0.0, 0.5, dusk=True),
)


def paint_sky(canvas: Canvas, light: Light, rng: Rng) -> None:
    """Fill the whole canvas with sky."""
    height = canvas.camera.height
    rise = np.clip(1 - np.arange(height, dtype=np.float32) / np.float32(canvas.camera.horizon), 0, 1)[:, None, None]
    zenith, rim = np.array(light.zenith, np.float32), np.array(light.rim, np.float32)
    color = rim + (zenith - rim) * rise
    clouds = 0.65 * _cloud(canvas, 5, 9, rng) + 0.35 * _cloud(canvas, 14, 24, rng)
    cover = np.clip((clouds - (0.75 - 0.5 * light.clouds)) * 3, 0, 1) * light.clouds * 0.8
    white = rim / 2 + np.float32(rng.real(100, 122))
    canvas.color[:] = np.clip(color + (white - color) * cover[..., None], 0, 255).astype(np.uint8)
    canvas.label[:] = SKY


def cast_shadows(canvas: Canvas, outlines: list, strength: float) -> None:
    """Darken the ground below polygons given as points in meters; call before any object is drawn."""
    if not strength:
        return
    mask = np.zeros(canvas.label.shape, np.uint8)
    for outline in outlines:
        cv2.fillConvexPoly(mask, np.rint(canvas.camera.project(outline)).astype(np.int32), 255)
    first = canvas.camera.first_row
    mask = cv2.GaussianBlur(mask[first:], (5, 5), 0)
    # Blue sky lights what the sun does not.
    for channel, part in enumerate((1.0, 0.97, 0.9)):
        remaining = 1 - np.arange(256) / 255 * strength * part
        ground = canvas.color[first:, :, channel]
        ground[:] = (ground * remaining.astype(np.float32)[mask]).astype(np.uint8)


def expose(canvas: Canvas, light: Light, rng: Rng) -> np.ndarray:
    """Photograph the canvas: texture, light, haze, lens and sensor.

    Returns:
        (height / 2, width / 2, 3) uint8, RGB.
    """
    height, width = canvas.label.shape
    pixels = canvas.color.astype(np.float32)
    fine, coarse = np.zeros(256, np.float32), np.zeros(256, np.float32)
    for label, amount in FINE.items():
        fine[label], coarse[label] = amount, COARSE[label]
    grain = rng.octets(height, width).astype(np.float32) / 127.5 - 1
    lumps = 2 * _cloud(canvas, 24, 48, rng) - 1
    pixels *= (1 + fine[canvas.label] * grain + coarse[canvas.label] * lumps)[..., None]
    sky = (canvas.label == SKY)[..., None]
    tint = np.array(light.tint, np.float32) * rng.real(0.88, 1.12)
    pixels = np.where(sky, pixels, pixels * tint)
    reach = rng.of((150.0, 300.0, 600.0))  # meters at which half of the light is haze
    haze = (canvas.depth / (canvas.depth + np.float32(reach)))[..., None]
    pixels = np.where(sky, pixels, pixels + (np.array(light.rim, np.float32) * 0.95 - pixels) * haze)
    small = pixels.reshape(height // SUPERSAMPLING, 2, width // SUPERSAMPLING, 2, 3)
    small = (small[:, 0, :, 0] + small[:, 0, :, 1] + small[:, 1, :, 0] + small[:, 1, :, 1]) / 4
    return _sense(small, rng)


def _sense(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """Exposure, color cast, vignetting, blur and noise of (height, width, 3) float pixels -> uint8."""
    height, width = pixels.shape[:2]
    cast = np.array([rng.real(0.94, 1.06) for _ in range(3)], np.float32)
    across = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :, None]
    down = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None, None]
    dim = 1 - np.float32(rng.real(0.1, 0.5)) * (across * across + down * down)
    offset = rng.real(-6, 14)
    pixels = np.clip(pixels * cast * dim * np.float32(rng.real(0.82, 1.15)) + np.float32(offset), 0, 255)
    image = pixels.astype(np.uint8)
    if rng.happens(0.5):
        image = cv2.GaussianBlur(image, (3, 3), rng.of((0.5, 0.7)))
    strength = rng.real(1, 6) / 255
    noise = rng.octets(height, width, 3).astype(np.float32) + rng.octets(height, width, 3) - 255
    return np.clip(image + noise * np.float32(strength), 0, 255).astype(np.uint8)


def _cloud(canvas: Canvas, rows: int, columns: int, rng: Rng) -> np.ndarray:
    """Smooth noise from 0 to 1 of the canvas's size."""
    seeds = rng.octets(rows, columns)
    # The exact variant rounds the same way on every processor.
    size = (canvas.camera.width, canvas.camera.height)
    return cv2.resize(seeds, size, interpolation=cv2.INTER_LINEAR_EXACT).astype(np.float32) / 255
