"""A painter of street scenes: deterministic, and free of any downloaded picture."""

from .scene import render
from .street import DRAWN

__all__ = ["DRAWN", "render"]
