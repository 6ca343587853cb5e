"""``python -m jhub_kvproxy`` is ``jhub-kvproxy``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
