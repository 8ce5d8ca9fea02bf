"""The examples run as they stand, with fewer iterations."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from paddleseg_ext import load
from paddleseg_ext.registry import HEADS
