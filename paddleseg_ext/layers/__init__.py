"""Layers of the heads: plain `nn.Layer`s without a registry, one idea per file."""
