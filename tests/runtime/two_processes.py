"""Run by `test_parallel` in each of several processes: trains and leaves the weights."""

from __future__ import annotations

import sys
from pathlib import Path

from paddleseg_ext.cli.main import main
from tests import tiny_run  # noqa: F401  # registers the model

if __name__ == "__main__":
    root, arguments = Path(sys.argv[1]), sys.argv[2:]
    sys.exit(main(["train", "--config", str(root / "config.yml"), *arguments]))
