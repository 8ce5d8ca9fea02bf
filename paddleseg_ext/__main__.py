"""`python -m paddleseg_ext COMMAND …`: the command `paddleseg-ext`."""

import sys

from paddleseg_ext.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
