"""`python -m pctheory.datasets [NAME ...]`: put the data sets where `load_dataset` finds them."""

import sys

from ._fetch import main

if __name__ == "__main__":
    sys.exit(main())
