"""What a network attends to: `python tools/explain.py --config CONFIG.yml --model_path MODEL --image_path IMAGE`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="explain"))
