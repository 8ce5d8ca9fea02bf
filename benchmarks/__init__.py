"""Comparisons with PaddleSeg's own networks and loops, each a ratio measured in one run."""
