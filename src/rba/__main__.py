"""`python -m rba`: the command line for launchers that start modules, such as torchrun."""

import sys

from rba.cli import main

if __name__ == "__main__":  # worker processes import this file under another name
    sys.exit(main())
