"""Predict pictures: `python tools/predict.py --config CONFIG.yml --model_path MODEL.pdparams --image_path FOLDER`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="predict"))
