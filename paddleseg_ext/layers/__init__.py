"""The mathematics of the heads: plain layers, one idea a file, without a registry."""
