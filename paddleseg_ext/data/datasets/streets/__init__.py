"""A painter of street scenes: deterministic, and free of any downloaded picture."""

from paddleseg_ext.data.datasets.streets.scene import render
from paddleseg_ext.data.datasets.streets.street import DRAWN

__all__ = ["DRAWN", "render"]
