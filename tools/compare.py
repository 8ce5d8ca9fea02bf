"""Compare trainings: `python tools/compare.py output/one output/two --page compare.html`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="compare"))
