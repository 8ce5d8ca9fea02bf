"""Canvas of a scene: color, label and depth per pixel, at twice the final size."""

from __future__ import annotations

import cv2
import numpy as np

from paddleseg_ext.data.datasets.streets.camera import Camera

IGNORE = 255
FAR = 1000.0  # meters; the depth of the sky
SUPERSAMPLING = 2


class Canvas:
    """Color, label and depth buffers of one image. Nearer objects are drawn later and occlude farther ones.

    Attributes:
        camera: Projects coordinates in meters to pixels.
        color: (height, width, 3) uint8, RGB, before lighting.
        label: (height, width) uint8, Cityscapes trainIds or 255.
        depth: (height, width) float32, meters.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.color = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.label = np.full((camera.height, camera.width), IGNORE, np.uint8)
        self.depth = np.full((camera.height, camera.width), FAR, np.float32)

    def face(self, points: list, color: tuple, label: int | None = None) -> None:
        """Fill a convex polygon of points in meters; without a label only the color changes."""
        depth = min(point[2] for point in points)
        self.polygon(self.camera.project(points), color, label, depth)

    def polygon(self, corners: list, color: tuple, label: int | None, depth: float) -> None:
        """Fill a convex polygon of (n, 2) corners in pixels.

        Args:
            corners: (n, 2), columns and rows in pixels.
            color: RGB from 0 to 255.
            label: TrainId or 255; None changes the color alone.
            depth: In meters.
        """
        corners = np.rint(np.asarray(corners)).astype(np.int32)
        cv2.fillConvexPoly(self.color, corners, clipped(color))
        if label is not None:
            cv2.fillConvexPoly(self.label, corners, label)
            cv2.fillConvexPoly(self.depth, corners, float(depth))

    def ellipse(
        self, x: float, y: float, z: float, radii: tuple[float, float], color: tuple, label: int | None = None
    ) -> None:
        """Fill an upright ellipse.

        Args:
            x: Of its center, meters to the right of the street's axis.
            y: Of its center, meters above the road.
            z: Its depth, in meters.
            radii: Horizontal and vertical one, in meters.
            color: RGB from 0 to 255.
            label: TrainId or 255; None changes the color alone.
        """
        column, row = self.camera.project([(x, y, z)])[0]
        scale = self.camera.scale(z)
        axes = (max(round(radii[0] * scale), 1), max(round(radii[1] * scale), 1))
        shape = ((round(column), round(row)), axes, 0, 0, 360)
        cv2.ellipse(self.color, *shape, clipped(color), -1)
        if label is not None:
            cv2.ellipse(self.label, *shape, label, -1)
            cv2.ellipse(self.depth, *shape, float(z), -1)

    def rectangle(self, x: float, z: float, width: float, bottom: float, top: float, color: tuple, label: int) -> None:
        """Fill an upright rectangle that faces the camera and is at least one pixel wide.

        Args:
            x: Of its center, meters to the right of the street's axis.
            z: Its depth, in meters.
            width: In meters.
            bottom: Height of its lower edge above the road, in meters.
            top: Height of its upper edge, in meters.
            color: RGB from 0 to 255.
            label: TrainId or 255.
        """
        (left, upper), (right, lower) = self.camera.project([(x - width / 2, top, z), (x + width / 2, bottom, z)])
        right = max(right, left + 1)
        self.polygon([(left, upper), (right, upper), (right, lower), (left, lower)], color, label, z)

    def reduced_label(self) -> np.ndarray:
        """(height / 2, width / 2) uint8: the majority class of each 2×2 block, 255 at a tie."""
        height, width = self.label.shape
        blocks = (
            self.label.reshape(height // 2, 2, width // 2, 2).transpose(0, 2, 1, 3).reshape(height // 2, width // 2, 4)
        )
        a, b, c, d = np.moveaxis(np.sort(blocks, axis=-1), -1, 0)
        tie = ((a == b) & (c == d) & (b != c)) | ((a != b) & (b != c) & (c != d))
        return np.where(tie, IGNORE, np.where(b == c, b, np.where(a == b, a, d))).astype(np.uint8)


def clipped(color: tuple) -> tuple[int, int, int]:
    """RGB color as OpenCV takes it: integers from 0 to 255."""
    red, green, blue = color
    return int(min(max(red, 0), 255)), int(min(max(green, 0), 255)), int(min(max(blue, 0), 255))


def shaded(color: tuple, factor: float) -> tuple[float, float, float]:
    """The color multiplied by a factor."""
    return color[0] * factor, color[1] * factor, color[2] * factor
