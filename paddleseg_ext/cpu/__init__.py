"""Faster kernels for eager float32 execution on a CPU; they register themselves in `layers.functional`."""
