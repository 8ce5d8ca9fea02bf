"""Train a network: `python tools/train.py --config configs/quickstart/pspnet.yml --do_eval`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="train"))
