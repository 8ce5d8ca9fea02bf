"""Import a checkpoint: `python tools/convert.py mmseg CKPT.pth --config CONFIG.yml --output MODEL.pdparams`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="convert"))
