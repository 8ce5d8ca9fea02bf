"""List what a configuration can name: `python tools/list.py combos ResNet50_vd`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="list"))
