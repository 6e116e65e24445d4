"""``python -m snnconvert``."""

import sys

from snnconvert.cli import main

if __name__ == "__main__":
    sys.exit(main())
