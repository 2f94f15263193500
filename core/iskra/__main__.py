"""``python -m iskra`` does what the ``iskra`` program does."""

import sys

from iskra.cli import main

if __name__ == "__main__":
    sys.exit(main())
