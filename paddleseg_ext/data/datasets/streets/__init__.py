"""Deterministic renderer of synthetic street scenes; nothing is downloaded."""

from paddleseg_ext.data.datasets.streets.scene import render
from paddleseg_ext.data.datasets.streets.street import DRAWN

__all__ = ["DRAWN", "render"]
