"""Look at everything before a training: `python tools/check.py --config configs/quickstart/pspnet.yml`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="check"))
