"""The documentation site: `make docs` writes it to `docs/_build/html`, to be read without a network."""
