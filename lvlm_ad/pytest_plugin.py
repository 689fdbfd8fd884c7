"""A plugin for pytest: ``backend_check`` and ``baseline_check`` give a test for each check of ``lvlm_ad.testing``.

::

    def test_contract(backend_check):
        backend_check(MyBackend())

Installed with lvlm-ad, it does nothing for tests that ask for neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_generate_tests"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each check."""
    wanted = {"backend_check", "baseline_check"} & set(metafunc.fixturenames)
    if not wanted:
        return
    from lvlm_ad.testing import BACKEND_CHECKS, BASELINE_CHECKS  # noqa: PLC0415 - most tests ask for neither

    if "backend_check" in wanted:
        metafunc.parametrize("backend_check", list(BACKEND_CHECKS.values()), ids=list(BACKEND_CHECKS))
    if "baseline_check" in wanted:
        metafunc.parametrize("baseline_check", list(BASELINE_CHECKS.values()), ids=list(BASELINE_CHECKS))
