"""Export a network: `python tools/export.py --config configs/quickstart/pspnet.yml --model_path MODEL.pdparams`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="export"))
