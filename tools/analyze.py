"""Tell what a network costs: `python tools/analyze.py --config configs/quickstart/pspnet.yml --size 512 256`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="analyze"))
