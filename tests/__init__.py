"""Tests; what they compare bit for bit is computed by one thread, unless the environment says otherwise."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before Paddle is imported; else commands take all cores
