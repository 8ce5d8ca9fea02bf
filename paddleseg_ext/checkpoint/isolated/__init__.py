"""What runs in a process of its own, because it reads files that may have been made to do harm.

The modules here import the standard library and `paddleseg_ext.errors` alone, so that the process starts at once, and
NumPy only for tensors that lie in memory in another order than their numbers are counted.
"""
