"""Prepare a data set: `python tools/prepare.py folder --images DIR --labels DIR --output DIR`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="prepare"))
