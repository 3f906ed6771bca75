"""`python -m aumer` is `aumer`."""

import sys

from aumer.cli import main

if __name__ == "__main__":
    sys.exit(main())
