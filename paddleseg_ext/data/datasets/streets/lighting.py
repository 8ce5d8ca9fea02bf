"""Lighting by time of day, shadows, haze and camera artifacts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from paddleseg_ext.data.datasets.streets.canvas import SUPERSAMPLING, Canvas
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import BUILDING, ROAD, SIDEWALK, SKY, TERRAIN, VEGETATION, WALL

# Amplitude of the fine and the coarse noise per class, relative to its brightness.
FINE = {BUILDING: 0.05, VEGETATION: 0.22, TERRAIN: 0.1, WALL: 0.1, ROAD: 0.03, SIDEWALK: 0.03}
COARSE = {BUILDING: 0.07, VEGETATION: 0.25, TERRAIN: 0.12, WALL: 0.08, ROAD: 0.09, SIDEWALK: 0.09}


@dataclass(frozen=True)
class Lighting:
    """Lighting at one time of day.

    Attributes:
        zenith, rim: Colors of the sky above and at the horizon.
        tint: Factors of red, green and blue.
        sun: Strength of shadows, from 0 (overcast) to 1.
        clouds: Cloud cover, from 0 to 1.
        dusk: Whether lamps are lit.
    """

    zenith: tuple
    rim: tuple
    tint: tuple
    sun: float
    clouds: float
    dusk: bool = False


TIMES = (
    Lighting((104, 150, 206), (188, 208, 228), (1.04, 1.02, 0.97), 0.45, 0.25),
    Lighting((128, 166, 210), (206, 216, 226), (1.02, 1.0, 0.98), 0.38, 0.7),
    Lighting((186, 190, 196), (214, 216, 216), (0.92, 0.95, 0.98), 0.0, 1.0),
    Lighting((150, 154, 160), (190, 192, 194), (0.78, 0.81, 0.86), 0.0, 1.0),
    Lighting((116, 130, 166), (232, 192, 146), (1.04, 0.9, 0.74), 0.5, 0.4),
    Lighting((66, 78, 112), (170, 140, 134), (0.6, 0.62, 0.74), 0.0, 0.5, dusk=True),
)


def paint_sky(canvas: Canvas, lighting: Lighting, rng: Rng) -> None:
    """Fill the whole canvas with sky."""
    height = canvas.camera.height
    rise = np.clip(1 - np.arange(height, dtype=np.float32) / np.float32(canvas.camera.horizon), 0, 1)[:, None, None]
    zenith, rim = np.array(lighting.zenith, np.float32), np.array(lighting.rim, np.float32)
    color = rim + (zenith - rim) * rise
    clouds = 0.65 * _cloud(canvas, 5, 9, rng) + 0.35 * _cloud(canvas, 14, 24, rng)
    cover = np.clip((clouds - (0.75 - 0.5 * lighting.clouds)) * 3, 0, 1) * lighting.clouds * 0.8
    white = rim / 2 + np.float32(rng.uniform(100, 122))
    canvas.color[:] = np.clip(color + (white - color) * cover[..., None], 0, 255).astype(np.uint8)
    canvas.label[:] = SKY


def cast_shadows(canvas: Canvas, outlines: list, strength: float) -> None:
    """Darken the ground within polygons of points in meters; call it before any object is drawn."""
    if not strength:
        return
    mask = np.zeros(canvas.label.shape, np.uint8)
    for outline in outlines:
        cv2.fillConvexPoly(mask, np.rint(canvas.camera.project(outline)).astype(np.int32), 255)
    first = canvas.camera.first_row
    mask = cv2.GaussianBlur(mask[first:], (5, 5), 0)
    # Skylight is blue, so shadows keep more of the blue channel.
    for channel, part in enumerate((1.0, 0.97, 0.9)):
        remaining = 1 - np.arange(256) / 255 * strength * part
        ground = canvas.color[first:, :, channel]
        ground[:] = (ground * remaining.astype(np.float32)[mask]).astype(np.uint8)


def simulate_camera(canvas: Canvas, lighting: Lighting, rng: Rng) -> np.ndarray:
    """Image of the canvas: texture noise, lighting, haze, downsampling, lens and sensor.

    Returns:
        (height / 2, width / 2, 3) uint8, RGB.
    """
    height, width = canvas.label.shape
    pixels = canvas.color.astype(np.float32)
    fine, coarse = np.zeros(256, np.float32), np.zeros(256, np.float32)
    for label, amount in FINE.items():
        fine[label], coarse[label] = amount, COARSE[label]
    grain = rng.uint8(height, width).astype(np.float32) / 127.5 - 1
    lumps = 2 * _cloud(canvas, 24, 48, rng) - 1
    pixels *= (1 + fine[canvas.label] * grain + coarse[canvas.label] * lumps)[..., None]
    sky = (canvas.label == SKY)[..., None]
    tint = np.array(lighting.tint, np.float32) * rng.uniform(0.88, 1.12)
    pixels = np.where(sky, pixels, pixels * tint)
    reach = rng.choice((150.0, 300.0, 600.0))  # meters at which haze replaces half of the color
    haze = (canvas.depth / (canvas.depth + np.float32(reach)))[..., None]
    pixels = np.where(sky, pixels, pixels + (np.array(lighting.rim, np.float32) * 0.95 - pixels) * haze)
    small = pixels.reshape(height // SUPERSAMPLING, 2, width // SUPERSAMPLING, 2, 3)
    small = (small[:, 0, :, 0] + small[:, 0, :, 1] + small[:, 1, :, 0] + small[:, 1, :, 1]) / 4
    return _simulate_sensor(small, rng)


def _simulate_sensor(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """Exposure, color cast, vignetting, blur and noise: (height, width, 3) float → uint8."""
    height, width = pixels.shape[:2]
    cast = np.array([rng.uniform(0.94, 1.06) for _ in range(3)], np.float32)
    across = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :, None]
    down = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None, None]
    dim = 1 - np.float32(rng.uniform(0.1, 0.5)) * (across * across + down * down)
    offset = rng.uniform(-6, 14)
    pixels = np.clip(pixels * cast * dim * np.float32(rng.uniform(0.82, 1.15)) + np.float32(offset), 0, 255)
    image = pixels.astype(np.uint8)
    if rng.bernoulli(0.5):
        image = cv2.GaussianBlur(image, (3, 3), rng.choice((0.5, 0.7)))
    strength = rng.uniform(1, 6) / 255
    noise = rng.uint8(height, width, 3).astype(np.float32) + rng.uint8(height, width, 3) - 255
    return np.clip(image + noise * np.float32(strength), 0, 255).astype(np.uint8)


def _cloud(canvas: Canvas, rows: int, columns: int, rng: Rng) -> np.ndarray:
    """Smooth noise from 0 to 1, of the canvas's size."""
    seeds = rng.uint8(rows, columns)
    # INTER_LINEAR_EXACT rounds the same way on every processor.
    size = (canvas.camera.width, canvas.camera.height)
    return cv2.resize(seeds, size, interpolation=cv2.INTER_LINEAR_EXACT).astype(np.float32) / 255
