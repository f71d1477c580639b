"""Failures that list what is wrong."""

import pytest


def assert_none(problems, rule):
    """Fail with a list that can be read: one problem a line, no traceback."""
    if problems:
        pytest.fail("\n  ".join([f"{rule}:", *sorted(problems)]), pytrace=False)
