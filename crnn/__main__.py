"""`python -m crnn`: the command line."""

import sys

from crnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
