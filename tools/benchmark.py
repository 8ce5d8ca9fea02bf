"""Measure against PaddleSeg: `python tools/benchmark.py eval`."""

import sys

from paddleseg_ext.cli.main import main

if __name__ == "__main__":  # processes of a measurement import this file again
    sys.exit(main(command="benchmark"))
