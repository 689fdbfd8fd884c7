"""Waiting for a page in a browser."""

import time

import pytest

_SECONDS = 30


def wait_until(page, expression, arg=None):
    """Wait until a JavaScript expression, or a function of ``arg``, is true.

    Not ``page.wait_for_function``: where it must ask twice, it compiles code in the page, which our pages forbid.
    """
    end = time.monotonic() + _SECONDS
    while not page.evaluate(expression, arg):
        if time.monotonic() > end:
            pytest.fail(f"still false after {_SECONDS} s: {expression}")
        page.wait_for_timeout(50)
