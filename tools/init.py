"""Write a configuration to edit: `python tools/init.py quickstart/pspnet`."""

import sys

from paddleseg_ext.cli.main import main

sys.exit(main(command="init"))
